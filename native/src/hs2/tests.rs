use super::*;

fn text(value: &[u8]) -> Vec<u8> {
    [&(value.len() as i32).to_be_bytes()[..], value].concat()
}

fn field(kind: u8, number: i16, value: &[u8]) -> Vec<u8> {
    [&[kind], &number.to_be_bytes()[..], value].concat()
}

fn structure(fields: &[Vec<u8>]) -> Vec<u8> {
    [&fields.concat()[..], &[0]].concat()
}

fn list(kind: u8, values: &[Vec<u8>]) -> Vec<u8> {
    [&[kind], &(values.len() as i32).to_be_bytes()[..], &values.concat()].concat()
}

fn column(number: i16, kind: u8, values: &[Vec<u8>], nulls: &[u8]) -> Vec<u8> {
    let inner = structure(&[field(LIST, 1, &list(kind, values)), field(BINARY, 2, &text(nulls))]);
    structure(&[field(STRUCT, number, &inner)])
}

fn texts(values: &[&str], nulls: &[u8]) -> Vec<u8> {
    column(7, BINARY, &values.iter().map(|value| text(value.as_bytes())).collect::<Vec<_>>(), nulls)
}

fn reply(code: i32, columns: &[Vec<u8>], more: bool) -> Vec<u8> {
    let status = structure(&[field(I32, 1, &code.to_be_bytes())]);
    let rows = structure(&[
        field(I64, 1, &7i64.to_be_bytes()),
        field(LIST, 2, &list(STRUCT, &[])),
        field(LIST, 3, &list(STRUCT, columns)),
    ]);
    let response = structure(&[field(STRUCT, 1, &status), field(BOOL, 2, &[more.into()]), field(STRUCT, 3, &rows)]);
    message(2, &structure(&[field(STRUCT, 0, &response)]))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0x80, 1, 0, kind][..], &text(b"FetchResults"), &5i32.to_be_bytes(), body].concat()
}

fn longs(values: &[i64], nulls: &[u8]) -> Vec<u8> {
    column(5, I64, &values.iter().map(|value| value.to_be_bytes().to_vec()).collect::<Vec<_>>(), nulls)
}

fn decoded(kinds: &[[u8; 3]], input: &[u8]) -> (Decoder, Result<Reply, Malformed>) {
    let mut decoder = Decoder::new(&kinds.concat()).unwrap();
    let found = decoder.reply(input, 5);
    (decoder, found)
}

fn sample() -> (Vec<[u8; 3]>, Vec<u8>) {
    let kinds = vec![[5, 0, 0], [8, 0, 0], [11, 9, 2], [12, 0, 0], [13, 0, 0], [1, 0, 0], [6, 0, 0], [9, 0, 0]];
    let bools: Vec<_> = [1u8, 0, 7].iter().map(|&byte| vec![byte]).collect();
    let floats: Vec<_> = [0.1f64, -0.0, f64::NAN].iter().map(|value| value.to_be_bytes().to_vec()).collect();
    let columns = [
        longs(&[1, i64::MIN, 3], &[0b101]),
        texts(&["é", "", "long enough to be no short move"], &[]),
        texts(&["-0.5", "", "1234567.8"], &[2, 0xff]),
        texts(&["1970-01-02", "", ""], &[6]),
        texts(&["", "1970-01-01 00:00:01.5", ""], &[5]),
        column(1, BOOL, &bools, &[0]),
        column(6, DOUBLE, &floats, &[]),
        texts(&["a ", "", " b   "], &[]),
    ];
    (kinds, reply(0, &columns, true))
}

#[test]
fn columns_become_values_and_short_bitmaps_mean_not_null() {
    let (kinds, input) = sample();
    let (decoder, found) = decoded(&kinds, &input);
    assert_eq!(found, Ok(Reply::Rows { rows: 3, more: true, offset: 7 }));
    let nulls: Vec<_> = decoder.columns.iter().map(|column| column.nulls).collect();
    assert_eq!(nulls, [2, 0, 1, 2, 2, 0, 0, 0]);
    assert_eq!(decoder.columns[0].bits[0] & 7, 0b010);
    assert!(matches!(&decoder.columns[0].values, Values::W8(values) if values[1] as i64 == i64::MIN));
    assert!(matches!(&decoder.columns[2].values, Values::W16(values) if values == &[-50, 0, 123_456_780]));
    assert!(matches!(&decoder.columns[3].values, Values::W4(values) if values[0] == 1));
    assert!(matches!(&decoder.columns[4].values, Values::W8(values) if values[1] == 1_500_000));
    assert!(matches!(&decoder.columns[5].values, Values::Bits(bits) if bits == &[0b101]));
    assert!(matches!(&decoder.columns[6].values, Values::W4(values) if values[0] == 0.1f32.to_bits()));
    match (&decoder.columns[1].values, &decoder.columns[7].values) {
        (Values::Varying { offsets, data }, Values::Varying { offsets: padded, data: unpadded }) => {
            assert_eq!((offsets.as_slice(), &data[..2]), (&[0, 2, 2, 33][..], "é".as_bytes()));
            assert_eq!((padded.as_slice(), unpadded.as_slice()), (&[0, 1, 1, 3][..], &b"a b"[..]));
        }
        _ => panic!("no texts"),
    }
}

