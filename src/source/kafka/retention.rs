//! Asks once, at the start, how long the topics keep their records, and tells what is too short.
//!
//! After a crash the input since the last checkpoint is read again, and after a stop reading goes on where it ended:
//! what the broker deletes in the meantime is lost. It never waits for the answer, and nothing hangs on it: whoever is
//! not allowed to ask is told so, and reads all the same.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as Task, Poll, Waker},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, ResourceSpecifier},
    error::KafkaResult,
};

use super::{
    super::{Notice, SourceError},
    client,
    context::Context,
    offsets,
    settings::KafkaSettings,
};

/// A restart by hand, at night, takes so long.
const MS_MIN: u64 = 3_600_000;
/// Of one partition: a checkpoint interval at 30,000 records of 400 B a second.
const BYTES_MIN: u64 = 128 << 20;

type Answer = KafkaResult<Vec<ConfigResourceResult>>;

/// A question that is under way.
pub struct Question {
    source: u16,
    topics: Vec<String>,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

impl Question {
    /// Asks about all topics of the settings.
    pub fn ask(source: u16, settings: &KafkaSettings) -> Result<Self, SourceError> {
        let admin: AdminClient<Context> = client::connection(settings)?
            .create_with_context(Context::default())
            .map_err(|error| SourceError::Fatal { text: error.to_string() })?;
        let topics = settings.topics().to_vec();
        let asked = topics.clone();
        let answer = Box::pin(async move {
            let options = AdminOptions::new().request_timeout(Some(offsets::ANSWER_WITHIN));
            let topics: Vec<_> = asked.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
            admin.describe_configs(&topics, &options).await
        });
        Ok(Self { source, topics, answer })
    }

    /// Whether the answer has come; what it says goes to `notices`.
    pub fn is_answered(&mut self, notices: &mut Vec<Notice>) -> bool {
        // Looked at with each poll of the source, so nobody has to be woken.
        let Poll::Ready(answer) = self.answer.as_mut().poll(&mut Task::from_waker(Waker::noop())) else {
            return false;
        };
        match answer {
            Ok(found) => {
                for (topic, found) in self.topics.iter().zip(found) {
                    notices.extend(self.judge(topic, found.map_err(|error| error.to_string())));
                }
            }
            Err(error) => {
                for topic in &self.topics {
                    notices.extend(self.judge(topic, Err(error.to_string())));
                }
            }
        }
        true
    }

    fn judge(&self, topic: &str, found: Result<ConfigResource, String>) -> Option<Notice> {
        let (source, topic) = (self.source, topic.to_owned());
        match found {
            Ok(config) => {
                let value = |name| config.get(name).and_then(|entry| entry.value.as_deref());
                let text =
                    too_short(value("cleanup.policy"), value("retention.ms"), value("retention.bytes"))?;
                Some(Notice::ShortRetention { source, topic, text })
            }
            Err(text) => Some(Notice::RetentionUnknown { source, topic, text }),
        }
    }
}

/// What is too short about a topic's settings, in words for an operator. -1 and nothing stand for no limit.
fn too_short(policy: Option<&str>, kept_ms: Option<&str>, kept_bytes: Option<&str>) -> Option<String> {
    if policy.is_some_and(|policy| !policy.contains("delete")) {
        return None;
    }
    let below = |value: Option<&str>, min: u64| value?.parse::<u64>().ok().filter(|value| *value < min);
    let by_time = below(kept_ms, MS_MIN).map(|ms| {
        format!("retention.ms is {ms}, and {MS_MIN} (an hour) or more lets Keyhound be restarted in peace")
    });
    let by_size = below(kept_bytes, BYTES_MIN).map(|bytes| {
        format!(
            "retention.bytes is {bytes} a partition, which a busy one may write before the next checkpoint"
        )
    });
    let texts: Vec<String> = by_time.into_iter().chain(by_size).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::too_short;

    #[track_caller]
    fn check(policy: &str, ms: &str, bytes: &str, expected: &[&str]) {
        let text = too_short(Some(policy), Some(ms), Some(bytes));
        assert_eq!(text.is_some(), !expected.is_empty(), "{text:?}");
        for part in expected {
            assert!(text.as_deref().is_some_and(|text| text.contains(part)), "{part}: {text:?}");
        }
    }

    #[test]
    fn what_a_restart_needs_is_asked_for_and_no_more() {
        check("delete", "604800000", "-1", &[]);
        check("delete", "-1", "-1", &[]);
        check("delete", "3600000", "134217728", &[]);
        check("delete", "60000", "-1", &["retention.ms is 60000"]);
        check("delete", "-1", "1048576", &["retention.bytes is 1048576"]);
        check("compact,delete", "1000", "1000", &["retention.ms is 1000", "retention.bytes is 1000"]);
        check("compact", "1000", "1000", &[]);
    }

    #[test]
    fn what_is_not_known_is_not_short() {
        assert_eq!(too_short(None, None, None), None);
    }
}
