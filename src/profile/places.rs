//! The places that a key is used from: those that are kept, and those that came in the hours that are open.
//!
//! What is counted in an hour is learnt when the hour closes, so that it does not depend on the order of records. Of new
//! places, an hour keeps those with the smallest hashes: which those are does not depend on it either.

use super::codec::{CodecError, Reader, Writer};

/// Hours that may be open at a time: minutes are open for less than an hour.
const OPEN: usize = OPEN_HOURS as usize;
const OPEN_HOURS: u32 = 2;
/// Half-life of a place's weight, in hours: two weeks.
const HALF_LIFE_HOURS: f32 = 336.0;

/// A place that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Item {
    /// 0 = empty.
    pub what: u32,
    /// Requests, decayed.
    pub weight: f32,
    /// Hour of event time from which on it counts as known a day later.
    pub since_hour: u32,
    /// Requests in the hours that are open.
    open: [u16; OPEN],
}

/// Places in an open hour that are not kept.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Newcomers<const M: usize> {
    what: [u32; M],
    counts: [u16; M],
    /// Requests from those for which there was no room.
    others: u16,
}

impl<const M: usize> Default for Newcomers<M> {
    fn default() -> Self {
        Self { what: [0; M], counts: [0; M], others: 0 }
    }
}

impl<const M: usize> Newcomers<M> {
    /// What comes of it does not depend on the order: those with the smallest hashes were never left out.
    fn add(&mut self, what: u32, n: u16) {
        let known = self.what.iter().position(|known| *known == what);
        let slot = known.or_else(|| {
            let last = (0..M).max_by_key(|slot| order(self.what[*slot]))?;
            if order(self.what[last]) <= order(what) {
                return None;
            }
            self.others = self.others.saturating_add(self.counts[last]);
            (self.what[last], self.counts[last]) = (what, 0);
            Some(last)
        });
        let count = slot.map_or(&mut self.others, |slot| &mut self.counts[slot]);
        *count = count.saturating_add(n);
    }

    fn any(&self) -> bool {
        self.counts.iter().any(|count| *count > 0)
    }

    /// Requests from a place; `or_others`: if it found no room, from all such.
    fn get(&self, what: u32, or_others: bool) -> u16 {
        let slot = self.what.iter().position(|known| *known == what);
        slot.map_or(if or_others { self.others } else { 0 }, |slot| self.counts[slot])
    }
}

/// By which places are preferred: an empty slot comes last. The finaliser of `MurmurHash3` (Appleby 2011).
fn order(what: u32) -> u64 {
    if what == 0 {
        return u64::MAX;
    }
    let hash = (what ^ what >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16).into()
}

/// The `N` places that a key comes from most, with decay, and `M` that are new in each open hour.
///
/// A new place takes the place of the lightest only if that has faded below one request, or, once a day, if it had more
/// requests in its hour than the lightest has weight: one request from anywhere pushes nothing out, and whoever has many
/// networks needs as many days as places are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Places<const N: usize, const M: usize> {
    pub items: [Item; N],
    newcomers: [Newcomers<M>; OPEN],
    /// Hour of which the weights are.
    weighed: u32,
    /// How many hours have closed, after the key's first day, with a place that was not kept: once for each such place.
    pub moves: u16,
    /// Day on which a place that had not faded gave way last.
    gave_way: u16,
}

impl<const N: usize, const M: usize> Default for Places<N, M> {
    fn default() -> Self {
        Self {
            items: [Item::default(); N],
            newcomers: [Newcomers::default(); OPEN],
            weighed: 0,
            moves: 0,
            gave_way: 0,
        }
    }
}

fn sum(open: [u16; OPEN]) -> f32 {
    open.into_iter().map(f32::from).sum()
}

const fn slot(hour: u32) -> usize {
    hour as usize % OPEN
}

impl<const N: usize, const M: usize> Places<N, M> {
    /// The place, if it is kept.
    pub fn get(&self, what: u32) -> Option<&Item> {
        self.items.iter().find(|item| item.what == what && what != 0)
    }

    /// Requests from a place, those of the hours that are open included. Of a new one that found no room, those of all such.
    pub fn uses(&self, what: u32) -> f32 {
        let kept = self.get(what).map_or(0.0, |item| item.weight + sum(item.open));
        kept + sum(self.newcomers.map(|new| new.get(what, kept == 0.0)))
    }

    /// How many of the moves are to this place, as far as that is known.
    pub fn moved_to(&self, what: u32) -> u16 {
        u16::from(self.get(what).is_some())
    }

