//! The state directory deleted, overwritten, damaged or locked, while the daemon runs and before it starts: it is told
//! with path and remedy, and gateways are answered all the while.

use std::fs;

use super::{
    daemon::{Daemon, FileSource, Site, http, sum},
    gone::{append, is_ready, lines, wait},
    lives::{NEIGHBOUR, STOLEN, check, post_decision, revoke},
};

const DATABASE: &str = "keyhound.sqlite";
const DECISIONS: &str = "keyhound.decisions";

/// A daemon that has read some records and refuses the stolen key.
fn with_a_revoked_key() -> (Site, Daemon) {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "response: { mode: enforce }");
    append(&site.path("access.log"), &lines(100));
    let daemon = site.start(&[]);
    wait(&site, "100 records", || site.metric("keyhound_records_total") == Some(100));
    assert!(revoke(&site, STOLEN).starts_with("HTTP/1.1 200"));
    wait(&site, "it is refused", || check(&site, STOLEN) == "403");
    wait(&site, "the file has it", || decisions_file(&site).contains("\"step\":\"revoke\""));
    (site, daemon)
}

fn decisions_file(site: &Site) -> String {
    fs::read_to_string(site.path("state").join(DECISIONS)).unwrap_or_default()
}

fn lift(site: &Site) {
    assert!(post_decision(site, "lift", STOLEN).starts_with("HTTP/1.1 200"), "{}", site.last_words());
    wait(site, "it is served", || check(site, STOLEN) == "200");
    wait(site, "the file has it", || decisions_file(site).contains("\"step\":\"observe\""));
}

fn ready(site: &Site) -> String {
    http::get(&site.listen, "/readyz").unwrap_or_default()
}

fn fault(site: &Site, name: &str) -> Option<u64> {
    sum(&http::get(&site.listen, "/metrics")?, "keyhound_fault", &[&format!("fault=\"{name}\"")])
}

/// Waits until it is not ready, with these words in the reason, and the gauge of the fault set.
#[track_caller]
fn tells(site: &Site, name: &str, words: &[&str]) {
    wait(site, name, || {
        let ready = ready(site);
        ready.starts_with("HTTP/1.1 503") && words.iter().all(|words| ready.contains(words))
    });
    assert_eq!(fault(site, name), Some(1), "{}", ready(site));
}

/// Makes the database of a daemon that does not run unreadable.
fn damage(site: &Site) {
    let path = site.path("state").join(DATABASE);
    let mut bytes = fs::read(&path).expect("read");
    bytes[..4096].fill(b'x');
    fs::write(path, bytes).expect("written");
    // What a daemon left there that was killed.
    for name in ["-wal", "-shm"] {
        let _ = fs::remove_file(site.path("state").join(format!("{DATABASE}{name}")));
    }
}

fn remove_database(site: &Site) {
    for name in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(site.path("state").join(format!("{DATABASE}{name}")));
    }
}

