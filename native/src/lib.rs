//! Network replies to Arrow column buffers, called from Python through a C ABI.
//!
//! `unsafe` is here and in `hs2_exports.rs` only: they make slices of the pointers, the decoders see slices. No panic leaves
//! an export.
//! Nothing is allocated by a number that a server sent: the buffers come from the caller, with stated capacities.
#![deny(unsafe_op_in_unsafe_fn)]

mod bson;
mod columns;
mod decimal;
mod hbase;
mod hs2;
mod hs2_exports;
mod mysql;

use columns::{Fixed, Validity, Varying};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Changed with every change of a struct, an export or the meaning of a number; `workbench/kit/native.py` has the same.
const ABI: u32 = 4;

const OK: i32 = 0;
/// A pointer, size or kind from the caller is wrong.
const ARGUMENT: i32 = -1;
/// A mistake in this crate, caught.
const PANIC: i32 = -99;

/// More columns than any source has.
const MOST_COLUMNS: i64 = 1 << 16;

/// One column's buffers. `values` holds `slots` values of the kind's width, `validity` one bit each, `offsets` one
/// more than `slots`, `data` holds `capacity` bytes. Columns share no buffer.
#[repr(C)]
pub struct Column {
    pub kind: i32,
    pub precision: i32,
    pub scale: i32,
    pub reserved: i32,
    pub validity: *mut u8,
    pub values: *mut u8,
    pub offsets: *mut i32,
    pub data: *mut u8,
    pub capacity: i64,
    /// Counted up: NULLs, and those of them that are values which Arrow cannot hold.
    pub nulls: i64,
    pub lost: i64,
}

/// Where a decoder begins and where it stopped.
#[repr(C)]
pub struct Progress {
    /// In and out: rows in the columns.
    pub rows: i64,
    /// In: rows that the columns have room for.
    pub slots: i64,
    /// Out: bytes of the input that are done with.
    pub used: i64,
    /// Out, for a lost value: where it starts in the input, or -1 when it is in its column.
    pub at: i64,
    /// Out, for a lost value: its row.
    pub row: i64,
    /// Out: see the decoder.
    pub state: i32,
    /// Out: the column that `state` is about.
    pub column: i32,
    /// In and out: the number that the next packet must have.
    pub sequence: u32,
    /// In: stop at a value that Arrow cannot hold.
    pub strict: u32,
}

fn guarded(work: impl FnOnce() -> Option<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Some(())) => OK,
        Ok(None) => ARGUMENT,
        Err(_) => PANIC,
    }
}

/// # Safety
/// `at` points at `count` values of `T` which nobody else uses during `'a`; anything goes when `count` is 0.
unsafe fn slice_mut<'a, T>(at: *mut T, count: i64) -> Option<&'a mut [T]> {
    let count = usize::try_from(count).ok()?;
    if count == 0 {
        return Some(&mut []);
    }
    let bytes = count.checked_mul(std::mem::size_of::<T>())?;
    if at.is_null() || at as usize % std::mem::align_of::<T>() != 0 || isize::try_from(bytes).is_err() {
        return None;
    }
    Some(unsafe { std::slice::from_raw_parts_mut(at, count) })
}

/// # Safety
/// As `slice_mut`, but others may read.
unsafe fn slice<'a>(at: *const u8, count: i64) -> Option<&'a [u8]> {
    let count = usize::try_from(count).ok()?;
    if count == 0 {
        return Some(&[]);
    }
    if at.is_null() || isize::try_from(count).is_err() {
        return None;
    }
    Some(unsafe { std::slice::from_raw_parts(at, count) })
}

/// # Safety
/// The pointers of `column` are as its documentation says, for `slots` rows.
unsafe fn mysql_column<'a>(column: &Column, rows: i64, slots: i64) -> Option<mysql::Column<'a>> {
    use mysql::Values;
    let fixed = column.values;
    let varying = || -> Option<Varying<'a>> {
        let offsets = unsafe { slice_mut(column.offsets, slots.checked_add(1)?)? };
        let data = unsafe { slice_mut(column.data, column.capacity)? };
        Varying::new(offsets, data, usize::try_from(rows).ok()?)
    };
    let values = unsafe {
        match column.kind {
            0 => Values::Null,
            1 => Values::W1(Fixed(slice_mut(fixed as *mut [u8; 1], slots)?)),
            2 => Values::W2(Fixed(slice_mut(fixed as *mut [u8; 2], slots)?)),
            3 => Values::W4(Fixed(slice_mut(fixed as *mut [u8; 4], slots)?)),
            4 => Values::W8(Fixed(slice_mut(fixed as *mut [u8; 8], slots)?)),
            5 => Values::Date(Fixed(slice_mut(fixed as *mut [u8; 4], slots)?)),
            6 => Values::Datetime(Fixed(slice_mut(fixed as *mut [u8; 8], slots)?)),
            7 => Values::Time(Fixed(slice_mut(fixed as *mut [u8; 8], slots)?)),
            8 => {
                let (precision, scale) = (u32::try_from(column.precision).ok()?, u32::try_from(column.scale).ok()?);
                if precision > 38 || scale > 38 {
                    return None;
                }
                Values::Decimal { slots: Fixed(slice_mut(fixed as *mut [u8; 16], slots)?), precision, scale }
            }
            9 => Values::Binary(varying()?),
            10 => Values::Text(varying()?),
            11 | 12 => {
                let digits = u32::try_from(column.scale).ok()?;
                Values::Printed { text: varying()?, time: column.kind == 12, digits }
            }
            _ => return None,
        }
    };
    let bits = unsafe { slice_mut(column.validity, slots / 8 + i64::from(slots % 8 != 0))? };
    Some(mysql::Column { values, validity: Validity { bits, nulls: column.nulls, lost: column.lost } })
}

