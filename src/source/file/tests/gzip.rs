//! Compressed files: what is read of them, and what is kept open.

use super::*;

#[test]
fn what_rotation_compresses_is_not_read_twice() {
    let mut logs = Logs::new("access.log*");
    logs.gzip("access.log.2.gz", "history\n");
    logs.aged("access.log.2.gz", 1_000);
    logs.write("access.log", "one\n");
    logs.check("history one");
    logs.rename("access.log", "access.log.1");
    logs.write("access.log", "two\n");
    logs.check("two");
    logs.gzip("access.log.1.gz", "one\n");
    fs::remove_file(logs.path("access.log.1")).unwrap();
    logs.check("");
    assert_eq!(logs.notices(), ["compressed"]);
    logs.restart();
    logs.write("access.log", "three\n");
    logs.check("three");
}

#[test]
fn a_pattern_for_compressed_files_takes_each_that_appears() {
    let mut logs = Logs::new("*.gz");
    logs.gzip("a.gz", "one\n");
    logs.check("one");
    logs.gzip("b.gz", "two\n");
    logs.check("two");
}

#[test]
fn a_gzip_file_goes_on_where_it_was_left() {
    let mut logs = Logs::new("*.gz");
    logs.gzip("a.gz", "one\ntwo\nthree\nno break");
    assert_eq!(logs.poll(2), "one two");
    logs.restart();
    logs.check("three no break");
    logs.restart();
    logs.check("");
}

#[test]
fn a_gzip_file_that_is_still_being_written_is_tried_again() {
    let mut logs = Logs::new("*.gz");
    let text = (0..20_000).map(|n| (n * 7919).to_string()).collect::<Vec<_>>().join("\n");
    logs.gzip("whole", &text);
    let whole = fs::read(logs.path("whole")).unwrap();
    fs::write(logs.path("a.gz"), &whole[..whole.len() / 2]).unwrap();
    let mut seen = logs.poll(100_000);
    assert_eq!(logs.notices(), ["unreadable"]);
    fs::write(logs.path("a.gz"), &whole).unwrap();
    seen = format!("{seen} {}", logs.poll(100_000));
    assert_eq!(seen, text.replace('\n', " "));
}

#[test]
fn a_file_that_cannot_be_opened_is_told_once_and_stops_nothing() {
    let mut logs = Logs::new("*.gz");
    fs::write(logs.path("bad.gz"), "this is no gzip").unwrap();
    logs.gzip("good.gz", "fine\n");
    logs.check("fine");
    logs.check("");
    assert_eq!(logs.notices(), ["unreadable"]);
}

#[test]
fn compressed_files_are_open_one_at_a_time_and_none_once_it_is_done() {
    let mut logs = Logs::new("*.gz");
    for name in ["a.gz", "b.gz", "c.gz"] {
        logs.gzip(name, "one\ntwo\n");
    }
    assert_eq!((logs.poll(1), logs.open()), ("one".to_owned(), 1));
    logs.check("two one two one two");
    assert_eq!(logs.open(), 0);
    logs.check("");
}

/// Overwrites a file in place with as many bytes that are no gzip.
fn spoil(logs: &Logs, name: &str) {
    let length = fs::metadata(logs.path(name)).unwrap().len();
    fs::write(logs.path(name), vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
}

#[test]
fn a_finished_file_is_not_unpacked_at_each_start_unless_it_has_grown() {
    let mut logs = Logs::new("*.gz");
    logs.gzip("a.gz", "one\n");
    logs.check("one");
    let whole = fs::read(logs.path("a.gz")).unwrap();
    spoil(&logs, "a.gz");
    logs.restart();
    logs.check("");
    assert!(logs.notices().is_empty(), "nobody has looked into it");
    fs::write(logs.path("a.gz"), &whole).unwrap();
    logs.gzip("more", "two\n");
    let mut file = OpenOptions::new().append(true).open(logs.path("a.gz")).unwrap();
    file.write_all(&fs::read(logs.path("more")).unwrap()).unwrap();
    logs.restart();
    logs.check("two");
}

#[test]
fn ranges_that_follow_one_another_are_read_in_one_go() {
    let mut logs = Logs::new("*.gz");
    logs.gzip("a.gz", "one\ntwo\nthree\nfour\nno break");
    logs.check("one two three four no break");
    logs.restart();
    logs.poll(1);
    let name = logs.table.name(0);
    let mut batch = Batch::new(2);
    let read = |logs: &mut Logs, from, to, batch: &mut Batch| {
        batch.clear();
        let next = logs.source().read_again(0, &name, from, to, batch).unwrap();
        let texts: Vec<String> =
            batch.records().map(|r| String::from_utf8_lossy(r.bytes).into_owned()).collect();
        format!("{} to {next}", texts.join(" "))
    };
    assert_eq!(read(&mut logs, 4, 14, &mut batch), "two three to 14");
    // Whoever unpacked it from its beginning would find that out.
    spoil(&logs, "a.gz");
    assert_eq!(read(&mut logs, 14, 27, &mut batch), "four no break to 27");
}

#[test]
fn one_that_was_deleted_before_its_turn_is_told_and_let_go() {
    let mut logs = Logs::new("*.gz");
    logs.gzip("a.gz", "one\ntwo\n");
    logs.gzip("b.gz", "three\n");
    logs.aged("a.gz", 1_000);
    assert_eq!(logs.poll(1), "one");
    fs::remove_file(logs.path("b.gz")).unwrap();
    logs.check("two");
    assert_eq!(logs.notices(), ["unreadable"]);
    logs.step = Duration::from_secs(30);
    logs.check("");
    logs.check("");
    logs.check("");
    assert_eq!(logs.table.ended, [1]);
}

#[test]
fn what_waits_of_gzip_files_is_told_in_compressed_bytes() {
    let mut logs = Logs::new("*.gz");
    // It does not compress to less than is read at a time.
    let numbers: Vec<String> =
        (0u64..40_000).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let text = numbers.join("\n") + "\n";
    logs.gzip("a.gz", &text);
    logs.gzip("b.gz", "one\n");
    logs.aged("a.gz", 1_000);
    let size = |name: &str| fs::metadata(logs.path(name)).unwrap().len();
    let (first, second) = (size("a.gz"), size("b.gz"));
    let waits = |logs: &mut Logs| -> Vec<u64> {
        logs.source().lag().into_iter().map(|lag| lag.bytes_behind.unwrap()).collect()
    };
    logs.poll(1);
    let begun = waits(&mut logs);
    assert!(begun[0] > first / 2 && begun[0] < first && begun[1] == second, "{begun:?} of {first}, {second}");
    logs.poll(20_000);
    let half = waits(&mut logs);
    assert!(half[0] > first / 3 && half[0] < first * 2 / 3, "{half:?} of {first}");
    logs.poll(50_000);
    logs.poll(50_000);
    assert_eq!(waits(&mut logs), [0, 0]);
}

#[test]
fn however_many_compressed_files_are_left_alone_what_is_known_is_looked_through_once() {
    let mut logs = Logs::new("access.log*");
    logs.write("access.log", "one\n");
    logs.check("one");
    for n in 0..50 {
        logs.gzip(&format!("access.log.{n}.gz"), "old\n");
    }
    logs.check("");
    let before = logs.table.looks.get();
    logs.poll(10);
    assert_eq!(logs.table.looks.get() - before, 1);
    assert_eq!(logs.notices().len(), 50, "each is told");
    // One that had been read is known again, whatever it is called by then.
    logs.restart();
    logs.rename("access.log", "access.log.x");
    logs.write("access.log.x", "two\n");
    logs.check("two");
}
