//! BSON as it lies in memory: elements of a document, each within the bounds of what is around it.

/// The bytes are not BSON, or not what a reply should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

pub const DOUBLE: u8 = 0x01;
pub const STRING: u8 = 0x02;
pub const DOCUMENT: u8 = 0x03;
pub const ARRAY: u8 = 0x04;
pub const BINARY: u8 = 0x05;
pub const UNDEFINED: u8 = 0x06;
pub const OBJECT_ID: u8 = 0x07;
pub const BOOL: u8 = 0x08;
pub const DATE: u8 = 0x09;
pub const NULL: u8 = 0x0a;
pub const REGEX: u8 = 0x0b;
pub const DB_POINTER: u8 = 0x0c;
pub const CODE: u8 = 0x0d;
pub const SYMBOL: u8 = 0x0e;
pub const CODE_WITH_SCOPE: u8 = 0x0f;
pub const INT32: u8 = 0x10;
pub const TIMESTAMP: u8 = 0x11;
pub const INT64: u8 = 0x12;
pub const DECIMAL: u8 = 0x13;
pub const MIN_KEY: u8 = 0xff;
pub const MAX_KEY: u8 = 0x7f;

pub struct Element<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    pub value: &'a [u8],
}

/// The elements of one document.
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// `input` must be one document and nothing else.
    pub fn document(input: &'a [u8]) -> Result<Bytes<'a>, Malformed> {
        if length(input)? != input.len() || input.len() < 5 || input[input.len() - 1] != 0 {
            return Err(Malformed);
        }
        Ok(Bytes { rest: &input[4..input.len() - 1] })
    }

    #[inline(always)]
    fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let (&kind, rest) = self.rest.split_first().ok_or(Malformed)?;
        let end = zero(rest)?;
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let size = size(kind, after)?;
        if size > after.len() {
            return Err(Malformed);
        }
        let (value, rest) = after.split_at(size);
        self.rest = rest;
        Ok(Element { name, kind, value })
    }
}

impl<'a> Iterator for Bytes<'a> {
    type Item = Result<Element<'a>, Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.element())
    }
}

/// Where the first zero byte is. Names are short: a plain loop.
#[inline(always)]
pub fn zero(bytes: &[u8]) -> Result<usize, Malformed> {
    bytes.iter().position(|&byte| byte == 0).ok_or(Malformed)
}

/// The 32-bit length at the front.
#[inline(always)]
pub fn length(bytes: &[u8]) -> Result<usize, Malformed> {
    let four = bytes.get(..4).ok_or(Malformed)?;
    usize::try_from(i32::from_le_bytes([four[0], four[1], four[2], four[3]])).map_err(|_| Malformed)
}

/// Bytes that a value of this kind takes, at the front of `bytes`; may be more than there are.
#[inline(always)]
fn size(kind: u8, bytes: &[u8]) -> Result<usize, Malformed> {
    Ok(match kind {
        DOUBLE | DATE | TIMESTAMP | INT64 => 8,
        STRING | CODE | SYMBOL => text(bytes)?,
        DOCUMENT | ARRAY | CODE_WITH_SCOPE => length(bytes)?,
        BINARY => length(bytes)? + 5,
        OBJECT_ID => 12,
        BOOL => 1,
        UNDEFINED | NULL | MIN_KEY | MAX_KEY => 0,
        REGEX => {
            let first = zero(bytes)? + 1;
            first + zero(&bytes[first..])? + 1
        }
        DB_POINTER => text(bytes)? + 12,
        INT32 => 4,
        DECIMAL => 16,
        _ => return Err(Malformed),
    })
}

#[inline(always)]
fn text(bytes: &[u8]) -> Result<usize, Malformed> {
    let inner = length(bytes)?;
    if inner == 0 || bytes.get(3 + inner) != Some(&0) {
        return Err(Malformed); // it ends with a zero that is counted
    }
    Ok(inner + 4)
}

/// The text of a string, without its length and end.
#[inline(always)]
pub fn string(value: &[u8]) -> Result<&[u8], Malformed> {
    value.get(4..value.len().wrapping_sub(1)).ok_or(Malformed)
}

/// Subtype and content of a binary value. Subtype 2 has its length once more in front.
pub fn binary(value: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let subtype = *value.get(4).ok_or(Malformed)?;
    let content = &value[5..];
    if subtype != 2 {
        return Ok((subtype, content));
    }
    if length(content)? + 4 != content.len() {
        return Err(Malformed);
    }
    Ok((subtype, &content[4..]))
}

pub fn array<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed)
}