/// # Safety
/// As the exports below.
unsafe fn mysql_decode(
    input: *const u8,
    length: i64,
    columns: *mut Column,
    count: i64,
    progress: *mut Progress,
    decode: impl FnOnce(&[u8], &mut [mysql::Column], &Progress) -> mysql::Done,
) -> i32 {
    guarded(|| {
        let (input, columns, progress) =
            unsafe { (slice(input, length)?, slice_mut(columns, count)?, slice_mut(progress, 1)?.first_mut()?) };
        if !(0..=MOST_COLUMNS).contains(&count) || !(0..=progress.slots).contains(&progress.rows) {
            return None;
        }
        let mut open = Vec::with_capacity(columns.len());
        for column in columns.iter() {
            open.push(unsafe { mysql_column(column, progress.rows, progress.slots)? });
        }
        let done = decode(input, &mut open, progress);
        for (column, open) in columns.iter_mut().zip(&open) {
            column.nulls = open.validity.nulls;
            column.lost = open.validity.lost;
        }
        progress.rows = i64::try_from(done.rows).ok()?;
        progress.used = i64::try_from(done.used).ok()?;
        progress.at = done.at.map_or(Some(-1), |at| i64::try_from(at).ok())?;
        progress.row = i64::try_from(done.row).ok()?;
        progress.state = done.state as i32;
        progress.column = i32::try_from(done.column).ok()?;
        progress.sequence = done.sequence.into();
        Some(())
    })
}

#[no_mangle]
pub extern "C" fn workbench_abi() -> u32 {
    ABI
}

/// Decodes the whole row packets at the front of `input`; `progress.state` is a `mysql::State`.
///
/// # Safety
/// `input` holds `length` bytes, `columns` has `count` columns with buffers as `Column` says, `progress` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_mysql_packets(
    input: *const u8,
    length: i64,
    columns: *mut Column,
    count: i64,
    progress: *mut Progress,
) -> i32 {
    unsafe {
        mysql_decode(input, length, columns, count, progress, |input, columns, at| {
            let (first, slots) = (at.rows as usize, at.slots as usize); // checked: 0 <= rows <= slots
            mysql::packets(input, columns, first, slots, at.sequence as u8, at.strict != 0)
        })
    }
}

/// Decodes one row of 16 MiB or more, put together by the caller; `input` is its payload.
///
/// # Safety
/// As `workbench_mysql_packets`.
#[no_mangle]
pub unsafe extern "C" fn workbench_mysql_long_row(
    input: *const u8,
    length: i64,
    columns: *mut Column,
    count: i64,
    progress: *mut Progress,
) -> i32 {
    unsafe {
        mysql_decode(input, length, columns, count, progress, |input, columns, at| {
            let (first, slots) = (at.rows as usize, at.slots as usize);
            let done = mysql::long_row(input, columns, first, slots, at.strict != 0);
            mysql::Done { sequence: at.sequence as u8, ..done }
        })
    }
}

/// For the tests: that a panic comes back as a number.
#[no_mangle]
pub extern "C" fn workbench_test_panic(index: i64) -> i32 {
    guarded(|| {
        let three = [1, 2, 3];
        let item = three[usize::try_from(index).ok()?];
        (item > 0).then_some(())
    })
}

/// What `workbench_bson_decode` found.
#[repr(C)]
pub struct BsonReply {
    pub rows: i64,
    /// The server's cursor, 0 at the end.
    pub cursor: i64,
    /// 0, or 1 when the bytes are no reply; then the decoder is not used again.
    pub state: i64,
}

