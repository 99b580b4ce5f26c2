//! MySQL and MariaDB: rows of the binary protocol, as packets from the network, into columns.

use crate::columns::{Fault, Fixed, Stored, Validity, Varying};

/// Payload length that says "the packet goes on in the next one".
const FULL: usize = 0xff_ffff;

/// How a column's values come, and where they go.
pub enum Values<'a> {
    /// Nothing but NULL.
    Null,
    /// Little-endian numbers, as Arrow has them.
    W1(Fixed<'a, 1>),
    W2(Fixed<'a, 2>),
    W4(Fixed<'a, 4>),
    W8(Fixed<'a, 8>),
    /// Days since 1970.
    Date(Fixed<'a, 4>),
    /// Microseconds since 1970.
    Datetime(Fixed<'a, 8>),
    /// Microseconds, signed, longer than a day.
    Time(Fixed<'a, 8>),
    Decimal {
        slots: Fixed<'a, 16>,
        precision: u32,
        scale: u32,
    },
    Binary(Varying<'a>),
    Text(Varying<'a>),
    /// A date or datetime as the server would print it, with that many digits of a second; zero dates too.
    Printed {
        text: Varying<'a>,
        time: bool,
        digits: u32,
    },
}

pub struct Column<'a> {
    pub values: Values<'a>,
    pub validity: Validity<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The rest of the input is no whole packet.
    More = 0,
    /// A packet at `used` ends the rows.
    End = 1,
    /// An ERR packet at `used`.
    Error = 2,
    /// A packet at `used` is continued in the next one.
    Long = 3,
    /// No slot is left for the row at `used`.
    Rows = 4,
    /// The packet at `used` is not what the protocol says.
    Malformed = 5,
    /// `column` has no room for its value of the row at `used`.
    Room = 6,
    /// `column` has a value that Arrow cannot hold, and that was not to be.
    Lost = 7,
    /// The packet at `used` has another number than the one that is due.
    Sequence = 8,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub rows: usize,
    pub used: usize,
    pub state: State,
    pub sequence: u8,
    pub column: usize,
    /// For `Lost`: where in the input the value starts, or None when it is in the column, in slot `row`.
    pub at: Option<usize>,
    pub row: usize,
}

/// Where a row stopped.
struct Stop {
    state: State,
    column: usize,
    at: usize,
}

/// Decodes the whole row packets of `input`, from slot `first` on, until something else comes.
///
/// `strict`: stop at a value that Arrow cannot hold; otherwise it becomes NULL and is counted.
pub fn packets(input: &[u8], columns: &mut [Column], first: usize, slots: usize, sequence: u8, strict: bool) -> Done {
    let mut done = Done { rows: first, used: 0, state: State::More, sequence, column: 0, at: None, row: 0 };
    done.state = loop {
        let rest = &input[done.used..];
        let (length, number) = match rest.get(..4) {
            Some(head) => (u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize, head[3]),
            None => break State::More,
        };
        if length == FULL {
            break State::Long;
        }
        let payload = match rest.get(4..4 + length) {
            Some(payload) => payload,
            None => break State::More,
        };
        if number != done.sequence {
            break State::Sequence;
        }
        match payload.first() {
            Some(0) => {}
            Some(0xfe) => break State::End,
            Some(0xff) => break State::Error,
            _ => break State::Malformed,
        }
        if done.rows >= slots {
            break State::Rows;
        }
        if let Err(stop) = row(payload, columns, done.rows, strict) {
            done.column = stop.column;
            done.at = Some(done.used + 4 + stop.at);
            done.row = done.rows;
            break stop.state;
        }
        done.rows += 1;
        done.used += 4 + length;
        done.sequence = done.sequence.wrapping_add(1);
    };
    check_text(columns, first, strict, &mut done);
    done
}

/// Decodes one row whose payload was put together from several packets.
pub fn long_row(payload: &[u8], columns: &mut [Column], first: usize, slots: usize, strict: bool) -> Done {
    let mut done = Done { rows: first, used: 0, state: State::More, sequence: 0, column: 0, at: None, row: 0 };
    if payload.first() != Some(&0) {
        done.state = State::Malformed;
    } else if first >= slots {
        done.state = State::Rows;
    } else {
        match row(payload, columns, first, strict) {
            Ok(()) => {
                done.rows += 1;
                done.used = payload.len();
            }
            Err(stop) => {
                done.state = stop.state;
                done.column = stop.column;
                done.at = Some(stop.at);
                done.row = first;
            }
        }
    }
    check_text(columns, first, strict, &mut done);
    done
}

/// Makes text that is not UTF-8 a lost value. By then its bytes are in the column.
fn check_text(columns: &mut [Column], first: usize, strict: bool, done: &mut Done) {
    for (index, column) in columns.iter_mut().enumerate() {
        let Column { values, validity } = column;
        if let Values::Text(text) = values {
            text.check_utf8(first, done.rows, !strict, |row| {
                validity.clear(row);
                validity.nulls += 1;
                validity.lost += 1;
                if strict && (done.state != State::Lost || row < done.row) {
                    done.state = State::Lost;
                    done.column = index;
                    done.at = None;
                    done.row = row;
                }
            });
        }
    }
}

/// `payload[0]` is the row header. A row is stored whole or not at all.
#[inline(always)]
fn row(payload: &[u8], columns: &mut [Column], row: usize, strict: bool) -> Result<(), Stop> {
    let bitmap = (columns.len() + 7 + 2) / 8;
    let (nulls, mut rest) = match payload.get(1..1 + bitmap) {
        Some(nulls) => (nulls, &payload[1 + bitmap..]),
        None => return Err(Stop { state: State::Malformed, column: 0, at: 0 }),
    };
    for index in 0..columns.len() {
        let column = &mut columns[index];
        let before = rest.len();
        let null = nulls[(index + 2) >> 3] >> ((index + 2) & 7) & 1 == 1;
        let stored = if null { empty(&mut column.values, row) } else { value(&mut column.values, &mut rest, row) };
        let stored = stored.and_then(|valid| column.validity.set(row, valid).map(|()| valid));
        let state = match stored {
            Ok(true) => continue,
            Ok(false) if null => continue,
            Ok(false) => {
                column.validity.lost += 1;
                if !strict {
                    continue;
                }
                State::Lost
            }
            Err(Fault::Room) => State::Room,
            Err(Fault::Malformed) => State::Malformed,
        };
        let reached = if state == State::Lost { index + 1 } else { index };
        undo(columns, reached, nulls, row);
        return Err(Stop { state, column: index, at: payload.len() - before });
    }
    if rest.is_empty() {
        return Ok(());
    }
    let reached = columns.len();
    undo(columns, reached, nulls, row);
    Err(Stop { state: State::Malformed, column: reached, at: payload.len() - rest.len() })
}

/// Takes back a half-decoded row: `reached` columns were stored and counted, the next one perhaps stored.
#[cold]
fn undo(columns: &mut [Column], reached: usize, nulls: &[u8], row: usize) {
    for (index, column) in columns.iter_mut().enumerate().take(reached + 1) {
        if index < reached && !column.validity.is_set(row) {
            column.validity.nulls -= 1;
            if nulls[(index + 2) >> 3] >> ((index + 2) & 7) & 1 == 0 {
                column.validity.lost -= 1;
            }
        }
        column.validity.clear(row);
        match &mut column.values {
            Values::Binary(text) | Values::Text(text) | Values::Printed { text, .. } => text.rewind(row),
            _ => {}
        }
    }
}

/// A NULL: its slot is zero, so that no old memory leaves the process.
#[inline(always)]
fn empty(values: &mut Values, row: usize) -> Stored {
    match values {
        Values::Null => Ok(false),
        Values::W1(slots) => slots.put(row, [0; 1]),
        Values::W2(slots) => slots.put(row, [0; 2]),
        Values::W4(slots) | Values::Date(slots) => slots.put(row, [0; 4]),
        Values::W8(slots) | Values::Datetime(slots) | Values::Time(slots) => slots.put(row, [0; 8]),
        Values::Decimal { slots, .. } => slots.put(row, [0; 16]),
        Values::Binary(text) | Values::Text(text) | Values::Printed { text, .. } => text.skip(row),
    }
    .map(|_| false)
}

#[inline(always)]
fn value(values: &mut Values, rest: &mut &[u8], row: usize) -> Stored {
    match values {
        Values::Null => Err(Fault::Malformed),
        Values::W1(slots) => slots.put(row, take(rest)?),
        Values::W2(slots) => slots.put(row, take(rest)?),
        Values::W4(slots) => slots.put(row, take(rest)?),
        Values::W8(slots) => slots.put(row, take(rest)?),
        Values::Binary(text) | Values::Text(text) => {
            let length = length(rest)?;
            let source = *rest;
            bytes(rest, length)?;
            text.put(row, source, length)
        }
        Values::Decimal { slots, precision, scale } => {
            let length = length(rest)?;
            match decimal(bytes(rest, length)?, *precision, *scale)? {
                Some(unscaled) => slots.put(row, unscaled.to_le_bytes()),
                None => slots.put(row, [0; 16]).map(|_| false),
            }
        }
        Values::Date(slots) => match Moment::read(rest)?.days() {
            Some(days) => slots.put(row, days.to_le_bytes()),
            None => slots.put(row, [0; 4]).map(|_| false),
        },
        Values::Datetime(slots) => match Moment::read(rest)?.micros() {
            Some(micros) => slots.put(row, micros.to_le_bytes()),
            None => slots.put(row, [0; 8]).map(|_| false),
        },
        Values::Time(slots) => match time(rest)? {
            Some(micros) => slots.put(row, micros.to_le_bytes()),
            None => slots.put(row, [0; 8]).map(|_| false),
        },
        Values::Printed { text, time, digits } => {
            let (printed, length) = Moment::read(rest)?.print(*time, *digits);
            text.put(row, &printed, length)
        }
    }
}

#[inline(always)]
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let value = rest.get(..N).and_then(|head| head.try_into().ok()).ok_or(Fault::Malformed)?;
    *rest = &rest[N..];
    Ok(value)
}

#[inline(always)]
fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let value = rest.get(..length).ok_or(Fault::Malformed)?;
    *rest = &rest[length..];
    Ok(value)
}

/// A length-encoded integer. 0xfb is NULL in the text protocol only, and 0xff is no length.
#[inline(always)]
fn length(rest: &mut &[u8]) -> Result<usize, Fault> {
    let [first] = take(rest)?;
    match first {
        0..=0xfa => Ok(first.into()),
        0xfc => Ok(u16::from_le_bytes(take(rest)?).into()),
        0xfd => {
            let [a, b, c] = take(rest)?;
            Ok(u32::from_le_bytes([a, b, c, 0]) as usize)
        }
        0xfe => usize::try_from(u64::from_le_bytes(take(rest)?)).map_err(|_| Fault::Malformed),
        _ => Err(Fault::Malformed),
    }
}

/// A date, with or without time, as the server sends it: not always one that exists.
#[derive(Clone, Copy, Default)]
struct Moment {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micro: u32,
}

impl Moment {
    #[inline(always)]
    fn read(rest: &mut &[u8]) -> Result<Moment, Fault> {
        let mut moment = Moment::default();
        let [length] = take(rest)?;
        if !matches!(length, 0 | 4 | 7 | 11) {
            return Err(Fault::Malformed);
        }
        if length >= 4 {
            let [low, high, month, day] = take(rest)?;
            moment.year = u16::from_le_bytes([low, high]);
            moment.month = month;
            moment.day = day;
        }
        if length >= 7 {
            let [hour, minute, second] = take(rest)?;
            moment.hour = hour;
            moment.minute = minute;
            moment.second = second;
        }
        if length == 11 {
            moment.micro = u32::from_le_bytes(take(rest)?);
        }
        Ok(moment)
    }

    /// Days since 1970-01-01; None for a day that no calendar has (zero dates, `2024-00-00`, 31 February).
    #[inline(always)]
    fn days(&self) -> Option<i32> {
        const LAST: [u8; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (year, month, day) = (i32::from(self.year), i32::from(self.month), i32::from(self.day));
        if day == 0 || month == 0 {
            return None;
        }
        if self.day > *LAST.get(usize::from(self.month))? {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            if !(leap && month == 2 && day == 29) {
                return None;
            }
        }
        // Years that begin in March put the leap day last; 400 of them are 146,097 days.
        let (year, month) = if month <= 2 { (year + 399, month + 9) } else { (year + 400, month - 3) };
        let (era, year) = (year / 400, year % 400);
        let of_year = (153 * month + 2) / 5 + day - 1;
        Some((era - 1) * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468)
    }

    #[inline(always)]
    fn micros(&self) -> Option<i64> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 || self.micro > 999_999 {
            return None;
        }
        let (hour, minute, second) = (i64::from(self.hour), i64::from(self.minute), i64::from(self.second));
        let seconds = i64::from(self.days()?) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(seconds * 1_000_000 + i64::from(self.micro))
    }

    fn print(&self, time: bool, digits: u32) -> ([u8; 32], usize) {
        fn number(out: &mut [u8], mut value: u32) {
            for place in out.iter_mut().rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        }
        let mut out = *b"0000-00-00 00:00:00.000000      ";
        number(&mut out[0..4], self.year.into());
        number(&mut out[5..7], self.month.into());
        number(&mut out[8..10], self.day.into());
        if !time {
            return (out, 10);
        }
        number(&mut out[11..13], self.hour.into());
        number(&mut out[14..16], self.minute.into());
        number(&mut out[17..19], self.second.into());
        number(&mut out[20..26], self.micro);
        (out, if digits == 0 { 19 } else { 20 + digits.min(6) as usize })
    }
}

/// Microseconds of a TIME, which may be negative and longer than a day.
#[inline(always)]
fn time(rest: &mut &[u8]) -> Result<Option<i64>, Fault> {
    let [length] = take(rest)?;
    if length == 0 {
        return Ok(Some(0));
    }
    if length != 8 && length != 12 {
        return Err(Fault::Malformed);
    }
    let [negative] = take(rest)?;
    let days = u32::from_le_bytes(take(rest)?);
    let [hour, minute, second] = take(rest)?;
    let micro = if length == 12 { u32::from_le_bytes(take(rest)?) } else { 0 };
    if hour > 23 || minute > 59 || second > 59 || micro > 999_999 {
        return Ok(None);
    }
    let hours = i64::from(days) * 24 + i64::from(hour);
    let seconds = hours * 3600 + i64::from(minute) * 60 + i64::from(second);
    let micros = seconds.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micro.into()));
    Ok(micros.map(|micros| if negative == 0 { micros } else { -micros }))
}

const TENS: [u128; 39] = {
    let mut tens = [1u128; 39];
    let mut power = 1;
    while power < 39 {
        tens[power] = tens[power - 1] * 10;
        power += 1;
    }
    tens
};

/// Decimal text, unscaled; None when it does not fit `precision` and `scale` (at most 38) exactly.
#[inline(always)]
fn decimal(text: &[u8], precision: u32, scale: u32) -> Result<Option<i128>, Fault> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    // 64-bit arithmetic for what fits it, that is for most columns of money
    let parsed = if digits.len() <= 19 { short_digits(digits)? } else { long_digits(digits, scale)? };
    let (mut unscaled, mut places) = match parsed {
        Some(parsed) => parsed,
        None => return Ok(None),
    };
    while places > scale && unscaled % 10 == 0 {
        unscaled /= 10;
        places -= 1;
    }
    if places > scale {
        return Ok(None);
    }
    let bound = TENS[precision as usize];
    let factor = TENS[(scale - places) as usize];
    match unscaled.checked_mul(factor) {
        Some(unscaled) if unscaled < bound => {
            let unscaled = unscaled as i128; // below 10^38
            Ok(Some(if negative { -unscaled } else { unscaled }))
        }
        _ => Ok(None),
    }
}

/// Digits with at most one point, at most 19 bytes: the number without the point, and the places after it.
#[inline(always)]
fn short_digits(text: &[u8]) -> Result<Option<(u128, u32)>, Fault> {
    let (mut number, mut point) = (0u64, None);
    for (index, &byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            number = number.wrapping_mul(10).wrapping_add(digit.into()); // 19 digits fit
        } else if byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return Err(Fault::Malformed);
        }
    }
    let places = point.map_or(0, |index| text.len() - index - 1);
    if text.len() == usize::from(point.is_some()) {
        return Err(Fault::Malformed); // no digit at all
    }
    Ok(Some((number.into(), places as u32)))
}

