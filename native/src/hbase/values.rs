//! What a column holds, and how bytes become one of its values.

use super::Malformed;

/// How values are written in cells and keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bytes,
    /// One byte; all but 0 is true.
    Bool,
    Int16,
    Int32,
    Int64,
    Float,
    Double,
    /// With the sign bit turned, so that bytes are ordered as numbers.
    SortedInt32,
    SortedInt64,
    /// The largest number less the value.
    Reversed,
    /// Whole numbers as decimal digits.
    Digits,
    /// Floating point as text.
    Decimal,
    /// Not of the value: when the cell was written.
    CellTime,
    /// Milliseconds since 1970.
    Time,
}

/// The milliseconds that are times here: what does not fit into 64 bits as microseconds could be asked for, and then
/// nothing could be done with it.
const TIMES: std::ops::RangeInclusive<i64> = -9_223_372_022_400_000..=9_223_372_036_854_774;

impl Kind {
    pub fn of(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Text,
            2 => Kind::Bytes,
            3 => Kind::Bool,
            4 => Kind::Int16,
            5 => Kind::Int32,
            6 => Kind::Int64,
            7 => Kind::Float,
            8 => Kind::Double,
            9 => Kind::SortedInt32,
            10 => Kind::SortedInt64,
            11 => Kind::Reversed,
            12 => Kind::Digits,
            13 => Kind::Decimal,
            14 => Kind::CellTime,
            15 => Kind::Time,
            _ => return None,
        })
    }
}

pub enum Values {
    Bool(Vec<u8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Varying(Varying),
}

/// Values of varying length. The memory is longer than they are: short ones are moved with what follows them.
pub struct Varying {
    pub offsets: Vec<i32>,
    memory: Vec<u8>,
    end: usize,
    /// Up to here values are known to be of the kind.
    checked: usize,
}

/// Bytes of one move.
const MOVE: usize = 16;

impl Varying {
    fn new() -> Varying {
        Varying { offsets: vec![0], memory: vec![0; 1024], end: 0, checked: 0 }
    }

    pub fn data(&self) -> &[u8] {
        self.memory.get(..self.end).unwrap_or(&[])
    }

    #[inline(always)]
    fn put(&mut self, input: &[u8], at: usize, length: usize) -> Result<(), Malformed> {
        let end = self.end + length;
        if end + MOVE > self.memory.len() {
            self.grow(end + MOVE);
        }
        let short = length <= MOVE;
        match (self.memory.get_mut(self.end..self.end + MOVE), input.get(at..).and_then(|rest| rest.get(..MOVE))) {
            (Some(to), Some(from)) if short => to.copy_from_slice(from),
            _ => {
                let from = input.get(at..).and_then(|rest| rest.get(..length)).ok_or(Malformed)?;
                self.memory.get_mut(self.end..end).ok_or(Malformed)?.copy_from_slice(from);
            }
        }
        self.end = end;
        self.blank()
    }

    #[cold]
    fn grow(&mut self, least: usize) {
        self.memory.resize(least.max(self.memory.len() * 2), 0);
    }

    #[inline(always)]
    fn blank(&mut self) -> Result<(), Malformed> {
        self.offsets.push(i32::try_from(self.end).map_err(|_| Malformed)?);
        Ok(())
    }
}

pub struct Column {
    kind: Kind,
    pub values: Values,
    /// One bit a row, as far as there was a NULL; `finish` makes it whole.
    pub bits: Vec<u8>,
    pub rows: usize,
    pub nulls: usize,
    /// Of the NULLs, values that are not of the column's kind.
    pub lost: usize,
}

impl Column {
    pub fn new(kind: Kind) -> Column {
        let values = match kind {
            Kind::Text | Kind::Bytes => Values::Varying(Varying::new()),
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Int16 => Values::Int16(Vec::new()),
            Kind::Int32 | Kind::SortedInt32 => Values::Int32(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Double | Kind::Decimal => Values::Double(Vec::new()),
            _ => Values::Int64(Vec::new()),
        };
        Column { kind, values, bits: Vec::new(), rows: 0, nulls: 0, lost: 0 }
    }

    /// Room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bool(bits) => bits.reserve(rows / 8 + 1),
            Values::Int16(values) => values.reserve(rows),
            Values::Int32(values) => values.reserve(rows),
            Values::Int64(values) => values.reserve(rows),
            Values::Float(values) => values.reserve(rows),
            Values::Double(values) => values.reserve(rows),
            Values::Varying(varying) => varying.offsets.reserve(rows),
        }
    }

