//! Commands: which partition each is for, and which key an id means.

use super::{
    Engines,
    seam::{Action, Command, Effect},
};
use crate::{
    event::{EventTime, KeyId},
    respond::Decision,
};

/// Decisions in force with which another one is still taken in from another instance.
const TAKEN_IN_MAX: usize = 100_000;

impl Engines {
    pub(super) fn command(&mut self, command: &Command, effects: &mut Vec<Effect>) {
        match &command.action {
            Action::Pause => self.fleet.paused = true,
            Action::Resume => self.fleet.paused = false,
            Action::TakeIn { decision, over } => self.take_in(command, (decision, *over), effects),
            Action::NotServed { key, epoch, by } => {
                if let Ok(key) = key.parse::<KeyId>()
                    && self.owner(&key).not_served(key, *epoch, *by, EventTime(command.at_ms), effects)
                {
                    self.fleet.release(&key);
                }
            }
            Action::Take { key, .. } | Action::Lift { key } => {
                if let Ok(key) = key.parse::<KeyId>() {
                    let key = self.subject_of(key, matches!(command.action, Action::Lift { .. }));
                    self.owner(&key).command(command, key, effects);
                }
            }
        }
    }

    /// Takes in what an operator decided at another instance, as long as there is room.
    fn take_in(&mut self, command: &Command, given: (&Decision, u64), effects: &mut Vec<Effect>) {
        let Ok(key) = given.0.subject.id.parse::<KeyId>() else { return };
        let held: usize = self.engines.iter().map(|engine| engine.forces.len()).sum();
        let is_known = self.owner(&key).forces.contains_key(&key);
        let has_room = is_known || held < TAKEN_IN_MAX;
        if self.owner(&key).take_decision_in(command, given, key, has_room, effects) {
            self.fleet.release(&key);
        }
    }

    /// The key that an id means: itself, if it has a profile (or what is to be lifted), or the one whose other id it is. An
    /// operator who found a key in a repository can make its `kf1_`, where profiles and gateways go by credential. Looks
    /// through all aliases: commands are rare.
    fn subject_of(&self, id: KeyId, is_lift: bool) -> KeyId {
        let owner = &self.engines[self.partition(&id)];
        let is_its_own =
            if is_lift { owner.forces.contains_key(&id) } else { owner.table.find(&id).is_some() };
        if is_its_own {
            return id;
        }
        let mut aliases = self.engines.iter().flat_map(|engine| &engine.aliases);
        aliases.find(|(_, alias)| **alias == id).map_or(id, |(key, _)| *key)
    }
}
