//! Rows of HBase to Arrow buffers: cell blocks of the native RPC, and lists of rows of the Thrift gateway.
//!
//! A row becomes a row of the columns when it is whole; what a column does not find in it is NULL. The memory grows
//! with the bytes that came: no length or count that a server sent is believed before it was compared with what is
//! there.

mod cells;
mod thrift;
mod values;

pub use values::{Column, Values};

use values::Kind;

/// The bytes are not what the protocol says.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// How a part of the row key ends.
enum Part {
    Rest,
    Width(usize),
    /// Before this; the whole rest where it does not come.
    Separator(Vec<u8>),
}

/// Where a column's values are from.
enum Source {
    Cell,
    /// The time of the cell.
    Time,
    Key(usize),
}

/// A cell that is wanted, and the column that it goes into.
struct Name {
    family: Vec<u8>,
    qualifier: Vec<u8>,
    /// As cell blocks have it: the family's length, the family, the qualifier.
    packed: Vec<u8>,
    /// As the gateway has it: `family:qualifier`.
    spelled: Vec<u8>,
    column: usize,
    /// The next name is of the same cell.
    again: bool,
}

impl Name {
    fn new(family: &[u8], qualifier: &[u8], column: usize) -> Option<Name> {
        let length = u8::try_from(family.len()).ok()?;
        let (packed, spelled) = ([&[length][..], family, qualifier].concat(), [family, b":", qualifier].concat());
        let (family, qualifier) = (family.to_vec(), qualifier.to_vec());
        Some(Name { family, qualifier, packed, spelled, column, again: false })
    }

    fn cell(&self) -> (&[u8], &[u8]) {
        (&self.family, &self.qualifier)
    }
}

/// A value of the row that is being read, as a place in the input.
#[derive(Clone, Copy)]
struct Slot {
    at: usize,
    length: usize,
    time: i64,
    found: bool,
}

const EMPTY: Slot = Slot { at: 0, length: 0, time: 0, found: false };

/// Columns under construction.
pub struct Decoder {
    parts: Vec<Part>,
    sources: Vec<Source>,
    pub columns: Vec<Column>,
    names: Vec<Name>,
    slots: Vec<Slot>,
    /// Cells mostly come in the order of the names: the one that is next.
    next: usize,
    keys: Vec<Option<(usize, usize)>>,
    counts: Vec<usize>,
    pub rows: usize,
}