/// The buffers of one column, or of one node of a tree of columns, as they are now.
#[repr(C)]
pub struct Buffers {
    pub rows: i64,
    pub nulls: i64,
    pub lost: i64,
    pub validity: *const u8,
    /// Values, or offsets.
    pub values: *const u8,
    pub values_bytes: i64,
    pub data: *const u8,
    pub data_bytes: i64,
}

/// A decoder for the columns that `spec` says, or null; to be freed by `workbench_bson_free`.
///
/// # Safety
/// `spec` holds `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn workbench_bson_new(spec: *const u8, length: i64) -> *mut bson::Decoder {
    let made = catch_unwind(|| bson::Decoder::new(unsafe { slice(spec, length)? }));
    made.ok().flatten().map_or(std::ptr::null_mut(), |decoder| Box::into_raw(Box::new(decoder)))
}

/// Appends the documents of one reply.
///
/// # Safety
/// `decoder` is of `workbench_bson_new` and used by nobody else now, `input` holds `length` bytes, `reply` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_bson_decode(
    decoder: *mut bson::Decoder,
    input: *const u8,
    length: i64,
    reply: *mut BsonReply,
) -> i32 {
    guarded(|| {
        let (decoder, reply, input) =
            unsafe { (decoder.as_mut()?, slice_mut(reply, 1)?.first_mut()?, slice(input, length)?) };
        *reply = match decoder.reply(input) {
            Ok(done) => BsonReply { rows: i64::try_from(done.rows).ok()?, cursor: done.cursor, state: 0 },
            Err(_) => BsonReply { rows: 0, cursor: 0, state: 1 },
        };
        Some(())
    })
}

/// Where the buffers of node `index` are (parents come before their children). They stay until the next decode.
///
/// # Safety
/// As `workbench_bson_decode`; `out` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_bson_buffers(decoder: *const bson::Decoder, index: i64, out: *mut Buffers) -> i32 {
    use bson::Values;
    guarded(|| {
        let (decoder, out) = unsafe { (decoder.as_ref()?, slice_mut(out, 1)?.first_mut()?) };
        let node = decoder.root.nth(usize::try_from(index).ok()?)?;
        let nothing = (std::ptr::null(), 0, std::ptr::null(), 0);
        let (values, length, data, bytes) = match &node.values {
            Values::Bool(bits) => (bits.as_ptr(), bits.len(), nothing.2, 0),
            Values::Int32(values) => (values.as_ptr().cast(), values.len() * 4, nothing.2, 0),
            Values::Int64(values) | Values::Date(values) => (values.as_ptr().cast(), values.len() * 8, nothing.2, 0),
            Values::Double(values) => (values.as_ptr().cast(), values.len() * 8, nothing.2, 0),
            Values::List(offsets, _) => (offsets.as_ptr().cast(), offsets.len() * 4, nothing.2, 0),
            Values::Struct(_) => nothing,
            Values::Json(text)
            | Values::Text(text)
            | Values::ObjectId(text)
            | Values::Decimal(text)
            | Values::Binary(text) => {
                (text.offsets.as_ptr().cast(), text.offsets.len() * 4, text.data.as_ptr(), text.data.len())
            }
        };
        *out = Buffers {
            rows: i64::try_from(node.rows).ok()?,
            nulls: i64::try_from(node.nulls).ok()?,
            lost: i64::try_from(node.lost).ok()?,
            validity: node.bits.as_ptr(),
            values,
            values_bytes: i64::try_from(length).ok()?,
            data,
            data_bytes: i64::try_from(bytes).ok()?,
        };
        Some(())
    })
}

/// # Safety
/// `decoder` is of `workbench_bson_new`, and nobody uses it or its buffers any more.
#[no_mangle]
pub unsafe extern "C" fn workbench_bson_free(decoder: *mut bson::Decoder) {
    if !decoder.is_null() {
        drop(unsafe { Box::from_raw(decoder) });
    }
}

/// A decoder for the columns that `spec` says, or null; to be freed by `workbench_hbase_free`.
///
/// # Safety
/// `spec` holds `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn workbench_hbase_new(spec: *const u8, length: i64) -> *mut hbase::Decoder {
    let made = catch_unwind(|| hbase::Decoder::new(unsafe { slice(spec, length)? }));
    made.ok().flatten().map_or(std::ptr::null_mut(), |decoder| Box::into_raw(Box::new(decoder)))
}

/// What a reply of HBase held; see `hbase::Scanned`.
#[repr(C)]
pub struct HbaseReply {
    /// Of all replies so far.
    pub rows: i64,
    pub used: i64,
    pub carried: i64,
    pub scanner: u64,
    pub more: i64,
    pub more_in_region: i64,
    pub heartbeat: i64,
    pub lease: i64,
    pub results: i64,
    pub last: i64,
    pub last_length: i64,
    /// 0, or 1 when the bytes are no reply; then the decoder is not used again.
    pub state: i64,
}

