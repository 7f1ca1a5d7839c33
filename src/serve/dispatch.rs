//! The dispatcher that fills the table for gateways and the board for operators from committed outputs.

use std::{collections::HashSet, sync::Arc};

use prometheus::IntGaugeVec;

use super::{Applied, Board, Commander, Decisions, record_log};
use crate::{
    deliver::{Deliver, DeliverError, WallClock, WallTime},
    engine::{Action, Command},
    incident::{Incident, IncidentId, Severity},
    respond::{Decision, Guardrail, Mode, Step},
    store::{OutRecord, Topic},
    telemetry::{Metrics, start_at_zero},
};

/// Brings decisions and incidents to where HTTP requests read them.
pub struct ToServe {
    decisions: Arc<Decisions>,
    board: Arc<Board>,
    clock: WallClock,
    metrics: Arc<Metrics>,
    /// Incidents that the start took from the store, and of which no record was delivered yet.
    restored: HashSet<IncidentId>,
    engine: Option<Commander>,
    /// What the engine has still to be told: at most one a decision in the store.
    untold: Vec<Command>,
}

/// What metrics say of a finding.
#[derive(serde::Deserialize)]
struct FindingNames<'a> {
    rule: &'a str,
    detector: &'a str,
    at: &'a str,
}

impl ToServe {
    /// Into this table and this board.
    pub fn new(
        decisions: Arc<Decisions>,
        board: Arc<Board>,
        clock: WallClock,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.serving.table_limit.set(i64::try_from(decisions.limit()).unwrap_or(i64::MAX));
        start_at_zero(&metrics.serving.table_updates, &[&Applied::ALL.map(Applied::as_str)]);
        Self { decisions, board, clock, metrics, restored: HashSet::new(), engine: None, untold: Vec::new() }
    }

    /// The same, and tells the engine what the table did not take: else it would hold a step for in force that no gateway
    /// knows of, and propose none.
    #[must_use]
    pub fn tells(mut self, engine: Commander) -> Self {
        self.engine = Some(engine);
        self
    }

    /// At the start: the current decisions, each with when it was committed, and the incidents that the store has. What
    /// was fresh when it was committed is served again; what was stale is not, however often the process starts. Nothing
    /// of it is counted: it was when it came.
    pub fn restore(&mut self, decisions: Vec<(Decision, WallTime)>, incidents: Vec<Incident>) {
        for (decision, committed_at) in decisions {
            self.take_decision(decision, committed_at);
        }
        for incident in incidents {
            self.restored.insert(incident.id.clone());
            self.board.take_incident(incident);
        }
        self.show_counts();
    }

    fn take_decision(&mut self, decision: Decision, committed_at: WallTime) -> Applied {
        let applied = self.decisions.apply(&decision, committed_at, self.clock.now());
        match applied {
            Applied::Stale | Applied::NotAKey | Applied::Full => {
                tracing::warn!(
                    event = "decision_not_served",
                    decision = decision.id.0,
                    subject = decision.subject.id,
                    kind = decision.subject.kind,
                    as_of = decision.as_of,
                    outcome = applied.as_str(),
                    "decision not served"
                );
            }
            _ => {
                let step = decision.step.as_str();
                tracing::debug!(
                    event = "decision_received",
                    decision = decision.id.0,
                    subject = decision.subject.id,
                    step,
                    outcome = applied.as_str(),
                    "decision received"
                );
            }
        }
        self.note_not_served(&decision, applied);
        self.board.take_decision(decision, applied);
        applied
    }

    fn note_not_served(&mut self, decision: &Decision, applied: Applied) {
        let by = match applied {
            Applied::Stale => Guardrail::Late,
            Applied::Full => Guardrail::Full,
            _ => return,
        };
        let now = self.clock.now();
        if decision.expires().0 <= now.0 || self.engine.is_none() {
            return;
        }
        let (key, epoch) = (decision.subject.id.clone(), decision.epoch);
        let (by_whom, from, reason) = ("table".to_owned(), String::new(), applied.as_str().to_owned());
        let action = Action::NotServed { key, epoch, by };
        self.untold.push(Command { sequence: 0, at_ms: now.0, by: by_whom, from, reason, action });
    }

