//! The native RPC's reply to a scan: a `ScanResponse` (protobuf), and beside it a block of cells as `KeyValueCodec`
//! writes them: `i32 length | i32 key length | i32 value length | i16 row length | row | i8 family length | family |
//! qualifier | i64 time | i8 type | value`.
//!
//! The response says how many cells each result has. A row that the server cut is its last result: its cells are left
//! in the block, to be given again in front of the next one.

use super::{same, Decoder, Malformed};

/// The smallest cell: everything empty.
const LEAST: usize = 4 + 8 + 2 + 1 + 9;
/// Where the row's key begins in a cell.
const ROW_AT: usize = 4 + 8 + 2;

/// What the response said. A yes or no that it did not say is -1.
#[derive(Debug, PartialEq)]
pub struct Scanned {
    pub scanner: u64,
    pub more: i64,
    pub more_in_region: i64,
    pub heartbeat: i64,
    /// Milliseconds that the scanner lives without being asked.
    pub lease: i64,
    pub results: usize,
    /// Bytes of the block that are done with; what follows are the cells of a row that goes on.
    pub used: usize,
    /// How many cells these are.
    pub carried: usize,
    /// Where the key of the last whole row lies in the block; 0 and 0 when there was none.
    pub last: (usize, usize),
}

impl Decoder {
    /// Appends the whole rows of a reply. The first `carried` cells of `block` are what the reply before left.
    pub fn cells(&mut self, response: &[u8], block: &[u8], carried: usize) -> Result<Scanned, Malformed> {
        let mut counts = std::mem::take(&mut self.counts);
        counts.clear();
        counts.push(carried);
        let found = self.reply(response, block, &mut counts);
        self.counts = counts;
        found
    }

    fn reply(&mut self, response: &[u8], block: &[u8], counts: &mut Vec<usize>) -> Result<Scanned, Malformed> {
        let (mut said, partial) = parsed(response, counts)?;
        let mut total = 0usize;
        for &count in counts.iter() {
            total = total.checked_add(count).filter(|&total| total <= block.len() / LEAST).ok_or(Malformed)?;
        }
        // A row that the server cut at the region's end, or where it has done all that was asked for, is whole.
        let over = said.more == 0 || said.more_in_region == 0;
        let goes_on = !over && (partial || said.results == 0 && counts[0] > 0);
        let mut whole = counts.len();
        if goes_on {
            whole -= if said.results == 0 { 0 } else { 1 };
            if said.results <= 1 && self.goes_on(block, counts)? {
                whole = 0;
            }
        }
        for column in &mut self.columns {
            column.reserve(whole.min(total)); // a result without cells is no row
        }
        let mut reading = Reading { block, at: 0, row: None, last: (0, 0) };
        for (number, &count) in counts[..whole].iter().enumerate() {
            // Only the first result can belong to the row that was carried.
            reading.result(self, count, number == 1)?;
        }
        reading.flush(self)?;
        self.finish();
        said.used = reading.at;
        said.last = reading.last;
        said.carried = counts[whole..].iter().sum();
        for _ in 0..said.carried {
            reading.cell()?;
        }
        if reading.at != block.len() {
            return Err(Malformed);
        }
        Ok(said)
    }

    /// Whether the carried cells and the only result after them are of one row. True without results, as a server
    /// may pause in the middle of a row.
    fn goes_on(&self, block: &[u8], counts: &[usize]) -> Result<bool, Malformed> {
        let (carried, more) = (counts[0], counts.get(1).copied().unwrap_or(0));
        let mut reading = Reading { block, at: 0, row: None, last: (0, 0) };
        if carried == 0 || more == 0 {
            return Ok(true);
        }
        let first = reading.cell()?.row;
        for _ in 1..carried {
            reading.cell()?;
        }
        Ok(reading.cell()?.row == first)
    }
}

struct Cell<'a> {
    row: &'a [u8],
    /// The family's length, the family, the qualifier.
    name: &'a [u8],
    time: i64,
    value: usize,
    length: usize,
}

struct Reading<'a> {
    block: &'a [u8],
    at: usize,
    row: Option<&'a [u8]>,
    /// Where the key of the row lies.
    last: (usize, usize),
}

