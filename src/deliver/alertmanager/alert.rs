//! An alert, as Alertmanager's API v2 takes it, made from an incident record.
//!
//! Pure: the same incident, labels and times give the same alert.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;
use crate::{
    deliver::WallTime,
    incident::{Incident, Severity},
    respond::Mode,
};

/// What identifies an alert. Frozen while it fires: a label that changes makes a new alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Labels {
    /// The verdict: `KeyStolen`, `KeyAbused`, `KeyProbing`, `KeyUnusual`.
    pub alertname: String,
    pub severity: Severity,
    /// Left out where nobody knows it: to Alertmanager an empty label is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    pub key_id: String,
    pub mode: &'static str,
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

/// The `links` section: where an alert's links lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// How people reach Keyhound's own HTTP server.
    pub keyhound: String,
    /// A dashboard; `{key_id}`, `{tenant}` and `{incident}` are filled in. Empty = Keyhound's own page of the incident.
    pub dashboard: String,
    /// A runbook; `{rule}` is filled in. Empty = the rule's own `runbook`, as it stands there.
    pub runbook: String,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            keyhound: "http://127.0.0.1:9464".to_owned(),
            dashboard: String::new(),
            runbook: String::new(),
        }
    }
}

impl Labels {
    /// The labels of an incident as it is now.
    pub fn of(incident: &Incident) -> Self {
        Self {
            alertname: incident.verdict.clone(),
            severity: incident.severity,
            tenant: incident.subject.tenant.clone(),
            key_id: incident.subject.id.clone(),
            mode: match incident.mode {
                Mode::Shadow => "shadow",
                Mode::Enforce => "enforce",
            },
        }
    }
}

/// The alert that tells of `incident` under `labels`, until `ends_at`.
///
/// It starts at the event time at which the incident reached its severity, but never after it ends: the gateway's
/// clock may be ahead of ours, and Alertmanager refuses an alert that ends before it starts.
pub fn from_incident(incident: &Incident, labels: Labels, ends_at: WallTime, links: &Links) -> Alert {
    let detected = WallTime::parse(&incident.detected_at).or_else(|| WallTime::parse(&incident.opened_at));
    let page = format!("{}/api/v1/incidents/{}", links.keyhound.trim_end_matches('/'), incident.id.0);
    Alert {
        labels,
        annotations: Annotations {
            summary: text::summary(incident),
            description: text::description(incident),
            action: text::action(incident),
            confidence: text::confidence(incident),
            next_step: text::next_step(incident),
            dashboard_url: dashboard(incident, links).unwrap_or_else(|| page.clone()),
            runbook_url: runbook(incident, links),
        },
        starts_at: detected.map_or(ends_at, |time| time.min(ends_at)).rfc3339(),
        ends_at: ends_at.rfc3339(),
        generator_url: page,
    }
}

fn dashboard(incident: &Incident, links: &Links) -> Option<String> {
    if links.dashboard.is_empty() {
        return None;
    }
    let url = links.dashboard.replace("{key_id}", &in_url(&incident.subject.id));
    let url = url.replace("{tenant}", &in_url(&incident.subject.tenant));
    Some(url.replace("{incident}", &in_url(&incident.id.0)))
}

/// The runbook of the rule that weighs most: as `links` say, or the rule itself.
fn runbook(incident: &Incident, links: &Links) -> String {
    let Some(leading) = text::by_weight(incident).into_iter().next() else { return String::new() };
    if links.runbook.is_empty() {
        return leading.runbook.clone();
    }
    links.runbook.replace("{rule}", &in_url(&leading.rule))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn in_url(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::testing::stolen;

    fn links() -> Links {
        Links {
            keyhound: "https://keyhound.acme.io/".to_owned(),
            dashboard: "https://grafana.acme.io/d/keyhound-fleet?var-tenant={tenant}&var-key={key_id}"
                .to_owned(),
            runbook: "https://docs.acme.io/runbooks/{rule}".to_owned(),
        }
    }

    #[test]
    fn an_incident_becomes_the_alert_of_the_contract() {
        let incident = stolen();
        let end = WallTime::parse("2026-11-22T03:15:40Z").unwrap();
        let alert = from_incident(&incident, Labels::of(&incident), end, &links());
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
          "generatorURL": "https://keyhound.acme.io/api/v1/incidents/inc_7q4m"
        }
        "#);
    }

    #[test]
    fn an_alert_never_starts_after_it_ends() {
        let incident = stolen();
        let alert = from_incident(&incident, Labels::of(&incident), WallTime(5), &links());
        assert_eq!(alert.starts_at, alert.ends_at);
    }

    #[test]
    fn a_label_without_a_value_is_left_out() {
        let mut incident = stolen();
        incident.subject.tenant.clear();
        let alert = from_incident(&incident, Labels::of(&incident), WallTime(5), &Links::default());
        let json = serde_json::to_value(&alert).unwrap();
        assert_eq!(json["labels"].get("tenant"), None);
        assert_eq!(json["annotations"].get("runbook_url"), None);
        incident.reasons[1].runbook = "docs/runbooks/key-new-network.md".to_owned();
        let alert = from_incident(&incident, Labels::of(&incident), WallTime(5), &Links::default());
        assert_eq!(alert.annotations.runbook_url, "docs/runbooks/key-new-network.md");
        let page = "http://127.0.0.1:9464/api/v1/incidents/inc_7q4m";
        assert_eq!(
            (json["generatorURL"].as_str(), json["annotations"]["dashboard_url"].as_str()),
            (Some(page), Some(page))
        );
    }
}
