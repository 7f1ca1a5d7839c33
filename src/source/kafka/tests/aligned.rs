//! Partitions that are behind, read side by side.

use rdkafka::consumer::Consumer as _;

use super::{
    super::{backlog::Behind, client::Client},
    *,
};

const DAY: u64 = 86_400;

/// The seconds that a record begins with, in milliseconds.
fn time_of(record: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(record).ok()?;
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<u64>().ok().map(|seconds| seconds * 1000)
}

impl Cluster {
    /// Writes a record for each of these seconds to a partition of topic `a`, `SECONDS#PARTITION`.
    fn write(&self, partition: i32, seconds: impl Iterator<Item = u64>) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.mock.bootstrap_servers()).set("linger.ms", "5");
        let producer: BaseProducer = config.create().unwrap();
        for second in seconds {
            let text = format!("{second}#{partition}");
            let record = BaseRecord::<(), str>::to("a").partition(partition);
            producer.send(record.payload(&text)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_mins(1)).unwrap();
    }

    fn aligned(&self, table: &mut Table) -> KafkaSource {
        let mut source = self.source("a", "start: earliest").aligned_by(Box::new(time_of));
        source.start(table).unwrap();
        source
    }
}

/// The seconds of the records that one poll at the time `now` gives, with the partition.
fn poll(source: &mut KafkaSource, table: &mut Table, capacity: usize, now: Duration) -> Vec<(u64, String)> {
    let mut batch = Batch::new(capacity);
    source.poll(&mut batch, table, now, Duration::from_millis(100)).unwrap();
    let seen = batch.records().map(|record| {
        table.commit(record.input, record.next);
        let text = String::from_utf8_lossy(record.bytes);
        let (seconds, partition) = text.split_once('#').unwrap();
        (seconds.parse().unwrap(), partition.to_owned())
    });
    seen.collect()
}

/// Polls until so many records have come. No partition is ever passed over: the clock stands still.
fn read(source: &mut KafkaSource, table: &mut Table, capacity: usize, count: usize) -> Vec<(u64, String)> {
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut seen = Vec::new();
    while seen.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records", seen.len());
        seen.extend(poll(source, table, capacity, Duration::ZERO));
    }
    seen
}

/// How far a record is behind the newest one before it, at most, in seconds.
fn disorder(seen: &[(u64, String)]) -> u64 {
    let (mut newest, mut most) = (0, 0);
    for (seconds, _) in seen {
        newest = newest.max(*seconds);
        most = most.max(newest - seconds);
    }
    most
}

/// A week in which some partitions are dense, some are sparse, one has a gap of two days, and one is empty.
fn week(partitions: i32) -> (Cluster, usize) {
    let cluster = Cluster::new(&[("a", partitions)]);
    let mut count = 0;
    for partition in 0..partitions - 1 {
        let every = [300, 60, 1_700][usize::try_from(partition).unwrap() % 3];
        let from = u64::try_from(partition).unwrap() * 7;
        let seconds = (from..7 * DAY).step_by(every);
        let seconds = seconds.filter(|second| partition > 0 || !(2 * DAY..4 * DAY).contains(second));
        let seconds: Vec<u64> = seconds.collect();
        count += seconds.len();
        cluster.write(partition, seconds.into_iter());
    }
    (cluster, count)
}

#[track_caller]
fn is_whole(seen: &[(u64, String)], count: usize) {
    let mut sorted = seen.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), seen.len()), (count, count), "different ones, and all");
    assert!(disorder(seen) <= 60, "{} s", disorder(seen));
}

#[test]
fn partitions_that_are_behind_are_read_side_by_side_and_fetched_once() {
    for (partitions, capacity) in [(3, 4_096), (12, 1_000), (3, 7)] {
        let (cluster, count) = week(partitions);
        let mut table = Table::default();
        let mut source = cluster.aligned(&mut table);
        is_whole(&read(&mut source, &mut table, capacity, count), count);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !(0..u32::try_from(partitions).unwrap()).all(|input| source.idle(input)) {
            assert!(Instant::now() < deadline, "all has been read");
            assert_eq!(poll(&mut source, &mut table, capacity, Duration::ZERO), []);
        }
        let client = source.client.as_ref().unwrap();
        assert!(client.behind.is_empty(), "{} partitions", client.behind.len());
        assert!(fetched(client) * 10 <= count as u64 * 12, "{} of {count}", fetched(client));
    }
}

