//! Numbers as gateways write them: whole or with a fraction, bare or as text, in seconds down to nanoseconds.

use super::{fields::Value, mapping::Unit};

/// A number that is not negative, as its whole part and its fraction in billionths. `None` if it is none.
pub(super) fn decimal(value: Value<'_>) -> Option<(u64, u32)> {
    match value {
        Value::Unsigned(whole) => Some((whole, 0)),
        Value::Float(number) => from_float(number),
        Value::Text(text) => from_text(text.trim_ascii()),
        Value::Negative | Value::None => None,
    }
}

fn from_float(number: f64) -> Option<(u64, u32)> {
    // Above 2^64 a cast would saturate, and call a wrong number a right one.
    if !(0.0..1.8e19).contains(&number) {
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

fn from_text(text: &str) -> Option<(u64, u32)> {
    let (whole, fraction) = match text.bytes().position(|byte| byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        // An exponent, or a sign: rare enough for the general parser, which also reads "inf" and "nan".
        return text.parse().ok().and_then(from_float);
    }
    let mut nanos = 0;
    let mut unit = 100_000_000;
    for digit in fraction.bytes().take(9) {
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some((whole.parse().ok()?, nanos))
}

/// A duration in microseconds, at most `u32::MAX` (71 minutes). 0 where it is absent, negative or no number.
///
/// nginx writes one time per upstream tried, `0.1, 0.2 : 0.3`, with `-` for one that was not reached: they are added.
pub(super) fn duration_us(value: Value<'_>, unit: Unit) -> u32 {
    if let Value::Text(text) = value
        && text.bytes().any(|byte| matches!(byte, b',' | b':'))
    {
        let parts = text.split([',', ':']).map(|part| one_duration_us(Value::Text(part), unit));
        return parts.fold(0, u32::saturating_add);
    }
    one_duration_us(value, unit)
}

fn one_duration_us(value: Value<'_>, unit: Unit) -> u32 {
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
pub(super) fn bytes(value: Value<'_>) -> u32 {
    decimal(value).map_or(0, |(whole, _)| u32::try_from(whole).unwrap_or(u32::MAX))
}

/// An HTTP status; 0 for a request that ended before it had one (HAProxy writes -1). `None` if it is none.
pub(super) fn status(value: Value<'_>) -> Option<u16> {
    match value {
        Value::Negative | Value::Text("-1") => Some(0),
        Value::Float(_) | Value::None => None,
        value => match decimal(value)? {
            (whole @ 0..=999, 0) => u16::try_from(whole).ok(),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_come_in_every_unit() {
        assert_eq!(duration_us(Value::Float(0.013), Unit::S), 13_000);
        assert_eq!(duration_us(Value::Text("0.013"), Unit::S), 13_000);
        assert_eq!(duration_us(Value::Unsigned(33), Unit::Ms), 33_000);
        assert_eq!(duration_us(Value::Float(33.1), Unit::Ms), 33_100);
        assert_eq!(duration_us(Value::Unsigned(33), Unit::Us), 33);
        assert_eq!(duration_us(Value::Unsigned(4_029_620), Unit::Ns), 4_029);
    }

    #[test]
    fn upstream_times_of_nginx_are_added() {
        assert_eq!(duration_us(Value::Text("0.1, 0.2 : 0.3"), Unit::S), 600_000);
        assert_eq!(duration_us(Value::Text("-, 0.2"), Unit::S), 200_000);
    }

    #[test]
    fn absent_negative_and_silly_durations_are_zero_or_the_most() {
        assert_eq!(duration_us(Value::Text("-"), Unit::S), 0);
        assert_eq!(duration_us(Value::Text(""), Unit::S), 0);
        assert_eq!(duration_us(Value::Negative, Unit::Ms), 0);
        assert_eq!(duration_us(Value::Text("-1"), Unit::Ms), 0);
        assert_eq!(duration_us(Value::Text("NaN"), Unit::Ms), 0);
        assert_eq!(duration_us(Value::Unsigned(u64::MAX), Unit::S), u32::MAX);
        assert_eq!(bytes(Value::Text("99999999999999999999999")), 0);
        assert_eq!(bytes(Value::Float(1e12)), u32::MAX);
    }

    #[test]
    fn a_status_is_a_small_whole_number() {
        assert_eq!(status(Value::Unsigned(200)), Some(200));
        assert_eq!(status(Value::Text("429")), Some(429));
        assert_eq!(status(Value::Negative), Some(0));
        assert_eq!(status(Value::Unsigned(65_736)), None);
        assert_eq!(status(Value::Text("200.5")), None);
        assert_eq!(status(Value::Text("ok")), None);
        assert_eq!(status(Value::Float(200.0)), None);
    }
}
