//! A wall clock that was ahead: decisions that it had ended are in force again once it is set back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::{
    event::KeyId,
    respond::Decision,
    store::{EmbeddedLog, Identity, Kept, Log as _, Output, Progress, Topic},
};

const NOW_MS: u64 = 1_800_000_000_000;
const WEEK_MS: u64 = 7 * 86_400_000;
const KEY: &str = "kf1_00000000000000000000000000000001";

/// A decision that refuses the key for an hour.
fn revoke() -> Decision {
    let at = |ms| EventTime(ms).rfc3339();
    serde_json::from_value(serde_json::json!({
        "schema": Decision::SCHEMA, "id": "dec_1", "epoch": 1, "subject": { "kind": "key", "id": KEY },
        "handles": [], "step": "revoke", "mode": "enforce", "only": null, "rate": null, "as_of": at(NOW_MS),
        "expires_at": at(NOW_MS + 3_600_000), "incident": "", "cause": "operator", "rule": "command",
        "rule_version": "", "reason": "a test",
        "versions": { "rules": "", "catalogue": "", "geo": "", "keyhound": "" },
    }))
    .unwrap()
}

#[test]
fn a_clock_that_is_set_back_brings_back_what_it_had_ended() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity { partitions: 1, topic_prefix: String::new(), pepper_check: "kc1_0".to_owned() };
    let mut log = EmbeddedLog::open(dir.path().to_owned(), &identity, Vec::new(), &[]).unwrap();
    let (topic, key, value) = (Topic::Decisions, KEY.to_owned(), serde_json::to_vec(&revoke()).unwrap());
    log.begin().unwrap();
    log.produce(Output { topic, key, value, kept: Kept::Until(NOW_MS + WEEK_MS) }).unwrap();
    log.send_positions(&Progress::default(), &[], &[]).unwrap();
    log.commit(NOW_MS).unwrap();

    let wall = Arc::new(AtomicU64::new(NOW_MS + 3 * WEEK_MS));
    let told = wall.clone();
    let clock = WallClock::from_fn(move || WallTime(told.load(Relaxed)));
    // By the table's other clock, too, all that it has is long over.
    let decisions = Arc::new(Decisions::new(10).elapsed_by(|| Duration::from_hours(10_000)));
    decisions.apply(&revoke(), WallTime(NOW_MS), clock.now());
    decisions.sweep(clock.now());
    let refuses = || {
        let key: KeyId = KEY.parse().unwrap();
        !decisions.check(&[key], WallTime(NOW_MS)).is_empty()
    };
    assert!(!refuses(), "the clock was so far ahead that it was forgotten");
    let mut keeper = StateKeeper {
        file: DecisionsFile::new(dir.path(), "kc1_0"),
        presence: log.presence(),
        outbox: log.outbox(),
        decisions: decisions.clone(),
        clock,
        metrics: Arc::new(Metrics::new("0", "0")),
        status: Arc::default(),
        written: None,
        seen: None,
    };
    for _ in 0..2 {
        keeper.bring_again_if_set_back().unwrap();
        assert!(!refuses());
    }
    wall.store(NOW_MS, Relaxed);
    keeper.bring_again_if_set_back().unwrap();
    assert!(refuses(), "it was set back, and the decision is in force by it");
}
