//! HiveServer2's `FetchResults` replies to Arrow buffers: `TFetchResultsResp` with a columnar `TRowSet`.
//!
//! Each column lies in the reply as a whole: its values, then a bitmap of its NULLs, which may be shorter than the
//! column. The memory grows with the bytes that came: no count that a server sent is believed before it was compared
//! with what is there.

mod scan;
mod text;
mod wire;

pub use scan::{Scan, Scanned};

use crate::columns::{Fault, Varying};
use crate::decimal::decimal;
use wire::{Cursor, Malformed, BINARY, BOOL, BYTE, DOUBLE, I16, I32, I64, LIST, STRUCT};

/// What a column is delivered as; the numbers are the spec's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    Text,
    /// Text without the blanks at its end, which pad a CHAR.
    Padded,
    Binary,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    Timestamp,
}

/// The values of one column, in the machine's byte order.
pub enum Values {
    Bits(Vec<u8>),
    W1(Vec<u8>),
    W2(Vec<u16>),
    W4(Vec<u32>),
    W8(Vec<u64>),
    W16(Vec<i128>),
    Varying { offsets: Vec<i32>, data: Vec<u8> },
}

pub struct Column {
    pub rows: usize,
    pub values: Values,
    /// Validity; empty where there are no NULLs.
    pub bits: Vec<u8>,
    pub nulls: usize,
}

/// What a reply said, beside its values.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Rows {
        rows: usize,
        more: bool,
        offset: i64,
    },
    /// It is no success: its status or exception is for the caller to read.
    Refused,
    /// Rows that the server's tasks packed (`serialize.in.tasks`), or rows of the protocol before columns.
    Packed,
    /// A value that is not what its type says: where it lies in the input.
    Bad {
        column: usize,
        row: usize,
        at: usize,
        size: usize,
    },
    /// A column that is not of the type that was said before.
    Other {
        column: usize,
    },
}

enum Stop {
    Malformed,
    Bad { row: usize, at: usize, size: usize },
    Other,
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Stop {
        Stop::Malformed
    }
}

/// Decodes one reply; its columns stay until it is dropped.
pub struct Decoder {
    kinds: Vec<Kind>,
    pub columns: Vec<Column>,
    pub rows: usize,
}

impl Decoder {
    /// `spec` has three bytes a column: the kind's number, precision and scale. None when it is none.
    pub fn new(spec: &[u8]) -> Option<Decoder> {
        let kinds = spec.chunks(3).map(kind).collect::<Option<Vec<Kind>>>()?;
        Some(Decoder { kinds, columns: Vec::new(), rows: 0 })
    }

    /// One reply to the call of that number. After an error nothing of the columns may be used.
    pub fn reply(&mut self, input: &[u8], sequence: i32) -> Result<Reply, Malformed> {
        let mut cursor = Cursor::new(input);
        if !cursor.header(b"FetchResults", sequence)? {
            return Ok(Reply::Refused);
        }
        let mut found = None;
        while let Some((field, kind)) = cursor.field()? {
            if field == 0 && kind == STRUCT && found.is_none() {
                found = Some(self.response(&mut cursor)?);
                if !matches!(found, Some(Reply::Rows { .. })) {
                    break; // the rest was not read
                }
            } else {
                cursor.skip(kind)?;
            }
        }
        match found {
            Some(Reply::Rows { .. }) if !cursor.at_end() => Err(Malformed),
            Some(reply) => Ok(reply),
            None => Err(Malformed),
        }
    }

    fn response(&mut self, cursor: &mut Cursor) -> Result<Reply, Malformed> {
        let (mut more, mut offset, mut succeeded, mut columns) = (false, 0, false, false);
        while let Some((field, kind)) = cursor.field()? {
            match (field, kind) {
                (1, STRUCT) => {
                    if !status(cursor)? {
                        return Ok(Reply::Refused);
                    }
                    succeeded = true;
                }
                (2, BOOL) => more = cursor.byte()? != 0,
                (3, STRUCT) => {
                    while let Some((field, kind)) = cursor.field()? {
                        match (field, kind) {
                            (1, I64) => offset = cursor.i64()?,
                            (2, LIST) => {
                                if cursor.list()?.1 > 0 {
                                    return Ok(Reply::Packed);
                                }
                            }
                            (3, LIST) if !columns => {
                                columns = true;
                                if let Some(other) = self.row_set(cursor)? {
                                    return Ok(other);
                                }
                            }
                            (4, BINARY) => {
                                if !cursor.text()?.is_empty() {
                                    return Ok(Reply::Packed);
                                }
                            }
                            _ => cursor.skip(kind)?,
                        }
                    }
                }
                _ => cursor.skip(kind)?,
            }
        }
        // A success without columns is no end of the rows: the server sends empty ones there.
        if !succeeded || !columns {
            return Err(Malformed);
        }
        Ok(Reply::Rows { rows: self.rows, more, offset })
    }

