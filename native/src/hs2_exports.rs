//! The exports for HiveServer2's replies and for Thrift messages without a frame; see `lib.rs`.

use crate::{guarded, hs2, slice, slice_mut, Buffers};
use std::panic::catch_unwind;

/// What `workbench_hs2_decode` found.
#[repr(C)]
pub struct Hs2Reply {
    pub rows: i64,
    /// Where the rows begin in the result, as the server counts.
    pub offset: i64,
    /// For a value that is not what its type says: where it lies in the input.
    pub at: i64,
    pub size: i64,
    pub row: i64,
    /// What `state` is about, from 0.
    pub column: i32,
    /// 0 rows, 1 no reply to this call, 2 refused, 3 packed rows, 4 a bad value, 5 a column of another type. But for 0
    /// the decoder is not used again.
    pub state: i32,
    /// Whether the server says that there is more.
    pub more: i32,
}

/// A decoder for one reply with the columns that `spec` says, or null; to be freed by `workbench_hs2_free`.
///
/// # Safety
/// `spec` holds `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn workbench_hs2_new(spec: *const u8, length: i64) -> *mut hs2::Decoder {
    let made = catch_unwind(|| hs2::Decoder::new(unsafe { slice(spec, length)? }));
    made.ok().flatten().map_or(std::ptr::null_mut(), |decoder| Box::into_raw(Box::new(decoder)))
}

/// Decodes one reply to the call of that number. Once for a decoder.
///
/// # Safety
/// `decoder` is of `workbench_hs2_new` and used by nobody else now, `input` holds `length` bytes, `reply` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_hs2_decode(
    decoder: *mut hs2::Decoder,
    input: *const u8,
    length: i64,
    sequence: i32,
    reply: *mut Hs2Reply,
) -> i32 {
    guarded(|| {
        let (decoder, out, input) =
            unsafe { (decoder.as_mut()?, slice_mut(reply, 1)?.first_mut()?, slice(input, length)?) };
        if !decoder.columns.is_empty() {
            return None;
        }
        *out = Hs2Reply { rows: 0, offset: 0, at: 0, size: 0, row: 0, column: -1, state: 1, more: 0 };
        match decoder.reply(input, sequence) {
            Ok(hs2::Reply::Rows { rows, more, offset }) => {
                (out.state, out.rows, out.offset, out.more) = (0, i64::try_from(rows).ok()?, offset, more.into());
            }
            Ok(hs2::Reply::Refused) => out.state = 2,
            Ok(hs2::Reply::Packed) => out.state = 3,
            Ok(hs2::Reply::Bad { column, row, at, size }) => {
                (out.state, out.column) = (4, i32::try_from(column).ok()?);
                (out.row, out.at, out.size) =
                    (i64::try_from(row).ok()?, i64::try_from(at).ok()?, i64::try_from(size).ok()?);
            }
            Ok(hs2::Reply::Other { column }) => (out.state, out.column) = (5, i32::try_from(column).ok()?),
            Err(_) => {}
        }
        Some(())
    })
}

/// Where the buffers of column `index` are. They stay until the decoder is freed.
///
/// # Safety
/// As `workbench_hs2_decode`; `out` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_hs2_buffers(decoder: *const hs2::Decoder, index: i64, out: *mut Buffers) -> i32 {
    use hs2::Values;
    guarded(|| {
        let (decoder, out) = unsafe { (decoder.as_ref()?, slice_mut(out, 1)?.first_mut()?) };
        let column = decoder.columns.get(usize::try_from(index).ok()?)?;
        let (values, length, text) = match &column.values {
            Values::Bits(values) | Values::W1(values) => (values.as_ptr(), values.len(), &[][..]),
            Values::W2(values) => (values.as_ptr().cast(), values.len() * 2, &[][..]),
            Values::W4(values) => (values.as_ptr().cast(), values.len() * 4, &[][..]),
            Values::W8(values) => (values.as_ptr().cast(), values.len() * 8, &[][..]),
            Values::W16(values) => (values.as_ptr().cast(), values.len() * 16, &[][..]),
            Values::Varying { offsets, data } => (offsets.as_ptr().cast(), offsets.len() * 4, data.as_slice()),
        };
        *out = Buffers {
            rows: i64::try_from(column.rows).ok()?,
            nulls: i64::try_from(column.nulls).ok()?,
            lost: 0,
            validity: column.bits.as_ptr(),
            values,
            values_bytes: i64::try_from(length).ok()?,
            data: text.as_ptr(),
            data_bytes: i64::try_from(text.len()).ok()?,
        };
        Some(())
    })
}

/// # Safety
/// `decoder` is of `workbench_hs2_new`, and nobody uses it or its buffers any more.
#[no_mangle]
pub unsafe extern "C" fn workbench_hs2_free(decoder: *mut hs2::Decoder) {
    if !decoder.is_null() {
        drop(unsafe { Box::from_raw(decoder) });
    }
}

/// Room that a caller has for the state of `workbench_thrift_end`.
const SCAN_BYTES: usize = 2048;
const _: () = assert!(std::mem::size_of::<hs2::Scan>() <= SCAN_BYTES);

/// Where the Thrift message ends that `input` begins with: `found` is its size, or minus the bytes that are needed at
/// least to say more; 0 when it is none. `scan` is 2,048 bytes, zeros at first, and then as they were left.
///
/// # Safety
/// `input` holds `length` bytes, `scan` as many as said, aligned to 8, `found` is one.
#[no_mangle]
pub unsafe extern "C" fn workbench_thrift_end(
    input: *const u8,
    length: i64,
    scan: *mut hs2::Scan,
    found: *mut i64,
) -> i32 {
    guarded(|| {
        let (input, scan, found) =
            unsafe { (slice(input, length)?, slice_mut(scan, 1)?.first_mut()?, slice_mut(found, 1)?.first_mut()?) };
        *found = match scan.walk(input) {
            Ok(hs2::Scanned::Whole(size)) => i64::try_from(size).ok()?,
            Ok(hs2::Scanned::Needs(size)) => -i64::try_from(size).ok()?,
            Err(_) => 0,
        };
        Some(())
    })
}