/// How many messages the client has fetched, from its next statistics.
fn fetched(client: &Client) -> u64 {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        assert!(Instant::now() < deadline, "no statistics");
        client.consumer.poll(Duration::from_millis(50));
        if let Some(statistics) = client.consumer.context().take_statistics() {
            return statistics.topics["a"].partitions.values().map(|partition| partition.rxmsgs).sum();
        }
    }
}

#[test]
fn a_restart_after_each_batch_loses_and_repeats_nothing() {
    let (cluster, count) = week(3);
    let (mut table, mut seen) = (Table::default(), Vec::new());
    while seen.len() < count {
        let mut source = cluster.aligned(&mut table);
        seen.extend(read(&mut source, &mut table, 1_000, 1));
    }
    is_whole(&seen, count);
}

#[test]
fn a_partition_without_a_leader_is_waited_for_and_passed_over() {
    let cluster = Cluster::new(&[("a", 3)]);
    cluster.write(0, (0..2 * DAY).step_by(60));
    cluster.write(1, (0..DAY).step_by(60));
    cluster.mock.partition_leader("a", 1, None).unwrap();
    let mut table = Table::default();
    for name in ["kafka:a/0", "kafka:a/1", "kafka:a/2"] {
        commit(&mut table, name, 0);
    }
    let mut source = cluster.aligned(&mut table);
    let first = read(&mut source, &mut table, 1_000, 2);
    assert_eq!(first, [(0, "0".to_owned()), (60, "0".to_owned())], "the second partition may begin at 0");
    until(&mut source, &mut table, "the third is at its end", |source| {
        source.client.as_ref().unwrap().behind.iter().all(|one| one.place != 2)
    });
    // What comes in a partition that is at its end does not wait.
    cluster.write(2, std::iter::once(9 * DAY));
    assert_eq!(read(&mut source, &mut table, 1_000, 1), [(9 * DAY, "2".to_owned())]);
    until(&mut source, &mut table, "the first waits for the second", |source| source.waits(0));
    assert!(!source.waits(1) && !source.waits(2) && !source.idle(1));
    let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_mins(1));
    while seen.len() < 2 * 1_440 - 2 {
        assert!(Instant::now() < deadline, "{} of the first", seen.len());
        seen.extend(poll(&mut source, &mut table, 1_000, Duration::from_secs(11)));
    }
    assert!(seen.iter().all(|(_, partition)| partition == "0"));
    cluster.mock.partition_leader("a", 1, Some(1)).unwrap();
    let seen = read(&mut source, &mut table, 1_000, 1_440);
    assert!(seen.iter().all(|(_, partition)| partition == "1"));
}

/// Polls until something holds. Nothing is ready meanwhile.
#[track_caller]
fn until(source: &mut KafkaSource, table: &mut Table, what: &str, holds: impl Fn(&KafkaSource) -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds(source) {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        assert_eq!(poll(source, table, 1_000, Duration::ZERO), []);
    }
}

/// Polls until a partition that is behind waits with so many messages: records, and marks of the end.
#[track_caller]
fn until_it_waits(source: &mut KafkaSource, table: &mut Table, place: usize, count: usize) {
    until(source, table, &format!("{count} wait in partition {place}"), |source| {
        let behind = &source.client.as_ref().unwrap().behind;
        behind.iter().find(|one| one.place == place).map(Behind::waiting) == Some(count)
    });
}

/// Two partitions, of which the first has no leader, so that the second waits after its first two records.
fn one_that_waits(count: u64) -> (Cluster, Table, KafkaSource) {
    let cluster = Cluster::new(&[("a", 2)]);
    cluster.write(0, (0..2 * DAY).step_by(60));
    cluster.write(1, (0..count).map(|number| number * 60));
    cluster.mock.partition_leader("a", 0, None).unwrap();
    let mut table = Table::default();
    commit(&mut table, "kafka:a/0", 0);
    commit(&mut table, "kafka:a/1", 0);
    let mut source = cluster.aligned(&mut table);
    let first = read(&mut source, &mut table, 1_000, 2);
    assert_eq!(first, [(0, "1".to_owned()), (60, "1".to_owned())]);
    (cluster, table, source)
}