/// Appends the whole rows of a reply to a scan: its `ScanResponse`, and its block, in front of which are the
/// `reply.carried` cells that the reply before left.
///
/// # Safety
/// `decoder` is of `workbench_hbase_new` and used by nobody else now, `response` and `block` hold so many bytes,
/// `reply` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_hbase_cells(
    decoder: *mut hbase::Decoder,
    response: *const u8,
    length: i64,
    block: *const u8,
    bytes: i64,
    reply: *mut HbaseReply,
) -> i32 {
    guarded(|| {
        let (decoder, reply) = unsafe { (decoder.as_mut()?, slice_mut(reply, 1)?.first_mut()?) };
        let (response, block) = unsafe { (slice(response, length)?, slice(block, bytes)?) };
        let carried = usize::try_from(reply.carried).ok()?;
        match decoder.cells(response, block, carried) {
            Ok(said) => {
                *reply = HbaseReply {
                    rows: i64::try_from(decoder.rows).ok()?,
                    used: i64::try_from(said.used).ok()?,
                    carried: i64::try_from(said.carried).ok()?,
                    scanner: said.scanner,
                    more: said.more,
                    more_in_region: said.more_in_region,
                    heartbeat: said.heartbeat,
                    lease: said.lease,
                    results: i64::try_from(said.results).ok()?,
                    last: i64::try_from(said.last.0).ok()?,
                    last_length: i64::try_from(said.last.1).ok()?,
                    state: 0,
                }
            }
            Err(_) => reply.state = 1,
        }
        Some(())
    })
}

/// Appends the whole rows of the Thrift gateway at the front of `input`, at most `most`; `reply` has `rows`, `used`,
/// `last` and `state`.
///
/// # Safety
/// As `workbench_hbase_cells`.
#[no_mangle]
pub unsafe extern "C" fn workbench_hbase_thrift(
    decoder: *mut hbase::Decoder,
    input: *const u8,
    length: i64,
    most: i64,
    reply: *mut HbaseReply,
) -> i32 {
    guarded(|| {
        let (decoder, reply) = unsafe { (decoder.as_mut()?, slice_mut(reply, 1)?.first_mut()?) };
        match decoder.thrift_rows(unsafe { slice(input, length)? }, usize::try_from(most).ok()?) {
            Ok((used, last)) => {
                (reply.rows, reply.used) = (i64::try_from(decoder.rows).ok()?, i64::try_from(used).ok()?);
                (reply.last, reply.last_length) = (i64::try_from(last.0).ok()?, i64::try_from(last.1).ok()?);
                reply.state = 0;
            }
            Err(_) => reply.state = 1,
        }
        Some(())
    })
}

/// Where the buffers of column `index` are. They stay until the decoder is used again.
///
/// # Safety
/// As `workbench_hbase_cells`; `out` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_hbase_buffers(decoder: *const hbase::Decoder, index: i64, out: *mut Buffers) -> i32 {
    use hbase::Values;
    guarded(|| {
        let (decoder, out) = unsafe { (decoder.as_ref()?, slice_mut(out, 1)?.first_mut()?) };
        let column = decoder.columns.get(usize::try_from(index).ok()?)?;
        let none: &[u8] = &[];
        let (values, length, data) = match &column.values {
            Values::Bool(bits) => (bits.as_ptr(), bits.len(), none),
            Values::Int16(values) => (values.as_ptr().cast(), values.len() * 2, none),
            Values::Int32(values) => (values.as_ptr().cast(), values.len() * 4, none),
            Values::Int64(values) => (values.as_ptr().cast(), values.len() * 8, none),
            Values::Float(values) => (values.as_ptr().cast(), values.len() * 4, none),
            Values::Double(values) => (values.as_ptr().cast(), values.len() * 8, none),
            Values::Varying(text) => (text.offsets.as_ptr().cast(), text.offsets.len() * 4, text.data()),
        };
        *out = Buffers {
            rows: i64::try_from(column.rows).ok()?,
            nulls: i64::try_from(column.nulls).ok()?,
            lost: i64::try_from(column.lost).ok()?,
            validity: column.bits.as_ptr(),
            values,
            values_bytes: i64::try_from(length).ok()?,
            data: data.as_ptr(),
            data_bytes: i64::try_from(data.len()).ok()?,
        };
        Some(())
    })
}

/// # Safety
/// `decoder` is of `workbench_hbase_new`, and nobody uses it or its buffers any more.
#[no_mangle]
pub unsafe extern "C" fn workbench_hbase_free(decoder: *mut hbase::Decoder) {
    if !decoder.is_null() {
        drop(unsafe { Box::from_raw(decoder) });
    }
}
