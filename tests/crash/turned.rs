//! The daemon, killed, and its sources stand in another order by the time it comes back.

use std::fs;

use super::{
    daemon::{FileSource, Site},
    gone::{append, commit, is_ready, lines, wait},
};

const SOURCES: [FileSource<'_>; 2] = [
    FileSource { name: "one.log", format: "nginx", key: "raw" },
    FileSource { name: "two.log", format: "nginx", key: "raw" },
];

/// Puts the second source before the first, and another before both.
fn turn(site: &Site) {
    let path = site.path("keyhound.yaml");
    let text = fs::read_to_string(&path).expect("settings");
    let lines: Vec<&str> = text.lines().collect();
    let [one, two] = [&lines[1..5], &lines[5..9]].map(|section| section.join("\n"));
    let new = one.replace("one", "new");
    let text = [lines[0], &new, &two, &one, &lines[9..].join("\n")].join("\n");
    fs::write(path, text).expect("written");
}

#[test]
fn sources_keep_their_positions_in_another_order() {
    let site = Site::new(&SOURCES, true, "");
    let lines = lines(1_600);
    append(&site.path("one.log"), &lines[..1_000]);
    append(&site.path("two.log"), &lines[1_000..1_500]);
    let daemon = site.start(&[]);
    wait(&site, "1500 records", || site.metric("keyhound_records_total") == Some(1_500));
    commit(&site, &site.path("two.log"), &lines[1_500]);
    daemon.kill();

    turn(&site);
    append(&site.path("one.log"), &lines[1_501..1_550]);
    append(&site.path("new.log"), &lines[1_550..]);
    let daemon = site.start(&[]);
    wait(&site, "ready", || is_ready(&site));
    wait(&site, "99 new records", || site.metric("keyhound_records_total") >= Some(99));
    append(&site.path("two.log"), &lines[..1]);
    wait(&site, "one more", || site.metric("keyhound_records_total") >= Some(100));
    assert_eq!(site.metric("keyhound_records_total"), Some(100), "{}", site.last_words());
    assert_eq!(site.metric("keyhound_replay_gaps_total"), Some(0), "{}", site.last_words());
    assert!(daemon.stop().success(), "{}", site.last_words());
}
