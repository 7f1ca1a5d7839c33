//! The table for gateways over a restart: a gateway that reaches the daemon is never answered from an empty table.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use keyhound::{
    decode::{Pepper, credential_fingerprint},
    respond::Decision,
    store::DecisionsFile,
};

use super::{
    daemon::{FileSource, PEPPER, Site, http, sum},
    gone::{append, lines, wait},
    lives::{NEIGHBOUR, STOLEN, check, revoke},
};

/// Decisions beside the one on the stolen key.
const OTHERS: u32 = 20_000;

/// How often the daemon is killed.
const KILLS: usize = 5;

/// Puts further decisions into the decisions file of a daemon that does not run, like the one that is there, and takes
/// its database away: the next start takes all of them over.
fn with_many_decisions(site: &Site) {
    let pepper = Pepper::new(PEPPER).expect("a pepper");
    let check = credential_fingerprint(&pepper, "keyhound", "pepper check").to_string();
    let file = DecisionsFile::new(&site.path("state"), &check);
    let kept = file.read().expect("it is there");
    let (value, committed_ms) = &kept.decisions[0];
    let one: Decision = serde_json::from_slice(value).expect("a decision");
    let others = (0..OTHERS).map(|number| {
        let mut other = one.clone();
        other.subject.id = format!("kf1_{number:032x}");
        other.id.0 = format!("dec_{number:032x}");
        (serde_json::to_vec(&other).expect("JSON"), *committed_ms)
    });
    let all: Vec<_> = others.chain(kept.decisions.iter().cloned()).collect();
    assert_eq!(file.write(&all, kept.written_at_ms).expect("written"), 0);
    for name in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(site.path("state").join(format!("keyhound.sqlite{name}")));
    }
}

#[test]
fn a_revoked_key_is_never_served_after_a_restart() {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Arc::new(Site::new(&[source], true, "response: { mode: enforce }"));
    append(&site.path("access.log"), &lines(100));
    let daemon = site.start(&[]);
    wait(&site, "100 records", || site.metric("keyhound_records_total") == Some(100));
    assert!(revoke(&site, STOLEN).starts_with("HTTP/1.1 200"));
    wait(&site, "it is refused", || check(&site, STOLEN) == "403");
    wait(&site, "the file has it", || {
        site.metric("keyhound_decisions_file_timestamp_seconds").is_none_or(|at| at > 0)
    });
    assert!(daemon.stop().success(), "{}", site.last_words());
    with_many_decisions(&site);

    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let caller = thread::spawn({
        let (site, stop, refused) = (site.clone(), stop.clone(), refused.clone());
        move || {
            let mut answers = Vec::new();
            while !stop.load(Relaxed) {
                match check(&site, STOLEN).as_str() {
                    // Nobody listens, or the daemon was killed while it answered.
                    "" => {}
                    "403" => drop(refused.fetch_add(1, Relaxed)),
                    other => answers.push(other.to_owned()),
                }
            }
            answers
        }
    });
    for _ in 0..KILLS {
        let before = refused.load(Relaxed);
        let daemon = site.start(&[]);
        wait(&site, "it is refused again", || refused.load(Relaxed) > before);
        assert_eq!(check(&site, NEIGHBOUR), "200");
        let metrics = http::get(&site.listen, "/metrics").expect("it answers");
        assert_eq!(sum(&metrics, "keyhound_gateways_listening", &[]), Some(1));
        daemon.kill();
    }
    stop.store(true, Relaxed);
    let answers = caller.join().expect("the caller ends");
    assert!(answers.is_empty(), "answers other than 403: {answers:?}\n{}", site.last_words());
}
