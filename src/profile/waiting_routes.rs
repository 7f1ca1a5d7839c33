//! Routes that have no place in the table and were asked for in an hour that is open.
//!
//! Which of them are kept here must not depend on the order in which requests come, and anybody may invent routes. So those of
//! the lowest ranks, keyed hashes of theirs, are kept: whichever is among them at the end was so from its first request on, and
//! its requests are all counted.

use super::{
    codec::{CodecError, Reader, Writer},
    routes::ROUTES_MAX,
};

/// Routes that are kept of an hour: 24 bytes each.
const WAITING_MAX: usize = 1024;
/// Those of them that may get a place. In one order of requests, routes of this hour may wait here that get a place when the
/// hour before closes; in another one they have it already, and leave room for others. They are at most as many as there are
/// places, so that the lowest ranks of the others, so many, are here in any order.
const LOOKED_AT: usize = WAITING_MAX - ROUTES_MAX;

/// Routes that wait, in the order of their ranks: rank, route, and how often it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WaitingRoutes {
    routes: Vec<(u64, u64, u32)>,
}

impl WaitingRoutes {
    /// Counts a request.
    #[cold]
    pub fn count(&mut self, rank: u64, route: u64) {
        let is_full = self.routes.len() >= WAITING_MAX;
        if is_full && self.routes.last().is_some_and(|(last, ..)| *last < rank) {
            return;
        }
        match self.routes.binary_search_by_key(&rank, |(rank, ..)| *rank) {
            Ok(at) => self.routes[at].2 = self.routes[at].2.saturating_add(1),
            Err(at) => {
                if is_full {
                    self.routes.pop();
                }
                self.routes.insert(at, (rank, route, 1));
            }
        }
    }

    /// These have got a place.
    pub fn remove(&mut self, has_place: impl Fn(u64) -> bool) {
        self.routes.retain(|(_, route, _)| !has_place(*route));
    }

    /// Takes those that may get a place, the most used first.
    pub fn take(&mut self) -> Vec<u64> {
        let mut routes = std::mem::take(&mut self.routes);
        routes.truncate(LOOKED_AT);
        routes.sort_unstable_by_key(|(rank, _, requests)| (std::cmp::Reverse(*requests), *rank));
        routes.into_iter().map(|(_, route, _)| route).collect()
    }

    /// Leaves out those that get no place, which are others in another order of requests.
    #[cfg(test)]
    pub fn truncate(&mut self) {
        self.routes.truncate(LOOKED_AT);
    }

    pub fn write(&self, out: &mut Writer) {
        out.uint(self.routes.len() as u64);
        for (rank, route, requests) in &self.routes {
            out.raw(&rank.to_le_bytes());
            out.raw(&route.to_le_bytes());
            out.uint(u64::from(*requests));
        }
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut routes: Vec<(u64, u64, u32)> = Vec::new();
        for _ in 0..input.uint()? {
            let mut number = || Ok(u64::from_le_bytes(input.array()?));
            let (rank, route) = (number()?, number()?);
            let next = (rank, route, input.u32()?);
            if routes.len() >= WAITING_MAX || routes.last().is_some_and(|(last, ..)| *last >= rank) {
                return Err(CodecError::Impossible(0));
            }
            routes.push(next);
        }
        Ok(Self { routes })
    }
}