#[test]
fn what_came_while_a_partition_waited_is_in_order_too() {
    let (cluster, mut table, mut source) = one_that_waits(40);
    // With the mark of the end, as it was then.
    until_it_waits(&mut source, &mut table, 1, 39);
    assert!(!source.idle(1), "it holds records");
    // After a gap, so that the mark is read before what follows it.
    cluster.write(1, (3_000..2 * DAY).step_by(60));
    cluster.mock.partition_leader("a", 0, Some(1)).unwrap();
    let count = 2 * 2_880 - 10 - 2;
    let seen = read(&mut source, &mut table, 1_000, count);
    assert_eq!(seen.len(), count);
    assert!(disorder(&seen) <= 60, "{} s", disorder(&seen));
}

/// What the statistics say if the second partition ends there.
fn ends_at(source: &mut KafkaSource, table: &mut Table, end: i64) {
    let mut client = source.client.take().unwrap();
    let found = PartitionStatistics { ls_offset: end, ..PartitionStatistics::default() };
    let topics =
        HashMap::from([("a".to_owned(), TopicStatistics { partitions: HashMap::from([(1, found)]) })]);
    let statistics = Statistics { topics, ..Statistics::default() };
    source.learn(&mut client, &statistics, table, Duration::ZERO).unwrap();
    source.client = Some(client);
}

#[test]
fn a_partition_is_at_its_end_where_the_statistics_say_so_if_they_are_no_older_than_its_queue() {
    let (_cluster, mut table, mut source) = one_that_waits(40);
    until_it_waits(&mut source, &mut table, 1, 39);
    for _ in 0..2 {
        ends_at(&mut source, &mut table, 3);
        assert_eq!(poll(&mut source, &mut table, 1_000, Duration::ZERO), [], "it is at 2");
    }
    ends_at(&mut source, &mut table, 2);
    assert_eq!(read(&mut source, &mut table, 1_000, 38).len(), 38);

    // A queue that was never found empty: nothing was fetched since, and the end is where it was then.
    let (_cluster, mut table, mut source) = one_that_waits(1_000);
    until_it_waits(&mut source, &mut table, 1, 254);
    for _ in 0..4 {
        source.client.as_mut().unwrap().told_end(1, None);
    }
    for _ in 0..4 {
        ends_at(&mut source, &mut table, 2);
        assert_eq!(poll(&mut source, &mut table, 1_000, Duration::ZERO), []);
    }
}

