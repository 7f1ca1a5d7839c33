//! What operators did, for the topic `audit`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One command and what came of it. Schema `keyhound.audit/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// `keyhound.audit/1`.
    pub schema: String,
    /// When it was asked, RFC 3339 in UTC with milliseconds.
    pub at: String,
    /// Who said that they asked. The token is shared: this is a claim.
    pub by: String,
    /// `revoke`, `throttle`, `lift`, `pause` or `resume`.
    pub action: String,
    /// The key id; empty for pause and resume.
    pub key: String,
    pub reason: String,
    /// `applied`, `taken`, `held: …`, `pending`, `busy` or `gone`.
    pub outcome: String,
    /// The decisions that it led to.
    pub decisions: Vec<String>,
}

impl AuditRecord {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "keyhound.audit/1";
}

/// Where audit records go.
#[derive(Clone)]
pub struct Audit(Arc<dyn Fn(&AuditRecord) + Send + Sync>);

impl Audit {
    /// To the log, and to `sink`, which must not wait.
    pub fn new(sink: impl Fn(&AuditRecord) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Writes a record.
    pub fn write(&self, record: &AuditRecord) {
        tracing::info!(
            by = record.by,
            action = record.action,
            key = record.key,
            reason = record.reason,
            outcome = record.outcome,
            "operator's command"
        );
        (self.0)(record);
    }
}
