use super::*;

fn short(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_le_bytes()[..], text].concat()
}

fn column(kind: u8, qualifier: &str) -> Vec<u8> {
    [&[kind, 0][..], &short(b"f"), &short(qualifier.as_bytes())].concat()
}

/// The key as text, `f:n` as a number, `f:t` as text.
fn decoder() -> Decoder {
    let columns = [vec![1, 1, 0], column(6, "n"), column(1, "t")].concat();
    Decoder::new(&[&[1, 0, 3, 0][..], &columns].concat()).unwrap()
}

fn cell(row: &str, qualifier: &str, value: &[u8]) -> Vec<u8> {
    let key = [
        &(row.len() as u16).to_be_bytes()[..],
        row.as_bytes(),
        &[1],
        b"f",
        qualifier.as_bytes(),
        &7i64.to_be_bytes(),
        &[4],
    ]
    .concat();
    let lengths = [(key.len() + value.len() + 8) as u32, key.len() as u32, value.len() as u32];
    [&lengths.map(|length| length.to_be_bytes()).concat()[..], &key, value].concat()
}

/// Cells of each result; the last one partial or not; more in the region.
fn response(counts: &[u8], partial: bool, more: bool) -> Vec<u8> {
    let mut out: Vec<u8> = counts.iter().flat_map(|&count| [8, count]).collect();
    out.extend([16, 5, 24, 1]);
    for index in 0..counts.len() {
        out.extend([56, u8::from(partial && index + 1 == counts.len())]);
    }
    out.extend([64, u8::from(more)]);
    out
}

fn texts(column: &Column) -> Vec<Option<String>> {
    match &column.values {
        Values::Varying(text) => (0..column.rows)
            .map(|row| {
                let span = text.offsets[row] as usize..text.offsets[row + 1] as usize;
                let there = column.nulls == 0 || column.bits[row / 8] >> (row % 8) & 1 == 1;
                there.then(|| String::from_utf8(text.data()[span].to_vec()).unwrap())
            })
            .collect(),
        _ => panic!("no text"),
    }
}

fn sample() -> (Vec<u8>, Vec<u8>) {
    let block = [
        cell("a", "n", &7i64.to_be_bytes()),
        cell("a", "t", "é".as_bytes()),
        cell("b", "other", b"x"),
        cell("c", "n", b"short"),
        cell("c", "t", &[0xff]),
    ]
    .concat();
    (response(&[2, 1, 2], false, true), block)
}

#[test]
fn rows_are_whole_missing_cells_null_and_others_counted() {
    let (response, block) = sample();
    let mut decoder = decoder();
    let said = decoder.cells(&response, &block, 0).unwrap();
    assert_eq!((said.used, said.carried, said.scanner, said.results), (block.len(), 0, 5, 3));
    assert_eq!((said.more, said.more_in_region, decoder.rows), (1, 1, 3));
    assert_eq!(&block[said.last.0..][..said.last.1], b"c");
    assert_eq!(texts(&decoder.columns[0]), ["a", "b", "c"].map(|text| Some(text.to_string())));
    assert!(matches!(&decoder.columns[1].values, Values::Int64(values) if values == &[7, 0, 0]));
    assert_eq!((decoder.columns[1].nulls, decoder.columns[1].lost), (2, 1));
    assert_eq!(texts(&decoder.columns[2]), [Some("é".to_string()), None, None]);
    assert_eq!(decoder.columns[2].lost, 1);
}

#[test]
fn every_cut_of_block_or_response_is_an_error() {
    let (response, block) = sample();
    for end in 0..block.len() {
        assert!(decoder().cells(&response, &block[..end], 0).is_err(), "block cut at {end}");
    }
    for end in 0..response.len() {
        if let Ok(said) = decoder().cells(&response[..end], &block, 0) {
            assert_eq!(said.results, 3, "response cut at {end}");
        }
    }
}

#[test]
fn every_changed_byte_is_an_error_or_rows() {
    let (response, block) = sample();
    for at in 0..response.len() + block.len() {
        for value in [0, 1, 2, 4, 0x0f, 0x7f, 0x80, 0xff] {
            let (mut response, mut block) = (response.clone(), block.clone());
            match at.checked_sub(response.len()) {
                Some(at) => block[at] = value,
                None => response[at] = value,
            }
            let mut decoder = decoder();
            if decoder.cells(&response, &block, 0).is_ok() {
                assert!(decoder.columns.iter().all(|column| column.rows == decoder.rows));
            }
        }
    }
}

