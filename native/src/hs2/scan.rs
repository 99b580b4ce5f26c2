//! Where a Thrift message ends that has no frame around it: walked over once, however it comes in pieces.

use super::wire::{fixed, Malformed, BINARY, DEEPEST, LIST, MAP, SET, STRUCT};

const LEVELS: usize = DEEPEST + 2;

/// What is open: a struct, or a container with so many elements left.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Level {
    kind: u8,
    /// The type of the elements; in a map that of the keys.
    element: u8,
    /// In a map the type of the values.
    value: u8,
    left: u64,
}

/// The walk's state between two pieces. All zeros at first.
#[repr(C)]
pub struct Scan {
    /// Bytes that were walked over.
    at: u64,
    /// Bytes that are there at least before it can go on.
    needed: u64,
    depth: u64,
    levels: [Level; LEVELS],
}

#[derive(Debug, PartialEq, Eq)]
pub enum Scanned {
    /// So many bytes are the message.
    Whole(usize),
    /// It ends after so many bytes at the earliest.
    Needs(usize),
}

/// What one step came to.
enum Step {
    Done,
    Needs(usize),
}

impl Scan {
    #[cfg(test)]
    pub fn new() -> Scan {
        Scan { at: 0, needed: 0, depth: 0, levels: [Level { kind: 0, element: 0, value: 0, left: 0 }; LEVELS] }
    }

    /// `input` is the message's beginning as far as it came; what was there the last time is the same.
    pub fn walk(&mut self, input: &[u8]) -> Result<Scanned, Malformed> {
        if self.at as usize > input.len() || self.depth as usize > LEVELS {
            return Err(Malformed);
        }
        loop {
            let step = if self.at == 0 {
                self.head(input)?
            } else if self.depth == 0 {
                return Ok(Scanned::Whole(self.at as usize));
            } else {
                self.step(input)?
            };
            if let Step::Needs(missing) = step {
                self.needed = (input.len() + missing) as u64;
                return Ok(Scanned::Needs(input.len() + missing));
            }
        }
    }

    fn head(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let size = match number(input, 4) {
            Some(size) => usize::try_from(size).map_err(|_| Malformed)?,
            None => return Ok(Step::Needs(8 - input.len())),
        };
        if input[0] != 0x80 || input[1] != 1 || size > 256 {
            return Err(Malformed);
        }
        match missing(input.len(), 12 + size) {
            0 => {
                self.at = 12 + size as u64;
                self.push(Level { kind: STRUCT, element: 0, value: 0, left: 0 })
            }
            more => Ok(Step::Needs(more)),
        }
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let at = self.at as usize;
        let top = self.depth as usize - 1;
        let level = self.levels[top];
        if level.kind == STRUCT {
            return match input.get(at) {
                None => Ok(Step::Needs(1)),
                Some(0) => {
                    self.at += 1;
                    self.depth -= 1;
                    Ok(Step::Done)
                }
                Some(&kind) => self.value(input, at + 3, kind),
            };
        }
        if level.left == 0 {
            self.depth -= 1;
            return Ok(Step::Done);
        }
        if level.kind == MAP {
            let kind = if level.left % 2 == 0 { level.element } else { level.value };
            return self.element(input, top, kind);
        }
        match fixed(level.element).ok_or(Malformed)? {
            0 => self.element(input, top, level.element),
            size => {
                let there = ((input.len() - at) / size) as u64;
                let taken = there.min(level.left);
                self.at += taken * size as u64;
                self.levels[top].left -= taken;
                if taken == level.left {
                    return Ok(Step::Done);
                }
                let left = usize::try_from(level.left - taken).map_err(|_| Malformed)?;
                let rest = left.checked_mul(size).ok_or(Malformed)?;
                Ok(Step::Needs(rest - (input.len() - self.at as usize)))
            }
        }
    }

    /// An element of the container at `top`, which is counted once it is there (or, if it is one itself, begun).
    fn element(&mut self, input: &[u8], top: usize, kind: u8) -> Result<Step, Malformed> {
        let step = self.value(input, self.at as usize, kind)?;
        if let Step::Done = step {
            self.levels[top].left -= 1;
        }
        Ok(step)
    }

    /// A value of that type at `at`: walked over, or opened.
    fn value(&mut self, input: &[u8], at: usize, kind: u8) -> Result<Step, Malformed> {
        let (size, level) = match kind {
            BINARY => match number(input, at) {
                Some(size) => (4 + usize::try_from(size).map_err(|_| Malformed)?, None),
                None => (4, None),
            },
            STRUCT => (0, Some(Level { kind, element: 0, value: 0, left: 0 })),
            LIST | SET => {
                let count = number(input, at + 1).map_or(Ok(0), u32::try_from).map_err(|_| Malformed)?;
                let element = input.get(at).copied().unwrap_or(0);
                (5, Some(Level { kind, element, value: 0, left: count.into() }))
            }
            MAP => {
                let count = number(input, at + 2).map_or(Ok(0), u32::try_from).map_err(|_| Malformed)?;
                let (element, value) = (input.get(at).copied().unwrap_or(0), input.get(at + 1).copied().unwrap_or(0));
                (6, Some(Level { kind, element, value, left: u64::from(count) * 2 }))
            }
            other => (fixed(other).ok_or(Malformed)?, None),
        };
        match missing(input.len(), at + size) {
            0 => {
                self.at = (at + size) as u64;
                level.map_or(Ok(Step::Done), |level| self.push(level))
            }
            more => Ok(Step::Needs(more)),
        }
    }

    fn push(&mut self, level: Level) -> Result<Step, Malformed> {
        *self.levels.get_mut(self.depth as usize).ok_or(Malformed)? = level;
        self.depth += 1;
        Ok(Step::Done)
    }
}

fn missing(there: usize, wanted: usize) -> usize {
    wanted.saturating_sub(there)
}

/// The 32-bit number there, if it is there.
fn number(input: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(input.get(at..at + 4)?.try_into().ok()?))
}
