use super::*;

fn moment(bytes: &[u8]) -> Moment {
    let mut rest = bytes;
    let moment = Moment::read(&mut rest).unwrap();
    assert!(rest.is_empty());
    moment
}

fn day(year: u16, month: u8, day: u8) -> Option<i32> {
    Moment { year, month, day, ..Moment::default() }.days()
}

#[test]
fn every_day_from_year_0_to_9999_follows_the_one_before() {
    let mut due = day(0, 1, 1).unwrap();
    assert_eq!(due, -719_528);
    for year in 0..=9999 {
        for month in 0..=13 {
            for of_month in 0..=32 {
                if (year, month, of_month) == (0, 2, 29) {
                    assert_eq!(day(0, 2, 29), None, "MySQL's year 0 is no leap year, the calendar's is");
                    due += 1;
                    continue;
                }
                if let Some(days) = day(year, month, of_month) {
                    assert_eq!(days, due, "{}-{}-{}", year, month, of_month);
                    due += 1;
                }
            }
        }
    }
    assert_eq!(due, 2_932_897);
    assert_eq!(day(1970, 1, 1), Some(0));
}

#[test]
fn days_that_no_calendar_has() {
    for (year, month, of_month) in [(0, 0, 0), (2024, 0, 0), (2024, 2, 30), (2023, 2, 29), (1900, 2, 29), (2024, 13, 1)]
    {
        assert_eq!(day(year, month, of_month), None);
    }
    assert!(day(2000, 2, 29).is_some());
}

#[test]
fn datetimes_of_each_length() {
    assert_eq!(moment(&[0]).micros(), None);
    assert_eq!(moment(&[4, 0xb2, 7, 1, 2]).micros(), Some(86_400_000_000));
    assert_eq!(moment(&[7, 0xb2, 7, 1, 1, 0, 0, 1]).micros(), Some(1_000_000));
    assert_eq!(moment(&[11, 0xb2, 7, 1, 1, 23, 59, 59, 63, 66, 15, 0]).micros(), Some(86_399_999_999));
    assert_eq!(moment(&[7, 0xb2, 7, 1, 1, 24, 0, 0]).micros(), None);
    assert!(Moment::read(&mut &[5, 1, 2, 3, 4, 5][..]).is_err());
    assert!(Moment::read(&mut &[7, 0xb2, 7, 1][..]).is_err());
}

#[test]
fn printed_as_the_server_prints() {
    let show = |bytes: &[u8], time, digits| {
        let (out, length) = moment(bytes).print(time, digits);
        String::from_utf8(out[..length].to_vec()).unwrap()
    };
    assert_eq!(show(&[0], false, 0), "0000-00-00");
    assert_eq!(show(&[0], true, 0), "0000-00-00 00:00:00");
    assert_eq!(show(&[11, 0xe8, 7, 2, 29, 23, 59, 58, 63, 66, 15, 0], true, 3), "2024-02-29 23:59:58.999");
}

#[test]
fn times_are_signed_and_long() {
    let of = |bytes: &[u8]| time(&mut &bytes[..]);
    assert_eq!(of(&[0]), Ok(Some(0)));
    assert_eq!(of(&[8, 0, 34, 0, 0, 0, 22, 59, 59]), Ok(Some(3_020_399_000_000)));
    assert_eq!(of(&[12, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]), Ok(Some(-1)));
    assert_eq!(of(&[8, 0, 0xff, 0xff, 0xff, 0xff, 23, 59, 59]), Ok(None));
    assert_eq!(of(&[8, 0, 0, 0, 0, 0, 24, 0, 0]), Ok(None));
    assert_eq!(of(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Fault::Malformed));
}

#[test]
fn lengths_of_each_width() {
    let of = |bytes: &[u8]| length(&mut &bytes[..]);
    assert_eq!(of(&[250]), Ok(250));
    assert_eq!(of(&[0xfc, 1, 2]), Ok(513));
    assert_eq!(of(&[0xfd, 1, 2, 3]), Ok(197_121));
    assert_eq!(of(&[0xfe, 1, 0, 0, 0, 1, 0, 0, 0]), Ok((1 << 32) + 1));
    for bad in [&[0xfb][..], &[0xff], &[0xfc, 1], &[0xfe, 1, 2, 3], &[]] {
        assert_eq!(of(bad), Err(Fault::Malformed));
    }
}

