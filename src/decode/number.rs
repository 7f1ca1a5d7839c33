//! Numbers as gateways write them: whole or with a fraction, bare or as text, in seconds down to nanoseconds.

use super::mapping::Unit;

/// A number that is not negative, as its whole part and its fraction in billionths. `None` if it is none.
pub(super) fn decimal(text: &str) -> Option<(u64, u32)> {
    let text = text.trim_ascii();
    let mut whole = 0_u64;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => whole = whole.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b'.' if index > 0 => {
                let nanos = billionths(&text.as_bytes()[index + 1..]);
                return nanos.map_or_else(|| from_float(text), |nanos| Some((whole, nanos)));
            }
            _ => return from_float(text),
        }
    }
    (!text.is_empty()).then_some((whole, 0))
}

/// The digits after a point; those after the ninth are cut.
fn billionths(digits: &[u8]) -> Option<u32> {
    let mut nanos = 0;
    let mut unit = 100_000_000;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some(nanos)
}

/// An exponent, or a sign: rare enough for the general parser, which also reads "inf" and "nan".
fn from_float(text: &str) -> Option<(u64, u32)> {
    let number: f64 = text.parse().ok()?;
    // Above 2^64 a cast would saturate, and call a wrong number a right one.
    if !(0.0..1.8e19).contains(&number) || text.starts_with('-') {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range was checked
    {
        let whole = number.trunc();
        // Half a microsecond more, so that a time such as .839 that binary cannot hold is not cut to .838.
        let nanos = ((number - whole) * 1e9 + 500.0).min(999_999_999.0);
        Some((whole as u64, nanos as u32))
    }
}

/// A duration in microseconds, at most `u32::MAX` (71 minutes). 0 where it is absent, negative or no number.
///
/// nginx writes one time per upstream tried, `0.1, 0.2 : 0.3`, with `-` for one that was not reached: they are added.
pub(super) fn duration_us(value: &str, unit: Unit) -> u32 {
    if value.bytes().any(|byte| matches!(byte, b',' | b':')) {
        let parts = value.split([',', ':']).map(|part| one_duration_us(part, unit));
        return parts.fold(0, u32::saturating_add);
    }
    one_duration_us(value, unit)
}

fn one_duration_us(value: &str, unit: Unit) -> u32 {
    let Some((whole, nanos)) = decimal(value) else { return 0 };
    let nanos = u64::from(nanos);
    let us = match unit {
        Unit::S => whole.saturating_mul(1_000_000).saturating_add(nanos / 1_000),
        Unit::Us => whole,
        Unit::Ns => whole / 1_000,
        _ => whole.saturating_mul(1_000).saturating_add(nanos / 1_000_000),
    };
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// A count of bytes, at most `u32::MAX`. 0 where it is absent, negative or no number.
pub(super) fn bytes(value: &str) -> u32 {
    decimal(value).map_or(0, |(whole, _)| u32::try_from(whole).unwrap_or(u32::MAX))
}

/// An HTTP status; 0 for a request that ended before it had one (HAProxy writes -1). `None` if it is none.
pub(super) fn status(value: &str) -> Option<u16> {
    match value.as_bytes() {
        b"-1" => Some(0),
        digits if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => value.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_come_in_every_unit() {
        assert_eq!(duration_us("0.013", Unit::S), 13_000);
        assert_eq!(duration_us("0.013", Unit::S), 13_000);
        assert_eq!(duration_us("33", Unit::Ms), 33_000);
        assert_eq!(duration_us("33.1", Unit::Ms), 33_100);
        assert_eq!(duration_us("33", Unit::Us), 33);
        assert_eq!(duration_us("4029620", Unit::Ns), 4_029);
    }

    #[test]
    fn upstream_times_of_nginx_are_added() {
        assert_eq!(duration_us("0.1, 0.2 : 0.3", Unit::S), 600_000);
        assert_eq!(duration_us("-, 0.2", Unit::S), 200_000);
    }

    #[test]
    fn absent_negative_and_silly_durations_are_zero_or_the_most() {
        assert_eq!(duration_us("-", Unit::S), 0);
        assert_eq!(duration_us("", Unit::S), 0);
        assert_eq!(duration_us("-1", Unit::Ms), 0);
        assert_eq!(duration_us("-1", Unit::Ms), 0);
        assert_eq!(duration_us("NaN", Unit::Ms), 0);
        assert_eq!(duration_us("18446744073709551615", Unit::S), u32::MAX);
        assert_eq!(bytes("99999999999999999999999"), 0);
        assert_eq!(bytes("1e12"), u32::MAX);
    }

    #[test]
    fn a_status_is_a_small_whole_number() {
        assert_eq!(status("200"), Some(200));
        assert_eq!(status("429"), Some(429));
        assert_eq!(status("-1"), Some(0));
        assert_eq!(status("65736"), None);
        assert_eq!(status("200.5"), None);
        assert_eq!(status("ok"), None);
        assert_eq!(status("200.0"), None);
    }
}
