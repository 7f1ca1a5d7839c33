//! How long each route takes and how much it sends, by hdrhistogram.
//!
//! One generation is recorded while the 99th percentile of the one before is compared against; a generation is
//! ten thousand requests or a day. Counters are u32 and a generation is short, so that none can saturate (a
//! saturated bucket makes `value_at_quantile` answer 0).

use hdrhistogram::Histogram;

use super::codec::{CodecError, Reader, Writer};

/// Routes that a partition keeps; requests on others are counted and not judged.
pub const ROUTES_MAX: usize = 256;
/// When there are as many, those go that nobody asked for in so many hours.
const UNUSED_HOURS: u32 = 24;
const GENERATION: u32 = 10_000;
/// The first comparison wants so many requests.
const FIRST: u32 = 500;
/// Milliseconds, up to ten minutes; 64-byte units, up to 64 MiB.
const LATENCY_MAX: u64 = 600_000;
const SIZE_MAX: u64 = 1 << 20;

/// One route's distributions.
#[derive(Clone, Debug)]
pub struct Route {
    latency: Histogram<u32>,
    size: Histogram<u32>,
    count: u32,
    /// The 99th percentiles of the last generation; `u32::MAX` before the first.
    latency_p99_ms: u32,
    size_p99_units: u32,
    /// The recent shares of all requests beyond them.
    slow_share: f32,
    large_share: f32,
    /// The hour, since the epoch, of the last request that taught something.
    last_hour: u32,
}

/// What one request was, against its route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beyond {
    pub slow: bool,
    pub large: bool,
    /// The recent shares of the route's requests that were so too, whoever made them.
    pub slow_share: f32,
    pub large_share: f32,
}

impl Route {
    fn new() -> Self {
        let histogram =
            |most| Histogram::new_with_bounds(1, most, 2).unwrap_or_else(|_| unreachable!("constant bounds"));
        Self {
            latency: histogram(LATENCY_MAX),
            size: histogram(SIZE_MAX),
            count: 0,
            latency_p99_ms: u32::MAX,
            size_p99_units: u32::MAX,
            slow_share: 0.01,
            large_share: 0.01,
            last_hour: 0,
        }
    }

    /// What the record does not say is neither slow nor large, and teaches nothing.
    fn observe(&mut self, hour: u32, latency_us: Option<u32>, bytes: Option<u32>, frozen: bool) -> Beyond {
        let (latency, units) = (latency_us.map(|us| us / 1000), bytes.map(|bytes| bytes / 64));
        let slow = latency.is_some_and(|latency| latency > self.latency_p99_ms);
        let large = units.is_some_and(|units| units > self.size_p99_units);
        let before = Beyond { slow, large, slow_share: self.slow_share, large_share: self.large_share };
        if frozen {
            return before;
        }
        self.last_hour = self.last_hour.max(hour);
        if let Some(latency) = latency {
            self.slow_share += 0.002 * (f32::from(u8::from(slow)) - self.slow_share);
            self.latency.saturating_record(u64::from(latency.max(1)));
        }
        if let Some(units) = units {
            self.large_share += 0.002 * (f32::from(u8::from(large)) - self.large_share);
            self.size.saturating_record(u64::from(units.max(1)));
        }
        self.count += 1;
        let is_first = self.latency_p99_ms == u32::MAX && self.size_p99_units == u32::MAX;
        if self.count >= GENERATION || (self.count == FIRST && is_first) {
            self.turn();
        }
        before
    }

    fn turn(&mut self) {
        // Of what few records say there is no percentile: the last one stays.
        let p99 = |histogram: &Histogram<u32>, last: u32| {
            let enough = histogram.len() >= u64::from(FIRST);
            if enough { u32::try_from(histogram.value_at_quantile(0.99)).unwrap_or(u32::MAX) } else { last }
        };
        self.latency_p99_ms = p99(&self.latency, self.latency_p99_ms);
        self.size_p99_units = p99(&self.size, self.size_p99_units);
        if self.count >= GENERATION {
            self.latency.reset();
            self.size.reset();
            self.count = 0;
        }
    }

    fn write(&self, out: &mut Writer) {
        out.counts([self.count, self.latency_p99_ms, self.size_p99_units, self.last_hour].into_iter());
        out.float(self.slow_share);
        out.float(self.large_share);
        for histogram in [&self.latency, &self.size] {
            let values: Vec<(u64, u32)> =
                histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
            out.uint(values.len() as u64);
            for (value, count) in values {
                out.uint(value);
                out.uint(u64::from(count));
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut route = Self::new();
        route.count = input.u32()?;
        route.latency_p99_ms = input.u32()?;
        route.size_p99_units = input.u32()?;
        route.last_hour = input.u32()?;
        route.slow_share = input.float()?;
        route.large_share = input.float()?;
        for histogram in [&mut route.latency, &mut route.size] {
            for _ in 0..input.uint()? {
                let value = input.uint()?;
                histogram.saturating_record_n(value, input.u32()?);
            }
        }
        Ok(route)
    }
}

/// The routes of a partition.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Index in `routes` by route hash.
    index: hashbrown::HashMap<u64, u32, foldhash::fast::FixedState>,
    routes: Vec<(u64, Box<Route>, bool)>,
    /// Those that went since the last checkpoint.
    gone: Vec<u64>,
    /// Requests on routes beyond [`ROUTES_MAX`].
    pub unjudged: u64,
}

impl RouteTable {
    /// Compares a request with its route, then adds it to the route's history unless `frozen`. `hour` is the request's,
    /// since the epoch.
    pub fn observe(
        &mut self,
        route: u64,
        hour: u32,
        latency_us: Option<u32>,
        bytes: Option<u32>,
        frozen: bool,
    ) -> Beyond {
        if route == 0 {
            return Beyond::default();
        }
        let at = match self.index.get(&route) {
            Some(at) => *at as usize,
            // It would take a place and teach nothing: a restart from a checkpoint would not know of it.
            None if frozen => return Beyond::default(),
            None if self.routes.len() < ROUTES_MAX => {
                let at = self.routes.len();
                self.routes.push((route, Box::new(Route::new()), false));
                self.index.insert(route, u32::try_from(at).unwrap_or(u32::MAX));
                at
            }
            None => {
                self.unjudged += 1;
                return Beyond::default();
            }
        };
        let (_, state, dirty) = &mut self.routes[at];
        *dirty |= !frozen;
        state.observe(hour, latency_us, bytes, frozen)
    }

