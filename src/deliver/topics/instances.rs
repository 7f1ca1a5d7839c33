//! Which instances write to the same topics: what each record says of its writer, and who was heard of lately.
//!
//! Every record has its writer's id in a header. Where no decision is made for days, a heartbeat says that somebody is
//! there: a record without a value on the topic of decisions, under a key that no decision has. To whoever reads the
//! topic it is a tombstone of nothing.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rdkafka::message::{Header, OwnedHeaders};

use crate::store::Instance;

/// The header with the id of the instance that wrote a record.
pub const INSTANCE_HEADER: &str = "keyhound-instance";
/// The header with the id of its start.
pub const START_HEADER: &str = "keyhound-start";
/// What begins the key of a heartbeat; the instance's id follows.
pub const HEARTBEAT_KEY: &str = "instance:";
/// How often an instance says that it is there.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_mins(1);
/// After how many missed heartbeats an instance counts as gone.
const GONE_AFTER: Duration = Duration::from_mins(3);
/// What a process has sent before it was killed may arrive after the next one has begun to read.
const OWN_STRAGGLERS: Duration = Duration::from_secs(10);
/// Whoever can write to the topic can invent instances; more are not told apart.
const OTHERS_MAX: usize = 64;
/// A writer without an id: an earlier version, or another program.
const NAMELESS: &str = "without an id";

/// Who we are, and whether the next heartbeat is wanted soon: by one that is new, or at the start.
#[derive(Debug, Default)]
pub struct Heartbeat {
    pub instance: Instance,
    wanted: AtomicBool,
}

impl Heartbeat {
    /// Of this instance.
    pub fn new(instance: Instance) -> Self {
        Self { instance, wanted: AtomicBool::new(false) }
    }

    /// The next heartbeat should not wait for its time.
    pub fn want(&self) {
        self.wanted.store(true, Relaxed);
    }

    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Relaxed)
    }

    /// The headers of a record of ours.
    pub(super) fn headers(&self) -> OwnedHeaders {
        let Instance { id, start } = &self.instance;
        let id = Header { key: INSTANCE_HEADER, value: Some(id) };
        OwnedHeaders::new().insert(id).insert(Header { key: START_HEADER, value: Some(start) })
    }

    pub(super) fn record_key(&self) -> String {
        format!("{HEARTBEAT_KEY}{}", self.instance.id)
    }
}

/// The others that were heard of lately.
#[derive(Debug)]
pub struct OtherInstances {
    own: Instance,
    /// By id: when.
    heard: BTreeMap<String, Duration>,
    began: Duration,
}

impl OtherInstances {
    /// Nobody was heard of at `now`.
    pub const fn new(own: Instance, now: Duration) -> Self {
        Self { own, heard: BTreeMap::new(), began: now }
    }

    /// Whether this process itself has written the record.
    pub fn is_own(&self, writer: &Instance) -> bool {
        *writer == self.own
    }

    /// A record came just now that `writer` wrote, whose parts are empty if it does not say. Gives whether that one is new.
    pub fn hear(&mut self, writer: &Instance, now: Duration) -> bool {
        let is_straggler = writer.id == self.own.id && now.saturating_sub(self.began) < OWN_STRAGGLERS;
        if self.is_own(writer) || is_straggler {
            return false;
        }
        let id = if Instance::is_id(&writer.id) { &writer.id } else { NAMELESS };
        if let Some(at) = self.heard.get_mut(id) {
            *at = now;
            return false;
        }
        let has_room = self.heard.len() < OTHERS_MAX;
        has_room && self.heard.insert(id.to_owned(), now).is_none()
    }

    /// Forgets who was not heard of for long. Gives those that are there.
    pub fn there(&mut self, now: Duration) -> Vec<&str> {
        self.heard.retain(|_, at| now.saturating_sub(*at) < GONE_AFTER);
        self.heard.keys().map(String::as_str).collect()
    }

    /// What to say of those that are there, if anybody is.
    pub fn warning(&mut self, topic: &str, now: Duration) -> Option<String> {
        let own = self.own.id.clone();
        let there = self.there(now);
        if there.is_empty() {
            return None;
        }
        let is_copy = there.contains(&own.as_str());
        let (count, names) = (there.len(), there.join(", "));
        let copy = "; that with this one's own id runs on a copy of its state directory: stop one of the two, and \
                    start it with an empty directory";
        Some(format!(
            "{count} other Keyhound(s) write to {topic}: {names} (this one: {own}). Each judges the same requests with \
             caps and a pause of its own; operators' decisions hold at all. If that is not meant, stop one, or give it \
             another topic_prefix{}",
            if is_copy { copy } else { "" }
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: u8, start: u8) -> Instance {
        Instance { id: format!("{id:016x}"), start: format!("{start:016x}") }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn another_instance_is_there_until_three_of_its_heartbeats_are_missed() {
        let mut others = OtherInstances::new(instance(1, 1), at(0));
        assert!(!others.hear(&instance(1, 1), at(60)), "our own");
        assert_eq!(others.warning("t", at(60)), None);
        assert!(others.hear(&instance(2, 1), at(61)));
        assert!(!others.hear(&instance(2, 2), at(70)), "started again");
        let warning = others.warning("keyhound.decisions", at(249)).unwrap();
        assert!(
            warning.starts_with("1 other Keyhound(s) write to keyhound.decisions: 0000000000000002 "),
            "{warning}"
        );
        assert_eq!(others.warning("t", at(250)), None);
    }

    #[test]
    fn what_the_process_before_sent_last_is_not_a_copy_of_the_state_directory_and_what_comes_later_is() {
        let mut others = OtherInstances::new(instance(1, 2), at(100));
        assert!(!others.hear(&instance(1, 1), at(101)));
        assert!(others.there(at(101)).is_empty());
        assert!(others.hear(&instance(1, 1), at(111)));
        assert!(others.warning("t", at(111)).unwrap().contains("copy of its state directory"));
    }

    #[test]
    fn invented_instances_are_bounded_and_their_names_are_not_shown() {
        let mut others = OtherInstances::new(instance(1, 1), at(0));
        for id in 0..1_000_u16 {
            others.hear(&Instance { id: format!("{id:016x}"), start: String::new() }, at(1));
        }
        assert_eq!(others.there(at(1)).len(), OTHERS_MAX);
        let mut others = OtherInstances::new(instance(1, 1), at(0));
        for id in ["\u{1b}[31mforged", "", "ABCDEFABCDEFABCD", "0"] {
            others.hear(&Instance { id: id.to_owned(), start: String::new() }, at(1));
        }
        assert_eq!(others.there(at(1)), [NAMELESS]);
    }
}