impl Decoder {
    /// `spec`: the number of key parts (u8), each with how it ends (0: the rest; 1: u16 bytes; 2: u16 length of a
    /// separator, and it); the number of columns (u16), each with its kind (u8) and source (0: a cell's value, 2: its
    /// time, both with u16 lengths of family and qualifier and these; 1: u8 number of a key part). Little-endian.
    pub fn new(spec: &[u8]) -> Option<Decoder> {
        let mut spec = Spec(spec);
        let mut parts = Vec::new();
        for _ in 0..spec.byte()? {
            parts.push(match spec.byte()? {
                0 => Part::Rest,
                1 => Part::Width(spec.short()?),
                2 => Part::Separator(spec.text().filter(|text| !text.is_empty())?.to_vec()),
                _ => return None,
            });
        }
        let (mut sources, mut columns, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for column in 0..spec.short()? {
            let kind = Kind::of(spec.byte()?)?;
            let source = match spec.byte()? {
                0 => Source::Cell,
                1 => Source::Key(usize::from(spec.byte()?)),
                2 => Source::Time,
                _ => return None,
            };
            match source {
                Source::Key(part) if part >= parts.len() => return None,
                Source::Key(_) => {}
                _ => {
                    let (family, qualifier) = (spec.text()?, spec.text()?);
                    names.push(Name::new(family, qualifier, column)?);
                }
            }
            if matches!(source, Source::Time) != matches!(kind, Kind::CellTime) {
                return None;
            }
            sources.push(source);
            columns.push(Column::new(kind));
        }
        if !spec.0.is_empty() {
            return None;
        }
        names.sort_by(|a, b| a.cell().cmp(&b.cell()));
        for index in 1..names.len() {
            names[index - 1].again = names[index - 1].cell() == names[index].cell();
        }
        let slots = vec![EMPTY; columns.len()];
        let keys = vec![None; parts.len()];
        Some(Decoder { parts, sources, columns, names, slots, next: 0, keys, counts: Vec::new(), rows: 0 })
    }

    /// A cell of the row that is being read, which `names[index]` is of. Of several versions the first counts, which
    /// is the newest.
    #[inline(always)]
    fn take(&mut self, mut index: usize, at: usize, length: usize, time: i64) {
        while let Some(name) = self.names.get(index) {
            if let Some(slot) = self.slots.get_mut(name.column).filter(|slot| !slot.found) {
                *slot = Slot { at, length, time, found: true };
            }
            index += 1;
            if !name.again {
                break;
            }
        }
        self.next = index;
    }

    /// As `take`, for a cell that did not come where it was expected.
    #[inline(never)]
    fn search(&mut self, family: &[u8], qualifier: &[u8], at: usize, length: usize, time: i64) {
        let index = self.names.partition_point(|name| name.cell() < (family, qualifier));
        self.next = index;
        if self.names.get(index).map_or(false, |name| name.cell() == (family, qualifier)) {
            self.take(index, at, length, time);
        }
    }

    /// The row is whole: its cells and its key, which lies there in the input, go into the columns.
    #[inline(always)]
    fn row(&mut self, input: &[u8], key: (usize, usize)) -> Result<(), Malformed> {
        match (self.parts.as_slice(), self.keys.first_mut()) {
            ([Part::Rest], Some(place)) => *place = Some((0, key.1)),
            _ => self.split(input.get(key.0..).and_then(|rest| rest.get(..key.1)).ok_or(Malformed)?),
        }
        for ((column, source), slot) in self.columns.iter_mut().zip(&self.sources).zip(&mut self.slots) {
            match source {
                _ if slot.found => {
                    column.push(input, slot.at, slot.length, slot.time)?;
                    slot.found = false;
                }
                Source::Key(part) => match self.keys.get(*part).copied().flatten() {
                    Some((from, length)) => column.push(input, key.0 + from, length, 0)?,
                    None => column.push_null()?,
                },
                _ => column.push_null()?,
            }
        }
        self.next = 0;
        self.rows += 1;
        Ok(())
    }

    /// Forgets what was found of a row that is not whole yet.
    fn forget(&mut self) {
        self.slots.fill(EMPTY);
        self.next = 0;
    }

    /// The columns can be looked at.
    fn finish(&mut self) {
        for column in &mut self.columns {
            column.finish();
        }
    }

    /// Where the parts of the key are, and how long; one that it is too short for is not there.
    fn split(&mut self, key: &[u8]) {
        let mut from = Some(0);
        for (part, place) in self.parts.iter().zip(&mut self.keys) {
            *place = None;
            let start = match from {
                Some(start) => start,
                None => continue,
            };
            let rest = &key[start..];
            let (length, after) = match part {
                Part::Rest => (Some(rest.len()), None),
                Part::Width(width) if *width <= rest.len() => (Some(*width), Some(start + width)),
                Part::Width(_) => (None, None),
                Part::Separator(separator) => {
                    match rest.windows(separator.len()).position(|window| window == separator) {
                        Some(length) => (Some(length), Some(start + length + separator.len())),
                        None => (Some(rest.len()), None),
                    }
                }
            };
            *place = length.map(|length| (start, length));
            from = after;
        }
    }
}

/// Whether they are equal: they are short and mostly are, so it is not worth a call.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let eight = |bytes: &[u8], at: usize| bytes.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    match one.len() {
        0..=7 => one.iter().zip(other).all(|(a, b)| a == b),
        length @ 8..=16 => eight(one, 0) == eight(other, 0) && eight(one, length - 8) == eight(other, length - 8),
        _ => one == other,
    }
}

struct Spec<'a>(&'a [u8]);

impl<'a> Spec<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = (self.0.get(..length)?, self.0.get(length..)?);
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn short(&mut self) -> Option<usize> {
        self.take(2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests;
