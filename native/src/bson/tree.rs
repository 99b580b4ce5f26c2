//! Columns as a tree, and how a value goes into one.
//!
//! A spec is a node: kind (u8), flags (u8), length of the name (u16, little-endian), the name, number of children
//! (u16), the children. The root is a struct, whose rows are the documents.

use super::json;
use super::read::*;

const DEEPEST: usize = 64;
/// Flag of a double column: 64-bit integers belong to it, too, where a double has them exactly.
const LONGS: u8 = 1;
/// Milliseconds that are microseconds in 64 bits, as whoever gets the columns has them.
const EARLIEST: i64 = -9_223_372_022_400_000;
const LATEST: i64 = 9_223_372_036_854_775;

/// What a column holds.
pub enum Values {
    /// Any value, as extended JSON.
    Json(Text),
    Bool(Vec<u8>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Date(Vec<i64>),
    Text(Text),
    ObjectId(Text),
    Decimal(Text),
    Binary(Text),
    Struct(Vec<Node>),
    List(Vec<i32>, Box<Node>),
}

/// Values of varying length.
pub struct Text {
    pub offsets: Vec<i32>,
    pub data: Vec<u8>,
}

impl Text {
    fn new() -> Text {
        Text { offsets: vec![0], data: Vec::new() }
    }

    /// The value ends where the data ends.
    #[inline(always)]
    fn end(&mut self) -> Result<(), Malformed> {
        self.offsets.push(i32::try_from(self.data.len()).map_err(|_| Malformed)?);
        Ok(())
    }

    fn undo(&mut self) {
        let last = self.offsets.last().map_or(0, |&end| end as usize);
        self.data.truncate(last);
    }
}

pub struct Node {
    name: Vec<u8>,
    flags: u8,
    /// How many there are from here on down.
    nodes: usize,
    pub values: Values,
    pub bits: Vec<u8>,
    pub rows: usize,
    pub nulls: usize,
    /// Of the NULLs, values of another type than the column's.
    pub lost: usize,
}

impl Node {
    pub fn parse(spec: &[u8]) -> Option<Node> {
        let (node, rest) = parsed(spec, 0)?;
        (rest.is_empty() && matches!(node.values, Values::Struct(_))).then_some(node)
    }

    /// All nodes, parents before their children.
    pub fn nth(&self, index: usize) -> Option<&Node> {
        let (mut node, mut left) = (self, index);
        'down: while left > 0 {
            left -= 1;
            for child in node.children() {
                if left < child.nodes {
                    node = child;
                    continue 'down;
                }
                left -= child.nodes;
            }
            return None;
        }
        Some(node)
    }

    fn children(&self) -> &[Node] {
        match &self.values {
            Values::Struct(children) => children,
            Values::List(_, child) => std::slice::from_ref(child),
            _ => &[],
        }
    }

    #[inline(always)]
    fn bit(&mut self, valid: bool) {
        if self.rows & 7 == 0 {
            self.bits.push(0);
        }
        if let Some(byte) = self.bits.last_mut() {
            *byte |= u8::from(valid) << (self.rows & 7);
        }
        self.rows += 1;
        self.nulls += usize::from(!valid);
    }

    pub fn push_null(&mut self) -> Result<(), Malformed> {
        match &mut self.values {
            Values::Bool(bits) => {
                if self.rows & 7 == 0 {
                    bits.push(0);
                }
            }
            Values::Int32(values) => values.push(0),
            Values::Int64(values) | Values::Date(values) => values.push(0),
            Values::Double(values) => values.push(0.0),
            Values::Json(text)
            | Values::Text(text)
            | Values::ObjectId(text)
            | Values::Decimal(text)
            | Values::Binary(text) => text.end()?,
            Values::Struct(children) => {
                for child in children {
                    child.push_null()?;
                }
            }
            Values::List(offsets, child) => offsets.push(i32::try_from(child.rows).map_err(|_| Malformed)?),
        }
        self.bit(false);
        Ok(())
    }

