//! A key, its profile, and how the shipped rules judge it. `base/key.rs` is the same for an older commit.

use std::sync::LazyLock;

use keyhound::{
    detect::{
        Scale, Watch,
        volume::{self, Lesser, callable},
    },
    event::{KeyId, KeyKind},
    profile::{Expected, Hot, Known, Warm, tail, warm::WARM_AFTER},
};

use crate::power::shipped;

static SHIPPED: LazyLock<Watch> = LazyLock::new(shipped);

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
        for i in 0..n {
            let second = minute * 60 + i * 60 / n;
            let is_open = self.hot.advance(second, Known::at(second), self.warm.as_mut());
            self.hot.count(second, is_open, self.warm.as_mut());
            if self.hot.total == WARM_AFTER {
                self.warm = Some(Warm::new(&self.hot));
            }
            if let Some(warm) = &mut self.warm {
                warm.advance(second);
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
        let mut lesser = Lesser { is_told: true, ..Lesser::default() };
        volume::judge(watch, key, &[], Known::at(self.hot.last_seen), &mut lesser, &mut signals);
        !signals.is_empty()
    }
}
