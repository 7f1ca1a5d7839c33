//! Granting: the caps that hold for the whole fleet, and the pause.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Guardrail;
use crate::event::{EventTime, KeyId};

const HOUR: Duration = Duration::from_hours(1);

/// How much may be done automatically, over all keys together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Automatic throttles granted in any hour. From 1 to 10,000.
    pub throttle_per_hour: u32,
    /// The share of active keys that may be under an automatic step at once: max(1, floor(share × active keys)). Active is
    /// a key that was used in the last 24 h. From 0.0001 to 1.
    pub share_of_active_keys: f64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { throttle_per_hour: 20, share_of_active_keys: 0.01 }
    }
}

/// A cap out of its range.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{value} must be from {least} to {most}")]
pub struct CapError {
    pub field: &'static str,
    pub value: f64,
    pub least: f64,
    pub most: f64,
}

impl Caps {
    /// Checks each cap against its documented range; the first that is out of it is the error.
    pub fn validate(&self) -> Result<(), CapError> {
        for (field, value, least, most) in [
            ("throttle_per_hour", f64::from(self.throttle_per_hour), 1.0, 10_000.0),
            ("share_of_active_keys", self.share_of_active_keys, 0.0001, 1.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(CapError { field, value, least, most });
            }
        }
        Ok(())
    }
}

/// What the partition of the subject `fleet` knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Nothing automatic is granted until an operator resumes.
    pub paused: bool,
    /// Automatic steps in force: until when, by key.
    in_force: BTreeMap<String, u64>,
    /// When the last hour's grants were given, oldest first.
    granted: Vec<u64>,
}

impl Fleet {
    /// Grants a step that policy proposes until `until`, or says which rail holds it.
    pub fn grant(
        &mut self,
        caps: &Caps,
        key: &KeyId,
        at: EventTime,
        until: EventTime,
        active_keys: usize,
    ) -> Result<(), Guardrail> {
        if self.paused {
            return Err(Guardrail::Paused);
        }
        self.in_force.retain(|_, until| *until > at.0);
        self.granted.retain(|granted| EventTime(*granted).after(HOUR) > at);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        // A share of a count, floored as the cap's definition says.
        let share = ((caps.share_of_active_keys * active_keys as f64).floor() as usize).max(1);
        let known = self.in_force.contains_key(&key.to_string());
        if !known && self.in_force.len() >= share {
            return Err(Guardrail::ShareOfActiveKeys);
        }
        if !known && self.granted.len() >= caps.throttle_per_hour as usize {
            return Err(Guardrail::ThrottlesPerHour);
        }
        if !known {
            self.granted.push(at.0);
        }
        self.in_force.insert(key.to_string(), until.0);
        Ok(())
    }

    /// No automatic step is in force on the key any more: an operator has decided.
    pub fn release(&mut self, key: &KeyId) {
        self.in_force.remove(&key.to_string());
    }

    /// Knows of automatic steps that are out, and until when. The hour's grants stay those that it remembers.
    pub fn adopt(&mut self, out: impl Iterator<Item = (KeyId, EventTime)>) {
        self.in_force = out.map(|(key, until)| (key.to_string(), until.0)).collect();
    }

    /// Automatic steps that it knows to be in force.
    pub fn in_force(&self) -> usize {
        self.in_force.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::KeyKind;

    fn key(n: u8) -> KeyId {
        KeyId { kind: KeyKind::Raw, hash: [n; 16] }
    }

    fn ask(fleet: &mut Fleet, caps: &Caps, n: u8, at: u64, active: usize) -> Result<(), Guardrail> {
        fleet.grant(caps, &key(n), EventTime(at), EventTime(at + 3_600_000), active)
    }

    #[test]
    fn a_share_of_a_small_fleet_is_one_key() {
        let (mut fleet, caps) = (Fleet::default(), Caps::default());
        assert_eq!(ask(&mut fleet, &caps, 1, 0, 50), Ok(()));
        assert_eq!(ask(&mut fleet, &caps, 2, 1, 50), Err(Guardrail::ShareOfActiveKeys));
        assert_eq!(ask(&mut fleet, &caps, 1, 2, 50), Ok(()), "an extension is no new key");
        assert_eq!(ask(&mut fleet, &caps, 2, 3_700_003, 50), Ok(()), "the first has ended");
    }

    #[test]
    fn an_hour_has_so_many_throttles() {
        let mut fleet = Fleet::default();
        let caps = Caps { throttle_per_hour: 2, share_of_active_keys: 1.0 };
        assert!((0..2).all(|n| ask(&mut fleet, &caps, n, 0, 500).is_ok()));
        assert_eq!(ask(&mut fleet, &caps, 9, 1, 500), Err(Guardrail::ThrottlesPerHour));
    }

    #[test]
    fn a_step_that_an_operator_lifted_makes_room_for_another() {
        let (mut fleet, caps) = (Fleet::default(), Caps::default());
        assert_eq!(ask(&mut fleet, &caps, 1, 0, 50), Ok(()));
        assert_eq!(ask(&mut fleet, &caps, 2, 1, 50), Err(Guardrail::ShareOfActiveKeys));
        fleet.release(&key(1));
        assert_eq!(ask(&mut fleet, &caps, 2, 2, 50), Ok(()));
    }

    #[test]
    fn a_paused_fleet_grants_nothing() {
        let mut fleet = Fleet { paused: true, ..Fleet::default() };
        assert_eq!(ask(&mut fleet, &Caps::default(), 1, 0, 500), Err(Guardrail::Paused));
    }
}