    /// Tells the engine, as far as it takes commands now.
    fn tell_engine(&mut self) {
        let Some(engine) = &self.engine else { return };
        let told = self.untold.iter().take_while(|command| engine.hand_over((*command).clone())).count();
        self.untold.drain(..told);
    }

    /// Takes a decision that was committed just now.
    fn take_new_decision(&mut self, decision: Decision) {
        let now = self.clock.now();
        let (step, mode, as_of) = (decision.step, decision.mode, WallTime(decision.as_of().0));
        let is_automatic = decision.cause == "policy" && step.is_enforced();
        let logged = decision.clone();
        let applied = self.take_decision(decision, now);
        record_log::decision(&logged, applied);
        if is_automatic && matches!(applied, Applied::Served | Applied::Shadow) {
            self.metrics.detection.decision_delay.observe(now.since(as_of).as_secs_f64());
        }
        self.count_decision((step, mode), applied);
    }

    fn take_finding(&self, found: &FindingNames<'_>) {
        self.metrics.detection.findings.with_label_values(&[found.rule, found.detector]).inc();
        if let Some(at) = WallTime::parse(found.at) {
            let delay = self.clock.now().since(at);
            self.metrics.detection.detection_delay.observe(delay.as_secs_f64());
        }
    }

    /// Takes an incident's record that was committed just now. One that was taken before, or is older than what is
    /// known, was counted and logged; but if the start took the same record from the store, the process ended before it
    /// was delivered, and nobody was told of it.
    fn take_new_incident(&mut self, incident: Incident) {
        let known = self.board.incident(&incident.id);
        let mut known = known.as_deref();
        if known == Some(&incident) && self.restored.remove(&incident.id) {
            known = None;
        }
        if known.is_none_or(|known| *known != incident && known.updated_at <= incident.updated_at) {
            self.count_incident(known, &incident);
            record_log::incident(known, &incident);
        }
        self.board.take_incident(incident);
    }

    fn count_decision(&self, (step, mode): (Step, Mode), applied: Applied) {
        self.metrics.serving.table_updates.with_label_values(&[applied.as_str()]).inc();
        self.metrics.detection.decisions.with_label_values(&[step.as_str(), mode.as_str()]).inc();
    }

    /// Counts what is new in an incident's record against the one that is shown.
    fn count_incident(&self, known: Option<&Incident>, incident: &Incident) {
        let severity = known.map(|known| known.severity);
        if severity != Some(incident.severity) {
            let labels = [incident.severity.as_str(), incident.verdict.as_str()];
            self.metrics.detection.incidents.with_label_values(&labels).inc();
        }
        let was_stale = known.is_some_and(|known| known.stale);
        self.metrics.detection.incidents_backlog.inc_by(u64::from(incident.stale && !was_stale));
        // By what they are and not by their number: a step that was taken is held no more.
        let was_held = |held| known.is_some_and(|known| known.held.contains(held));
        for held in incident.held.iter().filter(|held| !was_held(*held)) {
            self.metrics.detection.withheld.with_label_values(&[held.by.as_str()]).inc();
        }
    }

    fn show_counts(&self) {
        let open = self.board.open_by_severity();
        for severity in Severity::ALL {
            let count = open.get(&severity).copied().unwrap_or(0);
            self.metrics.detection.incidents_open.with_label_values(&[severity.as_str()]).set(count);
        }
        for (kind, entries, limit) in self.board.sizes() {
            let set = |family: &IntGaugeVec, value| {
                family.with_label_values(&[kind]).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.metrics.serving.listed, entries);
            set(&self.metrics.serving.listed_limit, limit);
        }
        self.metrics.serving.table_entries.set(i64::try_from(self.decisions.len()).unwrap_or(i64::MAX));
    }
}

impl Deliver for ToServe {
    const NAME: &'static str = "serve";

