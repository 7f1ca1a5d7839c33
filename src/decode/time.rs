//! Times as gateways write them, to milliseconds since the epoch.
//!
//! The parsers are our own because they run for each record (RFC 3339 by a general library costs as much as a fifth
//! of a record); a property test holds them equal to `jiff`.

use super::{mapping::Unit, number::decimal};
use crate::event::EventTime;

/// 2001-09-09, where a count of seconds gets its tenth digit: earlier times are a wrong unit, not a request.
const EARLIEST_MS: u64 = 1_000_000_000_000;
/// 2100-01-01.
const LATEST_MS: u64 = 4_102_444_800_000;

/// Reads a time in the mapping's unit. `None` if it is none, or is out of the range of plausible times.
pub(super) fn event_time(value: &str, unit: Unit) -> Option<EventTime> {
    let ms = match unit {
        Unit::Rfc3339 => rfc3339_ms(value.as_bytes())?,
        Unit::Clf => clf_ms(value.as_bytes())?,
        // Caddy and others can be told to write the same field as a text, which nobody would take for a number.
        unit => epoch_ms(value, unit).or_else(|| rfc3339_ms(value.as_bytes()))?,
    };
    (EARLIEST_MS..LATEST_MS).contains(&ms).then_some(EventTime(ms))
}

/// Whether a time that has been read is written without a fraction of a second.
#[inline]
pub(super) fn has_whole_seconds(value: &str, unit: Unit) -> bool {
    let text = value.as_bytes();
    let fraction = match unit {
        Unit::Clf => 20,
        _ if unit == Unit::Rfc3339 || text.get(4) == Some(&b'-') => 19,
        // Plausible seconds have ten digits.
        Unit::S => 10,
        _ => return false,
    };
    !matches!(text.get(fraction), Some(b'.' | b','))
}

fn epoch_ms(value: &str, unit: Unit) -> Option<u64> {
    let (whole, nanos) = decimal(value)?;
    match unit {
        Unit::S => whole.checked_mul(1_000)?.checked_add(u64::from(nanos / 1_000_000)),
        Unit::Us => Some(whole / 1_000),
        Unit::Ns => Some(whole / 1_000_000),
        _ => Some(whole),
    }
}

/// `2026-11-22T06:07:40.839Z` or with an offset such as `+02:00`; `None` for anything else.
fn rfc3339_ms(text: &[u8]) -> Option<u64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let separated = date_time[4] == b'-'
        && date_time[7] == b'-'
        && matches!(date_time[10], b'T' | b't' | b' ')
        && date_time[13] == b':'
        && date_time[16] == b':';
    if !separated {
        return None;
    }
    let date = days(digits(&date_time[..4])?, digits(&date_time[5..7])?, digits(&date_time[8..10])?)?;
    let of_day = seconds_of_day(&date_time[11..19])?;
    let (fraction, zone) = fraction_ms(rest)?;
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign, hours @ .., b':', m1, m2] => zone_seconds(*sign, hours, &[*m1, *m2])?,
        [sign, h1, h2, m1, m2] => zone_seconds(*sign, &[*h1, *h2], &[*m1, *m2])?,
        _ => return None,
    };
    to_ms(date, of_day - offset, fraction)
}

/// The time of the Common Log Format, `22/Nov/2026:06:07:40 +0000`; also with a fraction, and without a zone (UTC).
fn clf_ms(text: &[u8]) -> Option<u64> {
    let (date_time, rest) = text.split_at_checked(20)?;
    let separated = date_time[2] == b'/' && date_time[6] == b'/' && date_time[11] == b':';
    if !separated || date_time[14] != b':' || date_time[17] != b':' {
        return None;
    }
    let date = days(digits(&date_time[7..11])?, month(&date_time[3..6])?, digits(&date_time[..2])?)?;
    let of_day = seconds_of_day(&date_time[12..20])?;
    let (fraction, zone) = fraction_ms(rest)?;
    let offset = match zone {
        [] => 0,
        [b' ', sign, h1, h2, m1, m2] => zone_seconds(*sign, &[*h1, *h2], &[*m1, *m2])?,
        _ => return None,
    };
    to_ms(date, of_day - offset, fraction)
}

fn to_ms(days: i64, seconds: i64, fraction_ms: u64) -> Option<u64> {
    u64::try_from(days * 86_400 + seconds).ok()?.checked_mul(1_000)?.checked_add(fraction_ms)
}

/// `HH:MM:SS`. A leap second counts as the last second of its minute, as POSIX time has no other place for it.
fn seconds_of_day(text: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..8])?);
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3_600 + minute * 60 + second.min(59))
}

fn zone_seconds(sign: u8, hours: &[u8], minutes: &[u8]) -> Option<i64> {
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * 3_600 + minutes * 60),
        b'-' => Some(-(hours * 3_600 + minutes * 60)),
        _ => None,
    }
}