    /// Appends a value; one that the column cannot hold becomes NULL and is counted.
    #[inline(always)]
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), Malformed> {
        if kind == NULL || kind == UNDEFINED {
            return self.push_null();
        }
        let stored = match (&mut self.values, kind) {
            (Values::Int32(values), INT32) => {
                values.push(i32::from_le_bytes(array(value)?));
                true
            }
            (Values::Int64(values), INT64) => {
                values.push(i64::from_le_bytes(array(value)?));
                true
            }
            (Values::Int64(values), INT32) => {
                values.push(i32::from_le_bytes(array(value)?).into());
                true
            }
            (Values::Double(values), DOUBLE) => {
                values.push(f64::from_le_bytes(array(value)?));
                true
            }
            (Values::Double(values), INT32) => {
                values.push(i32::from_le_bytes(array(value)?).into());
                true
            }
            (Values::Double(values), INT64) if self.flags & LONGS != 0 => {
                let whole = i64::from_le_bytes(array(value)?);
                let near = whole as f64;
                // 2^63 itself would come back as 2^63 - 1, which is equal to it by saturation alone.
                let exact = near as i64 == whole && near < 9_223_372_036_854_775_808.0;
                if exact {
                    values.push(near);
                }
                exact
            }
            (Values::Date(values), DATE) => {
                let moment = i64::from_le_bytes(array(value)?);
                let held = (EARLIEST..=LATEST).contains(&moment);
                if held {
                    values.push(moment);
                }
                held
            }
            (Values::Bool(bits), BOOL) => {
                let yes = match value {
                    [0] => false,
                    [1] => true,
                    _ => return Err(Malformed),
                };
                if self.rows & 7 == 0 {
                    bits.push(0);
                }
                if let Some(byte) = bits.last_mut() {
                    *byte |= u8::from(yes) << (self.rows & 7);
                }
                true
            }
            (Values::Text(text), STRING) => {
                let content = string(value)?;
                if content.is_ascii() || std::str::from_utf8(content).is_ok() {
                    text.data.extend_from_slice(content);
                    text.end()?;
                    true
                } else {
                    false
                }
            }
            (Values::ObjectId(text), OBJECT_ID) => {
                json::hexadecimal(value, &mut text.data);
                text.end()?;
                true
            }
            (Values::Decimal(text), DECIMAL) => {
                json::decimal(array(value)?, &mut text.data);
                text.end()?;
                true
            }
            (Values::Binary(text), BINARY) => {
                text.data.extend_from_slice(binary(value)?.1);
                text.end()?;
                true
            }
            (Values::Struct(children), DOCUMENT) => {
                document(children, self.rows, value)?;
                true
            }
            (Values::List(offsets, child), ARRAY) => {
                for element in Bytes::document(value)? {
                    let element = element?;
                    child.push(element.kind, element.value)?;
                }
                offsets.push(i32::try_from(child.rows).map_err(|_| Malformed)?);
                true
            }
            (Values::Json(text), _) => match json::write(kind, value, &mut text.data) {
                Ok(()) => {
                    text.end()?;
                    true
                }
                Err(json::Fault::Text) => {
                    text.undo();
                    false
                }
                Err(json::Fault::Malformed) => return Err(Malformed),
            },
            _ => false,
        };
        if stored {
            self.bit(true);
            return Ok(());
        }
        self.lost += 1;
        self.push_null()
    }
}

/// One document into its columns. Fields mostly come in the columns' order. Of a name that is there twice the first
/// counts.
fn document(children: &mut [Node], row: usize, value: &[u8]) -> Result<(), Malformed> {
    let mut next = 0;
    for element in Bytes::document(value)? {
        let Element { name, kind, value } = element?;
        let found = if children.get(next).map_or(false, |child| child.name == name) {
            Some(next)
        } else {
            children.iter().position(|child| child.name == name)
        };
        if let Some(index) = found {
            next = index + 1;
            let child = &mut children[index];
            if child.rows == row {
                child.push(kind, value)?;
            }
        }
    }
    for child in children {
        if child.rows == row {
            child.push_null()?;
        }
    }
    Ok(())
}

fn parsed(spec: &[u8], depth: usize) -> Option<(Node, &[u8])> {
    if depth > DEEPEST {
        return None;
    }
    let (&kind, rest) = spec.split_first()?;
    let (&flags, rest) = rest.split_first()?;
    let (name, rest) = short(rest)?;
    let (name, rest) = (rest.get(..name)?.to_vec(), rest.get(name..)?);
    let (count, mut rest) = short(rest)?;
    let mut children = Vec::new();
    for _ in 0..count {
        let (child, after) = parsed(rest, depth + 1)?;
        children.push(child);
        rest = after;
    }
    let nodes = 1 + children.iter().map(|child: &Node| child.nodes).sum::<usize>();
    let values = match (kind, children.len()) {
        (10, _) => Values::Struct(children),
        (11, 1) => Values::List(vec![0], Box::new(children.pop()?)),
        (_, 1..) => return None,
        (0, _) => Values::Json(Text::new()),
        (1, _) => Values::Bool(Vec::new()),
        (2, _) => Values::Int32(Vec::new()),
        (3, _) => Values::Int64(Vec::new()),
        (4, _) => Values::Double(Vec::new()),
        (5, _) => Values::Date(Vec::new()),
        (6, _) => Values::Text(Text::new()),
        (7, _) => Values::ObjectId(Text::new()),
        (8, _) => Values::Decimal(Text::new()),
        (9, _) => Values::Binary(Text::new()),
        _ => return None,
    };
    Some((Node { name, flags, nodes, values, bits: Vec::new(), rows: 0, nulls: 0, lost: 0 }, rest))
}

fn short(bytes: &[u8]) -> Option<(usize, &[u8])> {
    Some((u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]).into(), bytes.get(2..)?))
}
