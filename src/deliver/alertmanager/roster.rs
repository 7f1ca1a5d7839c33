//! Which alerts fire, under which labels, and when each has to be told again.
//!
//! A pure state machine by the rules of Prometheus' notifier: firing alerts are told again each minute, with an end
//! four minutes ahead, so that they end by themselves if Keyhound goes away; ended ones are told for 15 minutes more.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
    time::Duration,
};

use super::{
    LabelSettings, PageLinks,
    alert::{Alert, Labels, from_incident},
};
use crate::{
    deliver::WallTime,
    incident::{Incident, IncidentId, Severity},
};

/// How often a firing or ended alert is told again.
pub const RESEND: Duration = Duration::from_mins(1);
/// How often [`Roster::due`] is asked.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// How far ahead a firing alert ends: four times the longer of the two.
pub const ENDS_AFTER: Duration = Duration::from_mins(4);
/// How long an ended alert is told.
pub const RESOLVED_FOR: Duration = Duration::from_mins(15);
/// The most alerts that fire, and the most that ended lately.
pub const LIMIT: usize = 10_000;

/// The alerts of one Alertmanager that fire or ended lately.
///
/// Each Alertmanager has its own, since its settings decide which alerts are the same to it: where two severities have
/// one name, a change from one to the other ends nothing.
#[derive(Debug)]
pub struct Roster {
    links: Arc<PageLinks>,
    settings: LabelSettings,
    firing: BTreeMap<IncidentId, Firing>,
    ended: BTreeMap<Labels, EndedIncident>,
    dropped: u64,
}

#[derive(Debug)]
struct Firing {
    incident: Arc<Incident>,
    labels: Labels,
    told_at: WallTime,
}

#[derive(Debug)]
struct EndedIncident {
    incident: Arc<Incident>,
    since: WallTime,
    told_at: WallTime,
}

impl Roster {
    /// Without any alert.
    pub fn new(links: Arc<PageLinks>, settings: LabelSettings) -> Self {
        Self { links, settings, firing: BTreeMap::new(), ended: BTreeMap::new(), dropped: 0 }
    }

    /// Takes an incident's current record and gives what has to be told at once, as one batch.
    ///
    /// A record older than the one that is known says nothing new: it was delivered twice or late.
    pub fn observe(&mut self, incident: &Arc<Incident>, now: WallTime) -> Vec<Alert> {
        let known = self.firing.get(&incident.id);
        if known.is_some_and(|known| known.incident.updated_at > incident.updated_at) {
            return Vec::new();
        }
        let before = known.map(|known| known.labels.clone()).or_else(|| self.before_restart(incident));
        if !incident.is_open() || !is_told(incident) {
            return self.end(incident, now);
        }
        let mut alerts = Vec::new();
        let current = Labels::of(incident, &self.settings);
        let labels = match before {
            Some(before) if before.severity == current.severity => before,
            Some(before) => {
                alerts.push(self.end_labels(incident, before, now));
                current
            }
            None => current,
        };
        alerts.push(from_incident(incident, labels.clone(), now.after(ENDS_AFTER), &self.links));
        self.ended.remove(&labels);
        self.firing.insert(incident.id.clone(), Firing { incident: incident.clone(), labels, told_at: now });
        self.keep_within_limit();
        alerts
    }

    /// What has to be told again by now.
    pub fn due(&mut self, now: WallTime) -> Vec<Alert> {
        self.ended.retain(|_, ended| now.since(ended.since) <= RESOLVED_FOR);
        let links = &self.links;
        let firing =
            self.firing.values_mut().filter(|firing| now.since(firing.told_at) >= RESEND).map(|firing| {
                firing.told_at = now;
                from_incident(&firing.incident, firing.labels.clone(), now.after(ENDS_AFTER), links)
            });
        let ended = self.ended.iter_mut().filter(|(_, ended)| now.since(ended.told_at) >= RESEND);
        let ended = ended.map(|(labels, ended)| {
            ended.told_at = now;
            from_incident(&ended.incident, labels.clone(), ended.since, links)
        });
        firing.chain(ended).collect()
    }

