//! The Thrift gateway's rows: `TRowResult {1: row, 2: columns (name → TCell {1: value, 2: time})}`, one after another
//! in Thrift's binary protocol. A reply without a frame has no length, so rows are read as they come.

use super::{same, Decoder, Malformed};

const DEEPEST: usize = 16;

/// Why a row was not read.
enum Fault {
    /// Its end is not there yet.
    Short,
    Malformed,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Fault {
        Fault::Malformed
    }
}

type Read<T> = Result<T, Fault>;

impl Decoder {
    /// Appends the whole rows at the front of `input`, at most `most`; how many bytes they took, and where the key of
    /// the last one lies.
    pub fn thrift_rows(&mut self, input: &[u8], most: usize) -> Result<(usize, (usize, usize)), Malformed> {
        let (mut used, mut last, before) = (0, (0, 0), self.rows);
        while self.rows - before < most {
            let mut source = Source { input, at: used };
            match self.thrift_row(&mut source) {
                Ok(key) => (used, last) = (source.at, key),
                Err(Fault::Short) => {
                    self.forget();
                    break;
                }
                Err(Fault::Malformed) => return Err(Malformed),
            }
        }
        self.finish();
        Ok((used, last))
    }

    fn thrift_row(&mut self, source: &mut Source) -> Read<(usize, usize)> {
        let mut key = None;
        loop {
            match source.field()? {
                (0, _) => break,
                (11, 1) => key = Some(source.binary()?),
                (13, 2) => {
                    let (of_key, of_value) = (source.byte()?, source.byte()?);
                    let count = source.number()?;
                    if count > 0 && (of_key, of_value) != (11, 12) {
                        return Err(Fault::Malformed);
                    }
                    for _ in 0..count {
                        self.thrift_cell(source)?;
                    }
                }
                (kind, _) => source.skip(kind, 0)?,
            }
        }
        let key = key.ok_or(Fault::Malformed)?;
        self.row(source.input, key)?;
        Ok(key)
    }

    #[inline(always)]
    fn thrift_cell(&mut self, source: &mut Source) -> Read<()> {
        let (name, length) = source.binary()?;
        let (at, size, time) = match source.usual_cell() {
            Some(cell) => cell,
            None => source.any_cell()?,
        };
        let name = &source.input[name..name + length];
        match self.names.get(self.next) {
            Some(wanted) if same(&wanted.spelled, name) => self.take(self.next, at, size, time),
            _ => {
                let colon = name.iter().position(|&byte| byte == b':').ok_or(Fault::Malformed)?;
                self.search(&name[..colon], &name[colon + 1..], at, size, time);
            }
        }
        Ok(())
    }
}

struct Source<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    #[inline(always)]
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let taken = self.input.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(Fault::Short)?;
        self.at += length;
        Ok(taken)
    }

    #[inline(always)]
    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    /// Type and number of the next field; type 0 at the end of the struct.
    #[inline(always)]
    fn field(&mut self) -> Read<(u8, u16)> {
        let kind = self.byte()?;
        if kind == 0 {
            return Ok((0, 0));
        }
        let number = self.take(2)?;
        Ok((kind, u16::from_be_bytes([number[0], number[1]])))
    }

    #[inline(always)]
    fn number(&mut self) -> Read<usize> {
        let four = self.take(4)?;
        let number = i32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        usize::try_from(number).map_err(|_| Fault::Malformed)
    }

    #[inline(always)]
    fn long(&mut self) -> Read<i64> {
        let eight = self.take(8)?.try_into().map_err(|_| Fault::Malformed)?;
        Ok(i64::from_be_bytes(eight))
    }

    /// Where a binary value is, and its length.
    #[inline(always)]
    fn binary(&mut self) -> Read<(usize, usize)> {
        let length = self.number()?;
        let at = self.at;
        self.take(length)?;
        Ok((at, length))
    }

    /// A cell as every server writes it, value and time: where the value is, its length, and the time.
    #[inline(always)]
    fn usual_cell(&mut self) -> Option<(usize, usize, i64)> {
        let rest = self.input.get(self.at..)?;
        let head = rest.get(..7)?;
        let length = usize::try_from(i32::from_be_bytes([head[3], head[4], head[5], head[6]])).ok()?;
        let tail = rest.get(7..)?.get(length..)?.get(..12)?;
        if head[..3] != [11, 0, 1] || tail[..3] != [10, 0, 2] || tail[11] != 0 {
            return None;
        }
        let time = i64::from_be_bytes(tail[3..11].try_into().ok()?);
        let at = self.at + 7;
        self.at = at + length + 12;
        Some((at, length, time))
    }

    /// A cell whose fields come in any order, or with others.
    fn any_cell(&mut self) -> Read<(usize, usize, i64)> {
        let (mut value, mut time) = (None, 0);
        loop {
            match self.field()? {
                (0, _) => break,
                (11, 1) => value = Some(self.binary()?),
                (10, 2) => time = self.long()?,
                (kind, _) => self.skip(kind, 0)?,
            }
        }
        let (at, length) = value.ok_or(Fault::Malformed)?;
        Ok((at, length, time))
    }

    /// A value that nobody asked for.
    fn skip(&mut self, kind: u8, depth: usize) -> Read<()> {
        if depth > DEEPEST {
            return Err(Fault::Malformed);
        }
        match kind {
            2 | 3 => drop(self.take(1)?),
            6 => drop(self.take(2)?),
            8 => drop(self.take(4)?),
            4 | 10 => drop(self.take(8)?),
            11 => drop(self.binary()?),
            12 => loop {
                match self.field()? {
                    (0, _) => break,
                    (inner, _) => self.skip(inner, depth + 1)?,
                }
            },
            13 => {
                let (of_key, of_value, count) = (self.byte()?, self.byte()?, self.number()?);
                for _ in 0..count {
                    self.skip(of_key, depth + 1)?;
                    self.skip(of_value, depth + 1)?;
                }
            }
            14 | 15 => {
                let (inner, count) = (self.byte()?, self.number()?);
                for _ in 0..count {
                    self.skip(inner, depth + 1)?;
                }
            }
            _ => return Err(Fault::Malformed),
        }
        Ok(())
    }
}