    fn deliver(&mut self, records: &[OutRecord]) -> Result<u64, DeliverError> {
        for record in records {
            // A tombstone only clears the topic.
            let read = match record.topic {
                _ if record.value.is_empty() => continue,
                Topic::Decisions => {
                    serde_json::from_slice(&record.value).map(|found| self.take_new_decision(found))
                }
                Topic::Incidents => {
                    serde_json::from_slice(&record.value).map(|found| self.take_new_incident(found))
                }
                Topic::Findings => {
                    serde_json::from_slice(&record.value).map(|found| self.take_finding(&found))
                }
                Topic::Rejected | Topic::Audit => continue,
            };
            if let Err(error) = read {
                tracing::error!(event = "record_unreadable", record = record.seq, topic = record.topic.as_str(), %error, "a record cannot be read; skipped");
            }
        }
        self.tell_engine();
        self.show_counts();
        Ok(records.last().map_or(0, |record| record.seq))
    }

    fn idle(&mut self) {
        self.tell_engine();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deliver::{Dispatcher, outbox::MemoryOutbox},
        incident::{Held, testing::stolen},
        serve::{
            Verdict,
            table::tests::{at, decision, key},
        },
        telemetry::logs::testing::json_lines,
    };

    #[test]
    fn a_committed_decision_is_served_and_shown_and_a_stale_one_only_shown() {
        let outbox = Arc::new(MemoryOutbox::default());
        let bytes = |decision: &Decision| serde_json::to_vec(decision).unwrap();
        let fresh = Decision { as_of: at(200).rfc3339(), ..decision(1, 1, Step::Revoke) };
        outbox.append(Topic::Decisions, "", &bytes(&fresh));
        outbox.append(Topic::Decisions, "", &bytes(&decision(2, 1, Step::Revoke)));
        outbox.append(Topic::Decisions, "", b"{");
        outbox.append(Topic::Decisions, "", b"");

        let (decisions, board) = (Arc::new(Decisions::new(10)), Arc::new(Board::default()));
        let metrics = Arc::new(Metrics::new("test", ""));
        let clock = WallClock::from_fn(|| at(301));
        let serve = ToServe::new(decisions.clone(), board.clone(), clock, metrics.clone());
        let series = metrics.series("keyhound_decision_table_updates_total");
        assert_eq!(Dispatcher::new(outbox, serve).unwrap().turn().unwrap(), 4);
        assert_eq!(metrics.series("keyhound_decision_table_updates_total"), series);

        assert!(matches!(decisions.check(&[key(1)], at(301))[..], [Verdict::Refused(_)]));
        assert!(decisions.check(&[key(2)], at(301)).is_empty());
        assert_eq!(board.decisions(9, |shown| shown.applied == Applied::Stale).len(), 1);
        assert_eq!(metrics.serving.table_updates.with_label_values(&["stale"]).get(), 1);
        assert_eq!(metrics.serving.table_entries.get(), 1);
        let shown = |family: &IntGaugeVec| family.with_label_values(&["decisions"]).get();
        assert_eq!((shown(&metrics.serving.listed), shown(&metrics.serving.listed_limit)), (2, 100_000));
    }

    #[test]
    fn what_the_table_does_not_take_is_told_to_the_engine_as_soon_as_it_takes_commands() {
        let metrics = Arc::new(Metrics::new("test", ""));
        let (table, clock) = (Arc::new(Decisions::new(1)), WallClock::from_fn(|| at(301)));
        let (engine, commands) = Commander::channel(2);
        let mut serve = ToServe::new(table, Arc::new(Board::default()), clock, metrics).tells(engine);
        let as_of = at(300).rfc3339();
        let fresh = |n| Decision { as_of: as_of.clone(), ..decision(n, 7, Step::Revoke) };
        // Taken; too old; no room for two; over before it came.
        serve.restore(vec![(fresh(1), at(301)), (decision(2, 8, Step::Throttle), at(301))], Vec::new());
        serve.take_new_decision(fresh(3));
        serve.take_new_decision(fresh(4));
        serve.take_new_decision(Decision { expires_at: at(301).rfc3339(), ..fresh(5) });
        let mut told = Vec::new();
        for _ in 0..2 {
            serve.idle();
            told.extend(commands.try_iter().map(|asked| asked.command.action));
        }
        let not_served = |n: u8, epoch, by| Action::NotServed { key: key(n).to_string(), epoch, by };
        let expected = [
            not_served(2, 8, Guardrail::Late),
            not_served(3, 7, Guardrail::Full),
            not_served(4, 7, Guardrail::Full),
        ];
        assert_eq!(told, expected);
        serve.idle();
        assert!(commands.try_recv().is_err(), "once");
    }

