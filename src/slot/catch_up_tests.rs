use super::*;

/// 2026-11-22T03:11:40Z.
const START_MS: u64 = 1_795_317_100_000;

/// One source, and what was told of it: the second, and the text.
#[derive(Default)]
struct Source {
    all: CatchUps,
    reading: SourceReading,
    told: Vec<(u64, String)>,
}

impl Source {
    /// A look at this second, when so much waits and the newest event is so old.
    fn look(&mut self, second: u64, waiting: Waiting, lag_seconds: Option<f64>) -> Option<CatchUp> {
        let records = match waiting {
            Waiting::Records(count) => Some(count),
            Waiting::Bytes(_) => None,
        };
        let bytes = records.is_none().then_some(waiting.count());
        (self.reading.lag_records, self.reading.lag_bytes) = (records, bytes);
        self.reading.lag_seconds = lag_seconds;
        let mut notices = Vec::new();
        let at = (Duration::from_secs(second), START_MS + second * 1000);
        self.all.look(std::slice::from_mut(&mut self.reading), at, &mut notices);
        self.told.extend(notices.iter().map(|notice| (second, notice.to_string())));
        self.reading.catch_up
    }

    /// Reads so many records a second while so many more come.
    fn reads(&mut self, seconds: std::ops::Range<u64>, left: &mut u64, read: u64, come: u64) {
        for second in seconds {
            self.look(second, Waiting::Records(*left), Some(86_400.0));
            self.reading.records += read;
            *left = (*left + come).saturating_sub(read);
        }
    }

    #[track_caller]
    fn was_told(&self, expected: &[(u64, &str)]) {
        let told: Vec<(u64, &str)> =
            self.told.iter().map(|(second, text)| (*second, text.as_str())).collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_week_is_told_at_the_start_with_its_rate_soon_and_then_every_half_minute() {
    let (mut source, mut left) = (Source::default(), 3_600_000);
    source.look(0, Waiting::Records(left), None);
    // 20,000 more come each second: it is the difference that counts.
    source.reads(1..100, &mut left, 50_000, 20_000);
    source.was_told(&[
        (0, "3,600,000 records behind, for how long is not known yet"),
        (10, "3,330,000 records behind, 45,000 a second, caught up in about 2 minutes (at 03:13 UTC)"),
        (40, "2,430,000 records behind, 48,750 a second, caught up in about 83 seconds (at 03:13 UTC)"),
        (70, "1,530,000 records behind, 50,000 a second, caught up in about 51 seconds (at 03:13 UTC)"),
    ]);
    assert_eq!(source.reading.catch_up.unwrap().within.unwrap().as_secs(), 22);
    source.told.clear();
    assert_eq!(source.look(121, Waiting::Records(300), Some(0.4)), None);
    source.look(122, Waiting::Records(300), Some(0.2));
    source.was_told(&[(121, "caught up after 2 minutes; 4,950,000 records were read")]);
}

#[test]
fn the_rate_is_that_of_the_last_minute() {
    let (mut source, mut left) = (Source::default(), 100_000_000);
    source.reads(0..100, &mut left, 1_000, 0);
    source.reads(100..161, &mut left, 50_000, 0);
    let catch_up = source.reading.catch_up.unwrap();
    assert_eq!(catch_up.per_second, Some(50_000.0));
    assert_eq!(catch_up.within.unwrap().as_secs(), 1_938);
}

#[test]
fn where_as_much_comes_as_is_read_there_is_no_end_to_tell() {
    let (mut source, mut left) = (Source::default(), 200_000);
    source.reads(0..20, &mut left, 10_000, 10_000);
    let catch_up = source.reading.catch_up.unwrap();
    assert_eq!((catch_up.per_second, catch_up.within), (Some(10_000.0), None));
    assert_eq!(
        source.told[1].1,
        "200,000 records behind, 10,000 a second, and no fewer wait than a minute ago"
    );
    // Nothing is read at all.
    let mut source = Source::default();
    source.reads(0..20, &mut left, 0, 0);
    let catch_up = source.reading.catch_up.unwrap();
    assert_eq!((catch_up.per_second, catch_up.within), (Some(0.0), None));
}

#[test]
fn a_live_source_however_busy_and_a_small_backlog_are_not_told() {
    let mut source = Source::default();
    for second in 0..200 {
        assert_eq!(source.look(second, Waiting::Records(150_000), Some(2.0)), None);
    }
    let mut left = 99_999;
    source.reads(200..240, &mut left, 1_000, 0);
    assert!(source.reading.catch_up.unwrap().within.is_some(), "it is shown where somebody looks");
    source.look(240, Waiting::Records(0), Some(0.0));
    source.was_told(&[]);
}

#[test]
fn bytes_of_files_are_told_by_how_much_less_waits() {
    let mut source = Source::default();
    for second in 0..=10 {
        source.look(second, Waiting::Bytes((2 << 30) - second * (20 << 20)), None);
    }
    source.reading.records = 7;
    source.look(11, Waiting::Bytes(0), None);
    source.was_told(&[
        (0, "2,048 MiB behind, for how long is not known yet"),
        (10, "1,848 MiB behind, 20 MiB a second, caught up in about 92 seconds (at 03:13 UTC)"),
        (11, "caught up after 11 seconds; 7 records were read"),
    ]);
}

#[test]
fn nothing_is_told_before_every_partition_has_said_where_it_ends() {
    let lag = |records_behind| {
        (0, InputLag { input: 1, records_behind, bytes_behind: None, newest_log_time_ms: None })
    };
    let mut source = Source::default();
    source.all.take(&[lag(Some(500_000)), lag(None)]);
    assert_eq!(source.look(0, Waiting::Records(500_000), None), None);
    source.all.take(&[lag(Some(500_000)), lag(Some(900_000))]);
    source.look(1, Waiting::Records(1_400_000), None);
    source.was_told(&[(1, "1,400,000 records behind, for how long is not known yet")]);
    // One without a leader is not waited for.
    let mut source = Source::default();
    for second in 0..=10 {
        source.all.take(&[lag(Some(500_000)), lag(None)]);
        source.look(second, Waiting::Records(500_000), None);
    }
    source.was_told(&[(10, "500,000 records behind, for how long is not known yet")]);
}

#[test]
fn a_source_that_falls_behind_again_and_again_is_told_every_half_minute_at_most() {
    let mut source = Source::default();
    for second in 0..120 {
        let lag = if second % 4 < 2 { 31.0 } else { 0.0 };
        source.look(second, Waiting::Records(200_000), Some(lag));
    }
    let behind: Vec<u64> =
        source.told.iter().filter(|(_, text)| text.contains("behind")).map(|(second, _)| *second).collect();
    assert_eq!(behind, [0, 32, 64, 96]);
}
