//! Thrift's binary protocol as it lies in memory, each length compared with what is there.

/// The bytes are not what the protocol says.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

pub const BOOL: u8 = 2;
pub const BYTE: u8 = 3;
pub const DOUBLE: u8 = 4;
pub const I16: u8 = 6;
pub const I32: u8 = 8;
pub const I64: u8 = 10;
pub const BINARY: u8 = 11;
pub const STRUCT: u8 = 12;
pub const MAP: u8 = 13;
pub const SET: u8 = 14;
pub const LIST: u8 = 15;

/// Structs and containers inside each other; services use fewer than ten.
pub const DEEPEST: usize = 64;

/// Bytes of a value of this type; 0 for those of varying size, None for what is no type.
pub fn fixed(kind: u8) -> Option<usize> {
    match kind {
        BOOL | BYTE => Some(1),
        I16 => Some(2),
        I32 => Some(4),
        I64 | DOUBLE => Some(8),
        BINARY | STRUCT | MAP | SET | LIST => Some(0),
        _ => None,
    }
}

/// Bytes that a value of this type takes at least.
fn smallest(kind: u8) -> usize {
    match kind {
        BINARY => 4,
        STRUCT => 1,
        MAP => 6,
        SET | LIST => 5,
        other => fixed(other).unwrap_or(1),
    }
}

/// A place in a message.
pub struct Cursor<'a> {
    input: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(input: &'a [u8]) -> Cursor<'a> {
        Cursor { input, at: 0 }
    }

    pub fn at_end(&self) -> bool {
        self.at == self.input.len()
    }

    pub fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(size).ok_or(Malformed)?;
        let found = self.input.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let size = usize::try_from(self.i32()?).map_err(|_| Malformed)?;
        self.take(size)
    }

    /// So many texts one after another, with their lengths.
    pub fn texts(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        for _ in 0..count {
            self.text()?;
        }
        self.input.get(start..self.at).ok_or(Malformed)
    }

    /// Number and type of a field; None at the end of its struct.
    pub fn field(&mut self) -> Result<Option<(i16, u8)>, Malformed> {
        let kind = self.byte()?;
        if kind == 0 {
            return Ok(None);
        }
        Ok(Some((i16::from_be_bytes(self.array()?), kind)))
    }

    /// Type and number of elements, for which there is room.
    pub fn list(&mut self) -> Result<(u8, usize), Malformed> {
        let kind = self.byte()?;
        let count = usize::try_from(self.i32()?).map_err(|_| Malformed)?;
        let least = count.checked_mul(smallest(kind)).ok_or(Malformed)?;
        if least > self.input.len() - self.at {
            return Err(Malformed);
        }
        Ok((kind, count))
    }

    /// The head of a message: whether it is a reply to that call, not an exception. Malformed when it is neither.
    pub fn header(&mut self, name: &[u8], sequence: i32) -> Result<bool, Malformed> {
        let [high, low, _, kind] = self.array::<4>()?;
        if (high, low) != (0x80, 0x01) || self.text()? != name || self.i32()? != sequence {
            return Err(Malformed);
        }
        match kind {
            2 => Ok(true),
            3 => Ok(false),
            _ => Err(Malformed),
        }
    }

    pub fn skip(&mut self, kind: u8) -> Result<(), Malformed> {
        self.skip_at(kind, 0)
    }

    fn skip_at(&mut self, kind: u8, depth: usize) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        match kind {
            BINARY => drop(self.text()?),
            STRUCT => {
                while let Some((_, kind)) = self.field()? {
                    self.skip_at(kind, depth + 1)?;
                }
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_at(kind, depth + 1)?;
                }
            }
            MAP => {
                let (key, value) = (self.byte()?, self.byte()?);
                for _ in 0..usize::try_from(self.i32()?).map_err(|_| Malformed)? {
                    self.skip_at(key, depth + 1)?;
                    self.skip_at(value, depth + 1)?;
                }
            }
            other => drop(self.take(fixed(other).ok_or(Malformed)?)?),
        }
        Ok(())
    }
}
