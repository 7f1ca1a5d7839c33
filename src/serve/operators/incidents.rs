//! Reading incidents.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Operators, Problem};
use crate::{
    catalogue::{Catalogue, Entry},
    deliver::WallTime,
    event::KeyId,
    incident::{Incident, IncidentId, Severity},
    serve::view::{self, View},
};

/// Incidents in one answer, unless asked otherwise, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// The answer to `GET /api/v1/incidents`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncidentList {
    pub incidents: Vec<LinkedIncident>,
}

/// An incident's record, and the links of its alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkedIncident {
    #[serde(flatten)]
    pub incident: Incident,
    #[serde(default)]
    pub page_url: String,
    #[serde(default)]
    pub dashboard_url: String,
    /// Empty where the rule that weighs most has none.
    #[serde(default)]
    pub runbook_url: String,
}

impl LinkedIncident {
    fn new(incident: &Incident, operators: &Operators) -> Self {
        let (links, now) = (&operators.links, operators.clock.now());
        Self {
            incident: incident.clone(),
            page_url: links.incident(&incident.id, now),
            dashboard_url: links.dashboard(incident, now),
            runbook_url: links.runbook(incident),
        }
    }
}

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    state: WantedState,
    /// The least severity.
    severity: Option<Severity>,
    key: Option<String>,
    /// Only those that changed at or after this time.
    #[serde(default, deserialize_with = "time")]
    since: Option<WallTime>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WantedState {
    #[default]
    Open,
    Closed,
    All,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WallTime>, D::Error> {
    let text = String::deserialize(deserializer)?;
    WallTime::parse(&text).map(Some).ok_or_else(|| D::Error::custom("not a time"))
}

pub(super) async fn list(
    State(operators): State<Arc<Operators>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<IncidentList>, Problem> {
    let Query(wanted) = wanted.map_err(|_| {
        Problem::unprocessable(
            "the query takes state (open, closed, all), severity (info, low, medium, high, critical), key, since (a \
             time in RFC 3339, such as 2026-11-22T03:00:00Z) and limit",
        )
    })?;
    let passes = |incident: &Incident| {
        let state = match wanted.state {
            WantedState::Open => incident.is_open(),
            WantedState::Closed => !incident.is_open(),
            WantedState::All => true,
        };
        let subject = &incident.subject;
        let key = wanted.key.as_ref().is_none_or(|key| subject.id == *key || subject.aliases.contains(key));
        let since = wanted
            .since
            .is_none_or(|since| WallTime::parse(&incident.updated_at).is_some_and(|at| at >= since));
        state && key && since && wanted.severity.is_none_or(|least| incident.severity >= least)
    };
    let found = operators.board.incidents(wanted.limit.unwrap_or(LIMIT).min(LIMIT_MAX), passes);
    let incidents = found.iter().map(|incident| LinkedIncident::new(incident, &operators));
    Ok(Json(IncidentList { incidents: incidents.collect() }))
}

pub(super) async fn show(
    State(operators): State<Arc<Operators>>,
    Path(id): Path<String>,
) -> Result<Json<LinkedIncident>, Problem> {
    find(&operators, id).map(|found| Json(LinkedIncident::new(&found, &operators)))
}

/// The incident as it is read at night, with what only the daemon knows: the time, and who owns the key.
pub(super) async fn page(
    State(operators): State<Arc<Operators>>,
    Path(id): Path<String>,
) -> Result<String, Problem> {
    let incident = find(&operators, id)?;
    let catalogue = operators.catalogue.load();
    let entry = entry(&operators, &catalogue, &incident);
    Ok(view::page(&View { incident: &incident, now: operators.clock.now(), entry, effect: None }))
}

pub(super) fn find(operators: &Operators, id: String) -> Result<Arc<Incident>, Problem> {
    operators.board.incident(&IncidentId(id)).ok_or_else(|| {
        Problem::not_found(
            "no such incident is open or among the last 1000 that closed; the topic keeps more",
        )
    })
}

/// What the catalogue says of the key, by one of its ids, or by the credential that its current decision names.
pub(super) fn entry<'a>(
    operators: &Operators,
    catalogue: &'a Catalogue,
    incident: &Incident,
) -> Option<&'a Entry> {
    let subject = &incident.subject;
    let ids = || [&subject.id].into_iter().chain(&subject.aliases).filter_map(|id| id.parse::<KeyId>().ok());
    let by_id = ids().find_map(|id| catalogue.get(&id, ""));
    by_id.or_else(|| {
        let decision = operators.board.decision_on(&subject.id)?.decision;
        let id = ids().next()?;
        decision.handles.iter().find_map(|handle| catalogue.get(&id, handle.credential.as_str()))
    })
}
