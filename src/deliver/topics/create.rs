//! Creates the topics that are not there yet, with the policy that each needs.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

/// How long the broker may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The topics without prefix, and the cleanup policy of each.
pub const TOPICS: [(&str, &str); 5] = [
    ("incidents", "compact,delete"),
    ("decisions", "compact"),
    ("findings", "delete"),
    ("rejected", "delete"),
    ("audit", "delete"),
];

/// Why a topic could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("topics cannot be created: {0}")]
    Client(#[from] KafkaError),
    #[error("topic \"{topic}\" cannot be created: {code}")]
    Topic { topic: String, code: RDKafkaErrorCode },
}

/// Creates what is missing of [`TOPICS`] with `partitions` partitions and the broker's own replication factor.
/// Topics that are there stay as they are.
pub async fn ensure(client: &ClientConfig, prefix: &str, partitions: u16) -> Result<(), CreateError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let names: Vec<(String, &str)> =
        TOPICS.iter().map(|(name, policy)| (format!("{prefix}{name}"), *policy)).collect();
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