    /// Counts a request in its hour, which is open.
    pub fn count(&mut self, what: u32, hour: u32) {
        if what == 0 {
            return;
        }
        // Whether the hour before has closed yet must not matter: a place that it brought counts as new in this hour too.
        let is_it = |item: &&mut Item| item.what == what && item.since_hour + OPEN_HOURS <= hour;
        match self.items.iter_mut().find(is_it) {
            Some(item) => item.open[slot(hour)] = item.open[slot(hour)].saturating_add(1),
            None => self.newcomers[slot(hour)].add(what, 1),
        }
    }

    /// Learns from an hour that closes. `is_first_day`: of the key.
    pub fn close_hour(&mut self, hour: u32, is_first_day: bool) {
        let new = std::mem::take(&mut self.newcomers[slot(hour)]);
        if !new.any() && self.items.iter().all(|item| item.open[slot(hour)] == 0) {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // hours of some years
        let halvings = hour.saturating_sub(self.weighed) as f32 / HALF_LIFE_HOURS;
        let keep = libm::exp2f(-halvings);
        for item in &mut self.items {
            item.weight = item.weight * keep + f32::from(std::mem::take(&mut item.open[slot(hour)]));
        }
        self.weighed = hour;
        let mut new: [(u16, u32); M] = std::array::from_fn(|at| (new.counts[at], new.what[at]));
        new.sort_unstable_by(|a, b| b.cmp(a));
        for (count, what) in new.into_iter().filter(|(count, _)| *count > 0) {
            self.keep(what, f32::from(count), hour, is_first_day);
        }
    }

    fn keep(&mut self, what: u32, count: f32, hour: u32, is_first_day: bool) {
        if let Some(item) = self.items.iter_mut().find(|item| item.what == what) {
            item.weight += count;
            return;
        }
        self.moves = self.moves.saturating_add(u16::from(!is_first_day));
        let Some(lightest) =
            self.items.iter_mut().min_by(|a, b| a.weight.total_cmp(&b.weight).then(a.what.cmp(&b.what)))
        else {
            return;
        };
        if lightest.weight >= 1.0 {
            let day = u16::try_from(hour / 24).unwrap_or(u16::MAX);
            if lightest.weight >= count || self.gave_way == day {
                return;
            }
            self.gave_way = day;
        }
        let new = Item { what, weight: count, since_hour: hour, open: [0; OPEN] };
        let gone = std::mem::replace(lightest, new);
        // What the one that goes has in the hour that may have begun counts as new there.
        let in_next = gone.open[slot(hour + 1)];
        if in_next > 0 {
            self.newcomers[slot(hour + 1)].add(gone.what, in_next);
        }
    }

    /// Passes over an hour of which not all is known. What was new and is not known yet counts as seen first in it.
    pub fn forget_hour(&mut self, hour: u32, is_known: impl Fn(&Item) -> bool) {
        self.newcomers[slot(hour)] = Newcomers::default();
        for item in &mut self.items {
            if std::mem::take(&mut item.open[slot(hour)]) > 0 && !is_known(item) {
                item.since_hour = hour;
            }
        }
    }

    /// Which of the new places lies where depends on which came first.
    #[cfg(test)]
    pub fn sort_newcomers(&mut self) {
        for new in &mut self.newcomers {
            let mut all: Vec<(u32, u16)> = new.what.into_iter().zip(new.counts).collect();
            all.sort_unstable();
            for (slot, (what, count)) in all.into_iter().enumerate() {
                (new.what[slot], new.counts[slot]) = (what, count);
            }
        }
    }

    /// Appends the places in use.
    pub fn write(&self, out: &mut Writer) {
        for item in &self.items {
            out.uint(u64::from(item.what));
            if item.what != 0 {
                out.float(item.weight);
                out.counts([item.since_hour, item.open[0].into(), item.open[1].into()].into_iter());
            }
        }
        for new in &self.newcomers {
            out.counts(new.what.into_iter().chain(new.counts.map(u32::from)).chain([new.others.into()]));
        }
        out.counts([self.weighed, self.moves.into(), self.gave_way.into()].into_iter());
    }

    /// Reads what [`Places::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut places = Self::default();
        for item in &mut places.items {
            item.what = input.u32()?;
            if item.what != 0 {
                item.weight = input.float()?;
                item.since_hour = input.u32()?;
                item.open = [input.u16()?, input.u16()?];
            }
        }
        for new in &mut places.newcomers {
            for what in &mut new.what {
                *what = input.u32()?;
            }
            for count in &mut new.counts {
                *count = input.u16()?;
            }
            new.others = input.u16()?;
        }
        places.weighed = input.u32()?;
        places.moves = input.u16()?;
        places.gave_way = input.u16()?;
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Places<3, 2>;
    type Four = Places<4, 4>;

    /// Closes hours as a key does: an hour when the next but one begins.
    fn play<const N: usize, const M: usize>(records: &[(u32, u32)]) -> Places<N, M> {
        let mut places = Places::default();
        let mut open = 0;
        for (hour, what) in records {
            while open + 2 <= *hour {
                places.close_hour(open, open < 24);
                open += 1;
            }
            places.count(*what, *hour);
        }
        (open..open + 2).for_each(|hour| places.close_hour(hour, hour < 24));
        places
    }

    #[test]
    fn one_request_from_anywhere_pushes_nothing_out() {
        let usual = (0..200).flat_map(|hour| [(hour, 7), (hour, 8), (hour, 9)]);
        let mut records: Vec<(u32, u32)> = usual.collect();
        let strangers = (100..200).map(|hour| (hour, 1_000 + hour));
        records.extend(strangers);
        records.sort_unstable();
        let places: Small = play(&records);
        let kept: Vec<u32> = places.items.iter().map(|item| item.what).collect();
        assert!([7, 8, 9].iter().all(|what| kept.contains(what)), "{kept:?}");
        assert_eq!(places.moves, 100);
    }

    #[test]
    fn many_strangers_push_out_one_place_a_day() {
        let mut records: Vec<(u32, u32)> =
            (0..240).flat_map(|hour| [7, 8, 9].map(|what| (hour, what))).collect();
        // Each has a hundred times the weight of what is kept.
        for hour in 240..288 {
            records.extend(std::iter::repeat_n((hour, 1_000 + hour), 30_000));
        }
        let kept = |records: &[(u32, u32)]| {
            let places: Small = play(records);
            places.items.iter().filter(|item| item.what < 10).count()
        };
        let until = |hour: u32| kept(&records[..records.partition_point(|record| record.0 < hour)]);
        assert_eq!((until(240), until(264), until(288)), (3, 2, 1));
    }

    #[test]
    fn a_place_that_is_used_more_than_the_least_used_one_is_kept() {
        let mut records = vec![(0, 7), (0, 8), (3, 9), (3, 9), (3, 9)];
        records.extend([(30, 10); 5]);
        let places: Small = play(&records);
        assert!(places.get(10).is_some_and(|item| item.since_hour == 30));
        assert!(places.get(9).is_some());
    }

    #[test]
    fn an_hour_that_is_not_known_brings_nothing_and_what_is_new_in_it_stays_new() {
        let mut places = Small::default();
        places.count(7, 100);
        places.close_hour(100, false);
        places.count(7, 103);
        places.count(8, 103);
        places.forget_hour(103, |item| item.since_hour + 24 <= 103);
        assert!(places.get(8).is_none());
        assert_eq!(places.get(7).map(|item| item.since_hour), Some(103));
        assert!((places.uses(7) - 1.0).abs() < 0.01);
    }

    #[test]
    fn more_new_places_than_there_is_room_for_are_counted_together() {
        let mut places = Small::default();
        (1..=10).for_each(|what| places.count(what, 5));
        assert!((1..=10).map(|what| places.uses(what)).any(|uses| uses >= 8.0));
        let mut out = Writer::versioned();
        places.write(&mut out);
        assert_eq!(Places::read(&mut Reader::versioned(&out.0).unwrap()), Ok(places));
    }

    proptest! {
        #[test]
        fn the_order_within_two_hours_does_not_matter(
            steps in prop::collection::vec((0u32..3, 0u32..12), 1..150), swaps in prop::collection::vec(0usize..20, 1..40),
        ) {
            let mut hour = 0;
            let mut records = Vec::new();
            for (forward, what) in steps {
                hour += forward / 2;
                // As many as there is room for, so that none gives way.
                records.push((hour, what % 4 + 1));
            }
            let mut swapped = records.clone();
            for (at, by) in (0..records.len()).zip(swaps.iter().cycle()) {
                let other = (at + by) % records.len();
                // The hour before the newest is open.
                let all_open = |records: &[(u32, u32)]| {
                    let mut newest = 0;
                    records.iter().all(|(hour, _)| { newest = newest.max(*hour); hour + 1 >= newest })
                };
                swapped.swap(at, other);
                if !all_open(&swapped) {
                    swapped.swap(at, other);
                }
            }
            let (a, b): (Four, Four) = (play(&records), play(&swapped));
            let sorted = |places: &Four| {
                let mut items: Vec<_> = places.items.iter().map(|item| (item.what, item.weight.to_bits(), item.since_hour)).collect();
                items.sort_unstable();
                items
            };
            prop_assert_eq!(sorted(&a), sorted(&b));
        }
    }
}
