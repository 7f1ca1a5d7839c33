//! An alert that says of itself that nothing happened: to see that alerts arrive, and where.

use std::time::Duration;

use super::{
    Alert, LabelSettings, PageLinks,
    alert::{Annotations, Labels},
};
use crate::{
    deliver::WallTime,
    incident::{Incident, Severity},
    respond::{Mode, SubjectRef},
};

/// Its `alertname`; its `key_id` is `test`.
pub const NAME: &str = "KeyhoundTest";

/// A test alert with the labels that a real one of this severity and mode would have. It ends by itself after `lasting`;
/// with zero, it ends the one that was sent before.
pub fn test_alert(
    severity: Severity,
    mode: Mode,
    settings: &LabelSettings,
    links: &PageLinks,
    now: WallTime,
    lasting: Duration,
) -> Alert {
    let incident = Incident {
        verdict: NAME.to_owned(),
        severity,
        mode,
        subject: SubjectRef { id: "test".to_owned(), ..SubjectRef::default() },
        ..Incident::default()
    };
    let ends_at = now.after(lasting).rfc3339();
    Alert {
        labels: Labels::of(&incident, settings),
        annotations: Annotations {
            summary: "Keyhound: test alert; nothing happened".to_owned(),
            description: "Somebody ran `keyhound alert test` to see whether alerts arrive.".to_owned(),
            action: "None.".to_owned(),
            confidence: "none: no evidence".to_owned(),
            next_step: format!("Nothing: it ends by itself at {ends_at}."),
            dashboard_url: links.index(),
            runbook_url: String::new(),
        },
        starts_at: now.rfc3339(),
        ends_at,
        generator_url: links.index(),
    }
}
