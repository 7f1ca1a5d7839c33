//! An alert, as Alertmanager's API v2 takes it, made from an incident record.
//!
//! Pure: the same incident, labels and times give the same alert.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LabelSettings, PageLinks, text};
use crate::{deliver::WallTime, incident::Incident, respond::Mode};

/// What identifies an alert. Frozen while it fires: a label that changes makes a new alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Labels {
    /// The verdict: `KeyStolen`, `KeyAbused`, `KeyProbing`, `KeyUnusual`.
    pub alertname: String,
    /// As the Alertmanager's `severity_map` calls it.
    pub severity: String,
    /// Left out where nobody knows it: to Alertmanager an empty label is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    pub key_id: String,
    pub mode: &'static str,
    /// The Alertmanager's `extra_labels`.
    #[serde(flatten)]
    pub extra: BTreeMap<String, String>,
}

/// The texts, in the order in which they are read at 3 a.m.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotations {
    pub summary: String,
    pub description: String,
    pub action: String,
    pub confidence: String,
    pub next_step: String,
    pub dashboard_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runbook_url: String,
}

/// One alert of `POST /api/v2/alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    pub labels: Labels,
    pub annotations: Annotations,
    pub starts_at: String,
    pub ends_at: String,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

impl Labels {
    /// The labels of an incident as it is now, for an Alertmanager with these settings.
    pub fn of(incident: &Incident, settings: &LabelSettings) -> Self {
        Self {
            alertname: incident.verdict.clone(),
            severity: settings.severity(incident.severity).to_owned(),
            tenant: incident.subject.tenant.clone(),
            key_id: incident.subject.id.clone(),
            mode: match incident.mode {
                Mode::Shadow => "shadow",
                Mode::Enforce => "enforce",
            },
            extra: settings.extra.clone(),
        }
    }
}

/// The alert that tells of `incident` under `labels`, until `ends_at`.
///
/// It starts at the event time at which the incident reached its severity, but never after it ends: the gateway's
/// clock may be ahead of ours, and Alertmanager refuses an alert that ends before it starts.
pub fn from_incident(incident: &Incident, labels: Labels, ends_at: WallTime, links: &PageLinks) -> Alert {
    let detected = WallTime::parse(&incident.detected_at).or_else(|| WallTime::parse(&incident.opened_at));
    Alert {
        labels,
        annotations: Annotations {
            summary: text::unmarked(&text::summary(incident)),
            description: text::unmarked(&text::description(incident)),
            action: text::unmarked(&text::action(incident)),
            confidence: text::unmarked(&text::confidence(incident)),
            next_step: text::unmarked(&text::next_step(incident)),
            dashboard_url: links.dashboard(incident, ends_at),
            runbook_url: links.runbook(incident),
        },
        starts_at: detected.map_or(ends_at, |time| time.min(ends_at)).rfc3339(),
        ends_at: ends_at.rfc3339(),
        generator_url: links.incident(&incident.id, ends_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deliver::alertmanager::Links, incident::testing::stolen};

    fn links() -> PageLinks {
        let settings = "keyhound: 'https://keyhound.acme.io/'\n\
                        dashboard: 'https://grafana.acme.io/d/keyhound-fleet?var-tenant={tenant}&var-key={key_id}'\n\
                        runbook: 'https://docs.acme.io/runbooks/{rule}'";
        let settings: Links = serde_saphyr::from_str(settings).unwrap();
        PageLinks::new(&settings, "127.0.0.1:9464".parse().unwrap(), "", None)
    }

    fn labels(incident: &Incident) -> Labels {
        Labels::of(incident, &LabelSettings::default())
    }

    #[test]
    fn an_incident_becomes_the_alert_of_the_contract() {
        let incident = stolen();
        let end = WallTime::parse("2026-11-22T03:15:40Z").unwrap();
        let alert = from_incident(&incident, labels(&incident), end, &links());
        insta::assert_snapshot!(serde_json::to_string_pretty(&alert).unwrap(), @r#"
        {
          "labels": {
            "alertname": "KeyStolen",
            "severity": "high",
            "tenant": "acme",
            "key_id": "kf1_9c410000000000000000000000ade07b",
            "mode": "enforce"
          },
          "annotations": {
            "summary": "acme / billing-prod: key in use by a stranger; throttled",
            "description": "AS14061 DigitalOcean, first time in 61 days (usual AS16509). 88 of 214 refused (usual 0.4 %). 214 requests in 21 s (usual 13). Doubt: same agent (acme-sdk/4.2).",
            "action": "THROTTLE since 03:11:40Z, ends 04:11:40Z. Held back: suspend (ceiling).",
            "confidence": "high: place, errors and volume agree; maturity 0.94",
            "next_step": "Call the owner of acme / billing-prod (payments-oncall, #payments). Stolen: keyhound decisions revoke kf1_9c410000000000000000000000ade07b --reason \"…\". Theirs: keyhound decisions lift kf1_9c410000000000000000000000ade07b --reason \"…\".",
            "dashboard_url": "https://grafana.acme.io/d/keyhound-fleet?var-tenant=acme&var-key=kf1_9c410000000000000000000000ade07b",
            "runbook_url": "https://docs.acme.io/runbooks/key-new-network"
          },
          "startsAt": "2026-11-22T03:11:40.000Z",
          "endsAt": "2026-11-22T03:15:40.000Z",
          "generatorURL": "https://keyhound.acme.io/incidents/inc_7q4m"
        }
        "#);
    }

    #[test]
    fn an_alert_never_starts_after_it_ends() {
        let incident = stolen();
        let alert = from_incident(&incident, labels(&incident), WallTime(5), &links());
        assert_eq!(alert.starts_at, alert.ends_at);
    }

    #[test]
    fn a_label_without_a_value_is_left_out() {
        let mut incident = stolen();
        incident.subject.tenant.clear();
        let alert = from_incident(&incident, labels(&incident), WallTime(5), &links());
        let json = serde_json::to_value(&alert).unwrap();
        assert_eq!(json["labels"].get("tenant"), None);
    }

    #[test]
    fn what_a_log_or_a_catalogue_says_cannot_mark_up_a_message() {
        let mut incident = stolen();
        incident.subject.name = "bill\u{1b}[31ming\r\n<!channel> \u{202e}drow".to_owned();
        incident.subject.owner = "[click](https://evil.example)".to_owned();
        incident.doubts = vec!["`same` *agent* <https://evil.example|here>".to_owned()];
        let alert = from_incident(&incident, labels(&incident), WallTime(5), &links());
        let texts = serde_json::to_string(&alert.annotations).unwrap();
        for mark in ["<", ">", "`", "*", "](", "\\r", "\\n", "\u{1b}", "\\u001b", "\u{202e}"] {
            assert!(!texts.contains(mark), "{mark:?} in {texts}");
        }
        assert!(alert.annotations.summary.starts_with("acme / bill (31ming  ‹!channel› drow: "), "{texts}");
    }

    #[test]
    fn severities_and_further_labels_are_as_the_alertmanager_has_them() {
        let settings = LabelSettings {
            severities: [(crate::incident::Severity::High, "critical".to_owned())].into(),
            extra: [("team".to_owned(), "payments".to_owned())].into(),
        };
        let json = serde_json::to_value(Labels::of(&stolen(), &settings)).unwrap();
        assert_eq!((json["severity"].as_str(), json["team"].as_str()), (Some("critical"), Some("payments")));
    }
}