/// The fraction of a second, cut to milliseconds, and what comes after it.
fn fraction_ms(text: &[u8]) -> Option<(u64, &[u8])> {
    let [b'.' | b',', fraction @ ..] = text else { return Some((0, text)) };
    let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let ms =
        (0..3).fold(0, |ms, n| ms * 10 + fraction[..count].get(n).map_or(0, |digit| u64::from(digit - b'0')));
    Some((ms, &fraction[count..]))
}

/// At most four decimal digits.
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let found = NAMES.chunks_exact(3).position(|month| month.eq_ignore_ascii_case(name))?;
    i64::try_from(found + 1).ok()
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > days_in_month {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, unit: Unit, expected: Option<u64>) {
        assert_eq!(event_time(value, unit).map(|time| time.0), expected);
    }

    #[test]
    fn each_unit_reads_the_same_moment() {
        let moment = Some(1_795_327_660_839);
        check("1795327660.839", Unit::S, moment);
        check("1795327660.839", Unit::S, moment);
        check("1795327660839", Unit::Ms, moment);
        check("1795327660839", Unit::Ms, moment);
        check("1795327660839123", Unit::Us, moment);
        check("1795327660839123456", Unit::Ns, moment);
        check("2026-11-22T06:07:40.839123456Z", Unit::Rfc3339, moment);
        check("2026-11-22T08:07:40.839+02:00", Unit::Rfc3339, moment);
        check("2026-11-22T06:07:40.839Z", Unit::S, moment);
        check("22/Nov/2026:06:07:40.839", Unit::Clf, moment);
        check("22/Nov/2026:06:07:40 +0000", Unit::Clf, Some(1_795_327_660_000));
        check("21/Nov/2026:22:07:40 -0800", Unit::Clf, Some(1_795_327_660_000));
    }

    #[test]
    fn a_time_without_a_fraction_has_whole_seconds() {
        for (value, unit, whole) in [
            ("1795327660.839", Unit::S, false),
            ("1795327660", Unit::S, true),
            ("2026-11-22T06:07:40Z", Unit::S, true),
            ("2026-11-22T06:07:40.839Z", Unit::Ms, false),
            ("1795327660000", Unit::Ms, false),
            ("2026-11-22T06:07:40+01:00", Unit::Rfc3339, true),
            ("2026-11-22 06:07:40,839+01:00", Unit::Rfc3339, false),
            ("22/Nov/2026:06:07:40 +0000", Unit::Clf, true),
            ("22/Nov/2026:06:07:40.839", Unit::Clf, false),
        ] {
            assert!(event_time(value, unit).is_some());
            assert_eq!(has_whole_seconds(value, unit), whole, "{value}");
        }
    }

    #[test]
    fn what_is_not_a_plausible_time_is_none() {
        check("1795327660", Unit::Ms, None);
        check("1795327660839", Unit::S, None);
        check("18446744073709551615", Unit::S, None);
        check("NaN", Unit::S, None);
        check("-1.0", Unit::S, None);
        check("yesterday", Unit::Rfc3339, None);
        check("2026-02-29T00:00:00Z", Unit::Rfc3339, None);
        check("2026-11-22T06:07:40.", Unit::Rfc3339, None);
        check("22/Nov/2026", Unit::Clf, None);
        check("", Unit::S, None);
    }

    proptest! {
        #[test]
        fn rfc3339_is_read_as_jiff_reads_it(ms in EARLIEST_MS..LATEST_MS, offset in -86_340_i32..86_340) {
            let offset = jiff::tz::Offset::from_seconds(offset / 60 * 60).unwrap();
            let moment = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            let text = moment.display_with_offset(offset).to_string();
            prop_assert_eq!(event_time(&text, Unit::Rfc3339), Some(EventTime(ms)));
        }

        #[test]
        fn clf_is_read_as_jiff_writes_it(ms in EARLIEST_MS..LATEST_MS) {
            let seconds = i64::try_from(ms / 1000).unwrap();
            let moment = jiff::Timestamp::from_second(seconds).unwrap();
            let text = moment.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
            prop_assert_eq!(event_time(&text, Unit::Clf), Some(EventTime(ms / 1000 * 1000)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            for unit in [Unit::S, Unit::Ms, Unit::Us, Unit::Ns, Unit::Rfc3339, Unit::Clf] {
                event_time(&text, unit);
            }
        }

        #[test]
        fn what_jiff_refuses_in_the_shape_of_a_time_we_refuse_too(text in "20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9]Z") {
            let ours = event_time(&text, Unit::Rfc3339).is_some();
            prop_assert_eq!(ours, text.parse::<jiff::Timestamp>().is_ok_and(|t| t.as_second() >= 1_000_000_000));
        }
    }
}