#[test]
fn a_partition_whose_clock_is_ahead_of_its_log_and_single_times_that_lie_hold_up_nothing() {
    let cluster = Cluster::new(&[("a", 2)]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.mock.bootstrap_servers());
    let producer: BaseProducer = config.create().unwrap();
    for second in (DAY..2 * DAY).step_by(60) {
        // The second is right from noon on. Of the first every hundredth lies, and who wrote it believed it.
        let ahead = if second < DAY * 3 / 2 { DAY } else { 0 };
        let lie = if second % 6_000 == 0 { DAY } else { 0 };
        for (partition, claimed, written) in [(0, second + lie, second + lie), (1, second + ahead, second)] {
            let text = format!("{claimed}#{second}");
            let record = BaseRecord::<(), str>::to("a").partition(partition);
            let record = record.timestamp(i64::try_from(written * 1_000).unwrap()).payload(&text);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_mins(1)).unwrap();
    let mut table = Table::default();
    let mut source = cluster.aligned(&mut table);
    let seen = read(&mut source, &mut table, 1_000, 2 * 1_440);
    let seen: Vec<(u64, String)> =
        seen.into_iter().map(|(_, second)| (second.parse().unwrap(), second)).collect();
    // A lie is as old as the records around it, or two of them.
    assert!(disorder(&seen) <= 120, "{} s", disorder(&seen));
}

#[test]
fn a_leader_that_moves_in_the_middle_loses_and_repeats_nothing() {
    let cluster = Cluster { mock: MockCluster::new(2).unwrap() };
    cluster.mock.create_topic("a", 3, 2).unwrap();
    let mut table = Table::default();
    for partition in 0..3 {
        cluster.write(partition, (0..2 * DAY).step_by(60));
    }
    let mut source = cluster.aligned(&mut table);
    let (mut seen, count) = (Vec::new(), 3 * 2_880);
    for round in 0_u64.. {
        if seen.len() >= count {
            break;
        }
        let partition = i32::try_from(round % 3).unwrap();
        let leader = i32::try_from(round % 2 + 1).unwrap();
        cluster.mock.partition_leader("a", partition, Some(leader)).unwrap();
        seen.extend(read(&mut source, &mut table, 500, 1));
    }
    is_whole(&seen, count);
}

#[test]
fn a_thousand_partitions_are_read_side_by_side() {
    const PARTITIONS: i32 = 1_000;
    let cluster = Cluster::new(&[("a", PARTITIONS)]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.mock.bootstrap_servers()).set("linger.ms", "50");
    let producer: BaseProducer = config.create().unwrap();
    let of_one = |partition: i32| (u64::from(partition.unsigned_abs() % 97)..DAY).step_by(3_600 * 4);
    let mut count = 0;
    for partition in 0..PARTITIONS {
        for second in of_one(partition) {
            let text = format!("{second}#{partition}");
            let record = BaseRecord::<(), str>::to("a").partition(partition);
            producer.send(record.payload(&text)).map_err(|(error, _)| error).unwrap();
            count += 1;
        }
    }
    producer.flush(Duration::from_mins(1)).unwrap();
    let mut table = Table::default();
    let mut source = cluster.aligned(&mut table);
    is_whole(&read(&mut source, &mut table, 4_096, count), count);
}

#[test]
fn a_partition_that_is_refused_is_not_waited_for() {
    let cluster = Cluster::new(&[("a", 2)]);
    cluster.write(0, (0..DAY).step_by(60));
    cluster.mock.partition_leader("a", 1, None).unwrap();
    let mut table = Table::default();
    commit(&mut table, "kafka:a/0", 0);
    commit(&mut table, "kafka:a/1", 0);
    let mut source = cluster.aligned(&mut table);
    source.partitions.at(1).refused = Some("no right".to_owned());
    assert_eq!(read(&mut source, &mut table, 1_000, 1_440).len(), 1_440);
}

#[test]
fn what_was_at_its_end_waits_for_nothing_after_the_client_was_made_anew() {
    let cluster = Cluster::new(&[("a", 2)]);
    cluster.write(0, (0..DAY).step_by(60));
    cluster.write(1, (0..DAY).step_by(600));
    let mut table = Table::default();
    let mut source = cluster.aligned(&mut table);
    read(&mut source, &mut table, 1_000, 1_440 + 144);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !source.client.as_ref().unwrap().behind.is_empty() {
        assert!(Instant::now() < deadline, "both are at their ends");
        poll(&mut source, &mut table, 1_000, Duration::ZERO);
    }
    source.renew_at = Some(Duration::ZERO);
    poll(&mut source, &mut table, 1_000, Duration::ZERO);
    assert!(source.renew_at.is_none() && source.client.as_ref().unwrap().behind.is_empty());
    cluster.write(1, 2 * DAY..2 * DAY + 9);
    assert_eq!(read(&mut source, &mut table, 1_000, 9).len(), 9);
}

#[test]
fn a_partition_that_is_added_is_read_from_its_beginning() {
    let cluster = Cluster::new(&[("a", 3)]);
    for partition in 0..3 {
        cluster.write(partition, (0..DAY).step_by(60));
    }
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest").aligned_by(Box::new(time_of));
    let mut client = Client::new(&source.settings, source.queues(2)).unwrap();
    let within = Duration::from_secs(30);
    let start = super::super::Start::Earliest;
    source.assign(&mut client, "a", &[0, 1], start, within, &mut table).unwrap();
    source.client = Some(client);
    let seen = read(&mut source, &mut table, 1_000, 3 * 1_440);
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), seen.len()), (3 * 1_440, 3 * 1_440));
}

#[test]
fn what_is_fetched_ahead_is_divided_and_a_users_own_bound_stays() {
    let cluster = Cluster::new(&[("a", 1)]);
    let bounds = |more: &str, queues: usize| {
        let source = cluster.source("a", more);
        let config = super::super::client::divided(&source.settings, queues).unwrap();
        ["queued.min.messages", "queued.max.messages.kbytes", "fetch.message.max.bytes"]
            .map(|name| config.get(name).unwrap_or("-").to_owned())
    };
    assert_eq!(bounds("start: earliest", 1), ["100000", "32768", "6291456"]);
    assert_eq!(bounds("start: earliest", 12), ["8333", "3413", "2097152"]);
    assert_eq!(bounds("start: earliest", 1_000), ["100", "40", "32768"]);
    let own = "properties: { queued.max.messages.kbytes: 777, max.partition.fetch.bytes: 5000 }";
    assert_eq!(bounds(own, 12), ["8333", "777", "-"]);
}
