//! The incident of the documentation, for the tests of all that show one.

use super::{Doing, Evidence, Held, Incident, IncidentId, Outcome, Reason, Sample, Severity};
use crate::respond::{Mode, Step, SubjectRef};

/// The stolen key of the documentation.
pub fn stolen() -> Incident {
    let reason = |family: &str, rule: &str, score: f64, observed: &str, expected: &str| Reason {
        family: family.to_owned(),
        rule: rule.to_owned(),
        score,
        observed: observed.to_owned(),
        expected: expected.to_owned(),
        ..Reason::default()
    };
    Incident {
        schema: Incident::SCHEMA.to_owned(),
        id: IncidentId("inc_7q4m".to_owned()),
        subject: SubjectRef {
            kind: "key".to_owned(),
            id: "kf1_9c410000000000000000000000ade07b".to_owned(),
            tenant: "acme".to_owned(),
            name: "billing-prod".to_owned(),
            owner: "payments-oncall".to_owned(),
            contact: "#payments".to_owned(),
            ..SubjectRef::default()
        },
        verdict: "KeyStolen".to_owned(),
        opened_at: "2026-11-22T03:11:19.000Z".to_owned(),
        detected_at: "2026-11-22T03:11:40.000Z".to_owned(),
        updated_at: "2026-11-22T03:11:40.000Z".to_owned(),
        severity: Severity::High,
        score: 9.5,
        maturity: 0.94,
        mode: Mode::Enforce,
        reasons: vec![
            reason("volume", "key-volume-spike", 1.2, "214 requests in 21 s", "usual 13"),
            reason(
                "place",
                "key-new-network",
                3.8,
                "AS14061 DigitalOcean, first time in 61 days",
                "usual AS16509",
            ),
            reason("errors", "key-refused", 2.6, "88 of 214 refused", "usual 0.4 %"),
            reason("place", "key-new-country", 1.1, "NL", "usual IE"),
        ],
        doubts: vec!["same agent (acme-sdk/4.2)".to_owned()],
        steps: vec![Doing {
            step: Step::Throttle,
            at: "2026-11-22T03:11:40.000Z".to_owned(),
            until: Some("2026-11-22T04:11:40.000Z".to_owned()),
            by: "policy".to_owned(),
            outcome: Outcome::Granted,
        }],
        held: vec![Held { step: Step::Suspend, by: "ceiling".to_owned() }],
        evidence: Evidence { samples: vec![sample()] },
        ..Incident::default()
    }
}

fn sample() -> Sample {
    Sample {
        at: "2026-11-22T03:11:19.000Z".to_owned(),
        method: "GET".to_owned(),
        route: "/v1/admin".to_owned(),
        status: Some(403),
        network: "AS14061".to_owned(),
        country: "NL".to_owned(),
        prefix: "203.0.113.0/24".to_owned(),
        agent: "acme-sdk/4.2".to_owned(),
        position: "kafka:kong-logs/3@1042".to_owned(),
    }
}
