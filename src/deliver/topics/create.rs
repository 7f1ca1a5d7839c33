//! Creates the topics that are not there yet, with the policy that each needs.

use std::{collections::HashSet, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::store::Topic;

/// How long the broker may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Kafka's `cleanup.policy` of each topic.
const fn cleanup_policy(topic: Topic) -> &'static str {
    match topic {
        Topic::Incidents => "compact,delete",
        Topic::Decisions => "compact",
        Topic::Findings | Topic::Rejected | Topic::Audit => "delete",
    }
}

/// Why a topic could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("topics cannot be created: {0}")]
    Client(#[from] KafkaError),
    #[error("topic \"{topic}\" cannot be created: {code}")]
    Topic { topic: String, code: RDKafkaErrorCode },
}

/// Creates those of [`Topic::ALL`] that are missing, with `partitions` partitions and the broker's own replication factor.
/// Topics that are there stay as they are, and are not asked for: to a client that may not create topics, a broker
/// answers that it may not, not that they exist.
pub async fn ensure(client: &ClientConfig, prefix: &str, partitions: u16) -> Result<(), CreateError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let there = there(&admin)?;
    let names = Topic::ALL.map(|topic| (format!("{prefix}{}", topic.as_str()), cleanup_policy(topic)));
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .filter(|(name, _)| !there.contains(name))
        .map(|(name, policy)| {
            NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(-1))
                .set("cleanup.policy", policy)
        })
        .collect();
    if topics.is_empty() {
        return Ok(());
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    for created in admin.create_topics(&topics, &options).await? {
        match created {
            Ok(topic) => tracing::info!(event = "topic_created", topic, "topic created"),
            // Another process was faster, or it may not be seen.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(CreateError::Topic { topic, code }),
        }
    }
    Ok(())
}

/// The names of all topics that may be seen. Asked about one by its name, a broker may create it.
fn there(admin: &AdminClient<DefaultClientContext>) -> Result<HashSet<String>, KafkaError> {
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(topics.map(|topic| topic.name().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[tokio::test]
    async fn topics_that_are_there_need_no_right_to_create_any() {
        // A cluster that knows no request to create topics.
        let cluster = MockCluster::new(1).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers());
        for topic in Topic::ALL {
            cluster.create_topic(&format!("keyhound.{}", topic.as_str()), 1, 1).unwrap();
        }
        ensure(&client, "keyhound.", 8).await.unwrap();
        ensure(&client, "others.", 8).await.unwrap_err();
    }
}