impl<'a> Reading<'a> {
    #[inline(always)]
    fn cell(&mut self) -> Result<Cell<'a>, Malformed> {
        let rest = self.block.get(self.at..).ok_or(Malformed)?;
        let length = number(rest, 0)?;
        let cell = rest.get(4..).and_then(|rest| rest.get(..length)).ok_or(Malformed)?;
        let (key, value) = (number(cell, 0)?, number(cell, 4)?);
        let both = key.checked_add(value).and_then(|both| both.checked_add(8)).ok_or(Malformed)?;
        if both != length {
            return Err(Malformed);
        }
        let key = &cell[8..8 + key];
        if key.len() < 12 {
            return Err(Malformed);
        }
        let row_length = usize::from(u16::from_be_bytes([key[0], key[1]]));
        let row = key.get(2..2 + row_length).ok_or(Malformed)?;
        let after = &key[2 + row_length..];
        // Time and type are the last nine bytes of the key.
        let names = after.len().checked_sub(9).ok_or(Malformed)?;
        let name = &after[..names];
        if name.first().map_or(true, |&family| usize::from(family) >= names) {
            return Err(Malformed);
        }
        let time = after[names..names + 8].try_into().map_err(|_| Malformed)?;
        let value_at = self.at + 4 + 8 + key.len();
        self.at += 4 + length;
        Ok(Cell { row, name, time: i64::from_be_bytes(time), value: value_at, length: value })
    }

    /// One result: cells of one row.
    #[inline(always)]
    fn result(&mut self, decoder: &mut Decoder, count: usize, may_go_on: bool) -> Result<(), Malformed> {
        for index in 0..count {
            let start = self.at;
            let cell = self.cell()?;
            let goes_on = self.row.map_or(false, |row| same(row, cell.row));
            if index == 0 && !goes_on {
                self.flush(decoder)?;
                self.row = Some(cell.row);
                self.last = (start + ROW_AT, cell.row.len());
            } else if goes_on != (index > 0 || may_go_on) {
                return Err(Malformed); // two rows in one result, or one row in two
            }
            match decoder.names.get(decoder.next) {
                Some(name) if same(&name.packed, cell.name) => {
                    decoder.take(decoder.next, cell.value, cell.length, cell.time)
                }
                _ => {
                    let (family, qualifier) = cell.name[1..].split_at(usize::from(cell.name[0]));
                    decoder.search(family, qualifier, cell.value, cell.length, cell.time);
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn flush(&mut self, decoder: &mut Decoder) -> Result<(), Malformed> {
        match self.row.take() {
            Some(_) => decoder.row(self.block, self.last),
            None => Ok(()),
        }
    }
}

#[inline(always)]
fn number(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let four = bytes.get(at..at + 4).ok_or(Malformed)?;
    usize::try_from(i32::from_be_bytes([four[0], four[1], four[2], four[3]])).map_err(|_| Malformed)
}

/// The fields of a `ScanResponse`, the cells of its results appended to `counts`, and whether its last one is not
/// whole.
fn parsed(response: &[u8], counts: &mut Vec<usize>) -> Result<(Scanned, bool), Malformed> {
    let mut said = Scanned {
        scanner: 0,
        more: -1,
        more_in_region: -1,
        heartbeat: 0,
        lease: 0,
        results: 0,
        used: 0,
        carried: 0,
        last: (0, 0),
    };
    let (mut rest, mut partial) = (response, false);
    while !rest.is_empty() {
        let field = varint(&mut rest)?;
        match field & 7 {
            0 => {
                let value = varint(&mut rest)?;
                let yes = i64::from(value != 0);
                match field >> 3 {
                    1 => counts.push(usize::try_from(value).map_err(|_| Malformed)?),
                    2 => said.scanner = value,
                    3 => said.more = yes,
                    4 => said.lease = i64::try_from(value).map_err(|_| Malformed)?,
                    7 => partial = value != 0,
                    8 => said.more_in_region = yes,
                    9 => said.heartbeat = yes,
                    _ => {}
                }
            }
            1 => drop(bytes(&mut rest, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| Malformed)?;
                let mut inner = bytes(&mut rest, length)?;
                // Packed, as newer servers may write them.
                while !inner.is_empty() && matches!(field >> 3, 1 | 7) {
                    let value = varint(&mut inner)?;
                    if field >> 3 == 1 {
                        counts.push(usize::try_from(value).map_err(|_| Malformed)?);
                    } else {
                        partial = value != 0;
                    }
                }
                if field >> 3 == 5 {
                    return Err(Malformed); // results outside the block: the codec was asked for
                }
            }
            5 => drop(bytes(&mut rest, 4)?),
            _ => return Err(Malformed),
        }
    }
    said.results = counts.len() - 1;
    Ok((said, partial && counts.len() > 1))
}

fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    if length > rest.len() {
        return Err(Malformed);
    }
    let (taken, after) = rest.split_at(length);
    *rest = after;
    Ok(taken)
}

#[inline(always)]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed)?;
        *rest = after;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(Malformed)
}