    /// All columns; something else than None where they are not what they should be.
    fn row_set(&mut self, cursor: &mut Cursor) -> Result<Option<Reply>, Malformed> {
        let (kind, count) = cursor.list()?;
        if count != self.kinds.len() || (count > 0 && kind != STRUCT) {
            return Err(Malformed);
        }
        for (column, &kind) in self.kinds.iter().enumerate() {
            let decoded = match Column::decode(cursor, kind) {
                Ok(decoded) => decoded,
                Err(Stop::Malformed) => return Err(Malformed),
                Err(Stop::Other) => return Ok(Some(Reply::Other { column })),
                Err(Stop::Bad { row, at, size }) => return Ok(Some(Reply::Bad { column, row, at, size })),
            };
            if column > 0 && decoded.rows != self.rows {
                return Err(Malformed);
            }
            self.rows = decoded.rows;
            self.columns.push(decoded);
        }
        Ok(None)
    }
}

fn kind(spec: &[u8]) -> Option<Kind> {
    let (number, precision, scale) = match *spec {
        [number, precision, scale] => (number, precision, scale),
        _ => return None,
    };
    Some(match number {
        1 => Kind::Bool,
        2 => Kind::I8,
        3 => Kind::I16,
        4 => Kind::I32,
        5 => Kind::I64,
        6 => Kind::F32,
        7 => Kind::F64,
        8 => Kind::Text,
        9 => Kind::Padded,
        10 => Kind::Binary,
        11 if precision <= 38 && scale <= 38 => Kind::Decimal { precision, scale },
        12 => Kind::Date,
        13 => Kind::Timestamp,
        _ => return None,
    })
}

/// Whether a `TStatus` says success.
fn status(cursor: &mut Cursor) -> Result<bool, Malformed> {
    let mut code = None;
    while let Some((field, kind)) = cursor.field()? {
        match (field, kind) {
            (1, I32) => code = Some(cursor.i32()?),
            _ => cursor.skip(kind)?,
        }
    }
    Ok(matches!(code.ok_or(Malformed)?, 0 | 1))
}

/// The values of a column as they lie in the reply.
struct Raw<'a> {
    count: usize,
    /// Where `bytes` begin in the input.
    at: usize,
    bytes: &'a [u8],
    nulls: &'a [u8],
}

impl Raw<'_> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row >> 3).map_or(false, |byte| byte >> (row & 7) & 1 == 1)
    }

    /// Validity bits, and how many are not set: the complement of the server's bitmap, which may end early.
    fn validity(&self) -> (Vec<u8>, usize) {
        let nulls = self.nulls.get(..(self.count + 7) / 8).unwrap_or(self.nulls);
        if nulls.iter().all(|&byte| byte == 0) {
            return (Vec::new(), 0);
        }
        let mut bits = vec![0xff; (self.count + 7) / 8];
        let mut missing = 0;
        for (bit, &null) in bits.iter_mut().zip(nulls) {
            *bit = !null;
            missing += null.count_ones() as usize;
        }
        if self.count % 8 != 0 && nulls.len() == bits.len() {
            let beyond = nulls[nulls.len() - 1] >> (self.count % 8);
            missing -= beyond.count_ones() as usize;
        }
        (if missing == 0 { Vec::new() } else { bits }, missing)
    }

    fn wide<T, const N: usize>(&self, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.chunks_exact(N).map(|bytes| value(bytes.try_into().expect("of this size"))).collect()
    }

    /// Calls `take` with the row and the value of each; the bytes were walked before.
    #[inline(always)]
    fn each(&self, mut take: impl FnMut(usize, &[u8], usize) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut at = 0;
        for row in 0..self.count {
            let size = u32::from_be_bytes(self.bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            at += 4;
            take(row, &self.bytes[at..], size)?;
            at += size;
        }
        Ok(())
    }

    fn bad(&self, row: usize) -> Stop {
        let mut found = Stop::Malformed;
        let mut at = self.at;
        let _ = self.each(|now, _, size| {
            at += 4;
            if now == row {
                found = Stop::Bad { row, at, size };
            }
            at += size;
            Ok(())
        });
        found
    }
}

impl Column {
    /// One `TColumn`: a union of one field, which is a struct of values and NULLs.
    fn decode(cursor: &mut Cursor, kind: Kind) -> Result<Column, Stop> {
        let mut found = None;
        while let Some((field, of)) = cursor.field()? {
            if of != STRUCT || found.is_some() {
                return Err(Stop::Malformed);
            }
            if !fits(kind, field) {
                return Err(Stop::Other);
            }
            let raw = raw(cursor, element(field))?;
            let (bits, nulls) = raw.validity();
            found = Some(Column { rows: raw.count, values: values(kind, &raw)?, bits, nulls });
        }
        found.ok_or(Stop::Malformed)
    }
}

/// Whether values of this kind come in that field of the union.
fn fits(kind: Kind, field: i16) -> bool {
    match kind {
        Kind::Bool => field == 1,
        Kind::I8 => field == 2,
        Kind::I16 => field == 3,
        Kind::I32 => field == 4,
        Kind::I64 => field == 5,
        Kind::F32 | Kind::F64 => field == 6,
        Kind::Binary => field == 8,
        Kind::Text | Kind::Padded | Kind::Decimal { .. } | Kind::Date | Kind::Timestamp => field == 7,
    }
}