#[test]
fn a_row_that_was_cut_goes_on_with_the_next_reply_in_all_ways() {
    let cells = [cell("a", "n", &1i64.to_be_bytes()), cell("b", "n", &2i64.to_be_bytes()), cell("b", "t", b"two")];
    // (results of the first reply, of the second): cells that each has, where the first one's last is partial.
    for (first, second) in [(vec![1, 1], vec![1]), (vec![1], vec![2]), (vec![1], vec![1, 1])] {
        let cut: usize = first.iter().map(|&count| count as usize).sum();
        let mut decoder = decoder();
        let block = cells[..cut].concat();
        let said = decoder.cells(&response(&first, true, true), &block, 0).unwrap();
        assert_eq!(said.carried, 1);
        let rest = [&block[said.used..], &cells[cut..].concat()].concat();
        let result = decoder.cells(&response(&second, false, false), &rest, said.carried);
        if second == [1, 1] {
            // Two results of one row where nothing was cut: no server does that.
            assert!(result.is_err());
            continue;
        }
        assert_eq!(result.unwrap().used, rest.len());
        assert_eq!(texts(&decoder.columns[2]), [None, Some("two".to_string())]);
        assert!(matches!(&decoder.columns[1].values, Values::Int64(values) if values == &[1, 2]));
    }
}

#[test]
fn a_pause_in_the_middle_of_a_row_carries_it_on_and_the_end_of_the_region_ends_it() {
    let block = cell("a", "n", &1i64.to_be_bytes());
    let mut decoder = decoder();
    let said = decoder.cells(&response(&[1], true, true), &block, 0).unwrap();
    assert_eq!((said.used, said.carried, decoder.rows), (0, 1, 0));
    let said = decoder.cells(&response(&[], false, true), &block, 1).unwrap();
    assert_eq!((said.used, said.carried, decoder.rows), (0, 1, 0));
    let more = [block.clone(), cell("a", "t", b"x")].concat();
    let said = decoder.cells(&response(&[1], true, true), &more, 1).unwrap();
    assert_eq!((said.used, said.carried, decoder.rows), (0, 2, 0));
    let said = decoder.cells(&response(&[], false, false), &more, 2).unwrap();
    assert_eq!((said.used, said.carried, decoder.rows), (more.len(), 0, 1));
}

type Row<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

fn thrift(rows: &[Row]) -> Vec<u8> {
    let text = |value: &[u8]| [&(value.len() as u32).to_be_bytes()[..], value].concat();
    let mut out = vec![];
    for (key, cells) in rows {
        out.extend([&[11, 0, 1][..], &text(key.as_bytes()), &[13, 0, 2, 11, 12]].concat());
        out.extend((cells.len() as u32).to_be_bytes());
        for (name, value) in *cells {
            out.extend([&text(name.as_bytes())[..], &[11, 0, 1], &text(value), &[10, 0, 2]].concat());
            out.extend([&7i64.to_be_bytes()[..], &[0]].concat());
        }
        out.push(0);
    }
    out
}

#[test]
fn rows_of_the_gateway_are_read_as_they_come() {
    let rows: [Row; 3] =
        [("a", &[("f:n", &[0, 0, 0, 0, 0, 0, 0, 9]), ("f:t", b"x")]), ("b", &[("f:zz", b"")]), ("c", &[("f:t", b"z")])];
    let whole = thrift(&rows);
    for cut in 0..=whole.len() {
        let mut decoder = decoder();
        let (used, _) = decoder.thrift_rows(&whole[..cut], 3).unwrap();
        let (rest, last) = decoder.thrift_rows(&whole[used..], 3 - decoder.rows).unwrap();
        assert!(rest == 0 || &whole[used + last.0..][..last.1] == b"c");
        assert_eq!((used + rest, decoder.rows), (whole.len(), 3), "cut at {cut}");
        assert_eq!(texts(&decoder.columns[2]), [Some("x".to_string()), None, Some("z".to_string())]);
    }
    assert_eq!(decoder().thrift_rows(&whole, 1).unwrap().0, thrift(&rows[..1]).len());
    for at in 0..whole.len() {
        for value in [0, 1, 2, 11, 12, 13, 15, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            let mut decoder = decoder();
            let _ = decoder.thrift_rows(&changed, 3);
            assert!(decoder.columns.iter().all(|column| column.rows == decoder.rows));
        }
    }
}