    /// Alerts that were forgotten to stay within [`LIMIT`], since the start. They end by themselves.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn end(&mut self, incident: &Arc<Incident>, now: WallTime) -> Vec<Alert> {
        let labels = match self.firing.remove(&incident.id) {
            Some(firing) => firing.labels,
            // It may have been told before a restart. To end what never fired does no harm.
            None if !incident.is_open() && is_told(incident) => Labels::of(incident, &self.settings),
            None => return Vec::new(),
        };
        if self.ended.contains_key(&labels) || self.firing.values().any(|other| other.labels == labels) {
            return Vec::new();
        }
        let alert = self.end_labels(incident, labels, now);
        self.keep_within_limit();
        vec![alert]
    }

    fn end_labels(&mut self, incident: &Arc<Incident>, labels: Labels, now: WallTime) -> Alert {
        let alert = from_incident(incident, labels.clone(), now, &self.links);
        let ended = EndedIncident { incident: incident.clone(), since: now, told_at: now };
        if let btree_map::Entry::Vacant(vacant) = self.ended.entry(labels) {
            vacant.insert(ended);
        }
        alert
    }

    /// The labels that an incident had before its severity changed, if a process before this one told of it.
    fn before_restart(&self, incident: &Incident) -> Option<Labels> {
        let severity = incident.severity_before.filter(|before| *before > Severity::Info)?;
        let severity = self.settings.severity(severity).to_owned();
        Some(Labels { severity, ..Labels::of(incident, &self.settings) })
    }

    /// Forgets the alerts that were told longest ago.
    fn keep_within_limit(&mut self) {
        while self.firing.len() > LIMIT {
            let oldest =
                self.firing.iter().min_by_key(|(_, firing)| firing.told_at).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.firing.remove(&id));
            self.dropped += 1;
        }
        while self.ended.len() > LIMIT {
            let oldest =
                self.ended.iter().min_by_key(|(_, ended)| ended.since).map(|(labels, _)| labels.clone());
            oldest.and_then(|labels| self.ended.remove(&labels));
            self.dropped += 1;
        }
    }
}

