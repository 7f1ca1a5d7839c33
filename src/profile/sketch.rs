//! Small sketches of how many different things there were, and which come most often.

use super::codec::{CodecError, Reader, Writer};

/// The greatest rank that four bits hold: with it in a register, some million different hashes were counted.
const RANK_MAX: u32 = 15;

/// A `HyperLogLog` (Flajolet et al. 2007) of `N` bytes, 16 or 32, with two registers in each: distinct count within about
/// 13 to 18 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distinct<const N: usize> {
    registers: [u8; N],
}

impl<const N: usize> Default for Distinct<N> {
    fn default() -> Self {
        Self { registers: [0; N] }
    }
}

impl<const N: usize> Distinct<N> {
    /// Counts a hash.
    #[allow(clippy::cast_possible_truncation)] // six bits, and a rank of four
    pub fn add(&mut self, hash: u64) {
        let pair = &mut self.registers[(hash >> 1) as usize % N];
        let rank = ((hash >> 6).trailing_zeros() + 1).min(RANK_MAX) as u8;
        *pair = if hash & 1 == 0 {
            (*pair & 0xF0) | (*pair & 0x0F).max(rank)
        } else {
            (*pair & 0x0F) | (*pair & 0xF0).max(rank << 4)
        };
    }

    /// Counts a number, by the finaliser of `MurmurHash3` (Appleby 2011).
    pub fn add_number(&mut self, number: u64) {
        let mut hash = number;
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.add(hash ^ hash >> 33);
    }

    /// About how many different hashes were counted in this or in `other`.
    pub fn estimate_with(&self, other: &Self) -> f64 {
        let mut sum = 0.0;
        let mut zeros = 0u32;
        for (a, b) in self.registers.iter().zip(&other.registers) {
            for rank in [(a & 0x0F).max(b & 0x0F), (a >> 4).max(b >> 4)] {
                zeros += u32::from(rank == 0);
                // 2^-rank, by its exponent.
                sum += f64::from_bits((1023 - u64::from(rank)) << 52);
            }
        }
        #[allow(clippy::cast_precision_loss)] // 32 or 64
        let n = 2.0 * N as f64;
        let alpha = if N == 16 { 0.697 } else { 0.709 };
        let raw = alpha * n * n / sum;
        // Linear counting while registers are empty (ibid., section 4).
        if raw <= 2.5 * n && zeros > 0 { n * libm::log(n / f64::from(zeros)) } else { raw }
    }

    /// Appends the registers.
    pub fn write(&self, out: &mut Writer) {
        out.raw(&self.registers);
    }

    /// Reads what [`Distinct::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { registers: input.array()? })
    }
}

/// An item of [`Top`]: what, how much of it, and since when it counts as known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Item {
    /// 0 = empty.
    pub what: u32,
    pub weight: f32,
    /// Hour of event time at which it was first seen.
    pub since_hour: u32,
    /// Hour at which it was last seen.
    pub last_hour: u32,
}

/// The `N` heaviest items of a stream with decay, after Space-Saving (Metwally et al. 2005).
///
/// A newcomer to a full table takes the place of the lightest only when that has faded below one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top<const N: usize> {
    pub items: [Item; N],
}

impl<const N: usize> Default for Top<N> {
    fn default() -> Self {
        Self { items: [Item::default(); N] }
    }
}

/// Half-life of an item's weight, in hours: two weeks.
const HALF_LIFE_HOURS: f32 = 336.0;

impl<const N: usize> Top<N> {
    /// The item, if it is kept.
    pub fn get(&self, what: u32) -> Option<&Item> {
        self.items.iter().find(|item| item.what == what && what != 0)
    }

    /// Counts one request from `what` at `hour`; true if it is newly kept.
    pub fn add(&mut self, what: u32, hour: u32) -> bool {
        if let Some(item) = self.items.iter_mut().find(|item| item.what == what) {
            item.weight = faded(item, hour) + 1.0;
            item.last_hour = hour.max(item.last_hour);
            return false;
        }
        let lightest = self.items.iter_mut().min_by(|a, b| {
            // Equal weights go by what they are, so that the victim is a function of the records alone.
            faded(a, hour).total_cmp(&faded(b, hour)).then(a.what.cmp(&b.what))
        });
        let Some(slot) = lightest else { return false };
        let weight = if slot.what == 0 { 0.0 } else { faded(slot, hour) };
        *slot = Item { what, weight: weight.min(1.0) + 1.0, since_hour: hour, last_hour: hour };
        true
    }

    /// Items in use, heaviest first.
    pub fn heaviest(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.items.iter().copied().filter(|item| item.what != 0).collect();
        items.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.what.cmp(&b.what)));
        items
    }

    /// Appends the items in use.
    pub fn write(&self, out: &mut Writer) {
        for item in &self.items {
            out.uint(u64::from(item.what));
            if item.what != 0 {
                out.float(item.weight);
                out.counts([item.since_hour, item.last_hour].into_iter());
            }
        }
    }

    /// Reads what [`Top::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut top = Self::default();
        for item in &mut top.items {
            item.what = input.u32()?;
            if item.what != 0 {
                item.weight = input.float()?;
                item.since_hour = input.u32()?;
                item.last_hour = input.u32()?;
            }
        }
        Ok(top)
    }
}

fn faded(item: &Item, hour: u32) -> f32 {
    let hours = hour.saturating_sub(item.last_hour);
    if hours == 0 {
        return item.weight;
    }
    #[allow(clippy::cast_precision_loss)]
    let halvings = hours as f32 / HALF_LIFE_HOURS;
    item.weight * libm::exp2f(-halvings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distinct_count_is_near() {
        for n in [1u64, 5, 20, 100, 1000, 20_000] {
            let mut sketch = Distinct::<32>::default();
            (0..n).for_each(|i| sketch.add(crate::event::stable_hash(&i.to_le_bytes())));
            #[allow(clippy::cast_precision_loss)]
            let ratio = sketch.estimate_with(&Distinct::<32>::default()) / n as f64;
            assert!((0.6..1.5).contains(&ratio), "{n}: {ratio}");
        }
    }

    #[test]
    fn the_heaviest_stay() {
        let mut top = Top::<3>::default();
        (0..50).for_each(|hour| {
            top.add(7, hour);
            top.add(9, hour);
            top.add(100 + hour, hour);
        });
        assert!(top.get(7).is_some() && top.get(9).is_some());
        assert_eq!(top.heaviest().len(), 3);
    }
}
