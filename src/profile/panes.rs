//! Sliding windows by panes: a ring of counts, one a pane, with the sum over the ring kept beside it.

/// Shape of a ring: `N` panes of `WIDTH` seconds each.
///
/// The window is the current pane and the `N − 1` before it. Counts saturate at the pane's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panes<C, const N: usize, const WIDTH: u32> {
    panes: [C; N],
}

/// A pane's count type.
pub trait Count: Copy + Default + PartialEq + Into<u32> {
    /// Adds `n`, saturating.
    #[must_use]
    fn plus(self, n: u32) -> Self;
}

impl Count for u8 {
    fn plus(self, n: u32) -> Self {
        self.saturating_add(Self::try_from(n).unwrap_or(Self::MAX))
    }
}

impl Count for u16 {
    fn plus(self, n: u32) -> Self {
        self.saturating_add(u16::try_from(n).unwrap_or(u16::MAX))
    }
}

impl Count for u32 {
    fn plus(self, n: u32) -> Self {
        self.saturating_add(n)
    }
}

impl<C: Count, const N: usize, const WIDTH: u32> Default for Panes<C, N, WIDTH> {
    fn default() -> Self {
        Self { panes: [C::default(); N] }
    }
}

impl<C: Count, const N: usize, const WIDTH: u32> Panes<C, N, WIDTH> {
    /// Number of the pane that holds `second` (of event time, since the epoch).
    pub const fn pane_of(second: u32) -> u32 {
        second / WIDTH
    }

    /// Moves from the pane of `from` to that of `to`, both in seconds, and gives what fell out of the window.
    #[allow(clippy::cast_possible_truncation)] // remainders and lengths of a small ring
    pub fn advance(&mut self, from: u32, to: u32) -> u32 {
        let (from, to) = (Self::pane_of(from), Self::pane_of(to));
        let steps = to.saturating_sub(from).min(N as u32);
        let mut lost = 0u32;
        for step in 1..=steps {
            // After a gap longer than the ring every pane is stale, whatever its number.
            let index = (to - steps + step) as usize % N;
            lost = lost.saturating_add(self.panes[index].into());
            self.panes[index] = C::default();
        }
        lost
    }

    /// Adds `n` to the pane of `second` if it is within the window that ends at `now`. Gives what the pane took, so that
    /// a sum that is kept beside the ring loses no more later than it got.
    pub fn add(&mut self, now: u32, second: u32, n: u32) -> u32 {
        let (newest, pane) = (Self::pane_of(now), Self::pane_of(second));
        let within = pane <= newest && (newest - pane) < u32::try_from(N).unwrap_or(u32::MAX);
        if !within {
            return 0;
        }
        let slot = &mut self.panes[pane as usize % N];
        let before: u32 = (*slot).into();
        *slot = slot.plus(n);
        let after: u32 = (*slot).into();
        after - before
    }

    /// The count of the pane that holds `second`, which must be within the window.
    pub fn at(&self, second: u32) -> u32 {
        self.panes[Self::pane_of(second) as usize % N].into()
    }

    /// Cuts each pane of the window that ends at `now` to what `most` says of it, by the second at which it begins. Gives the
    /// sum that is left.
    pub fn cut(&mut self, now: u32, most: impl Fn(u32) -> u32) -> u32 {
        let newest = Self::pane_of(now);
        for pane in (newest + 1).saturating_sub(u32::try_from(N).unwrap_or(u32::MAX))..=newest {
            let slot = &mut self.panes[pane as usize % N];
            *slot = C::default().plus((*slot).into().min(most(pane * WIDTH)));
        }
        self.sum()
    }

    /// Sum over the window.
    pub fn sum(&self) -> u32 {
        self.panes.iter().fold(0u32, |sum, pane| sum.saturating_add((*pane).into()))
    }

    /// The counts as they lie in the ring.
    pub fn raw(&self) -> impl Iterator<Item = u32> {
        self.panes.iter().map(|pane| (*pane).into())
    }

    /// Puts back what [`Panes::raw`] gave.
    pub fn from_raw(counts: impl Iterator<Item = u32>) -> Self {
        let mut panes = Self::default();
        for (slot, count) in panes.panes.iter_mut().zip(counts) {
            *slot = slot.plus(count);
        }
        panes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ring_equals_a_brute_force_list(steps in prop::collection::vec((0u32..200, 0u32..90, 1u32..5), 1..80)) {
            let mut ring = Panes::<u32, 12, 5>::default();
            let mut list: Vec<(u32, u32)> = Vec::new();
            let mut now = 1_000_000u32;
            let mut sum = 0u32;
            for (forward, late, n) in steps {
                let to = now + forward;
                sum -= ring.advance(now, to);
                now = to;
                let second = now - late;
                let taken = ring.add(now, second, n);
                prop_assert_eq!(taken > 0, now / 5 - second / 5 < 12);
                if taken > 0 { list.push((second, n)); }
                sum += taken;
                let brute: u32 = list.iter().filter(|(s, _)| now / 5 - s / 5 < 12).map(|(_, n)| n).sum();
                prop_assert_eq!(ring.sum(), brute);
                prop_assert_eq!(sum, brute);
            }
        }

        #[test]
        fn a_sum_that_is_kept_beside_a_ring_is_right_when_panes_are_full(
            steps in prop::collection::vec((0u32..20, 0u32..90, 1u32..60_000), 1..80),
        ) {
            let mut ring = Panes::<u16, 12, 5>::default();
            let (mut now, mut sum) = (1_000_000u32, 0u32);
            for (forward, late, n) in steps {
                sum -= ring.advance(now, now + forward);
                now += forward;
                sum += ring.add(now, now - late, n);
                prop_assert_eq!(ring.sum(), sum);
            }
        }
    }
}
