use super::*;

#[test]
fn what_waits_is_the_sum_over_inputs_and_the_lag_that_of_the_furthest_behind() {
    let sources = vec![SourceReading::default(), SourceReading::default()];
    let status =
        Status { reading: Mutex::new(Reading { sources, ..Reading::default() }), ..Status::default() };
    let lag = |input, records_behind, bytes_behind| InputLag {
        input,
        records_behind,
        bytes_behind,
        newest_log_time_ms: None,
    };
    let lags = vec![
        (0, lag(1, Some(3), None)),
        (0, lag(2, Some(4), None)),
        (1, lag(3, None, Some(500))),
        (1, lag(4, None, Some(10))),
        (1, lag(5, None, None)),
    ];
    status.look(lags, |input| Some(u64::from(input) * 1_000), |_| {});
    let told = |index: usize| {
        let source = locked(&status.reading).sources[index].clone();
        (source.lag_records, source.lag_bytes, source.lag_seconds)
    };
    assert_eq!(told(0), (Some(7), None, Some(2.0)));
    assert_eq!(told(1), (None, Some(510), Some(5.0)));
}

#[test]
fn the_longest_pause_is_told_for_a_minute_or_two() {
    let status = Status::default();
    let told = |at, ms| {
        status.iterated(Duration::from_secs(at), Duration::from_millis(ms));
        Duration::from_secs_f64(telemetry::Status::read(&status).loop_pause_seconds).as_millis()
    };
    let told =
        [(1, 5), (2, 250), (59, 10), (61, 20), (119, 30), (121, 10), (300, 1)].map(|(s, ms)| told(s, ms));
    assert_eq!(told, [5, 250, 250, 250, 250, 30, 1]);
}

#[test]
fn counts_go_on_over_an_engine_that_went_away() {
    let status = Status::default();
    let counts = |pressure, evictions: &[[u64; 4]]| EngineCounts {
        pressure,
        evictions: evictions.to_vec(),
        ..EngineCounts::default()
    };
    let look = |counts: EngineCounts| status.look(Vec::new(), |_| None, |reading| reading.engine = counts);
    look(counts(5, &[[1, 0, 0, 0], [2, 0, 0, 0]]));
    status.went_away();
    assert_eq!(telemetry::Status::read(&status).engine, counts(5, &[[1, 0, 0, 0], [2, 0, 0, 0]]));
    look(counts(1, &[[0, 0, 0, 0], [3, 1, 0, 0]]));
    look(counts(2, &[[0, 0, 0, 0], [4, 1, 0, 0]]));
    assert_eq!(telemetry::Status::read(&status).engine, counts(7, &[[1, 0, 0, 0], [6, 1, 0, 0]]));
    assert!(!status.is_restored());
}

#[test]
fn a_source_whose_clock_is_ahead_shows_no_lag_of_zero() {
    let sources = vec![SourceReading { lag_seconds: Some(0.0), ..SourceReading::default() }];
    let status =
        Status { reading: Mutex::new(Reading { sources, ..Reading::default() }), ..Status::default() };
    let mut arrivals = Arrivals::new(Duration::from_mins(2));
    let wall_ms = 1_795_000_000_000;
    arrivals.read(7, wall_ms + 3_600_000, wall_ms);
    arrivals.belongs(7, 0);
    arrivals.look(Duration::from_secs(1), |_| true);
    status.arrived(&mut arrivals, &[Contact::default()], Duration::from_secs(2), &mut Vec::new());
    assert_eq!(locked(&status.reading).sources[0].lag_seconds, Some(-3_600.0));
    // What waits in another of its inputs is a lag all the same.
    locked(&status.reading).sources[0].lag_seconds = Some(40.0);
    status.arrived(&mut arrivals, &[Contact::default()], Duration::from_secs(2), &mut Vec::new());
    assert_eq!(locked(&status.reading).sources[0].lag_seconds, Some(40.0));
}
