//! A key, its profile, and how the shipped rules judge it, at b2790ae and until the season learnt from closed minutes.

use keyhound::{
    detect::{Watch, volume},
    event::{KeyId, KeyKind},
    profile::{Hot, Warm, warm::WARM_AFTER},
};

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
            self.hot.advance(second);
            self.hot.count(second);
            if self.hot.total == WARM_AFTER {
                self.warm = Some(Warm::new(second));
            }
            if let Some(warm) = &mut self.warm {
                warm.advance(second, false);
                warm.count(second);
            }
        }
    }

    /// Whether one of the rules calls what the key does now.
    pub fn is_called(&self, watch: &Watch) -> bool {
        let mut signals = Vec::new();
        volume::judge(watch, &self.hot, self.warm.as_ref(), &[], &mut signals);
        !signals.is_empty()
    }
}
