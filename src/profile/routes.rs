//! The routes that a partition keeps, so that a request can be compared with others on its route.
//!
//! Which routes are kept does not depend on the order in which requests come. A route that has no place waits for the hour
//! in which it was asked for to close; then the most used take the places that are free, and learn from the hour after the
//! next one on, whose first request comes when the hour has closed. Where there are too few places, routes that nobody asked
//! for in a day have to go: the requests of the hour after may have been compared with them before that was known, so that
//! they go with the end of that one.

use siphasher::sip::SipHasher13;

use super::{
    codec::{CodecError, Reader, Writer},
    fold::first_open,
    route::{Beyond, Route},
    waiting_routes::WaitingRoutes,
};

/// Routes that a partition keeps; requests on others are counted and not judged.
pub const ROUTES_MAX: usize = 256;
/// When there are more, those go that nobody asked for in so many hours.
const UNUSED_HOURS: u32 = 24;

/// The routes of a partition.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Index in `routes` by route hash.
    index: hashbrown::HashMap<u64, u32, foldhash::fast::FixedState>,
    /// Hashes, what is kept, and whether it changed since the last checkpoint.
    routes: Vec<(u64, Box<Route>, bool)>,
    /// Those that went since the last checkpoint.
    gone: Vec<u64>,
    /// Orders the routes that wait: nobody outside may choose which of many are looked at.
    rank_key: [u8; 16],
    /// Those that wait, of the hours that are open: by whether their number is odd.
    waiting: [WaitingRoutes; 2],
    /// The first hour that is open.
    open_from: u32,
    /// The second with which the minute after that of the newest request begins.
    next_minute: u32,
    /// Requests on routes beyond [`ROUTES_MAX`].
    pub unjudged: u64,
}

impl RouteTable {
    /// A table without routes; the key is a secret.
    pub fn new(rank_key: [u8; 16]) -> Self {
        Self { rank_key, ..Self::default() }
    }

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
        if second >= self.next_minute && !frozen {
            self.turn_minute(second, watermark);
        }
        let hour = second / 3600;
        if let Some(at) = self.index.get(&route) {
            let (_, state, dirty) = &mut self.routes[*at as usize];
            if hour < state.gone_from {
                *dirty |= !frozen;
                return state.observe(second, watermark, latency_us, bytes, frozen);
            }
        }
        // It teaches nothing: a restart from a checkpoint would not know of it.
        if !frozen {
            self.wait(route, hour);
        }
        Beyond::default()
    }

    #[cold]
    fn wait(&mut self, route: u64, hour: u32) {
        self.unjudged += u64::from(self.routes.len() >= ROUTES_MAX);
        if hour >= self.open_from {
            let rank = SipHasher13::new_with_key(&self.rank_key).hash(&route.to_le_bytes());
            self.waiting[hour as usize % 2].count(rank, route);
        }
    }

    #[cold]
    fn turn_minute(&mut self, second: u32, watermark: u32) {
        self.next_minute = (second / 60 + 1).saturating_mul(60);
        self.close_hours(first_open(watermark, second) / 60);
    }

    /// Closes the hours before `to`.
    fn close_hours(&mut self, to: u32) {
        // In two of them routes may have been asked for; with the one after the second those go that have to.
        for hour in (self.open_from..to).take(3) {
            self.close_hour(hour);
        }
        self.open_from = self.open_from.max(to);
    }

    fn close_hour(&mut self, hour: u32) {
        self.forget_gone(hour);
        let waiting = self.waiting[hour as usize % 2].take();
        let free = ROUTES_MAX.saturating_sub(self.routes.len());
        if waiting.len() > free {
            for (_, state, dirty) in &mut self.routes {
                if state.gone_from == u32::MAX && state.used_in(hour) + UNUSED_HOURS <= hour {
                    (state.gone_from, *dirty) = (hour + 2, true);
                }
            }
        }
        for route in waiting.into_iter().take(free) {
            self.insert(route, Route::new(hour), true);
        }
        let index = &self.index;
        self.waiting[(hour + 1) as usize % 2].remove(|route| index.contains_key(&route));
    }

    /// Forgets the routes that no request after `hour` may find.
    fn forget_gone(&mut self, hour: u32) {
        let is_gone = |route: &Route| route.gone_from <= hour + 1;
        let gone = self.routes.iter().filter(|(_, state, _)| is_gone(state)).map(|(route, ..)| *route);
        let from = self.gone.len();
        self.gone.extend(gone);
        if self.gone.len() > from {
            self.routes.retain(|(_, state, _)| !is_gone(state));
            self.index = (0..).zip(&self.routes).map(|(at, (route, ..))| (*route, at)).collect();
        }
    }

    fn insert(&mut self, route: u64, state: Route, dirty: bool) {
        self.index.insert(route, u32::try_from(self.routes.len()).unwrap_or(u32::MAX));
        self.routes.push((route, Box::new(state), dirty));
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

    /// Appends which routes wait, and to which hour the table has come.
    pub fn write_waiting(&self, out: &mut Writer) {
        out.counts([self.open_from, self.next_minute].into_iter());
        self.waiting.iter().for_each(|waiting| waiting.write(out));
    }

    /// Reads what [`RouteTable::write_waiting`] wrote.
    pub fn read_waiting(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        (self.open_from, self.next_minute) = (input.u32()?, input.u32()?);
        self.waiting = [WaitingRoutes::read(input)?, WaitingRoutes::read(input)?];
        Ok(())
    }

    /// What is learnt and what is not closed, where event time has come to `watermark`: of each route, and under 0 which ones
    /// wait.
    #[cfg(test)]
    pub fn learnt(&self, watermark: u32) -> std::collections::BTreeMap<u64, Writer> {
        let mut all = self.clone();
        if let Some(newest) = all.next_minute.checked_sub(1) {
            all.close_hours(first_open(watermark, newest) / 60);
        }
        let mut waiting = Writer::default();
        all.waiting.iter_mut().for_each(WaitingRoutes::truncate);
        all.write_waiting(&mut waiting);
        let learnt = all.routes.into_iter().map(|(hash, mut route, _)| {
            route.close_hours(watermark);
            let mut out = Writer::default();
            route.write(&mut out);
            (hash, out)
        });
        learnt.chain([(0, waiting)]).collect()
    }

    /// Puts a route back from a checkpoint. Entries may come in any order.
    pub fn restore(&mut self, route: u64, input: &mut Reader<'_>) -> Result<(), CodecError> {
        let state = Route::read(input)?;
        self.insert(route, state, false);
        Ok(())
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
