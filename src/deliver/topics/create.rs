//! Creates the topics that are not there yet, with the policy that each needs.

use std::time::Duration;

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
/// Topics that are there stay as they are.
pub async fn ensure(client: &ClientConfig, prefix: &str, partitions: u16) -> Result<(), CreateError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let names = Topic::ALL.map(|topic| (format!("{prefix}{}", topic.as_str()), cleanup_policy(topic)));
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(name, policy)| {
            NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(-1))
                .set("cleanup.policy", policy)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    for created in admin.create_topics(&topics, &options).await? {
        match created {
            Ok(topic) => tracing::info!(topic, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(CreateError::Topic { topic, code }),
        }
    }
    Ok(())
}