    #[test]
    fn an_incident_is_counted_and_logged_once_also_if_the_process_ended_before_it_was_delivered() {
        let (first, delivered) = (stolen(), Incident { id: IncidentId("inc_2".to_owned()), ..stolen() });
        let metrics = Arc::new(Metrics::new("test", ""));
        let (decisions, clock) = (Arc::new(Decisions::new(10)), WallClock::from_fn(|| at(301)));
        let mut serve = ToServe::new(decisions, Arc::new(Board::default()), clock, metrics.clone());
        serve.restore(Vec::new(), vec![first.clone(), delivered.clone()]);
        let later = Incident { updated_at: "2026-11-22T03:12:00.000Z".to_owned(), score: 11.0, ..delivered };
        let lines = json_lines(|| {
            for incident in [first.clone(), first.clone(), later] {
                serve.take_new_incident(incident);
            }
        });
        let events: Vec<_> = lines.iter().map(|line| (&line["event"], &line["incident"])).collect();
        assert_eq!(events, [(&"incident_opened".into(), &first.id.0.clone().into())]);
        let counted = metrics.detection.incidents.with_label_values(&["high", "KeyStolen"]).get();
        assert_eq!(counted, 1);
    }

    #[test]
    fn a_step_that_is_held_is_counted_also_after_another_one_was_taken() {
        let metrics = Arc::new(Metrics::new("test", ""));
        let (table, clock) = (Arc::new(Decisions::new(10)), WallClock::from_fn(|| at(301)));
        let mut serve = ToServe::new(table, Arc::new(Board::default()), clock, metrics.clone());
        let held = |step, by: &str| Held { step, by: by.to_owned() };
        let (late, paused) = (held(Step::Throttle, "late"), held(Step::Suspend, "paused"));
        let told = [vec![late.clone()], Vec::new(), vec![paused.clone()], vec![paused, late]];
        for (n, held) in (0..).zip(told) {
            let updated_at = at(400 + n).rfc3339();
            serve.take_new_incident(Incident { updated_at, held, ..stolen() });
        }
        let counted = |by| metrics.detection.withheld.with_label_values(&[by]).get();
        assert_eq!((counted("late"), counted("paused")), (2, 1));
    }

    #[test]
    fn delays_are_those_of_automatic_decisions_and_findings_in_event_time() {
        let metrics = Arc::new(Metrics::new("test", ""));
        let (decisions, clock) = (Arc::new(Decisions::new(10)), WallClock::from_fn(|| at(3)));
        let mut serve = ToServe::new(decisions, Arc::new(Board::default()), clock, metrics.clone());
        serve.take_new_decision(decision(1, 1, Step::Revoke));
        serve.take_new_decision(Decision { cause: "operator".to_owned(), ..decision(2, 1, Step::Revoke) });
        serve.take_new_decision(decision(1, 2, Step::Observe));
        let found = FindingNames { rule: "r", detector: "d", at: &at(1).rfc3339() };
        serve.take_finding(&found);
        let delays = &metrics.detection;
        assert_eq!(delays.decision_delay.get_sample_count(), 1);
        assert!((delays.decision_delay.get_sample_sum() - 3.0).abs() < 1e-9);
        assert!((delays.detection_delay.get_sample_sum() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_a_start_takes_back_is_served_and_not_counted_again() {
        let (decisions, metrics) = (Arc::new(Decisions::new(10)), Arc::new(Metrics::new("test", "")));
        let clock = WallClock::from_fn(|| at(301));
        let mut serve = ToServe::new(decisions.clone(), Arc::new(Board::default()), clock, metrics.clone());
        let kept = Decision { as_of: at(200).rfc3339(), ..decision(1, 1, Step::Revoke) };
        serve.restore(vec![(kept, at(201))], Vec::new());
        assert!(matches!(decisions.check(&[key(1)], at(301))[..], [Verdict::Refused(_)]));
        assert_eq!(metrics.serving.table_entries.get(), 1);
        assert_eq!(metrics.detection.decisions.with_label_values(&["revoke", "enforce"]).get(), 0);
        assert_eq!(metrics.serving.table_updates.with_label_values(&["served"]).get(), 0);
    }
}
