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

/// A duration in microseconds, at most `u32::MAX` (71 minutes). `None` where it is absent, negative or no duration.
///
/// A suffix (`33ms`, `1m2s`, as Go and many shippers write) comes before the mapping's unit.
pub(super) fn duration_us(value: &str, unit: Unit) -> Option<u32> {
    match decimal(value) {
        Some(number) => Some(microseconds(number, unit)),
        None if value.is_empty() => None,
        None => listed(value, unit),
    }
}

fn microseconds((whole, nanos): (u64, u32), unit: Unit) -> u32 {
    let nanos = u64::from(nanos);
    let us = match unit {
        Unit::S => whole.saturating_mul(1_000_000).saturating_add(nanos / 1_000),
        Unit::Us => whole,
        Unit::Ns => whole / 1_000,
        _ => whole.saturating_mul(1_000).saturating_add(nanos / 1_000_000),
    };
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// nginx writes one time per upstream tried, `0.1, 0.2 : 0.3`, with `-` for one that was not reached: they are added.
/// A comma without a blank may be a decimal one, and tells nothing.
#[cold]
fn listed(value: &str, unit: Unit) -> Option<u32> {
    let mut sum = None;
    for part in value.split(", ").flat_map(|part| part.split(" : ")).map(str::trim_ascii) {
        if part != "-" {
            let us = decimal(part).map(|number| microseconds(number, unit)).or_else(|| suffixed(part))?;
            sum = Some(us.saturating_add(sum.unwrap_or(0)));
        }
    }
    sum
}

/// One number or more with its unit each: `0.033s`, `471.475μs`, `1m2s`.
fn suffixed(text: &str) -> Option<u32> {
    let (mut rest, mut sum_ns) = (text, 0_u128);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let after = after.trim_ascii_start();
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let unit_ns = match unit.trim_ascii_end() {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, nanos) = decimal(number)?;
        let ns = u128::from(whole) * unit_ns + u128::from(nanos) * unit_ns / 1_000_000_000;
        sum_ns = sum_ns.saturating_add(ns);
        rest = after;
    }
    Some(u32::try_from(sum_ns / 1_000).unwrap_or(u32::MAX))
}

/// A count of bytes, at most `u32::MAX`. `None` where it is absent, negative or no number.
pub(super) fn bytes(value: &str) -> Option<u32> {
    decimal(value).map(|(whole, _)| u32::try_from(whole).unwrap_or(u32::MAX))
}

/// An HTTP status; 0 for a request that ended before it had one (HAProxy writes -1). `None` if it is none.
pub(super) fn status(value: &str) -> Option<u16> {
    match value.as_bytes() {
        digits @ [_, ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => value.parse().ok(),
        _ => odd_status(value),
    }
}

#[cold]
fn odd_status(value: &str) -> Option<u16> {
    if value == "-1" {
        return Some(0);
    }
    // An exponent is read with half a microsecond more.
    let (whole, nanos) = decimal(value)?;
    u16::try_from(whole).ok().filter(|status| *status <= 999 && nanos < 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_come_in_every_unit() {
        assert_eq!(duration_us("0.013", Unit::S), Some(13_000));
        assert_eq!(duration_us("33", Unit::Ms), Some(33_000));
        assert_eq!(duration_us("33.1", Unit::Ms), Some(33_100));
        assert_eq!(duration_us("33", Unit::Us), Some(33));
        assert_eq!(duration_us("4029620", Unit::Ns), Some(4_029));
    }

    #[test]
    fn upstream_times_of_nginx_are_added() {
        assert_eq!(duration_us("0.1, 0.2 : 0.3", Unit::S), Some(600_000));
        assert_eq!(duration_us("-, 0.2", Unit::S), Some(200_000));
        assert_eq!(duration_us("-, -", Unit::S), None);
        assert_eq!(duration_us("0.1, x", Unit::S), None);
    }

    #[test]
    fn a_suffix_says_the_unit_whatever_the_mapping_says() {
        for (text, us) in [
            ("0.033s", 33_000),
            ("12ms", 12_000),
            ("12.5 ms", 12_500),
            ("471.475μs", 471),
            ("471.475µs", 471),
            ("471us", 471),
            ("1500ns", 1),
            ("1m2s", 62_000_000),
            ("1h0m1.5s", 3_601_500_000),
            (".5s", 500_000),
        ] {
            assert_eq!(duration_us(text, Unit::Ns), Some(us), "{text}");
        }
    }

    #[test]
    fn other_forms_of_a_number_are_read() {
        assert_eq!(duration_us("1.2e-2", Unit::S), Some(12_000));
        assert_eq!(duration_us(".5", Unit::S), Some(500_000));
        assert_eq!(duration_us(" 5 ", Unit::S), Some(5_000_000));
        assert_eq!(bytes("1.7953276608e+05"), Some(179_532));
    }

    #[test]
    fn what_is_absent_negative_or_no_number_is_unknown_and_what_is_too_much_the_most() {
        let unknown = [
            "-", "", "-1", "-0.001", "NaN", "inf", "1e400", "0,033", "1 000", "0x10", "1m2", "m", "5x",
            "1:02",
        ];
        for text in unknown {
            assert_eq!(duration_us(text, Unit::S), None, "{text}");
        }
        for text in ["-", "", "-1", "NaN", "inf", "1e400", "99999999999999999999999", "12kB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(duration_us("18446744073709551615", Unit::S), Some(u32::MAX));
        assert_eq!(duration_us("99999999999999999h", Unit::S), Some(u32::MAX));
        assert_eq!(bytes("1e12"), Some(u32::MAX));
    }

    #[test]
    fn a_status_is_a_small_whole_number() {
        for (text, status) in
            [("200", 200), ("429", 429), ("000", 0), ("-1", 0), ("200.0", 200), ("2e2", 200)]
        {
            assert_eq!(super::status(text), Some(status), "{text}");
        }
        for text in ["", "-", "-2", "65736", "1000", "200.5", "ok", "200 OK", "NaN", "1e400"] {
            assert_eq!(status(text), None, "{text}");
        }
    }
}
