//! Whether the brokers serve what is read, from librdkafka's statistics: they come every 5 s even where no broker
//! answers, and no further connection is needed for them.
//!
//! A consumer always has a fetch under way, which a broker answers after `fetch.wait.max.ms` at the latest, records or
//! none. So a broker that has sent nothing for longer does not answer, however idle the topic is. Only a full queue of
//! our own keeps librdkafka from fetching.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::{
    Client, KafkaSource,
    context::{BrokerStatistics, Statistics},
    partitions::Partition,
};

/// How much later than a fetch may take a broker's answer may be.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// librdkafka's own default of `fetch.wait.max.ms`.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// After how long a client that was refused is made anew: the right, the topic or the password may be there by then, and
/// librdkafka would neither read the password again nor say that an idle partition is served again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What keeps a partition from being read, and when it was last in reach if that is known.
struct Obstacle {
    text: String,
    reached_at: Option<Duration>,
}

impl KafkaSource {
    /// Takes down what the statistics say of each partition's broker.
    pub(super) fn look_at_brokers(&mut self, client: &Client, statistics: &Statistics, now: Duration) {
        let silent_max = SILENT_MAX + self.fetch_wait();
        let (mut first, mut count, mut blocked_for) = (None, 0_u64, Duration::ZERO);
        for place in 0..self.partitions.len() {
            let partition = self.partitions.at(place);
            partition.note_transaction(statistics, now);
            blocked_for = blocked_for.max(partition.blocked_for(now));
            if let Some(obstacle) = obstacle(partition, statistics, silent_max, now) {
                count += 1;
                first.get_or_insert(obstacle);
            }
        }
        self.reach.blocked_for(blocked_for);
        let empty = self.partitions.empty_topics();
        let text = format!("nothing was ever written to {}", empty.join(", "));
        self.reach.nothing_there((!empty.is_empty()).then_some(text));
        let Some(Obstacle { mut text, reached_at }) = first else {
            self.reach.well(now);
            return;
        };
        if let Some(error) = client.consumer.context().last_error() {
            text = format!("{text} (last error: {error})");
        }
        if count > 1 {
            text = format!("{text}; {count} partitions in all");
        }
        self.reach.fault(reached_at, text);
        self.ask_again(client, now);
    }

    /// Has the client made anew after a while where librdkafka would not notice by itself that it is not refused any more.
    fn ask_again(&mut self, client: &Client, now: Duration) {
        let is_refused = client.consumer.context().was_refused() || self.partitions.is_any_refused();
        if is_refused {
            self.renew_at.get_or_insert(now + ASK_AGAIN_AFTER);
        }
    }

    fn fetch_wait(&self) -> Duration {
        self.settings.milliseconds("fetch.wait.max.ms").unwrap_or(FETCH_WAIT)
    }
}

fn obstacle(
    partition: &Partition,
    statistics: &Statistics,
    silent_max: Duration,
    now: Duration,
) -> Option<Obstacle> {
    let (topic, number) = (&partition.topic, partition.number);
    let because = |text: String| Some(Obstacle { text, reached_at: None });
    if let Some(refused) = &partition.refused {
        return because(format!("{topic}/{number} cannot be read: {refused}"));
    }
    let found = statistics.topics.get(topic).and_then(|topic| topic.partitions.get(&number));
    let Some(found) = found else { return because(format!("{topic}/{number} is not there")) };
    if found.unknown {
        return because(format!(
            "{topic}/{number} cannot be read: the brokers know no such topic or partition"
        ));
    }
    let broker = if found.broker >= 0 { found.broker } else { found.leader };
    if broker < 0 {
        return because(format!("{topic}/{number} has no leader"));
    }
    let Some(broker) = statistics.brokers.values().find(|known| known.nodeid == broker) else {
        return because(format!("{topic}/{number}: nothing is known of its broker {broker}"));
    };
    if !is_up(broker) {
        let (name, state) = (&broker.name, &broker.state);
        return because(format!("{topic}/{number}: its broker {name} is not connected ({state})"));
    }
    let silent = Duration::from_micros(u64::try_from(broker.rxidle).unwrap_or(0));
    if silent > silent_max && found.fetchq_cnt <= 0 {
        let (name, seconds) = (&broker.name, silent.as_secs());
        let text = format!("{topic}/{number}: its broker {name} has not answered for {seconds} s");
        return Some(Obstacle { text, reached_at: Some(now.saturating_sub(silent)) });
    }
    None
}

fn is_up(broker: &BrokerStatistics) -> bool {
    matches!(broker.state.as_str(), "UP" | "UPDATE" | "REAUTH")
}