/// The type of the list's elements in that field of the union, and their size; 0 for texts.
fn element(field: i16) -> (u8, usize) {
    match field {
        1 => (BOOL, 1),
        2 => (BYTE, 1),
        3 => (I16, 2),
        4 => (I32, 4),
        5 => (I64, 8),
        6 => (DOUBLE, 8),
        _ => (BINARY, 0),
    }
}

fn raw<'a>(cursor: &mut Cursor<'a>, (of, size): (u8, usize)) -> Result<Raw<'a>, Malformed> {
    let mut nulls: &[u8] = &[];
    let mut values = None;
    while let Some((field, kind)) = cursor.field()? {
        match (field, kind) {
            (1, LIST) if values.is_none() => {
                let (kind, count) = cursor.list()?;
                if count > 0 && kind != of {
                    return Err(Malformed);
                }
                let at = cursor.at;
                let bytes = if size > 0 {
                    cursor.take(count.checked_mul(size).ok_or(Malformed)?)?
                } else {
                    cursor.texts(count)?
                };
                values = Some((count, at, bytes));
            }
            (2, BINARY) => nulls = cursor.text()?,
            _ => cursor.skip(kind)?,
        }
    }
    let (count, at, bytes) = values.ok_or(Malformed)?;
    Ok(Raw { count, at, bytes, nulls })
}

fn values(kind: Kind, raw: &Raw) -> Result<Values, Stop> {
    Ok(match kind {
        Kind::Bool => {
            let mut bits = vec![0u8; (raw.count + 7) / 8];
            for (bit, eight) in bits.iter_mut().zip(raw.bytes.chunks(8)) {
                for (place, &byte) in eight.iter().enumerate() {
                    *bit |= u8::from(byte != 0) << place;
                }
            }
            Values::Bits(bits)
        }
        Kind::I8 => Values::W1(raw.bytes.to_vec()),
        Kind::I16 => Values::W2(raw.wide(u16::from_be_bytes)),
        Kind::I32 => Values::W4(raw.wide(u32::from_be_bytes)),
        Kind::I64 | Kind::F64 => Values::W8(raw.wide(u64::from_be_bytes)),
        Kind::F32 => Values::W4(raw.wide(|bytes| (f64::from_be_bytes(bytes) as f32).to_bits())),
        Kind::Text | Kind::Padded | Kind::Binary => varying(kind, raw)?,
        Kind::Decimal { precision, scale } => {
            let mut values = Vec::with_capacity(raw.count);
            raw.each(|row, bytes, size| {
                let number = if raw.is_null(row) {
                    Some(0)
                } else {
                    decimal(&bytes[..size], precision.into(), scale.into()).ok().flatten()
                };
                values.push(number.ok_or_else(|| raw.bad(row))?);
                Ok(())
            })?;
            Values::W16(values)
        }
        Kind::Date => {
            let mut values = Vec::with_capacity(raw.count);
            raw.each(|row, bytes, size| {
                let days = if raw.is_null(row) { Some(0) } else { text::date(&bytes[..size]) };
                values.push(days.ok_or_else(|| raw.bad(row))? as u32);
                Ok(())
            })?;
            Values::W4(values)
        }
        Kind::Timestamp => {
            let mut values = Vec::with_capacity(raw.count);
            raw.each(|row, bytes, size| {
                let moment = if raw.is_null(row) { Some(0) } else { text::timestamp(&bytes[..size]) };
                values.push(moment.ok_or_else(|| raw.bad(row))? as u64);
                Ok(())
            })?;
            Values::W8(values)
        }
    })
}

fn varying(kind: Kind, raw: &Raw) -> Result<Values, Stop> {
    let total = raw.bytes.len() - 4 * raw.count;
    if total > i32::MAX as usize - 16 {
        return Err(Stop::Malformed);
    }
    let mut offsets = vec![0i32; raw.count + 1];
    let mut data = vec![0u8; total + 16]; // a short value is moved as 16 bytes
    let mut texts = Varying::new(&mut offsets, &mut data, 0).ok_or(Stop::Malformed)?;
    raw.each(|row, bytes, size| {
        let size = if kind == Kind::Padded { text::unpadded(&bytes[..size]) } else { size };
        match texts.put(row, bytes, size) {
            Ok(_) => Ok(()),
            Err(Fault::Malformed | Fault::Room) => Err(Stop::Malformed),
        }
    })?;
    let end = texts.end;
    if kind != Kind::Binary {
        let mut first = None;
        texts.check_utf8(0, raw.count, false, |row| first = first.or(Some(row)));
        if let Some(row) = first {
            return Err(raw.bad(row));
        }
    }
    data.truncate(end);
    Ok(Values::Varying { offsets, data })
}

#[cfg(test)]
mod tests;
