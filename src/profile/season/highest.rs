//! The most that a key ever did: what is beyond it may be a spike, what is not is none.
//!
//! A few people who come seldom make bursts that no distribution with two parameters foretells. But they have made them
//! before. On generated traffic with ground truth, all false spikes of sparse keys were within 1.7 of the highest count so
//! far, as a difference of roots, and stolen keys far beyond.

use super::bins::{packed, unpacked};
use crate::profile::codec::{CodecError, Reader, Writer};

/// How far beyond the highest a count of a minute, five, an hour and a day must be, as a difference of roots: two standard
/// deviations of a Poisson count or a little less.
const BEYOND: [f32; 4] = [0.9, 0.9, 1.0, 1.0];
/// How far beyond it is beyond doubt: five standard deviations for a minute and five. An hour and a day are no single burst's
/// doing.
const FAR_BEYOND: [f32; 4] = [2.5, 2.5, 1.0, 1.0];
/// What a day leaves of a root: the highest count halves in two weeks.
const KEPT_OF_DAY: f32 = 0.9755;

/// The highest counts of closed minutes, five minutes and hours, and of a day: their roots as [`packed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Highest {
    /// Of the days that have closed, fading. Only these count: who holds a stolen key gets no further by a burst that is a
    /// little higher each quarter of an hour.
    before: [u16; 4],
    today: [u16; 3],
    /// Of a minute since the incident that is open, or was last, began.
    incident_minute: u16,
}

impl Highest {
    /// A window of the scale has closed with this count.
    pub(super) fn note(&mut self, scale: usize, count: u32) {
        raise(&mut self.today[scale], count);
    }

    /// An incident begins.
    pub fn begin_incident(&mut self) {
        self.incident_minute = 0;
    }

    /// A minute of the incident has closed with this count.
    pub fn note_incident(&mut self, count: u32) {
        raise(&mut self.incident_minute, count);
    }

    /// The highest count of a minute of the last incident.
    pub fn of_incident(&self) -> u32 {
        squared(unpacked(self.incident_minute))
    }

    /// From now on a window of each scale is no spike that has no more than this.
    pub fn accept(&mut self, counts: [u32; 4]) {
        self.before.iter_mut().zip(counts).for_each(|(highest, count)| raise(highest, count));
    }

    /// A day has closed.
    pub(super) fn close_day(&mut self) {
        for before in &mut self.before {
            *before = packed(unpacked(*before) * KEPT_OF_DAY);
        }
        for (before, today) in self.before.iter_mut().zip(&mut self.today) {
            *before = packed(unpacked(std::mem::take(today)).max(unpacked(*before)));
        }
    }

    /// The least count that is beyond what the key did. Of days, only what was accepted counts.
    pub fn beyond(&self, scale: usize) -> u32 {
        self.beyond_by(scale, BEYOND[scale])
    }

    /// The least count that is beyond it by so much that the beginning of a crowd is not likely.
    pub fn far_beyond(&self, scale: usize) -> u32 {
        self.beyond_by(scale, FAR_BEYOND[scale])
    }

    fn beyond_by(&self, scale: usize, roots: f32) -> u32 {
        match self.before[scale] {
            0 => 0,
            highest => squared(unpacked(highest) + roots),
        }
    }

    /// Appends the fields.
    pub(super) fn write(&self, out: &mut Writer) {
        let incident = std::iter::once(self.incident_minute);
        out.counts(self.before.into_iter().chain(self.today).chain(incident).map(u32::from));
    }

    /// Reads what [`Highest::write`] wrote.
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut highest = Self::default();
        let Self { before, today, incident_minute } = &mut highest;
        for root in before.iter_mut().chain(today).chain([incident_minute]) {
            *root = input.u16()?;
        }
        Ok(highest)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative, and cut by the cast
fn squared(root: f32) -> u32 {
    (root * root).ceil() as u32
}

fn raise(highest: &mut u16, count: u32) {
    #[allow(clippy::cast_precision_loss)] // a root is kept to a hundredth
    let root = packed((count as f32).sqrt());
    if unpacked(root) > unpacked(*highest) {
        *highest = root;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(days: &[u32]) -> Highest {
        let mut highest = Highest::default();
        for count in days {
            highest.note(0, *count);
            highest.close_day();
        }
        highest
    }

    #[test]
    fn what_is_beyond_is_some_deviations_above_the_highest() {
        assert_eq!((Highest::default().beyond(0), Highest::default().far_beyond(0)), (0, 0));
        assert_eq!((after(&[16]).beyond(0), after(&[16]).far_beyond(0)), (25, 43));
        assert_eq!((after(&[160]).beyond(0), after(&[160]).far_beyond(0)), (184, 230));
        assert!((10_500..=10_520).contains(&after(&[10_000]).far_beyond(0)));
        let mut hours = Highest::default();
        hours.note(2, 160);
        hours.close_day();
        assert_eq!((hours.beyond(2), hours.far_beyond(2)), (187, 187));
        assert_eq!(after(&[16]).beyond(1), 0, "each scale has its own");
        assert_eq!(after(&[16]).beyond(3), 0, "a day has none");
    }

    #[test]
    fn a_day_counts_when_it_has_closed_and_fades() {
        let mut highest = after(&[16]);
        highest.note(0, 900);
        assert_eq!(highest.far_beyond(0), 43);
        highest.close_day();
        assert_eq!(highest.far_beyond(0), 1057);
        (0..14).for_each(|_| highest.close_day());
        let faded = highest.far_beyond(0);
        assert!((540..=580).contains(&faded), "{faded}");
    }
}
