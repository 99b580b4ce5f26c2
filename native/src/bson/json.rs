//! Values that no column type holds, as MongoDB's relaxed extended JSON; Decimal128 as its exact text.

use super::read::*;
use std::io::Write;

const DEEPEST: usize = 220;
const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub enum Fault {
    /// A text that is not UTF-8.
    Text,
    Malformed,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Fault {
        Fault::Malformed
    }
}

pub fn hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

pub fn write(kind: u8, value: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    any(kind, value, out, 0)
}

/// Into memory: it cannot fail.
macro_rules! put {
    ($out:expr, $($part:tt)*) => { let _ = write!($out, $($part)*); };
}

fn any(kind: u8, value: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    if depth > DEEPEST {
        return Err(Fault::Malformed); // a server nests documents 100 deep, or a little more
    }
    match kind {
        DOUBLE => {
            let number = f64::from_le_bytes(array(value)?);
            if number.is_finite() {
                put!(out, "{number:?}");
            } else {
                let name = if number.is_nan() {
                    "NaN"
                } else if number > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                };
                put!(out, "{{\"$numberDouble\":\"{name}\"}}");
            }
        }
        STRING => text(string(value)?, out)?,
        SYMBOL => wrapped(b"{\"$symbol\":", string(value)?, out)?,
        CODE => wrapped(b"{\"$code\":", string(value)?, out)?,
        DOCUMENT => list(value, out, depth, b'{', b'}')?,
        ARRAY => list(value, out, depth, b'[', b']')?,
        BINARY => {
            let (subtype, content) = binary(value)?;
            out.extend_from_slice(b"{\"$binary\":{\"base64\":\"");
            base64(content, out);
            put!(out, "\",\"subType\":\"{subtype:02x}\"}}}}");
        }
        OBJECT_ID => object_id(value, out),
        BOOL => out.extend_from_slice(if value == [0] { b"false" } else { b"true" }),
        DATE => date(i64::from_le_bytes(array(value)?), out),
        NULL => out.extend_from_slice(b"null"),
        UNDEFINED => out.extend_from_slice(b"{\"$undefined\":true}"),
        MIN_KEY => out.extend_from_slice(b"{\"$minKey\":1}"),
        MAX_KEY => out.extend_from_slice(b"{\"$maxKey\":1}"),
        REGEX => {
            let end = zero(value)?;
            out.extend_from_slice(b"{\"$regularExpression\":{\"pattern\":");
            text(&value[..end], out)?;
            out.extend_from_slice(b",\"options\":");
            text(value.get(end + 1..value.len() - 1).ok_or(Malformed)?, out)?;
            out.extend_from_slice(b"}}");
        }
        DB_POINTER => {
            let (name, id) = value.split_at(value.len().checked_sub(12).ok_or(Malformed)?);
            out.extend_from_slice(b"{\"$dbPointer\":{\"$ref\":");
            text(string(name)?, out)?;
            out.extend_from_slice(b",\"$id\":");
            object_id(id, out);
            out.extend_from_slice(b"}}");
        }
        CODE_WITH_SCOPE => {
            let rest = value.get(4..).ok_or(Malformed)?;
            let end = length(rest)?.checked_add(4).ok_or(Malformed)?;
            let (code, scope) = (rest.get(..end).ok_or(Malformed)?, rest.get(end..).ok_or(Malformed)?);
            out.extend_from_slice(b"{\"$code\":");
            text(string(code)?, out)?;
            out.extend_from_slice(b",\"$scope\":");
            list(scope, out, depth, b'{', b'}')?;
            out.push(b'}');
        }
        INT32 => {
            put!(out, "{}", i32::from_le_bytes(array(value)?));
        }
        INT64 => {
            put!(out, "{}", i64::from_le_bytes(array(value)?));
        }
        TIMESTAMP => {
            let both = u64::from_le_bytes(array(value)?);
            put!(out, "{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", both >> 32, both & 0xffff_ffff);
        }
        DECIMAL => {
            out.extend_from_slice(b"{\"$numberDecimal\":\"");
            decimal(array(value)?, out);
            out.extend_from_slice(b"\"}");
        }
        _ => return Err(Fault::Malformed),
    }
    Ok(())
}

fn list(value: &[u8], out: &mut Vec<u8>, depth: usize, open: u8, close: u8) -> Result<(), Fault> {
    out.push(open);
    for (index, element) in Bytes::document(value)?.enumerate() {
        let element = element?;
        if index > 0 {
            out.push(b',');
        }
        if open == b'{' {
            text(element.name, out)?;
            out.push(b':');
        }
        any(element.kind, element.value, out, depth + 1)?;
    }
    out.push(close);
    Ok(())
}

fn wrapped(before: &[u8], content: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(before);
    text(content, out)?;
    out.push(b'}');
    Ok(())
}

fn text(content: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    if std::str::from_utf8(content).is_err() {
        return Err(Fault::Text);
    }
    out.push(b'"');
    for &byte in content {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=31 => {
                put!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    Ok(())
}

fn object_id(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$oid\":\"");
    hexadecimal(value, out);
    out.extend_from_slice(b"\"}");
}

fn base64(content: &[u8], out: &mut Vec<u8>) {
    for three in content.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { digit } else { b'=' });
        }
    }
}

/// From 1970 to 9999 as ISO 8601, else as milliseconds.
fn date(milliseconds: i64, out: &mut Vec<u8>) {
    if !(0..253_402_300_800_000).contains(&milliseconds) {
        put!(out, "{{\"$date\":{{\"$numberLong\":\"{milliseconds}\"}}}}");
        return;
    }
    let (days, rest) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    // Days to a date of the Gregorian calendar, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    put!(
        out,
        "{{\"$date\":\"{year:04}-{month:02}-{of_month:02}T{:02}:{:02}:{:02}",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1000 % 60
    );
    if rest % 1000 != 0 {
        put!(out, ".{:03}", rest % 1000);
    }
    out.extend_from_slice(b"Z\"}");
}

/// Decimal128 (binary integer form) as the text that its specification gives.
pub fn decimal(bytes: [u8; 16], out: &mut Vec<u8>) {
    let bits = u128::from_le_bytes(bytes);
    let high = (bits >> 64) as u64;
    if high >> 58 & 31 == 31 {
        out.extend_from_slice(b"NaN");
        return;
    }
    if high >> 63 == 1 {
        out.push(b'-');
    }
    if high >> 58 & 31 == 30 {
        out.extend_from_slice(b"Infinity");
        return;
    }
    let (exponent, mut digits) = if high >> 61 & 3 == 3 {
        (high >> 47 & 0x3fff, 0) // more digits than 34: zero, says the standard
    } else {
        (high >> 49 & 0x3fff, bits & ((1 << 113) - 1))
    };
    if digits > 9_999_999_999_999_999_999_999_999_999_999_999 {
        digits = 0;
    }
    let exponent = exponent as i32 - 6176;
    let text = digits.to_string();
    let scientific = exponent + text.len() as i32 - 1;
    if exponent > 0 || scientific < -6 {
        let (first, rest) = text.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        put!(out, "{first}{dot}{rest}E{scientific:+}");
    } else if exponent == 0 {
        put!(out, "{text}");
    } else {
        let places = exponent.unsigned_abs() as usize;
        let padded = format!("{text:0>width$}", width = places + 1);
        let (whole, part) = padded.split_at(padded.len() - places);
        put!(out, "{whole}.{part}");
    }
}
