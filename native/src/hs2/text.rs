//! Values that HiveServer2 sends as text: dates and timestamps of the proleptic Gregorian calendar.

/// Days since 1970-01-01; None when it is no date, or none that 32 bits hold.
#[inline(always)]
pub fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = leading_date(text)?;
    if rest.is_empty() {
        i32::try_from(days).ok()
    } else {
        None
    }
}

/// Microseconds since 1970-01-01 00:00:00 of `date time[.fraction]`; what is finer is cut off.
#[inline(always)]
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let (days, rest) = leading_date(text)?;
    let (time, fraction) = match rest.len() {
        0..=8 => return None,
        9 => (rest, &[][..]),
        _ => rest.split_at(9),
    };
    if time[0] != b' ' || time[3] != b':' || time[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(time, 1)?, two(time, 4)?, two(time, 7)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days.checked_mul(86_400)?.checked_add(i64::from(hour * 3600 + minute * 60 + second))?;
    seconds.checked_mul(1_000_000)?.checked_add(micros(fraction)?)
}

/// How many bytes are left of a CHAR without the blanks that pad it.
#[inline(always)]
pub fn unpadded(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1)
}

/// `.5` to `.123456789`, or nothing.
fn micros(text: &[u8]) -> Option<i64> {
    let digits = match text.split_first() {
        None => return Some(0),
        Some((b'.', digits)) if (1..=9).contains(&digits.len()) => digits,
        Some(_) => return None,
    };
    let mut value = 0;
    for place in 0..digits.len().max(6) {
        let digit = digits.get(place).copied().unwrap_or(b'0').wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if place < 6 {
            value = value * 10 + i64::from(digit);
        }
    }
    Some(value)
}

/// The date at the front, as days since 1970-01-01, and what follows it.
#[inline(always)]
fn leading_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let size = digits.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    if !(4..=9).contains(&size) || digits.len() < size + 6 || digits[size] != b'-' || digits[size + 3] != b'-' {
        return None;
    }
    let mut year = 0i64;
    for &byte in &digits[..size] {
        year = year * 10 + i64::from(byte - b'0');
    }
    let (month, day) = (two(digits, size + 1)?, two(digits, size + 4)?);
    let year = if negative { -year } else { year };
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some((days(year, month, day), &digits[size + 6..]))
}

#[inline(always)]
fn two(text: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (text.get(at)?.wrapping_sub(b'0'), text.get(at + 1)?.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return None;
    }
    Some(u32::from(tens) * 10 + u32::from(ones))
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years begin in March here, so that the leap day is the last of one.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        let known = [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2024-02-29", 19_782),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
            ("+10000-01-01", 2_932_897),
            ("0000-03-01", -719_468),
            ("-0001-12-31", -719_529),
        ];
        for (text, days) in known {
            assert_eq!(date(text.as_bytes()), Some(days), "{}", text);
        }
        for bad in ["", "-", "2024-02-30", "2023-02-29", "2024-13-01", "2024-1-01", "202-01-01", "2024-01-01 ", "x"] {
            assert_eq!(date(bad.as_bytes()), None, "{}", bad);
        }
        assert_eq!(date(b"999999999-01-01"), None, "32 bits hold no such day");
    }

    #[test]
    fn timestamps_are_microseconds_and_what_is_finer_is_cut() {
        let known = [
            ("1970-01-01 00:00:00", 0),
            ("1970-01-01 00:00:00.5", 500_000),
            ("1969-12-31 23:59:59.999999999", -1),
            ("2024-03-31 02:30:00.123456789", 1_711_852_200_123_456),
            ("0001-01-01 00:00:00.0", -62_135_596_800_000_000),
        ];
        for (text, micros) in known {
            assert_eq!(timestamp(text.as_bytes()), Some(micros), "{}", text);
        }
        let bad = [
            "1970-01-01",
            "1970-01-01 00:00",
            "1970-01-01T00:00:00",
            "1970-01-01 24:00:00",
            "1970-01-01 00:00:60",
            "1970-01-01 00:00:00.",
            "1970-01-01 00:00:00.1234567890",
            "1970-01-01 00:00:00.12x",
            "1970-01-01 00:00:00 UTC",
            "999999999-01-01 00:00:00",
        ];
        for text in bad {
            assert_eq!(timestamp(text.as_bytes()), None, "{}", text);
        }
    }

    #[test]
    fn only_blanks_pad() {
        assert_eq!([unpadded(b"ab  "), unpadded(b"  "), unpadded(b" a\t"), unpadded(b"")], [2, 0, 3, 0]);
    }
}
