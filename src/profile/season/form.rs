//! A season as bytes.

use super::{Season, highest::Highest};
use crate::profile::codec::{CodecError, Reader, Writer};

impl Season {
    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        out.counts(self.bins.iter().map(|bin| u32::from(bin.wrapping_add(1))));
        out.raw(&self.weekdays);
        for value in [
            self.observed,
            self.expected,
            self.scatter,
            self.scatter_weight,
            self.scatter_five,
            self.scatter_hour,
            self.scatter_hour_weight,
            self.day_expected,
        ] {
            out.float(value);
        }
        out.counts([self.minute_count, self.five_count, self.hour_count, self.day_count].into_iter());
        self.highest.write(out);
    }

    /// Reads what [`Season::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut season = Self::default();
        for bin in &mut season.bins {
            *bin = input.u16()?.wrapping_sub(1);
        }
        season.weekdays = input.array()?;
        season.observed = input.float()?;
        season.expected = input.float()?;
        season.scatter = input.float()?;
        season.scatter_weight = input.float()?;
        season.scatter_five = input.float()?;
        season.scatter_hour = input.float()?;
        season.scatter_hour_weight = input.float()?;
        season.day_expected = input.float()?;
        season.minute_count = input.u32()?;
        season.five_count = input.u32()?;
        season.hour_count = input.u32()?;
        season.day_count = input.u32()?;
        season.highest = Highest::read(input)?;
        Ok(season)
    }
}
