//! What tests of engines begin with.

use std::time::Duration;

use super::{Effect, Engines, IdKey, Input, MemoryLimits, Partial, Settings, groups::second_of};
use crate::{
    event::Event,
    profile::{Known, Writer},
    respond::{Caps, FRESH_WITHIN},
};

/// Four partitions with room for a few keys.
pub fn settings() -> Settings {
    Settings {
        partitions: 4,
        limits: MemoryLimits::of_keys(10),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    }
}

/// Takes events in, with a watermark at each that is 5 s newer than the one before.
pub fn play(engines: &mut Engines, events: impl Iterator<Item = Event<'static>>, effects: &mut Vec<Effect>) {
    let mut watermark = 0;
    for event in events {
        engines.apply_events(&[event], effects);
        if event.time.0 >= watermark + 5_000 {
            watermark = event.time.0;
            engines.apply(Input::Watermark(event.time), effects);
        }
        engines.settle(effects);
    }
}

impl Engines {
    /// What was learnt of groups, of all keys together, of keys and of routes, in the order of tenants, partitions, keys and
    /// routes.
    pub fn learnt(&self) -> Vec<Vec<u8>> {
        let (mut groups, mut minutes) = (self.groups.clone(), self.minutes.clone());
        let watermark = second_of(self.watermark());
        minutes.pass(watermark);
        for engine in &self.engines {
            let counts = engine.group_counts.clone().take();
            groups.add(&Partial { at: engine.watermark, counts, newcomers: Vec::new() });
        }
        groups.close(minutes.open_from(), minutes.gaps());
        let learnt = self.engines.iter().flat_map(|engine| {
            let keys = engine.table.learnt(Known { watermark, gaps: minutes.gaps() }).into_values();
            keys.chain(engine.routes.learnt(watermark).into_values())
        });
        let mut of_minutes = Writer::default();
        minutes.write(&mut of_minutes);
        let learnt = learnt.collect::<Vec<_>>().into_iter();
        groups.learnt().into_values().chain([of_minutes]).chain(learnt).map(|written| written.0).collect()
    }
}
