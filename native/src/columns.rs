//! Arrow column buffers of stated capacities, as safe slices: what every decoder writes into.

/// Why a value could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not what the protocol says.
    Malformed,
    /// An output buffer is full.
    Room,
}

/// `Ok(true)`: stored. `Ok(false)`: a value that Arrow cannot hold; the slot is NULL.
pub type Stored = Result<bool, Fault>;

/// Slots of `N` bytes.
pub struct Fixed<'a, const N: usize>(pub &'a mut [[u8; N]]);

impl<const N: usize> Fixed<'_, N> {
    #[inline(always)]
    pub fn put(&mut self, row: usize, value: [u8; N]) -> Stored {
        match self.0.get_mut(row) {
            Some(slot) => {
                *slot = value;
                Ok(true)
            }
            None => Err(Fault::Room),
        }
    }
}

/// Values of varying length: 32-bit offsets into `data`.
pub struct Varying<'a> {
    pub offsets: &'a mut [i32],
    pub data: &'a mut [u8],
    /// Where the last value ends; at most `data.len()`, which is at most `i32::MAX`.
    pub end: usize,
}

impl<'a> Varying<'a> {
    /// Continues after `rows` values; None when the offsets so far cannot be right.
    pub fn new(offsets: &'a mut [i32], data: &'a mut [u8], rows: usize) -> Option<Self> {
        if data.len() > i32::MAX as usize {
            return None;
        }
        if rows == 0 {
            *offsets.first_mut()? = 0;
        }
        let end = usize::try_from(*offsets.get(rows)?).ok()?;
        if end > data.len() {
            return None;
        }
        Some(Varying { offsets, data, end })
    }

    /// `value` is the start of `source`; what follows it in `source` may be copied along, and is overwritten later.
    #[inline(always)]
    pub fn put(&mut self, row: usize, source: &[u8], length: usize) -> Stored {
        const SHORT: usize = 16;
        let end = self.end.checked_add(length).ok_or(Fault::Room)?;
        let slot = self.offsets.get_mut(row + 1).ok_or(Fault::Room)?;
        if length <= SHORT {
            // One move of fixed size, inlined, where both sides have room for it.
            if let (Some(from), Some(to)) = (source.get(..SHORT), self.data.get_mut(self.end..self.end + SHORT)) {
                to.copy_from_slice(from);
                *slot = end as i32;
                self.end = end;
                return Ok(true);
            }
        }
        match (self.data.get_mut(self.end..end), source.get(..length)) {
            (Some(to), Some(from)) => {
                to.copy_from_slice(from);
                *slot = end as i32;
                self.end = end;
                Ok(true)
            }
            (None, _) => Err(Fault::Room),
            (_, None) => Err(Fault::Malformed),
        }
    }

    /// An empty value, as NULL has it.
    #[inline(always)]
    pub fn skip(&mut self, row: usize) -> Stored {
        *self.offsets.get_mut(row + 1).ok_or(Fault::Room)? = self.end as i32;
        Ok(false)
    }

    /// Forgets the values from `row` on.
    pub fn rewind(&mut self, row: usize) {
        if let Some(end) = self.offsets.get(row).and_then(|&end| usize::try_from(end).ok()) {
            self.end = end;
        }
    }

    /// Finds values in rows `first..rows` that are not UTF-8, and calls `bad` with each row. With `blank` their bytes
    /// become `?`, so that the buffer as a whole is UTF-8.
    ///
    /// Usually one pass over all bytes: if the whole is UTF-8 and no value starts inside a character, each value is.
    pub fn check_utf8(&mut self, first: usize, rows: usize, blank: bool, mut bad: impl FnMut(usize)) {
        let spans = match self.offsets.get(first..=rows) {
            Some(spans) if !spans.is_empty() => spans,
            _ => return,
        };
        let (start, end) = (spans[0] as usize, spans[spans.len() - 1] as usize);
        let all = match self.data.get_mut(start..end) {
            Some(all) => all,
            None => return,
        };
        if all.is_ascii() {
            return;
        }
        if std::str::from_utf8(all)
            .map_or(false, |text| spans.iter().all(|&offset| text.is_char_boundary(offset as usize - start)))
        {
            return;
        }
        for (index, pair) in spans.windows(2).enumerate() {
            if let Some(value) = all.get_mut(pair[0] as usize - start..pair[1] as usize - start) {
                if std::str::from_utf8(value).is_err() {
                    if blank {
                        value.fill(b'?');
                    }
                    bad(first + index);
                }
            }
        }
    }
}

