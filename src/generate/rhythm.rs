//! When a key is used: over the day, over the week, on the hour.

use rand::Rng;

use super::{
    keys::ClientKind,
    random::{Random, between},
};

/// Weekend traffic against the week's mean, and what that leaves for the other five days.
const WEEKEND: f32 = 0.77;
const WEEKDAY: f32 = (7.0 - 2.0 * WEEKEND) / 5.0;

/// A cron client's burst: how much more, and for how many minutes from the full hour.
const CRON_FACTOR: f64 = 50.0;
const CRON_MINUTES: u64 = 2;

/// The shape of a key's use. Its mean over a week is 1.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// At the centre of each local hour.
    hours: [f32; 24],
    offset_minutes: i64,
    weekend: bool,
    cron: bool,
}

impl Rhythm {
    /// Peak-to-trough 3 to 6, weekends at 0.77, in the tenant's time zone. Cron clients are flat but for their bursts.
    pub(super) fn new(kind: ClientKind, utc_offset_minutes: i16, random: &mut Random) -> Self {
        let offset_minutes = i64::from(utc_offset_minutes);
        if kind == ClientKind::Cron {
            return Self { hours: [1.0; 24], offset_minutes, weekend: false, cron: true };
        }
        let (peak, ratio) = match kind {
            ClientKind::Mobile => (between(random, 18, 21), random.random_range(4.0..6.0)),
            ClientKind::MultiRegion => (between(random, 12, 17), random.random_range(3.0..3.5)),
            _ => (between(random, 11, 15), random.random_range(3.0..5.0)),
        };
        Self { hours: day(peak, ratio), offset_minutes, weekend: true, cron: false }
    }

    /// How much of the mean rate there is in a minute, counted from the Unix epoch.
    pub(super) fn factor(&self, minute: u64) -> f64 {
        let local = minute.saturating_add_signed(self.offset_minutes);
        if self.cron {
            return cron(local);
        }
        let day = if self.weekend { week_factor(local / 1_440) } else { 1.0 };
        f64::from(self.hour_factor(local % 1_440) * day)
    }

    /// Interpolated between the centres of the hours.
    fn hour_factor(&self, minute_of_day: u64) -> f32 {
        let shifted = (minute_of_day + 1_440 - 30) % 1_440;
        let hour = usize::try_from(shifted / 60).unwrap_or_default();
        #[allow(clippy::cast_precision_loss)] // below 60
        let part = (shifted % 60) as f32 / 60.0;
        self.hours[hour] * (1.0 - part) + self.hours[(hour + 1) % 24] * part
    }
}

/// Two harmonics: a broad day and a flat night, with exactly this peak-to-trough ratio and a mean of 1.
fn day(peak_hour: usize, ratio: f32) -> [f32; 24] {
    let swing = (ratio - 1.0) / (1.25 + 0.75 * ratio);
    std::array::from_fn(|hour| {
        #[allow(clippy::cast_precision_loss)] // below 48
        let angle = (hour + 24 - peak_hour) as f32 / 24.0 * std::f32::consts::TAU;
        1.0 + swing * (angle.cos() + 0.25 * (2.0 * angle).cos())
    })
}

/// Day 0 of the epoch was a Thursday.
fn week_factor(day: u64) -> f32 {
    if (day + 3) % 7 >= 5 { WEEKEND } else { WEEKDAY }
}

fn cron(local_minute: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let mean = ((60 - CRON_MINUTES) as f64 + CRON_MINUTES as f64 * CRON_FACTOR) / 60.0;
    if local_minute % 60 < CRON_MINUTES { CRON_FACTOR / mean } else { 1.0 / mean }
}

#[cfg(test)]
mod tests {
    use super::{super::random::random_for, *};

    fn week(kind: ClientKind) -> Vec<f64> {
        let rhythm = Rhythm::new(kind, 60, &mut random_for(3, &[]));
        // 2026-11-02T00:00Z was a Monday.
        (0..7 * 1_440).map(|minute| rhythm.factor(29_892_960 - 60 + minute)).collect()
    }

    #[test]
    fn the_mean_of_a_week_is_one() {
        for kind in ClientKind::ALL {
            let mean = week(kind).iter().sum::<f64>() / 10_080.0;
            assert!((mean - 1.0).abs() < 0.01, "{kind:?}: {mean}");
        }
    }

    #[test]
    fn days_and_weekends_have_their_shapes() {
        let week = week(ClientKind::Server);
        let monday = &week[..1_440];
        let peak = monday.iter().copied().fold(0.0, f64::max);
        let trough = monday.iter().copied().fold(f64::MAX, f64::min);
        assert!((2.9..6.0).contains(&(peak / trough)), "{}", peak / trough);
        let saturday = week[5 * 1_440..6 * 1_440].iter().sum::<f64>() / 1_440.0;
        assert!((0.75..0.79).contains(&saturday), "{saturday}");
    }

    #[test]
    fn a_cron_client_bursts_on_the_hour() {
        let week = week(ClientKind::Cron);
        assert!((week[60] / week[70] - 50.0).abs() < 1e-6);
        assert!((week[61] / week[62] - 50.0).abs() < 1e-6);
    }
}
