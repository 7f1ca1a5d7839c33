//! The decisions file: whole or not at all, bounded, and the strongest in it.

use super::*;

fn decisions(count: usize, bytes: usize) -> Vec<KeptDecision> {
    (0..count).map(|n| (format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(bytes)).into_bytes(), 7)).collect()
}

#[test]
fn what_is_written_is_read_and_the_later_content_counts() {
    let dir = tempfile::tempdir().unwrap();
    // Whoever deletes the directory deletes no decision that is still in memory.
    let file = DecisionsFile::new(&dir.path().join("gone"), "kc1_0");
    assert!(matches!(file.read(), Err(DecisionsFileError::File { .. })));
    file.write(&decisions(3, 1), 5).unwrap();
    file.write(&decisions(2, 1), 9).unwrap();
    let expected = Kept { written_at_ms: 9, decisions: decisions(2, 1), left_out: 0 };
    assert_eq!(file.read().unwrap(), expected);
}

#[test]
fn any_changed_byte_and_any_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = DecisionsFile::new(dir.path(), "kc1_0");
    file.write(&decisions(2, 1), 5).unwrap();
    let whole = fs::read(file.path()).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(file.path(), changed).unwrap();
        assert!(matches!(file.read(), Err(DecisionsFileError::Damaged { .. })), "byte {at}");
        fs::write(file.path(), &whole[..at]).unwrap();
        assert!(matches!(file.read(), Err(DecisionsFileError::Damaged { .. })), "cut at {at}");
    }
    let other = DecisionsFile::new(dir.path(), "kc1_1");
    fs::write(file.path(), whole).unwrap();
    assert!(matches!(other.read(), Err(DecisionsFileError::Pepper { .. })));
}

#[test]
fn it_is_bounded_and_says_what_it_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = DecisionsFile::new(dir.path(), "kc1_0");
    let many = decisions(70, 1 << 20);
    let left_out = file.write(&many, 5).unwrap();
    let kept = file.read().unwrap();
    assert!(left_out >= 6 && kept.left_out == left_out, "{left_out}");
    assert_eq!(kept.decisions, many[..70 - left_out]);
}

/// A decision of about a megabyte.
fn large(step: &str, mode: &str, expires_at: &str) -> KeptDecision {
    let value = serde_json::json!({
        "schema": Decision::SCHEMA, "id": "dec_1", "epoch": 1, "subject": { "kind": "key", "id": "kf1_0" },
        "handles": [], "step": step, "mode": mode, "only": null, "rate": null,
        "as_of": "2026-11-29T12:00:00.000Z", "expires_at": expires_at, "incident": "", "cause": "policy",
        "rule": "r", "rule_version": "1", "reason": "x".repeat(1 << 20),
        "versions": { "rules": "", "catalogue": "", "geo": "", "keyhound": "" },
    });
    (serde_json::to_vec(&value).unwrap(), 7)
}

#[test]
fn what_has_ended_and_what_is_weakest_is_left_out_first() {
    let dir = tempfile::tempdir().unwrap();
    let file = DecisionsFile::new(dir.path(), "kc1_0");
    let now = EventTime::parse("2026-11-29T12:00:00Z").unwrap().0;
    let (past, soon, late) = ("2026-11-29T11:00:00Z", "2026-11-29T12:30:00Z", "2026-12-29T12:00:00Z");
    let weak = [
        large("revoke", "enforce", past),
        large("revoke", "shadow", late),
        large("observe", "enforce", late),
        large("throttle", "enforce", soon),
    ];
    let strong = [large("revoke", "enforce", late), large("throttle", "enforce", late)];
    // The weak ones come first in the order of keys.
    let mut all: Vec<KeptDecision> = Vec::new();
    for one in &weak {
        all.extend(std::iter::repeat_n(one.clone(), 5));
    }
    for one in &strong {
        all.extend(std::iter::repeat_n(one.clone(), 29));
    }
    let left_out = file.write(&all, now).unwrap();
    let kept = file.read().unwrap();
    assert_eq!(left_out + kept.decisions.len(), all.len());
    let count = |one: &KeptDecision| kept.decisions.iter().filter(|known| *known == one).count();
    assert_eq!(strong.each_ref().map(count), [29, 29], "what is served is in it");
    let counts = weak.each_ref().map(count);
    assert!(counts[0] == 0 && counts[1] == 0 && counts[2] == 0, "{counts:?}");
    assert!((3..=5).contains(&counts[3]), "{counts:?}");
}
