//! The counter of a counting rule for one key: what was counted within its window, by panes.

use super::codec::{CodecError, Reader, Writer};

/// The most different values that a tally tells apart.
pub const VALUES_MAX: usize = 256;
/// More panes than any window has.
const PANES_MAX: usize = 24;

/// Which panes a window has, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Number of the newest pane, since the epoch.
    pub newest: u32,
    /// Panes, the newest included.
    pub panes: u32,
}

impl Window {
    const fn oldest(self) -> u32 {
        (self.newest + 1).saturating_sub(self.panes)
    }

    /// Whether a pane is within.
    pub const fn holds(self, pane: u32) -> bool {
        pane >= self.oldest() && pane <= self.newest
    }
}

/// Counts within a window: requests, or the different values among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tally {
    /// (pane, requests in it), in no order; at most one a pane of the window.
    Requests(Vec<(u32, u32)>),
    /// The different values.
    Values(Values),
}

/// The different values of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// (hash of a value, the last pane in which it was seen), in no order; at most [`VALUES_MAX`].
    seen: Vec<(u64, u32)>,
    /// The last pane in which one found no room.
    lost: Option<u32>,
}

impl Tally {
    /// One that counts requests, or with `values` the different values among them.
    pub fn new(values: bool) -> Self {
        if values { Self::Values(Values::default()) } else { Self::Requests(Vec::new()) }
    }

    /// Counts a request of `pane` with this value, if the window holds it. A value of 0 is none.
    pub fn add(&mut self, window: Window, pane: u32, value: u64) {
        self.forget(window);
        if !window.holds(pane) {
            return;
        }
        match self {
            Self::Requests(panes) => match panes.iter_mut().find(|(known, _)| *known == pane) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => panes.push((pane, 1)),
            },
            Self::Values(_) if value == 0 => {}
            Self::Values(Values { seen, lost }) => {
                let room = seen.len() < VALUES_MAX;
                match seen.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, last)) => *last = pane.max(*last),
                    None if room => seen.push((value, pane)),
                    None => *lost = (*lost).max(Some(pane)),
                }
            }
        }
    }

    /// Forgets what has left the window, and gives back room that is not likely to be needed.
    pub fn forget(&mut self, window: Window) {
        match self {
            Self::Requests(panes) => panes.retain(|(pane, _)| window.holds(*pane)),
            Self::Values(Values { seen, lost }) => {
                seen.retain(|(_, last)| window.holds(*last));
                *lost = lost.filter(|pane| window.holds(*pane));
                if seen.capacity() > 32 && seen.capacity() > 3 * seen.len() {
                    seen.shrink_to(2 * seen.len());
                }
            }
        }
    }

    /// What was counted, as far as it is not forgotten.
    pub fn count(&self) -> u32 {
        self.count_in(|_| true)
    }

    /// What of it is within a window.
    pub fn count_within(&self, window: Window) -> u32 {
        self.count_in(|pane| window.holds(pane))
    }

    fn count_in(&self, is_meant: impl Fn(u32) -> bool) -> u32 {
        match self {
            Self::Requests(panes) => {
                let meant = panes.iter().filter(|(pane, _)| is_meant(*pane));
                meant.fold(0, |sum, (_, count)| sum.saturating_add(*count))
            }
            Self::Values(values) => {
                let meant = values.seen.iter().filter(|(_, last)| is_meant(*last));
                u32::try_from(meant.count()).unwrap_or(u32::MAX)
            }
        }
    }

    /// Whether there were more different values than it can tell apart.
    pub const fn is_over_full(&self) -> bool {
        matches!(self, Self::Values(Values { lost: Some(_), .. }))
    }

    /// How many panes or values it holds.
    pub const fn len(&self) -> usize {
        match self {
            Self::Requests(panes) => panes.len(),
            Self::Values(values) => values.seen.len(),
        }
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write(&self, out: &mut Writer) {
        out.uint(self.len() as u64);
        match self {
            Self::Requests(panes) => panes.iter().for_each(|(pane, n)| out.counts([*pane, *n].into_iter())),
            Self::Values(Values { seen, lost }) => {
                for (value, last) in seen {
                    out.raw(&value.to_le_bytes());
                    out.uint(u64::from(*last));
                }
                out.uint(lost.map_or(0, |pane| u64::from(pane) + 1));
            }
        }
    }

    fn read(values: bool, input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let length = input.u32()? as usize;
        if length > if values { VALUES_MAX } else { PANES_MAX } {
            return Err(CodecError::Impossible(0));
        }
        let mut tally = Self::new(values);
        match &mut tally {
            Self::Requests(panes) => {
                for _ in 0..length {
                    panes.push((input.u32()?, input.u32()?));
                }
            }
            Self::Values(Values { seen, lost }) => {
                for _ in 0..length {
                    seen.push((u64::from_le_bytes(input.array()?), input.u32()?));
                }
                *lost = input.u32()?.checked_sub(1);
            }
        }
        Ok(tally)
    }
}

/// What the requests that match are a share of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The second from which on it was counted.
    pub since: u32,
    pub tally: Tally,
}

/// When a counter over its limit is worth a look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    minute: u32,
    count: u32,
}

/// One rule's counter for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Hash of what is counted: a changed rule has another, and starts at nothing.
    pub name: u64,
    /// What matched.
    pub matched: Tally,
    /// All requests since the first that matched, for a rule about shares.
    pub whole: Option<Whole>,
    looked: Look,
}

