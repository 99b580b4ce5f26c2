//! Replies of MongoDB to Arrow buffers: `{cursor: {firstBatch | nextBatch: [document, …], id}, ok}`.
//!
//! The columns are a tree (documents are structs, arrays are lists). The memory grows with the bytes that came: no
//! length that a server sent is believed before it was compared with what is there.

mod json;
mod read;
mod tree;

pub use tree::{Node, Values};

use read::{Bytes, Element, Malformed, ARRAY, DOCUMENT, INT32, INT64};

/// What a reply said, beside its documents.
#[derive(Debug, Default, PartialEq)]
pub struct Reply {
    pub rows: usize,
    /// 0 when there is no more.
    pub cursor: i64,
}

/// Columns under construction.
pub struct Decoder {
    pub root: Node,
}

impl Decoder {
    /// `spec` is the tree of columns as `tree.rs` says; None when it is none.
    pub fn new(spec: &[u8]) -> Option<Decoder> {
        Some(Decoder { root: Node::parse(spec)? })
    }

    /// Appends the documents of one reply. After an error nothing of the columns may be used.
    pub fn reply(&mut self, input: &[u8]) -> Result<Reply, Malformed> {
        let mut reply = Reply::default();
        let mut found = false;
        for element in Bytes::document(input)? {
            let Element { name, kind, value } = element?;
            if name == b"cursor" && kind == DOCUMENT && !found {
                found = true;
                let (mut batches, mut ids) = (0, 0);
                for inner in Bytes::document(value)? {
                    let inner = inner?;
                    match inner.name {
                        b"firstBatch" | b"nextBatch" if inner.kind == ARRAY => {
                            batches += 1;
                            reply.rows += self.documents(inner.value)?;
                        }
                        // One that is not understood would make a part of the rows look like all of them.
                        b"id" => {
                            ids += 1;
                            reply.cursor = match inner.kind {
                                INT64 => i64::from_le_bytes(inner.value.try_into().map_err(|_| Malformed)?),
                                INT32 => i32::from_le_bytes(inner.value.try_into().map_err(|_| Malformed)?).into(),
                                _ => return Err(Malformed),
                            };
                        }
                        _ => {}
                    }
                }
                if batches != 1 || ids != 1 {
                    return Err(Malformed);
                }
            }
        }
        if found {
            Ok(reply)
        } else {
            Err(Malformed)
        }
    }

    fn documents(&mut self, array: &[u8]) -> Result<usize, Malformed> {
        let mut rows = 0;
        for element in Bytes::document(array)? {
            let element = element?;
            if element.kind != DOCUMENT {
                return Err(Malformed);
            }
            self.root.push(DOCUMENT, element.value)?;
            rows += 1;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