#[test]
fn bits_of_rows_that_are_not_there_are_not_counted() {
    for (nulls, wanted) in [(&[0b1111_0100u8][..], 1), (&[0x80], 0), (&[0, 0xff, 0xff], 0), (&[], 0)] {
        let (decoder, found) = decoded(&[[5, 0, 0]], &reply(0, &[longs(&[1, 2, 3], nulls)], false));
        assert_eq!(found, Ok(Reply::Rows { rows: 3, more: false, offset: 7 }));
        assert_eq!(decoder.columns[0].nulls, wanted, "{:?}", nulls);
    }
    let nine: Vec<i64> = (0..9).collect();
    let (decoder, _) = decoded(&[[5, 0, 0]], &reply(0, &[longs(&nine, &[1])], false));
    assert_eq!((decoder.columns[0].nulls, decoder.columns[0].bits.as_slice()), (1, &[0xfe, 0xff][..]));
}

#[test]
fn what_is_no_success_is_said() {
    let kinds = [[5, 0, 0]];
    assert_eq!(decoded(&kinds, &reply(3, &[], false)).1, Ok(Reply::Refused));
    assert_eq!(decoded(&kinds, &message(3, &structure(&[]))).1, Ok(Reply::Refused));
    assert_eq!(decoded(&kinds, &reply(0, &[texts(&["x"], &[])], false)).1, Ok(Reply::Other { column: 0 }));
    assert_eq!(decoded(&kinds, &reply(0, &[], false)).1, Err(Malformed));
    assert_eq!(decoded(&kinds, &message(2, &structure(&[]))).1, Err(Malformed));
    let status = structure(&[field(I32, 1, &0i32.to_be_bytes())]);
    let bare = structure(&[field(STRUCT, 1, &status), field(BOOL, 2, &[0])]);
    assert_eq!(
        decoded(&kinds, &message(2, &structure(&[field(STRUCT, 0, &bare)]))).1,
        Err(Malformed),
        "no rows at all"
    );
    let two = [[5, 0, 0], [5, 0, 0]];
    assert_eq!(decoded(&two, &reply(0, &[longs(&[1], &[]), longs(&[1, 2], &[])], false)).1, Err(Malformed));
    let mut decoder = Decoder::new(&[5, 0, 0]).unwrap();
    assert_eq!(decoder.reply(&reply(0, &[longs(&[1], &[])], false), 6), Err(Malformed), "another call's reply");
}

#[test]
fn a_value_that_is_none_of_its_type_is_shown() {
    for (kind, good, bad) in [
        ([12, 0, 0], "2024-02-29", "2023-02-29"),
        ([13, 0, 0], "2024-02-29 00:00:00", "noon"),
        ([11, 3, 1], "12.5", "1234"),
    ] {
        let input = reply(0, &[texts(&[good, "", bad], &[2])], false);
        match decoded(&[kind], &input).1 {
            Ok(Reply::Bad { column: 0, row: 2, at, size }) => assert_eq!(&input[at..at + size], bad.as_bytes()),
            other => panic!("{:?}", other),
        }
    }
    let input = reply(0, &[column(7, BINARY, &[text(b"a"), text(&[0xc3])], &[])], false);
    assert!(matches!(decoded(&[[8, 0, 0]], &input).1, Ok(Reply::Bad { row: 1, size: 1, .. })));
}

#[test]
fn bytes_that_are_cut_or_changed_are_rows_or_malformed() {
    let (kinds, input) = sample();
    for end in 0..input.len() {
        assert_eq!(decoded(&kinds, &input[..end]).1, Err(Malformed), "cut at {}", end);
        let mut scan = Scan::new();
        assert!(matches!(scan.walk(&input[..end]), Ok(Scanned::Needs(more)) if more > end && more <= input.len()));
    }
    for at in 0..input.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = input.clone();
            changed[at] = byte;
            let _ = decoded(&kinds, &changed);
            let _ = Scan::new().walk(&changed);
        }
    }
}

#[test]
fn a_message_without_a_frame_is_found_however_it_comes() {
    let (_, mut input) = sample();
    let (size, pairs) = (input.len(), [[&text(b"k")[..], &1i64.to_be_bytes()].concat()]);
    let map = [&[BINARY, I64][..], &1i32.to_be_bytes(), &pairs.concat()].concat();
    let other =
        message(2, &structure(&[field(wire::MAP, 4, &map), field(wire::SET, 5, &list(STRUCT, &[vec![0], vec![0]]))]));
    for whole in [input.clone(), other] {
        for step in [1, 3, 1000] {
            let mut scan = Scan::new();
            let mut there = 0;
            loop {
                match scan.walk(&whole[..there]).unwrap() {
                    Scanned::Whole(size) => {
                        assert_eq!(size, whole.len());
                        break;
                    }
                    Scanned::Needs(more) => {
                        assert!(more > there && more <= whole.len());
                        there = whole.len().min(there + step).max(more.min(there + step));
                    }
                }
            }
        }
    }
    input.extend_from_slice(b"and the next one");
    assert_eq!(Scan::new().walk(&input), Ok(Scanned::Whole(size)));
    assert_eq!(Scan::new().walk(b"HTTP/1.1 400"), Err(Malformed));
}