impl Counter {
    /// A counter of requests or of different values.
    pub fn new(name: u64, values: bool) -> Self {
        Self { name, matched: Tally::new(values), whole: None, looked: Look::default() }
    }

    /// The requests that those which match are a share of, counted from `second` on if they were not.
    pub fn whole(&mut self, second: u32) -> &mut Whole {
        let values = matches!(self.matched, Tally::Values(_));
        self.whole.get_or_insert_with(|| Whole { since: second, tally: Tally::new(values) })
    }

    /// Says whether a counter that is over its limit is to be looked at: at first, when it has grown by an eighth, and
    /// once a minute while it lasts.
    pub fn is_worth_a_look(&mut self, second: u32) -> bool {
        let (minute, count) = (second / 60, self.matched.count());
        let worth = minute > self.looked.minute || count >= self.looked.count;
        if worth {
            self.looked = Look { minute, count: count.saturating_add((count / 8).max(1)) };
        }
        worth
    }

    /// It is not over its limit: the next time that it is counts as the first.
    pub fn is_within(&mut self) {
        self.looked = Look::default();
    }

    /// How many panes and values it holds.
    pub fn len(&self) -> usize {
        self.matched.len() + self.whole.as_ref().map_or(0, |whole| whole.tally.len())
    }

    /// Whether nothing that matched is left in it.
    pub const fn is_empty(&self) -> bool {
        self.matched.is_empty()
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        out.raw(&self.name.to_le_bytes());
        let values = matches!(self.matched, Tally::Values(_));
        out.raw(&[u8::from(values), u8::from(self.whole.is_some())]);
        out.counts([self.looked.minute, self.looked.count].into_iter());
        self.matched.write(out);
        if let Some(whole) = &self.whole {
            out.counts([whole.since].into_iter());
            whole.tally.write(out);
        }
    }

    /// Reads what [`Counter::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let name = u64::from_le_bytes(input.array()?);
        let values = input.byte()? == 1;
        let share = input.byte()? == 1;
        let looked = Look { minute: input.u32()?, count: input.u32()? };
        let matched = Tally::read(values, input)?;
        let whole = if share {
            Some(Whole { since: input.u32()?, tally: Tally::read(values, input)? })
        } else {
            None
        };
        Ok(Self { name, matched, whole, looked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tally_equals_a_brute_force_list(
            steps in prop::collection::vec((0u32..4, 0u32..16, 0u64..9), 1..120)
        ) {
            let (mut requests, mut values) = (Tally::new(false), Tally::new(true));
            let mut list: Vec<(u32, u64)> = Vec::new();
            let mut window = Window { newest: 1_000, panes: 12 };
            for (forward, late, value) in steps {
                window.newest += forward;
                let pane = window.newest - late;
                requests.add(window, pane, value);
                values.add(window, pane, value);
                list.push((pane, value));
                let within = || list.iter().filter(|(pane, _)| window.newest - pane < 12);
                let different: std::collections::BTreeSet<u64> =
                    within().map(|(_, value)| *value).filter(|value| *value != 0).collect();
                prop_assert_eq!(requests.count() as usize, within().count());
                prop_assert_eq!(values.count() as usize, different.len());
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let window = Window { newest: 50, panes: 10 };
        for (values, share) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut counter = Counter::new(7, values);
            for pane in 41..=50 {
                counter.matched.add(window, pane, u64::from(pane) % 4);
                if share {
                    counter.whole(41).tally.add(window, pane, u64::from(pane) % 3);
                }
            }
            if share && values {
                (0..VALUES_MAX as u64 + 9)
                    .for_each(|value| counter.whole(41).tally.add(window, 45, value + 1));
            }
            assert!(counter.is_worth_a_look(3_000));
            let mut out = Writer::versioned();
            counter.write(&mut out);
            assert_eq!(Counter::read(&mut Reader::versioned(&out.0).unwrap()), Ok(counter));
        }
    }

    #[test]
    fn more_values_than_can_be_told_apart_are_not_kept_and_it_knows_as_long_as_they_are_within() {
        let mut window = Window { newest: 50, panes: 10 };
        let mut tally = Tally::new(true);
        for value in 1..=VALUES_MAX as u64 {
            tally.add(window, if value < 60 { 49 } else { 50 }, value);
        }
        assert!(!tally.is_over_full());
        tally.add(window, 50, 7_777);
        assert_eq!(tally.count() as usize, VALUES_MAX);
        assert!(tally.is_over_full());
        // There is room again, and still it is not known how many there were.
        window.newest = 59;
        tally.add(window, 59, 1);
        assert!(tally.len() < VALUES_MAX && tally.is_over_full());
        window.newest = 60;
        tally.add(window, 60, 1);
        assert!(!tally.is_over_full());
        let Tally::Values(values) = &tally else { panic!("values") };
        assert!(values.seen.capacity() <= 32, "{}", values.seen.capacity());
    }

    #[test]
    fn a_counter_over_its_limit_is_looked_at_again_when_it_grows_and_each_minute() {
        let mut counter = Counter::new(7, false);
        let mut looks = 0;
        for second in 600..720 {
            counter.matched.add(Window { newest: second / 5, panes: 12 }, second / 5, 0);
            looks += u32::from(counter.is_worth_a_look(second));
        }
        assert!((15..40).contains(&looks), "{looks}");
        counter.is_within();
        assert!(counter.is_worth_a_look(720));
    }
}