/// Whether people are told at all: not of what is only information, and not of what was found in a backlog.
fn is_told(incident: &Incident) -> bool {
    incident.severity > Severity::Info && !incident.stale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deliver::alertmanager::Links, incident::testing::stolen};

    const START: WallTime = WallTime(1_795_317_100_000);

    fn at(seconds: u64) -> WallTime {
        START.after(Duration::from_secs(seconds))
    }

    /// Severity and end of each alert, in seconds since the start.
    fn seen(alerts: &[Alert]) -> Vec<(&str, i64)> {
        let end = |alert: &Alert| {
            let end = i64::try_from(WallTime::parse(&alert.ends_at).unwrap().0).unwrap();
            (end - i64::try_from(START.0).unwrap()) / 1000
        };
        alerts.iter().map(|alert| (alert.labels.severity.as_str(), end(alert))).collect()
    }

    /// For an Alertmanager that calls severities as these say.
    fn roster(severities: &[(Severity, &str)]) -> Roster {
        let links = PageLinks::new(&Links::default(), "127.0.0.1:9464".parse().unwrap(), "", None);
        let severities = severities.iter().map(|(severity, word)| (*severity, (*word).to_owned()));
        let settings = LabelSettings { severities: severities.collect(), ..LabelSettings::default() };
        Roster::new(Arc::new(links), settings)
    }

    fn updated(second: u64, change: impl FnOnce(&mut Incident)) -> Arc<Incident> {
        let mut incident = stolen();
        incident.updated_at = at(second).rfc3339();
        change(&mut incident);
        Arc::new(incident)
    }

    #[test]
    fn a_firing_alert_is_told_each_minute_with_an_end_four_minutes_ahead() {
        let mut roster = roster(&[]);
        assert_eq!(seen(&roster.observe(&updated(0, |_| ()), at(0))), [("high", 240)]);
        assert_eq!(seen(&roster.due(at(59))), []);
        assert_eq!(seen(&roster.due(at(60))), [("high", 300)]);
        assert_eq!(seen(&roster.due(at(75))), []);
    }

    #[test]
    fn a_change_of_severity_ends_the_old_labels_in_the_same_batch() {
        let mut roster = roster(&[]);
        roster.observe(&updated(0, |_| ()), at(0));
        let worse = updated(10, |incident| incident.severity = Severity::Critical);
        assert_eq!(seen(&roster.observe(&worse, at(10))), [("high", 10), ("critical", 250)]);
        assert_eq!(seen(&roster.due(at(70))), [("critical", 310), ("high", 10)]);
    }

    #[test]
    fn a_severity_that_comes_back_is_not_ended_by_the_resending_of_its_end() {
        let mut roster = roster(&[]);
        roster.observe(&updated(0, |_| ()), at(0));
        roster.observe(&updated(10, |incident| incident.severity = Severity::Critical), at(10));
        roster.observe(&updated(20, |_| ()), at(20));
        assert_eq!(seen(&roster.due(at(80))), [("high", 320), ("critical", 20)]);
    }

    #[test]
    fn a_change_between_severities_of_one_name_ends_nothing() {
        let mut roster = roster(&[(Severity::High, "page"), (Severity::Critical, "page")]);
        assert_eq!(seen(&roster.observe(&updated(0, |_| ()), at(0))), [("page", 240)]);
        let worse = updated(10, |incident| incident.severity = Severity::Critical);
        assert_eq!(seen(&roster.observe(&worse, at(10))), [("page", 250)]);
        assert_eq!(seen(&roster.due(at(70))), [("page", 310)]);
        let better = updated(80, |incident| incident.severity = Severity::Medium);
        assert_eq!(seen(&roster.observe(&better, at(80))), [("page", 80), ("medium", 320)]);
    }

    #[test]
    fn labels_stay_while_the_severity_does() {
        let mut roster = roster(&[]);
        roster.observe(&updated(0, |_| ()), at(0));
        let other = updated(5, |incident| incident.verdict = "KeyAbused".to_owned());
        assert_eq!(roster.observe(&other, at(5))[0].labels.alertname, "KeyStolen");
    }

    #[test]
    fn an_end_is_told_for_a_quarter_of_an_hour() {
        let mut roster = roster(&[]);
        roster.observe(&updated(0, |_| ()), at(0));
        let closed = updated(30, |incident| incident.closed_at = Some(at(30).rfc3339()));
        assert_eq!(seen(&roster.observe(&closed, at(30))), [("high", 30)]);
        assert_eq!(seen(&roster.observe(&closed, at(31))), [], "delivered twice");
        let again = (1..40).filter(|tick| !roster.due(at(30 + tick * 60)).is_empty()).count();
        assert_eq!(again, 15);
    }

    #[test]
    fn after_a_restart_the_labels_before_a_change_are_ended_too() {
        let mut roster = roster(&[]);
        let changed = updated(5, |incident| incident.severity_before = Some(Severity::Low));
        assert_eq!(seen(&roster.observe(&changed, at(5))), [("low", 5), ("high", 245)]);
    }

    #[test]
    fn a_backlog_and_mere_information_page_nobody() {
        let mut roster = roster(&[]);
        assert_eq!(roster.observe(&updated(0, |incident| incident.stale = true), at(0)), []);
        assert_eq!(roster.observe(&updated(0, |incident| incident.severity = Severity::Info), at(0)), []);
    }

    #[test]
    fn however_many_incidents_close_at_once_no_more_than_the_limit_are_told_again() {
        let mut roster = roster(&[]);
        for number in 0..=LIMIT {
            let closed = updated(0, |incident| {
                incident.id = IncidentId(format!("inc_{number}"));
                incident.subject.tenant = format!("tenant-{number}");
                incident.closed_at = Some(at(0).rfc3339());
            });
            assert_eq!(roster.observe(&closed, at(0)).len(), 1);
        }
        assert_eq!(roster.due(at(60)).len(), LIMIT);
    }

    #[test]
    fn a_record_delivered_late_changes_nothing() {
        let mut roster = roster(&[]);
        roster.observe(&updated(10, |incident| incident.severity = Severity::Critical), at(10));
        assert_eq!(roster.observe(&updated(5, |_| ()), at(11)), []);
    }
}
