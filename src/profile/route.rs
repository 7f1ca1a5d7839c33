//! How long one route takes and how much it sends, by hdrhistogram.
//!
//! Requests are recorded by the hour in which they were made. When an hour closes ([`first_open`]) it joins the generation,
//! and what that says then is the percentile with which requests of the hour two later are compared: when the first of those
//! comes, the hour has closed, since minutes are open for less than an hour. So neither what is learnt nor which requests are
//! slow depends on the order in which records come. Counters are u32 and a generation is short, so that none can saturate (a
//! saturated bucket makes `value_at_quantile` answer 0). With one significant digit a percentile is at most a sixteenth too
//! high.

use hdrhistogram::Histogram;

use super::{
    codec::{CodecError, Reader, Writer},
    fold::first_open,
    half_hours::SHARE_RATE,
    panes::Panes,
};

/// Values that make a generation.
const GENERATION: u64 = 10_000;
/// The first comparison wants so many.
const FIRST: u64 = 500;
/// Milliseconds, up to ten minutes; 64-byte units, up to 64 MiB.
const LATENCY_MAX: u64 = 600_000;
const SIZE_MAX: u64 = 1 << 20;
/// Minutes of which requests are counted for the share of the newest ones: half an hour. A key's window is five minutes long, so
/// that six of them count however many requests they had.
const PANES: u32 = 30;
const PANE: u32 = 60;
const PANES_LEAST: u32 = 6;
/// Requests that the share of the newest ones is of.
const SHARE_OF: u32 = 500;

/// What one request was, against its route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beyond {
    pub slow: bool,
    pub large: bool,
    /// The recent shares of the route's requests that were so too, whoever made them; of what this one is not, 0.
    pub slow_share: f32,
    pub large_share: f32,
}

/// What requests took of one kind: time, or bytes.
#[derive(Clone, Debug)]
struct Cost {
    /// The generation that is not complete, of hours that have closed.
    closed: Histogram<u32>,
    /// The hours that are open, of which there are two at most: by whether their number is odd.
    open: [Histogram<u32>; 2],
    /// The 99th percentile for requests of those hours; `u32::MAX` before there is one.
    p99: [u32; 2],
    /// The usual share of requests beyond it, of closed hours.
    usual: f32,
    /// Requests, and those beyond it.
    all: Panes<u32, { PANES as usize }, PANE>,
    beyond: Panes<u32, { PANES as usize }, PANE>,
}