/// Validity bits of one column, and the counts that go with them.
pub struct Validity<'a> {
    pub bits: &'a mut [u8],
    pub nulls: i64,
    /// Of the NULLs, those that were values which Arrow cannot hold.
    pub lost: i64,
}

impl Validity<'_> {
    #[inline(always)]
    pub fn set(&mut self, row: usize, valid: bool) -> Result<(), Fault> {
        let byte = self.bits.get_mut(row >> 3).ok_or(Fault::Room)?;
        let kept = *byte & ((1 << (row & 7)) - 1); // what lies above was never written
        *byte = kept | u8::from(valid) << (row & 7);
        self.nulls += i64::from(!valid);
        Ok(())
    }

    pub fn is_set(&self, row: usize) -> bool {
        self.bits.get(row >> 3).map_or(false, |byte| byte >> (row & 7) & 1 == 1)
    }

    pub fn clear(&mut self, row: usize) {
        if let Some(byte) = self.bits.get_mut(row >> 3) {
            *byte &= !(1 << (row & 7));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varying_values_follow_each_other_and_stop_at_the_capacity() {
        let (mut offsets, mut data) = ([-1i32; 4], [0u8; 6]);
        let mut text = Varying::new(&mut offsets, &mut data, 0).unwrap();
        assert_eq!(text.put(0, b"abcd", 3), Ok(true));
        assert_eq!(text.skip(1), Ok(false));
        assert_eq!(text.put(2, b"abcd", 4), Err(Fault::Room));
        assert_eq!(text.put(2, b"xyz", 3), Ok(true));
        assert_eq!(text.put(3, b"", 0), Err(Fault::Room));
        assert_eq!((offsets, &data), ([0, 3, 3, 6], b"abcxyz"));
    }

    #[test]
    fn a_short_value_is_moved_with_what_follows_and_that_is_overwritten() {
        let (mut offsets, mut data) = ([0i32; 3], [0u8; 32]);
        let mut text = Varying::new(&mut offsets, &mut data, 0).unwrap();
        text.put(0, b"ab--------------", 2).unwrap();
        text.put(1, b"cd--------------", 2).unwrap();
        assert_eq!((&data[..4], offsets), (&b"abcd"[..], [0, 2, 4]));
    }

    #[test]
    fn offsets_that_point_outside_are_refused() {
        let mut data = [0u8; 4];
        assert!(Varying::new(&mut [0, 5, 0], &mut data, 1).is_none());
        assert!(Varying::new(&mut [0, -1, 0], &mut data, 1).is_none());
        assert!(Varying::new(&mut [], &mut data, 0).is_none());
    }

    #[test]
    fn bad_utf8_is_found_even_when_the_whole_is_good() {
        // "é" split over two values: the concatenation is UTF-8, neither value is.
        let (mut offsets, mut data) = ([0, 1, 2, 4], [0xc3, 0xa9, 0xc3, 0xa9]);
        let mut text = Varying { offsets: &mut offsets, data: &mut data, end: 4 };
        let mut found = vec![];
        text.check_utf8(0, 3, true, |row| found.push(row));
        assert_eq!((found, &data), (vec![0, 1], &[b'?', b'?', 0xc3, 0xa9]));
    }

    #[test]
    fn validity_writes_only_its_own_bit_and_clears_what_was_never_written() {
        let mut bits = [0xffu8; 2];
        let mut validity = Validity { bits: &mut bits, nulls: 0, lost: 0 };
        for row in 0..9 {
            validity.set(row, row % 2 == 0).unwrap();
        }
        assert_eq!(validity.set(16, true), Err(Fault::Room));
        assert_eq!((validity.nulls, bits), (4, [0b0101_0101, 1]));
    }
}