    /// If there are as many as there may be, forgets those that are not used any more at `hour`.
    pub fn sweep(&mut self, hour: u32) {
        if self.routes.len() < ROUTES_MAX {
            return;
        }
        let is_used = |route: &Route| route.last_hour + UNUSED_HOURS > hour;
        let gone = self.routes.iter().filter(|(_, state, _)| !is_used(state)).map(|(route, ..)| *route);
        let from = self.gone.len();
        self.gone.extend(gone);
        if self.gone.len() > from {
            self.routes.retain(|(_, state, _)| is_used(state));
            self.index = (0..).zip(&self.routes).map(|(at, (route, ..))| (*route, at)).collect();
        }
    }

    /// Routes kept.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Hands every route that changed since the last call to `write`, in the order of their hashes; `None` = it went. The
    /// order of their arrival is not kept: nothing depends on it, and an entry must not differ by when its table was
    /// restored.
    pub fn checkpoint(&mut self, mut write: impl FnMut(u64, Option<Writer>)) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|route| !self.index.contains_key(route));
        gone.sort_unstable();
        gone.dedup();
        for route in gone {
            write(route, None);
        }
        let mut changed: Vec<_> = self.routes.iter_mut().filter(|(_, _, dirty)| *dirty).collect();
        changed.sort_unstable_by_key(|(route, _, _)| *route);
        for (route, state, dirty) in changed {
            *dirty = false;
            let mut out = Writer::versioned();
            state.write(&mut out);
            write(*route, Some(out));
        }
    }

    /// Puts a route back from a checkpoint. Entries may come in any order.
    pub fn restore(&mut self, route: u64, input: &mut Reader<'_>) -> Result<(), CodecError> {
        let state = Route::read(input)?;
        self.index.insert(route, u32::try_from(self.routes.len()).map_err(|_| CodecError::Impossible(0))?);
        self.routes.push((route, Box::new(state), false));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that is full of routes that were used in hour 10.
    fn full() -> RouteTable {
        let mut table = RouteTable::default();
        for route in 1..=ROUTES_MAX as u64 {
            table.observe(route, 10, Some(1_000), Some(64), false);
        }
        table
    }

    fn written(table: &mut RouteTable) -> Vec<(u64, bool)> {
        let mut entries = Vec::new();
        table.checkpoint(|route, state| entries.push((route, state.is_some())));
        entries
    }

    #[test]
    fn a_full_table_forgets_what_was_not_used_for_a_day_and_takes_others() {
        let mut table = full();
        assert_eq!(written(&mut table).len(), ROUTES_MAX);
        table.observe(7, 20, Some(1_000), Some(64), false);
        table.observe(1_000, 20, Some(1_000), Some(64), false);
        assert_eq!((table.len(), table.unjudged), (ROUTES_MAX, 1));
        table.sweep(10 + UNUSED_HOURS - 1);
        assert_eq!(table.len(), ROUTES_MAX, "all were used within the day");
        table.sweep(10 + UNUSED_HOURS);
        assert_eq!(table.len(), 1);
        table.observe(1_000, 35, Some(1_000), Some(64), false);
        table.observe(9, 35, Some(1_000), Some(64), false);
        assert_eq!((table.len(), table.unjudged), (3, 1));
        let entries = written(&mut table);
        let kept: Vec<u64> = entries.iter().filter(|(_, kept)| *kept).map(|(route, _)| *route).collect();
        assert_eq!(kept, [7, 9, 1_000]);
        assert_eq!(entries.len(), ROUTES_MAX + 1, "those that went are told, but 7 and 9, which are here");
    }

    #[test]
    fn what_teaches_nothing_takes_no_place() {
        let mut table = RouteTable::default();
        table.observe(1, 10, Some(1_000), Some(64), true);
        assert_eq!(table.len(), 0);
        table.observe(1, 10, Some(1_000), Some(64), false);
        table.observe(1, 11, Some(9_000), Some(64), true);
        let bytes = |table: &mut RouteTable| {
            let mut entries = Vec::new();
            table.checkpoint(|route, state| entries.push((route, state.map(|state| state.0))));
            entries
        };
        let mut restored = RouteTable::default();
        for (route, state) in bytes(&mut table) {
            restored.restore(route, &mut Reader::versioned(&state.unwrap()).unwrap()).unwrap();
        }
        for table in [&mut table, &mut restored] {
            table.observe(1, 12, Some(2_000), Some(64), false);
        }
        assert_eq!(bytes(&mut table), bytes(&mut restored), "as if it had never been away");
    }
}