impl Cost {
    fn new(most: u64) -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, most, 1).unwrap_or_else(|_| unreachable!("constant bounds"));
        Self {
            closed: histogram(),
            open: [histogram(), histogram()],
            p99: [u32::MAX; 2],
            usual: 0.01,
            all: Panes::default(),
            beyond: Panes::default(),
        }
    }

    /// Whether a request of `hour` is beyond the percentile. What its record does not say is not.
    fn is_beyond(&self, hour: u32, value: Option<u32>) -> bool {
        value.is_some_and(|value| value > self.p99[hour as usize % 2])
    }

    fn learn(&mut self, newest: u32, second: u32, value: u32, is_beyond: bool) {
        self.open[(second / 3600) as usize % 2].saturating_record(u64::from(value.max(1)));
        self.all.add(newest, second, 1);
        if is_beyond {
            self.beyond.add(newest, second, 1);
        }
    }

    /// The share of requests up to the minute of `second` that were beyond the percentile: the highest of one minute, two, and so
    /// on, until there are five hundred requests. Where there are fewer, the others are as usual. A backend that has become slow
    /// a moment ago is so at once, and what comes late is compared with what its own time was like.
    #[cold]
    #[allow(clippy::cast_precision_loss)] // counts of half an hour
    fn share(&self, second: u32, newest: u32) -> f32 {
        let (mut all, mut beyond, mut highest) = (0u32, 0u32, self.usual);
        let (pane, oldest) = (second / PANE, (newest / PANE).saturating_sub(PANES - 1));
        for (n, pane) in (oldest..=pane).rev().enumerate() {
            if n >= PANES_LEAST as usize && all >= SHARE_OF {
                break;
            }
            all = all.saturating_add(self.all.at(pane * PANE));
            beyond = beyond.saturating_add(self.beyond.at(pane * PANE));
            let missing = SHARE_OF.saturating_sub(all) as f32;
            highest = highest.max((beyond as f32 + missing * self.usual) / (all as f32 + missing));
        }
        highest
    }

    /// Closes an hour, and makes the percentile for the hour two later: the first few hours with enough values say it, and
    /// then each generation.
    fn close_hour(&mut self, hour: u32) {
        let at = hour as usize % 2;
        if !self.open[at].is_empty() {
            self.learn_share(at);
            let open = &mut self.open[at];
            self.closed.add(&*open).unwrap_or_else(|_| unreachable!("equal bounds"));
            open.reset();
        }
        let last = self.p99[1 - at];
        let (count, wanted) = (self.closed.len(), if last == u32::MAX { FIRST } else { GENERATION });
        self.p99[at] = if count >= wanted {
            u32::try_from(self.closed.value_at_quantile(0.99)).unwrap_or(u32::MAX)
        } else {
            last
        };
        if count >= GENERATION {
            self.closed.reset();
        }
    }

    /// The usual share follows that of an hour, by the number of its requests.
    #[allow(clippy::cast_precision_loss)] // counts of an hour
    fn learn_share(&mut self, at: usize) {
        let (open, p99) = (&self.open[at], self.p99[at]);
        if p99 == u32::MAX {
            return;
        }
        let count = open.len();
        let beyond = count - open.count_between(0, u64::from(p99));
        let rate = 1.0 - libm::powf(1.0 - SHARE_RATE, count as f32);
        self.usual += rate * (beyond as f32 / count as f32 - self.usual);
    }

    fn write(&self, out: &mut Writer) {
        out.counts(self.p99.into_iter().chain(self.all.raw()).chain(self.beyond.raw()));
        out.float(self.usual);
        for histogram in [&self.closed, &self.open[0], &self.open[1]] {
            let values: Vec<(u64, u32)> =
                histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
            out.uint(values.len() as u64);
            for (value, count) in values {
                out.uint(value);
                out.uint(u64::from(count));
            }
        }
    }

    fn read(most: u64, input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut read = Self::new(most);
        read.p99 = [input.u32()?, input.u32()?];
        read.all = Panes::from_raw(input.counts(PANES as usize)?.into_iter());
        read.beyond = Panes::from_raw(input.counts(PANES as usize)?.into_iter());
        read.usual = input.float()?;
        let [even, odd] = &mut read.open;
        for histogram in [&mut read.closed, even, odd] {
            for _ in 0..input.uint()? {
                let value = input.uint()?;
                histogram.saturating_record_n(value, input.u32()?);
            }
        }
        Ok(read)
    }
}

/// What a partition keeps of one route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    latency: Cost,
    size: Cost,
    /// The first hour that is open.
    open_from: u32,
    /// The newest second of a request that taught something, and the newest hour of one before the hour of that.
    newest: u32,
    used_before: u32,
    /// Requests of this hour and later ones find no route here any more; `u32::MAX` while it stays.
    pub gone_from: u32,
}

impl Route {
    /// A route that got its place when `hour` closed. What comes of the next hour may have come before that, and teaches
    /// nothing.
    pub fn new(hour: u32) -> Self {
        Self {
            latency: Cost::new(LATENCY_MAX),
            size: Cost::new(SIZE_MAX),
            open_from: hour + 2,
            newest: (hour + 1) * 3600,
            used_before: hour,
            gone_from: u32::MAX,
        }
    }

    /// The newest hour up to `hour`, which closes, in which it was used.
    pub fn used_in(&self, hour: u32) -> u32 {
        if self.newest / 3600 <= hour { self.newest / 3600 } else { self.used_before }
    }

    /// Compares a request of `second` with what is usual in its hour, and learns from it unless `frozen`. A request whose
    /// hour has closed is compared with what stands, and teaches nothing. Event time has come to `watermark`.
    #[inline]
    pub fn observe(
        &mut self,
        second: u32,
        watermark: u32,
        latency_us: Option<u32>,
        bytes: Option<u32>,
        frozen: bool,
    ) -> Beyond {
        let hour = second / 3600;
        let is_learnt = !frozen && hour >= self.open_from;
        if is_learnt {
            self.advance(second, watermark);
        }
        let (latency, units) = (latency_us.map(|us| us / 1000), bytes.map(|bytes| bytes / 64));
        let (slow, large) = (self.latency.is_beyond(hour, latency), self.size.is_beyond(hour, units));
        let mut beyond = Beyond { slow, large, ..Beyond::default() };
        if slow {
            beyond.slow_share = self.latency.share(second, self.newest);
        }
        if large {
            beyond.large_share = self.size.share(second, self.newest);
        }
        if is_learnt {
            if let Some(latency) = latency {
                self.latency.learn(self.newest, second, latency, slow);
            }
            if let Some(units) = units {
                self.size.learn(self.newest, second, units, large);
            }
        }
        beyond
    }