#[test]
fn a_damaged_database_is_told_while_gateways_are_answered_from_the_decisions_file() {
    let (site, daemon) = with_a_revoked_key();
    assert!(daemon.stop().success(), "{}", site.last_words());
    damage(&site);
    let daemon = site.start(&[]);
    wait(&site, "an answer", || {
        let answer = check(&site, STOLEN);
        assert_ne!(answer, "200", "{}", site.last_words());
        answer == "403"
    });
    let path = site.path("state").display().to_string();
    tells(&site, "engine_stopped", &[&path, "not a database", "move"]);
    assert!(
        post_decision(&site, "lift", STOLEN).starts_with("HTTP/1.1 503"),
        "commands wait for the database"
    );

    // The remedy, while it waits.
    remove_database(&site);
    wait(&site, "ready again", || {
        assert_eq!(check(&site, STOLEN), "403", "{}", site.last_words());
        is_ready(&site)
    });
    assert_eq!((fault(&site, "engine_stopped"), fault(&site, "state_lost")), (Some(0), Some(1)));
    assert!(ready(&site).contains("1 decisions are taken over"), "{}", ready(&site));
    lift(&site);
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn where_neither_can_be_read_nobody_is_answered_and_it_says_why() {
    let (site, daemon) = with_a_revoked_key();
    daemon.kill();
    damage(&site);
    fs::write(site.path("state").join(DECISIONS), "nonsense").expect("written");
    let _daemon = site.start(&[]);
    let path = site.path("state").join(DECISIONS).display().to_string();
    tells(
        &site,
        "gateways_closed",
        &["gateways_listen is closed", &path, "checksum", "not a database", "move"],
    );
    assert_eq!(check(&site, STOLEN), "", "the connection is refused");

    // Half of the remedy: what was decided is still not known, and stays to be looked at.
    remove_database(&site);
    tells(&site, "gateways_closed", &["gateways_listen is closed", &path, "checksum"]);
    tells(&site, "engine_stopped", &["there is no database", &path, "move it away"]);
    assert_eq!(check(&site, STOLEN), "", "the connection is refused");
    assert_eq!(decisions_file(&site), "nonsense");
}

#[test]
fn a_backup_of_the_database_that_is_put_back_brings_nothing_back_into_use() {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "response: { mode: enforce }");
    append(&site.path("access.log"), &lines(100));
    let daemon = site.start(&[]);
    wait(&site, "100 records", || site.metric("keyhound_records_total") == Some(100));
    assert!(daemon.stop().success(), "{}", site.last_words());
    let backup = fs::read(site.path("state").join(DATABASE)).expect("read");

    let daemon = site.start(&[]);
    wait(&site, "ready", || is_ready(&site));
    assert!(revoke(&site, STOLEN).starts_with("HTTP/1.1 200"));
    wait(&site, "it is refused", || check(&site, STOLEN) == "403");
    wait(&site, "the file has it", || decisions_file(&site).contains("\"step\":\"revoke\""));
    daemon.kill();
    remove_database(&site);
    fs::write(site.path("state").join(DATABASE), backup).expect("written");

    let daemon = site.start(&[]);
    wait(&site, "ready", || {
        assert_ne!(check(&site, STOLEN), "200", "{}", site.last_words());
        is_ready(&site)
    });
    assert_eq!(check(&site, STOLEN), "403", "{}", site.last_words());
    assert_eq!(fault(&site, "state_lost"), Some(1), "{}", ready(&site));
    assert!(decisions_file(&site).contains("\"step\":\"revoke\""));
    lift(&site);
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn a_deleted_directory_is_told_at_once_and_the_next_start_refuses_what_was_refused() {
    let (site, daemon) = with_a_revoked_key();
    fs::remove_dir_all(site.path("state")).expect("removed");
    let path = site.path("state").join(DATABASE).display().to_string();
    tells(&site, "state_files", &[&path, "deleted", "Restart"]);
    assert_eq!(check(&site, STOLEN), "403");
    let _ = daemon.stop();
    let daemon = site.start(&[]);
    wait(&site, "an answer", || {
        let answer = check(&site, STOLEN);
        assert_ne!(answer, "200", "{}", site.last_words());
        answer == "403"
    });
    wait(&site, "ready", || is_ready(&site));
    assert_eq!(fault(&site, "state_lost"), Some(1), "{}", ready(&site));
    lift(&site);
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn a_database_that_is_replaced_while_it_is_open_is_told() {
    let (site, daemon) = with_a_revoked_key();
    let path = site.path("state").join(DATABASE);
    let other = site.path("other");
    fs::copy(&path, &other).expect("copied");
    fs::rename(&other, &path).expect("renamed");
    tells(&site, "state_files", &[&path.display().to_string(), "replaced", "Restart"]);
    assert_eq!(check(&site, STOLEN), "403");
    let _ = daemon.stop();
}

#[test]
fn a_database_that_is_overwritten_while_it_is_open_is_an_engine_failure() {
    let (site, _daemon) = with_a_revoked_key();
    let path = site.path("state").join(DATABASE);
    let size = usize::try_from(fs::metadata(&path).expect("there").len()).expect("small");
    for name in ["", "-wal"] {
        // In place, so that it is the same file.
        fs::write(site.path("state").join(format!("{DATABASE}{name}")), vec![b'x'; size]).expect("written");
    }
    append(&site.path("access.log"), &lines(200)[100..]);
    tells(&site, "engine_stopped", &[&site.path("state").display().to_string()]);
    assert!(site.metric("keyhound_engine_failures_total") >= Some(1));
    assert_eq!(check(&site, STOLEN), "403");
}

#[test]
fn a_lifted_decision_does_not_come_back_by_the_file() {
    let (site, daemon) = with_a_revoked_key();
    let stale = decisions_file(&site);
    lift(&site);
    assert!(daemon.stop().success(), "{}", site.last_words());

    // An older file beside a sound database: the database counts.
    let newer = decisions_file(&site);
    fs::write(site.path("state").join(DECISIONS), &stale).expect("written");
    let daemon = site.start(&[]);
    wait(&site, "an answer", || {
        let answer = check(&site, STOLEN);
        assert_ne!(answer, "403", "{}", site.last_words());
        answer == "200"
    });
    daemon.kill();

    // The file that was written last, without a database: the lift is in it.
    fs::write(site.path("state").join(DECISIONS), &newer).expect("written");
    damage(&site);
    let _daemon = site.start(&[]);
    wait(&site, "an answer", || {
        let answer = check(&site, STOLEN);
        assert_ne!(answer, "403", "{}", site.last_words());
        answer == "200"
    });
}

#[test]
fn what_is_decided_after_the_database_was_deleted_is_in_force_after_the_next_start() {
    let (site, daemon) = with_a_revoked_key();
    remove_database(&site);
    tells(&site, "state_files", &["deleted", "Restart"]);
    assert!(revoke(&site, NEIGHBOUR).starts_with("HTTP/1.1 200"), "{}", site.last_words());
    wait(&site, "it is refused", || check(&site, NEIGHBOUR) == "403");
    wait(&site, "the file has both", || decisions_file(&site).matches("\"step\":\"revoke\"").count() == 2);
    let _ = daemon.stop();
    let daemon = site.start(&[]);
    for key in [STOLEN, NEIGHBOUR] {
        wait(&site, "an answer", || {
            let answer = check(&site, key);
            assert_ne!(answer, "200", "{}", site.last_words());
            answer == "403"
        });
    }
    wait(&site, "ready", || is_ready(&site));
    assert!(ready(&site).contains("2 decisions are taken over"), "{}", ready(&site));
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn a_database_that_another_program_has_locked_at_the_start_is_told_and_gateways_are_answered() {
    let (site, daemon) = with_a_revoked_key();
    assert!(daemon.stop().success(), "{}", site.last_words());
    let other = rusqlite::Connection::open(site.path("state").join(DATABASE)).expect("opened");
    // As a program does that copies or repairs a database: nobody else may read either.
    other
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE meta SET value = value; COMMIT",
        )
        .expect("locked");
    let daemon = site.start(&[]);
    wait(&site, "an answer", || {
        let answer = check(&site, STOLEN);
        assert_ne!(answer, "200", "{}", site.last_words());
        answer == "403"
    });
    let path = site.path("state").join(DATABASE).display().to_string();
    tells(&site, "engine_stopped", &["another program holds a lock on", &path, "end it"]);
    drop(other);
    wait(&site, "ready again", || {
        assert_eq!(check(&site, STOLEN), "403", "{}", site.last_words());
        is_ready(&site)
    });
    lift(&site);
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn a_full_disk_under_the_decisions_file_is_told_and_decisions_are_served_all_the_same() {
    let (site, daemon) = with_a_revoked_key();
    // Whatever is written there finds no room.
    let temporary = site.path("state").join(format!("{DECISIONS}.new"));
    std::os::unix::fs::symlink("/dev/full", &temporary).expect("a link");
    assert!(revoke(&site, NEIGHBOUR).starts_with("HTTP/1.1 200"), "{}", site.last_words());
    wait(&site, "it is refused", || check(&site, NEIGHBOUR) == "403");
    let path = site.path("state").join(DECISIONS).display().to_string();
    tells(&site, "decisions_file", &[&path, "No space left", "make room"]);
    assert_eq!(decisions_file(&site).matches("\"step\":\"revoke\"").count(), 1, "the last whole one stays");
    fs::remove_file(&temporary).expect("there");
    wait(&site, "the file has both", || decisions_file(&site).matches("\"step\":\"revoke\"").count() == 2);
    wait(&site, "ready again", || is_ready(&site));
    assert_eq!(fault(&site, "decisions_file"), Some(0), "{}", ready(&site));
    assert!(daemon.stop().success(), "{}", site.last_words());
}