/// Columns of an int and a text with room for `slots` rows and `room` bytes.
fn decode<R>(slots: usize, room: usize, work: impl FnOnce(&mut [Column]) -> R) -> R {
    let (mut ints, mut int_bits) = (vec![[0u8; 4]; slots], vec![0u8; (slots + 7) / 8]);
    let (mut offsets, mut data, mut text_bits) = (vec![0i32; slots + 1], vec![0u8; room], vec![0u8; (slots + 7) / 8]);
    let text = Varying::new(&mut offsets, &mut data, 0).unwrap();
    work(&mut [
        Column { values: Values::W4(Fixed(&mut ints)), validity: Validity { bits: &mut int_bits, nulls: 0, lost: 0 } },
        Column { values: Values::Text(text), validity: Validity { bits: &mut text_bits, nulls: 0, lost: 0 } },
    ])
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(number);
    packet.extend_from_slice(payload);
    packet
}

fn state_of(input: &[u8], slots: usize, room: usize) -> (State, usize, usize) {
    decode(slots, room, |columns| {
        let done = packets(input, columns, 0, slots, 3, false);
        (done.state, done.rows, done.used)
    })
}

#[test]
fn each_way_to_stop() {
    let row = packet(3, &[0, 0, 1, 0, 0, 0, 2, b'h', b'i']);
    let next = packet(4, &[0, 4, 2, b'h', b'o']); // the int is NULL
    let with = |tail: &[u8]| [&row[..], &next[..], tail].concat();
    let whole = row.len() + next.len();
    assert_eq!(state_of(&with(&[]), 9, 9), (State::More, 2, whole));
    for cut in 0..row.len() {
        assert_eq!(state_of(&row[..cut], 9, 9), (State::More, 0, 0));
    }
    assert_eq!(state_of(&with(&packet(5, &[0xfe, 0, 0, 2, 0])), 9, 9), (State::End, 2, whole));
    assert_eq!(state_of(&with(&packet(5, &[0xff, 1, 2])), 9, 9), (State::Error, 2, whole));
    assert_eq!(state_of(&with(&[0xff, 0xff, 0xff, 5]), 9, 9), (State::Long, 2, whole));
    assert_eq!(state_of(&with(&packet(6, &[0xfe, 0, 0, 2, 0])), 9, 9), (State::Sequence, 2, whole));
    assert_eq!(state_of(&with(&packet(5, &[])), 9, 9), (State::Malformed, 2, whole));
    assert_eq!(state_of(&with(&packet(5, &[0, 0])), 9, 9), (State::Malformed, 2, whole));
    assert_eq!(state_of(&with(&packet(5, &[0, 12, 7])), 9, 9), (State::Malformed, 2, whole), "one byte too many");
    assert_eq!(state_of(&with(&[]), 1, 9), (State::Rows, 1, row.len()));
    assert_eq!(state_of(&with(&[]), 9, 3), (State::Room, 1, row.len()));
}

#[test]
fn a_broken_row_leaves_no_trace() {
    // The int is stored and the text is not: its length leads outside.
    let input = [packet(3, &[0, 0, 1, 0, 0, 0, 2, b'h', b'i']), packet(4, &[0, 0, 2, 0, 0, 0, 9, b'x'])].concat();
    decode(9, 9, |columns| {
        let done = packets(&input, columns, 0, 9, 3, false);
        assert_eq!((done.state, done.rows, done.column), (State::Malformed, 1, 1));
        assert!(columns.iter().all(|column| column.validity.bits[0] == 1 && column.validity.nulls == 0));
        assert!(matches!(&columns[1].values, Values::Text(text) if text.end == 2));
    });
}

#[test]
fn a_bad_text_is_null_or_stops() {
    let input = [packet(3, &[0, 0, 1, 0, 0, 0, 1, 0xe9]), packet(4, &[0, 0, 2, 0, 0, 0, 1, b'a'])].concat();
    decode(9, 9, |columns| {
        let done = packets(&input, columns, 0, 9, 3, false);
        assert_eq!((done.state, done.rows), (State::More, 2));
        assert_eq!((columns[1].validity.nulls, columns[1].validity.lost, columns[1].validity.bits[0]), (1, 1, 2));
    });
    decode(9, 9, |columns| {
        let done = packets(&input, columns, 0, 9, 3, true);
        assert_eq!((done.state, done.column, done.row, done.at), (State::Lost, 1, 0, None));
    });
}

#[test]
fn a_long_row_is_a_payload_of_its_own() {
    decode(1, 1 << 10, |columns| {
        let payload = [&[0u8, 0, 1, 0, 0, 0, 0xfc, 0, 2][..], &[b'x'; 512][..]].concat();
        let done = long_row(&payload, columns, 0, 1, false);
        assert_eq!((done.state, done.rows), (State::More, 1));
        assert_eq!(long_row(&payload, columns, 1, 1, false).state, State::Rows);
        assert_eq!(long_row(&[0xfe], columns, 0, 1, false).state, State::Malformed);
    });
}
