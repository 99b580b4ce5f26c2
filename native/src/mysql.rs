//! MySQL and MariaDB: rows of the binary protocol, as packets from the network, into columns.

use crate::columns::{Fault, Fixed, Stored, Validity, Varying};
use crate::decimal::decimal;

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
            let leap = year != 0 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); // as MySQL counts
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

#[cfg(test)]
mod tests;
