//! Network replies to Arrow column buffers, called from Python through a C ABI.
//!
//! `unsafe` is in this file only: it makes slices of the pointers, the decoders see slices. No panic leaves an export.
//! Nothing is allocated by a number that a server sent: the buffers come from the caller, with stated capacities.
#![deny(unsafe_op_in_unsafe_fn)]

mod columns;
mod decimal;
mod mysql;

use columns::{Fixed, Validity, Varying};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Changed with every change of a struct, an export or the meaning of a number; `workbench/kit/native.py` has the same.
const ABI: u32 = 1;

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