    #[inline]
    fn advance(&mut self, second: u32, watermark: u32) {
        if second / 60 > self.newest / 60 {
            self.turn_minute(second, watermark);
        } else if second / 3600 < self.newest / 3600 {
            self.used_before = self.used_before.max(second / 3600);
        }
        self.newest = self.newest.max(second);
    }

    #[cold]
    fn turn_minute(&mut self, second: u32, watermark: u32) {
        if second / 3600 > self.newest / 3600 {
            self.used_before = self.newest / 3600;
        }
        for cost in [&mut self.latency, &mut self.size] {
            cost.all.advance(self.newest, second);
            cost.beyond.advance(self.newest, second);
        }
        self.newest = second;
        self.close_hours(watermark);
    }

    /// Hours close whose minutes have, where event time has come to `watermark`.
    pub fn close_hours(&mut self, watermark: u32) {
        let to = first_open(watermark, self.newest) / 60;
        // Two had requests. After them, what was made of the second is for both.
        for hour in (self.open_from..to).take(3) {
            self.latency.close_hour(hour);
            self.size.close_hour(hour);
        }
        self.open_from = self.open_from.max(to);
    }

    pub fn write(&self, out: &mut Writer) {
        out.counts([self.newest, self.used_before, self.open_from, self.gone_from].into_iter());
        self.latency.write(out);
        self.size.write(out);
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            newest: input.u32()?,
            used_before: input.u32()?,
            open_from: input.u32()?,
            gone_from: input.u32()?,
            latency: Cost::read(LATENCY_MAX, input)?,
            size: Cost::read(SIZE_MAX, input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 3600;

    /// Requests of a route, so many in five minutes of hours 2 to 7, of which one in a thousand is slower than the others:
    /// with a thousand or more in an hour there is a percentile. Then five minutes in which this many of them are.
    fn share_after(each: u32, slow: u32) -> f32 {
        let mut route = Route::new(0);
        let mut n = 0u32;
        for second in (2 * HOUR..8 * HOUR).step_by(300) {
            for _ in 0..each {
                n += 1;
                let us = if n.is_multiple_of(1000) { 9_000 } else { 5_000 };
                route.observe(second, second, Some(us), None, false);
            }
        }
        let mut share = 0.0;
        for n in 0..each {
            let us = if n >= each - slow { 9_000 } else { 5_000 };
            let beyond = route.observe(8 * HOUR, 8 * HOUR, Some(us), None, false);
            assert_eq!(beyond.slow, us > 5_000);
            share = beyond.slow_share;
        }
        share
    }

    #[test]
    fn where_everybody_is_slow_the_share_rises_within_seconds() {
        // Five minutes before, none was.
        for (slow, share) in [(1_000, 1.0), (5_000, 1.0), (300, 0.6), (167, 0.34)] {
            let after = share_after(slow, slow);
            assert!((after - share).abs() < 0.02, "{slow}: {after}");
        }
    }

    #[test]
    fn a_few_slow_requests_on_a_route_with_few_raise_it_little() {
        assert!(share_after(20, 20) < 20.0 / 500.0 + 0.011, "{}", share_after(20, 20));
        assert!(share_after(1_000, 20) < 0.02);
    }

    #[test]
    fn the_usual_share_is_that_of_closed_hours() {
        let mut route = Route::new(0);
        let usual = |route: &Route| route.latency.usual;
        let hour = |route: &mut Route, hour: u32, slow: u32| {
            for n in 0..1000 {
                let us = if n < slow { 9_000 } else { 5_000 };
                route.observe(hour * HOUR, hour * HOUR, Some(us), None, false);
            }
        };
        hour(&mut route, 2, 0);
        hour(&mut route, 4, 200);
        assert_eq!(usual(&route).to_bits(), 0.01f32.to_bits(), "there was no percentile");
        hour(&mut route, 6, 0);
        assert!((usual(&route) - 0.174).abs() < 0.002, "{}", usual(&route));
    }

    #[test]
    fn a_route_takes_no_more_than_its_share_of_memory() {
        let route = Route::new(0);
        let of_one = |cost: &Cost| 3 * 4 * cost.closed.distinct_values();
        let bytes = size_of::<Route>() + of_one(&route.latency) + of_one(&route.size);
        assert!(bytes <= 8 << 10, "{bytes}");
    }
}
