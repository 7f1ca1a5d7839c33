//! A key, its profile, and how the shipped rules judge it. `base/key.rs` is the same for an older commit.

use std::sync::LazyLock;

use keyhound::{
    detect::{
        Scale, Watch,
        volume::{self, LESSER_WAITS, Lesser, callable},
    },
    event::{KeyId, KeyKind},
    profile::{Expected, Hot, Known, Warm, fold::LATENESS, tail, warm::WARM_AFTER},
};

use crate::{power::shipped, source::Hour};

static SHIPPED: LazyLock<Watch> = LazyLock::new(shipped);

/// So many requests at least are counted one by one before the others are counted at once: no fewer than a key has when it gets
/// its warm part.
const SINGLY: u32 = 2 * WARM_AFTER;

/// The lowest bar of the shipped rules for a scale.
fn bar(scale: Scale) -> f64 {
    SHIPPED.volume[scale as usize].bars.iter().map(|(_, bar)| *bar).fold(f64::INFINITY, f64::min)
}

#[derive(Clone)]
pub struct Key {
    hot: Hot,
    warm: Option<Warm>,
}

impl Key {
    /// `minute` is counted since the epoch.
    pub fn new(minute: u32) -> Self {
        Self { hot: Hot::new(KeyId { kind: KeyKind::Raw, hash: [1; 16] }, minute * 60), warm: None }
    }

    /// `n` requests, evenly over a minute since the epoch.
    pub fn see(&mut self, minute: u32, n: u32) {
        let mut seen = 0;
        while seen < n {
            let within = seen * 60 / n;
            // The first request that is a second later.
            let next = ((within + 1) * n).div_ceil(60);
            self.count(minute * 60 + within, next - seen);
            seen = next;
        }
    }

    /// The requests of an hour that begins with a minute since the epoch, in two parts: those before the last minute that has
    /// any, in the first minute, and those of the last minute, in the second of its last.
    ///
    /// A window of an hour or a day is judged by what was counted in the hours that have closed, and at the second of its last
    /// request; so that is as with [`Key::see`] for each minute, to the bit (`surprises_tests.rs`). Shorter windows are not.
    pub fn see_hour(&mut self, minute: u32, Hour { before, last, in_last }: Hour) {
        if in_last == 0 {
            return;
        }
        // A key of a thousand a minute has a million in a day: most of them go where closed minutes are folded to, once the
        // first minute has.
        let singly = if last > LATENESS / 60 { before.min(SINGLY) } else { before };
        self.count(minute * 60, singly);
        self.count((minute + last) * 60 + (in_last - 1) * 60 / in_last, in_last);
        self.hot.season.count_many(before - singly);
        self.hot.total = self.hot.total.saturating_add(before - singly);
    }

    /// `n` requests of one second.
    fn count(&mut self, second: u32, n: u32) {
        if n == 0 {
            return;
        }
        let is_open = self.hot.advance(second, Known::at(second), self.warm.as_mut());
        if let Some(warm) = &mut self.warm {
            warm.advance(second);
        }
        for _ in 0..n {
            self.hot.count(second, is_open, self.warm.as_mut());
            if self.hot.total == WARM_AFTER {
                self.warm = Some(Warm::new(&self.hot));
            }
            if let Some(warm) = &mut self.warm {
                warm.count(second);
            }
        }
    }

    /// The surprises of n and of n + 1 requests in a window that ends with `minute`, by the model.
    pub fn surprises(&self, scale: Scale, n: u32, minute: u32) -> (f64, f64) {
        let mut hot = self.hot;
        if n == 0 {
            hot.last_seen = minute * 60 + 59;
        }
        let Expected { mean, dispersion } = hot.expect(scale.seconds());
        (tail::surprise(n, mean, dispersion), tail::surprise(n + 1, mean, dispersion))
    }

    /// What the key's own tail makes of a surprise by the model.
    pub fn own(&self, scale: Scale, by_model: f64) -> f64 {
        self.warm.as_ref().map_or(by_model, |warm| warm.own_tail.surprise(scale as usize, by_model))
    }

    /// Whether n requests in a window that ends with `minute` would be called.
    pub fn calls(&self, scale: Scale, n: u32, minute: u32) -> bool {
        n >= callable(&self.hot, scale) && self.own(scale, self.surprises(scale, n, minute).0) >= bar(scale)
    }

    /// Whether one of the rules calls what the key does now, or half a minute later what it does now: a lesser spike is told
    /// with its highest count unless its group excuses it, and here is no group.
    pub fn is_called(&self, watch: &Watch) -> bool {
        let mut signals = Vec::new();
        let key = (&self.hot, self.warm.as_ref());
        let (mut lesser, now) = (Lesser::default(), self.hot.last_seen);
        for at in [now, now + LESSER_WAITS] {
            volume::judge(watch, key, &[], (at, Known::at(now)), &mut lesser, &mut signals);
        }
        !signals.is_empty()
    }
}
