//! A log line for each committed incident and decision, under stable event names.
//!
//! From committed records only, so that a replay logs nothing twice. The fields are those of the record, which holds no
//! secret: key ids, names of the catalogue, rules.

use super::Applied;
use crate::{incident::Incident, respond::Decision};

/// Logs what `incident` changed against the record that was `known` of it. Changes of score or evidence are no lines.
pub(super) fn incident(known: Option<&Incident>, incident: &Incident) {
    match known {
        None => opened(incident),
        Some(known) if is_updated(known, incident) => updated(known, incident),
        Some(_) => {}
    }
    if !incident.is_open() && known.is_none_or(Incident::is_open) {
        closed(incident);
    }
}

/// Whether people would act otherwise on it: another severity, a step that was withheld, fresh evidence.
fn is_updated(known: &Incident, incident: &Incident) -> bool {
    known.severity != incident.severity
        || known.held.len() < incident.held.len()
        || (known.stale && !incident.stale)
}

fn opened(incident: &Incident) {
    tracing::info!(
        event = "incident_opened",
        incident = incident.id.0,
        verdict = incident.verdict,
        severity = incident.severity.as_str(),
        key = incident.subject.id,
        name = incident.subject.name,
        tenant = incident.subject.tenant,
        owner = incident.subject.owner,
        score = incident.score,
        maturity = incident.maturity,
        rules = rules(incident),
        withheld = withheld(incident),
        mode = incident.mode.as_str(),
        backlog = incident.stale,
        opened_at = incident.opened_at,
        "incident opened"
    );
}

fn updated(known: &Incident, incident: &Incident) {
    tracing::info!(
        event = "incident_updated",
        incident = incident.id.0,
        verdict = incident.verdict,
        severity = incident.severity.as_str(),
        severity_before = known.severity.as_str(),
        key = incident.subject.id,
        name = incident.subject.name,
        tenant = incident.subject.tenant,
        owner = incident.subject.owner,
        score = incident.score,
        maturity = incident.maturity,
        rules = rules(incident),
        withheld = withheld(incident),
        mode = incident.mode.as_str(),
        backlog = incident.stale,
        updated_at = incident.updated_at,
        "incident updated"
    );
}

fn closed(incident: &Incident) {
    tracing::info!(
        event = "incident_closed",
        incident = incident.id.0,
        verdict = incident.verdict,
        severity = incident.severity.as_str(),
        key = incident.subject.id,
        name = incident.subject.name,
        tenant = incident.subject.tenant,
        opened_at = incident.opened_at,
        closed_at = incident.closed_at.as_deref().unwrap_or_default(),
        "incident closed"
    );
}

/// Logs a committed decision and what the decision table made of it.
pub(super) fn decision(decision: &Decision, applied: Applied) {
    if decision.step.is_enforced() {
        tracing::info!(
            event = "decision_created",
            decision = decision.id.0,
            step = decision.step.as_str(),
            mode = decision.mode.as_str(),
            key = decision.subject.id,
            name = decision.subject.name,
            tenant = decision.subject.tenant,
            cause = decision.cause,
            rule = decision.rule,
            incident = decision.incident,
            reason = decision.reason,
            as_of = decision.as_of,
            expires_at = decision.expires_at,
            outcome = applied.as_str(),
            "decision created"
        );
    } else {
        tracing::info!(
            event = "decision_lifted",
            decision = decision.id.0,
            key = decision.subject.id,
            name = decision.subject.name,
            tenant = decision.subject.tenant,
            cause = decision.cause,
            rule = decision.rule,
            incident = decision.incident,
            reason = decision.reason,
            as_of = decision.as_of,
            outcome = applied.as_str(),
            "decision lifted"
        );
    }
}

/// The rules whose findings are in the incident, each once, in the order of the record.
fn rules(incident: &Incident) -> String {
    let mut rules: Vec<&str> = Vec::new();
    for reason in &incident.reasons {
        if !rules.contains(&reason.rule.as_str()) {
            rules.push(&reason.rule);
        }
    }
    rules.join(",")
}

/// The steps that were withheld: `throttle (maturity)`.
fn withheld(incident: &Incident) -> String {
    let steps: Vec<String> =
        incident.held.iter().map(|held| format!("{} ({})", held.step.as_str(), held.by)).collect();
    steps.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        incident::{Held, Severity, testing::stolen},
        respond::Step,
        serve::table::tests::decision as a_decision,
        telemetry::logs::testing::json_lines,
    };

    #[test]
    fn an_incident_is_logged_when_it_opens_when_its_severity_rises_and_when_it_closes() {
        let first = Incident { severity: Severity::Medium, held: Vec::new(), ..stolen() };
        let same = Incident { score: first.score + 1.0, ..first.clone() };
        let raised = Incident { severity: Severity::High, ..first.clone() };
        let held = vec![Held { step: Step::Throttle, by: "maturity".to_owned() }];
        let withheld = Incident { held, ..raised.clone() };
        let over = Incident { closed_at: Some("2026-11-22T04:00:00Z".to_owned()), ..withheld.clone() };
        let records = [&first, &same, &raised, &withheld, &over, &over];
        let lines = json_lines(|| {
            let mut known = None;
            for record in records {
                incident(known, record);
                known = Some(record);
            }
        });
        let shown = |field: &str| -> Vec<Value> { lines.iter().map(|line| line[field].clone()).collect() };
        assert_eq!(
            shown("event"),
            ["incident_opened", "incident_updated", "incident_updated", "incident_closed"]
        );
        assert_eq!(shown("severity"), ["medium", "high", "high", "high"]);
        assert_eq!(lines[1]["severity_before"], "medium");
        assert_eq!(lines[2]["withheld"], "throttle (maturity)");
        assert_eq!(lines[3]["closed_at"], "2026-11-22T04:00:00Z");
        for line in &lines {
            assert_eq!((&line["incident"], &line["key"]), (&json!(first.id.0), &json!(first.subject.id)));
        }
        assert_eq!(lines[0]["rules"], rules(&first));
    }

    #[test]
    fn a_decision_is_logged_with_what_the_table_made_of_it_and_a_lift_by_its_own_name() {
        let lines = json_lines(|| {
            decision(&a_decision(1, 1, Step::Throttle), Applied::Served);
            decision(&a_decision(1, 2, Step::Observe), Applied::Lifted);
        });
        let shown = |line: &Value| (line["event"].clone(), line["outcome"].clone(), line["step"].clone());
        assert_eq!(shown(&lines[0]), (json!("decision_created"), json!("served"), json!("throttle")));
        assert_eq!(shown(&lines[1]), (json!("decision_lifted"), json!("lifted"), Value::Null));
        assert_eq!(lines[0]["decision"], a_decision(1, 1, Step::Throttle).id.0);
    }
}
