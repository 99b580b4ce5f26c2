//! Decimal text to 128-bit integers, exactly or not at all.

use crate::columns::Fault;

const TENS: [u128; 39] = {
    let mut tens = [1u128; 39];
    let mut power = 1;
    while power < 39 {
        tens[power] = tens[power - 1] * 10;
        power += 1;
    }
    tens
};

/// Decimal text, unscaled; None when it does not fit `precision` and `scale` (at most 38) exactly.
#[inline(always)]
pub fn decimal(text: &[u8], precision: u32, scale: u32) -> Result<Option<i128>, Fault> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    // 64-bit arithmetic for what fits it, that is for most columns of money
    let parsed = if digits.len() <= 19 { short_digits(digits)? } else { long_digits(digits, scale)? };
    let (mut unscaled, mut places) = match parsed {
        Some(parsed) => parsed,
        None => return Ok(None),
    };
    while places > scale && unscaled % 10 == 0 {
        unscaled /= 10;
        places -= 1;
    }
    if places > scale {
        return Ok(None);
    }
    let bound = TENS[precision as usize];
    let factor = TENS[(scale - places) as usize];
    match unscaled.checked_mul(factor) {
        Some(unscaled) if unscaled < bound => {
            let unscaled = unscaled as i128; // below 10^38
            Ok(Some(if negative { -unscaled } else { unscaled }))
        }
        _ => Ok(None),
    }
}

/// Digits with at most one point, at most 19 bytes: the number without the point, and the places after it.
#[inline(always)]
fn short_digits(text: &[u8]) -> Result<Option<(u128, u32)>, Fault> {
    let (mut number, mut point) = (0u64, None);
    for (index, &byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            number = number.wrapping_mul(10).wrapping_add(digit.into()); // 19 digits fit
        } else if byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return Err(Fault::Malformed);
        }
    }
    let places = point.map_or(0, |index| text.len() - index - 1);
    if text.len() == usize::from(point.is_some()) {
        return Err(Fault::Malformed); // no digit at all
    }
    Ok(Some((number.into(), places as u32)))
}

/// The same for more digits; None when the number is 10^38 or more. Zeros past `scale` places are left out.
fn long_digits(text: &[u8], scale: u32) -> Result<Option<(u128, u32)>, Fault> {
    let (mut number, mut places, mut after, mut fits) = (0u128, 0u32, false, true);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if after && places >= scale {
                fits &= digit == 0;
                continue;
            }
            number = match number.checked_mul(10).and_then(|number| number.checked_add(digit.into())) {
                Some(number) => number,
                None => {
                    fits = false;
                    continue;
                }
            };
            places += u32::from(after);
        } else if byte == b'.' && !after {
            after = true;
        } else {
            return Err(Fault::Malformed);
        }
    }
    Ok(if fits { Some((number, places)) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_lost() {
        let of = |text: &str, precision, scale| decimal(text.as_bytes(), precision, scale);
        assert_eq!(of("-0.01", 12, 2), Ok(Some(-1)));
        assert_eq!(of("+12", 12, 2), Ok(Some(1200)));
        assert_eq!(of(".5", 12, 2), Ok(Some(50)));
        assert_eq!(of("0000000000012.50", 12, 2), Ok(Some(1250)));
        assert_eq!(of("1.2500", 12, 2), Ok(Some(125)), "zeros past the scale say nothing");
        assert_eq!(of("1.255", 12, 2), Ok(None));
        assert_eq!(of("9999999999.99", 12, 2), Ok(Some(999_999_999_999)));
        assert_eq!(of("10000000000.00", 12, 2), Ok(None));
        let most = "99999999999999999999999999999999999999";
        assert_eq!(of(most, 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&format!("-{}", most), 38, 0), Ok(Some(1 - 10i128.pow(38))));
        assert_eq!(of(&format!("{}0", most), 38, 0), Ok(None));
        assert_eq!(of(&format!("{}.000", most), 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&format!("0000000000{}", most), 38, 0), Ok(Some(10i128.pow(38) - 1)));
        assert_eq!(of(&"9".repeat(60), 38, 0), Ok(None));
        for bad in ["", "-", ".", "1.2.3", "1e5", "nan", "--1", "1 "] {
            assert_eq!(of(bad, 38, 10), Err(Fault::Malformed), "{:?}", bad);
            let long = format!("{}x", "1".repeat(30));
            assert_eq!(of(&long, 38, 10), Err(Fault::Malformed));
        }
    }
}
