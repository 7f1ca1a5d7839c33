//! How long each route takes and how much it sends, by hdrhistogram.
//!
//! Requests are recorded by the hour in which they were made. When an hour closes ([`first_open`]) it joins the generation,
//! and when that has ten thousand requests its 99th percentile is what requests are compared with. So what is learnt does
//! not depend on the order in which records come. Counters are u32 and a generation is short, so that none can saturate (a
//! saturated bucket makes `value_at_quantile` answer 0). With one significant digit a percentile is at most a sixteenth too
//! high.

use hdrhistogram::Histogram;

use super::{
    codec::{CodecError, Reader, Writer},
    fold::first_open,
};

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

/// How long some requests took and how much they sent.
#[derive(Clone, Debug)]
struct Distributions {
    latency: Histogram<u32>,
    size: Histogram<u32>,
    /// Requests, those too that say neither.
    count: u32,
}

impl Distributions {
    fn new() -> Self {
        let histogram =
            |most| Histogram::new_with_bounds(1, most, 1).unwrap_or_else(|_| unreachable!("constant bounds"));
        Self { latency: histogram(LATENCY_MAX), size: histogram(SIZE_MAX), count: 0 }
    }

    fn reset(&mut self) {
        self.latency.reset();
        self.size.reset();
        self.count = 0;
    }

    /// Takes all from another, which has none then.
    fn take_in(&mut self, other: &mut Self) {
        for (all, part) in [(&mut self.latency, &other.latency), (&mut self.size, &other.size)] {
            all.add(part).unwrap_or_else(|_| unreachable!("equal bounds"));
        }
        self.count = self.count.saturating_add(other.count);
        other.reset();
    }

    fn write(&self, out: &mut Writer) {
        out.uint(u64::from(self.count));
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
        let mut read = Self::new();
        read.count = input.u32()?;
        for histogram in [&mut read.latency, &mut read.size] {
            for _ in 0..input.uint()? {
                let value = input.uint()?;
                histogram.saturating_record_n(value, input.u32()?);
            }
        }
        Ok(read)
    }
}

/// One route's distributions.
#[derive(Clone, Debug)]
pub struct Route {
    /// The generation that is not complete, of hours that have closed.
    closed: Distributions,
    /// The hours that are open, of which there are two at most: by whether their number is odd.
    open: [Distributions; 2],
    /// The first hour that is open.
    open_from: u32,
    /// The 99th percentiles of the last generation; `u32::MAX` before the first.
    latency_p99_ms: u32,
    size_p99_units: u32,
    /// The recent shares of all requests beyond them.
    slow_share: f32,
    large_share: f32,
    /// The newest second of a request that taught something.
    newest: u32,
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
        Self {
            closed: Distributions::new(),
            open: [Distributions::new(), Distributions::new()],
            open_from: 0,
            latency_p99_ms: u32::MAX,
            size_p99_units: u32::MAX,
            slow_share: 0.01,
            large_share: 0.01,
            newest: 0,
        }
    }

    /// Hours close whose minutes have, where event time has come to `watermark`. The first few with enough requests, and then
    /// each generation, say what is slow and what is large.
    fn close_hours(&mut self, watermark: u32) {
        let to = first_open(watermark, self.newest) / 60;
        for hour in (self.open_from..to).take(2) {
            self.closed.take_in(&mut self.open[hour as usize % 2]);
            let is_first = self.latency_p99_ms == u32::MAX && self.size_p99_units == u32::MAX;
            if self.closed.count >= GENERATION || (self.closed.count >= FIRST && is_first) {
                self.turn();
            }
        }
        self.open_from = self.open_from.max(to);
    }

    /// What the record does not say is neither slow nor large, and teaches nothing. Nor does a request whose hour is closed.
    fn observe(
        &mut self,
        second: u32,
        watermark: u32,
        latency_us: Option<u32>,
        bytes: Option<u32>,
        frozen: bool,
    ) -> Beyond {
        if !frozen {
            let before = self.newest;
            self.newest = before.max(second);
            if self.newest / 60 != before / 60 {
                self.close_hours(watermark);
            }
        }
        let (latency, units) = (latency_us.map(|us| us / 1000), bytes.map(|bytes| bytes / 64));
        let slow = latency.is_some_and(|latency| latency > self.latency_p99_ms);
        let large = units.is_some_and(|units| units > self.size_p99_units);
        let before = Beyond { slow, large, slow_share: self.slow_share, large_share: self.large_share };
        if frozen {
            return before;
        }
        if latency.is_some() {
            self.slow_share += 0.002 * (f32::from(u8::from(slow)) - self.slow_share);
        }
        if units.is_some() {
            self.large_share += 0.002 * (f32::from(u8::from(large)) - self.large_share);
        }
        let hour = second / 3600;
        if hour >= self.open_from {
            let open = &mut self.open[hour as usize % 2];
            if let Some(latency) = latency {
                open.latency.saturating_record(u64::from(latency.max(1)));
            }
            if let Some(units) = units {
                open.size.saturating_record(u64::from(units.max(1)));
            }
            open.count = open.count.saturating_add(1);
        }
        before
    }

    fn turn(&mut self) {
        // Of what few records say there is no percentile: the last one stays.
        let p99 = |histogram: &Histogram<u32>, last: u32| {
            let enough = histogram.len() >= u64::from(FIRST);
            if enough { u32::try_from(histogram.value_at_quantile(0.99)).unwrap_or(u32::MAX) } else { last }
        };
        self.latency_p99_ms = p99(&self.closed.latency, self.latency_p99_ms);
        self.size_p99_units = p99(&self.closed.size, self.size_p99_units);
        if self.closed.count >= GENERATION {
            self.closed.reset();
        }
    }

    fn write(&self, out: &mut Writer) {
        out.counts([self.latency_p99_ms, self.size_p99_units, self.newest, self.open_from].into_iter());
        out.float(self.slow_share);
        out.float(self.large_share);
        self.closed.write(out);
        self.open.iter().for_each(|open| open.write(out));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut route = Self::new();
        route.latency_p99_ms = input.u32()?;
        route.size_p99_units = input.u32()?;
        route.newest = input.u32()?;
        route.open_from = input.u32()?;
        route.slow_share = input.float()?;
        route.large_share = input.float()?;
        route.closed = Distributions::read(input)?;
        route.open = [Distributions::read(input)?, Distributions::read(input)?];
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
    /// Compares a request of `second` with its route, then adds it to the route's history unless `frozen`. Event time has
    /// come to `watermark`, in seconds.
    pub fn observe(
        &mut self,
        route: u64,
        second: u32,
        watermark: u32,
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
        state.observe(second, watermark, latency_us, bytes, frozen)
    }

    /// If there are as many as there may be, forgets those that are not used any more at `hour`.
    pub fn sweep(&mut self, hour: u32) {
        if self.routes.len() < ROUTES_MAX {
            return;
        }
        let is_used = |route: &Route| route.newest / 3600 + UNUSED_HOURS > hour;
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

    /// What is learnt and what is not closed of each route, where event time has come to `watermark`. The shares of the newest
    /// requests are of the order in which they came.
    #[cfg(test)]
    pub fn learnt(&self, watermark: u32) -> std::collections::BTreeMap<u64, Writer> {
        let learnt = self.routes.iter().map(|(hash, route, _)| {
            let mut route = Route { slow_share: 0.0, large_share: 0.0, ..(**route).clone() };
            route.close_hours(watermark);
            let mut out = Writer::default();
            route.write(&mut out);
            (*hash, out)
        });
        learnt.collect()
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
#[path = "routes_tests.rs"]
mod tests;