    pub fn push_null(&mut self) -> Result<(), Malformed> {
        match &mut self.values {
            Values::Bool(bits) => bit(bits, self.rows, false),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Varying(varying) => varying.blank()?,
        }
        self.null(self.rows);
        self.rows += 1;
        Ok(())
    }

    /// The next row's value: so many bytes of the input from there; `time` is the cell's. Text is looked at later.
    #[inline(always)]
    pub fn push(&mut self, input: &[u8], at: usize, length: usize, time: i64) -> Result<(), Malformed> {
        if let Values::Varying(varying) = &mut self.values {
            varying.put(input, at, length)?;
            self.rows += 1;
            return Ok(());
        }
        let value = input.get(at..).and_then(|rest| rest.get(..length)).ok_or(Malformed)?;
        if self.store(value, time) {
            self.rows += 1;
            return Ok(());
        }
        self.lost += 1;
        self.push_null()
    }

    /// Whether it is a value of the kind.
    #[inline(always)]
    fn store(&mut self, value: &[u8], time: i64) -> bool {
        match (&mut self.values, self.kind) {
            (Values::Int64(values), kind) => {
                let whole = || value.try_into().ok().map(i64::from_be_bytes);
                let found = match kind {
                    Kind::CellTime => Some(time).filter(|time| TIMES.contains(time)),
                    Kind::Time => whole().filter(|time| TIMES.contains(time)),
                    Kind::SortedInt64 => whole().map(|number| number ^ i64::MIN),
                    Kind::Reversed => {
                        whole().and_then(|number| i64::MAX.checked_sub(number)).filter(|time| TIMES.contains(time))
                    }
                    Kind::Digits => digits(value),
                    _ => whole(),
                };
                kept(values, found)
            }
            (Values::Double(values), Kind::Decimal) => kept(values, decimal(value)),
            (Values::Double(values), _) => kept(values, value.try_into().ok().map(f64::from_be_bytes)),
            (Values::Int32(values), kind) => {
                let turned = if kind == Kind::SortedInt32 { i32::MIN } else { 0 };
                kept(values, value.try_into().ok().map(|bytes| i32::from_be_bytes(bytes) ^ turned))
            }
            (Values::Int16(values), _) => kept(values, value.try_into().ok().map(i16::from_be_bytes)),
            (Values::Float(values), _) => kept(values, value.try_into().ok().map(f32::from_be_bytes)),
            (Values::Bool(bits), _) => {
                if let [value] = value {
                    bit(bits, self.rows, *value != 0);
                }
                value.len() == 1
            }
            (Values::Varying(_), _) => false, // `push` sees to it
        }
    }

    #[cold]
    fn null(&mut self, row: usize) {
        let place = row >> 3;
        if self.bits.len() <= place {
            self.bits.resize(place + 1, 0xff);
        }
        if let Some(byte) = self.bits.get_mut(place) {
            *byte &= !(1 << (row & 7));
        }
        self.nulls += 1;
    }

    /// Looks at the text that came since the last time: what is not UTF-8 becomes NULL. Then the bits are whole.
    pub fn finish(&mut self) {
        let mut bad = Vec::new();
        if let (Values::Varying(varying), Kind::Text) = (&mut self.values, self.kind) {
            varying.unreadable(&mut bad);
        }
        for row in bad {
            self.null(row);
            self.lost += 1;
        }
        if self.nulls > 0 {
            self.bits.resize((self.rows + 7) / 8, 0xff);
        }
    }
}

impl Varying {
    /// Rows whose bytes are not UTF-8, of those that were not looked at yet; they become question marks.
    fn unreadable(&mut self, bad: &mut Vec<usize>) {
        let first = self.checked;
        self.checked = self.offsets.len() - 1;
        let start = self.offsets.get(first).map_or(0, |&offset| offset as usize);
        if self.memory.get(start..self.end).map_or(true, |all| all.is_ascii()) {
            return;
        }
        for row in first..self.checked {
            let (from, to) = (self.offsets[row] as usize, self.offsets[row + 1] as usize);
            if let Some(value) = self.memory.get_mut(from..to) {
                if std::str::from_utf8(value).is_err() {
                    value.fill(b'?');
                    bad.push(row);
                }
            }
        }
    }
}

#[inline(always)]
fn bit(bits: &mut Vec<u8>, row: usize, yes: bool) {
    if row & 7 == 0 {
        bits.push(0);
    }
    if let Some(byte) = bits.last_mut() {
        *byte |= u8::from(yes) << (row & 7);
    }
}

#[inline(always)]
fn kept<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

/// `-?[0-9]+` within 64 bits: just what filters look for, too.
fn digits(value: &[u8]) -> Option<i64> {
    if value.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn decimal(value: &[u8]) -> Option<f64> {
    if value.len() > 400 {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