#[test]
fn keys_are_split_by_width_and_separator_and_what_is_missing_is_null() {
    let spec = [
        &[3, 1, 2, 0, 2, 1, 0, b'|', 0, 3, 0][..], // two bytes, up to a bar, the rest
        &[1, 1, 0, 1, 1, 1, 12, 1, 2],
    ]
    .concat();
    let mut decoder = Decoder::new(&spec).unwrap();
    for key in ["xxab|12", "yy", "z", "xxno bar", "xx|-007"] {
        decoder.row(key.as_bytes(), (0, key.len())).unwrap();
    }
    decoder.finish();
    let text = |text: &str| Some(text.to_string());
    assert_eq!(texts(&decoder.columns[0]), [text("xx"), text("yy"), None, text("xx"), text("xx")]);
    assert_eq!(texts(&decoder.columns[1]), [text("ab"), text(""), None, text("no bar"), text("")]);
    assert!(matches!(&decoder.columns[2].values, Values::Int64(values) if values == &[12, 0, 0, 0, -7]));
    assert_eq!((decoder.columns[2].nulls, decoder.columns[2].lost), (3, 0));
}

#[test]
fn values_are_read_as_their_kind_says() {
    let spec = |kind: u8| [&[0, 1, 0][..], &column(kind, "v")].concat();
    let one = |kind: u8, value: &[u8]| {
        let mut decoder = Decoder::new(&spec(kind)).unwrap();
        decoder.search(b"f", b"v", 0, value.len(), 5);
        decoder.row(value, (0, 0)).unwrap();
        decoder.finish();
        decoder.columns.pop().unwrap()
    };
    assert!(matches!(one(3, &[0xff]).values, Values::Bool(bits) if bits == [1]));
    assert!(matches!(one(4, &[0xff, 0xfe]).values, Values::Int16(values) if values == [-2]));
    assert!(matches!(one(9, &[0x80, 0, 0, 1]).values, Values::Int32(values) if values == [1]));
    assert!(matches!(one(10, &[0; 8]).values, Values::Int64(values) if values == [i64::MIN]));
    assert!(matches!(one(11, &(i64::MAX - 5).to_be_bytes()).values, Values::Int64(values) if values == [5]));
    assert_eq!(one(11, &[0xff; 8]).lost, 1);
    for (kind, value, lost) in [
        (15, -1i64, 0),
        (15, 9_223_372_036_854_774, 0),
        (15, 9_223_372_036_854_775, 1),
        (15, i64::MIN, 1),
        (11, 0, 1),
        (11, i64::MAX - 9_223_372_036_854_774, 0),
    ] {
        assert_eq!(one(kind, &value.to_be_bytes()).lost, lost, "{kind} {value}");
    }
    assert!(matches!(one(8, &1.5f64.to_be_bytes()).values, Values::Double(values) if values == [1.5]));
    assert!(matches!(one(13, b"-2.5e3").values, Values::Double(values) if values == [-2500.0]));
    for (kind, value) in
        [(12, &b"+5"[..]), (12, b"9223372036854775808"), (12, b""), (13, b"x"), (3, b""), (6, b"1234567")]
    {
        assert_eq!((one(kind, value).lost, one(kind, value).nulls), (1, 1));
    }
}

#[test]
fn a_cell_may_be_value_and_time_and_a_wrong_spec_is_none() {
    let time = [&[14, 2][..], &short(b"f"), &short(b"n")].concat();
    let mut decoder = Decoder::new(&[&[0, 2, 0][..], &time, &column(6, "n")].concat()).unwrap();
    let block = cell("a", "n", &1i64.to_be_bytes());
    decoder.cells(&response(&[1], false, true), &block, 0).unwrap();
    assert!(matches!(&decoder.columns[0].values, Values::Int64(values) if values == &[7]));
    assert!(matches!(&decoder.columns[1].values, Values::Int64(values) if values == &[1]));
    for wrong in [&[][..], &[0, 1, 0, 99, 0, 0, 0, 0, 0], &[0, 1, 0, 1, 1, 0], &[0, 0, 0, 9], &[1, 2, 0, 0, 0, 0]] {
        assert!(Decoder::new(wrong).is_none());
    }
}