/// The same for more digits; None when the number is 10^38 or more. Zeros past `scale` places are left out.
fn long_digits(text: &[u8], scale: u32) -> Result<Option<(u128, u32)>, Fault> {
    let (mut number, mut places, mut after, mut fits) = (0u128, 0u32, false, true);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if after && places >= scale {
                fits &= digit == 0;
                continue;
            }
            number = match number.checked_mul(10).and_then(|number| number.checked_add(digit.into())) {
                Some(number) => number,
                None => {
                    fits = false;
                    continue;
                }
            };
            places += u32::from(after);
        } else if byte == b'.' && !after {
            after = true;
        } else {
            return Err(Fault::Malformed);
        }
    }
    Ok(if fits { Some((number, places)) } else { None })
}

#[cfg(test)]
mod tests {
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
        for (year, month, of_month) in
            [(0, 0, 0), (2024, 0, 0), (2024, 2, 30), (2023, 2, 29), (1900, 2, 29), (2024, 13, 1)]
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
    fn decimals_are_exact_or_lost() {
        let of = |text: &str, precision, scale| decimal(text.as_bytes(), precision, scale);
        assert_eq!(of("-0.01", 12, 2), Ok(Some(-1)));
        assert_eq!(of("+12", 12, 2), Ok(Some(1200)));
        assert_eq!(of(".5", 12, 2), Ok(Some(50)));
        assert_eq!(of("0000000000012.50", 12, 2), Ok(Some(1250)));
        assert_eq!(of("1.2500", 12, 2), Ok(Some(125)), "zeros past the scale say nothing");
        assert_eq!(of("1.255", 12, 2), Ok(None));
        assert_eq!(of("9999999999.99", 12, 2), Ok(Some(999_999_999_999)));
        assert_eq!(of("10000000000.00", 12, 2), Ok(None));
        let most = "99999999999999999999999999999999999999";
        assert_eq!(of(most, 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&format!("-{}", most), 38, 0), Ok(Some(1 - 10i128.pow(38))));
        assert_eq!(of(&format!("{}0", most), 38, 0), Ok(None));
        assert_eq!(of(&format!("{}.000", most), 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&format!("0000000000{}", most), 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&"9".repeat(60), 38, 0), Ok(None));
        for bad in ["", "-", ".", "1.2.3", "1e5", "nan", "--1", "1 "] {
            assert_eq!(of(bad, 38, 10), Err(Fault::Malformed), "{:?}", bad);
            let long = format!("{}x", "1".repeat(30));
            assert_eq!(of(&long, 38, 10), Err(Fault::Malformed));
        }
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
        let (mut offsets, mut data, mut text_bits) =
            (vec![0i32; slots + 1], vec![0u8; room], vec![0u8; (slots + 7) / 8]);
        let text = Varying::new(&mut offsets, &mut data, 0).unwrap();
        work(&mut [
            Column {
                values: Values::W4(Fixed(&mut ints)),
                validity: Validity { bits: &mut int_bits, nulls: 0, lost: 0 },
            },
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
}
