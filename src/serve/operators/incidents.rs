//! Reading incidents.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{Operators, Problem};
use crate::{
    catalogue::{Catalogue, Entry},
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
    pub incidents: Vec<Incident>,
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

pub(super) async fn list(
    State(operators): State<Arc<Operators>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<IncidentList>, Problem> {
    let Query(wanted) = wanted.map_err(|_| {
        Problem::unprocessable(
            "the query takes state (open, closed, all), severity (info, low, medium, high, critical), key and limit",
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
        state && key && wanted.severity.is_none_or(|least| incident.severity >= least)
    };
    let found = operators.board.incidents(wanted.limit.unwrap_or(LIMIT).min(LIMIT_MAX), passes);
    Ok(Json(IncidentList { incidents: found.iter().map(|incident| Incident::clone(incident)).collect() }))
}

pub(super) async fn show(
    State(operators): State<Arc<Operators>>,
    Path(id): Path<String>,
) -> Result<Json<Incident>, Problem> {
    find(&operators, id).map(|found| Json(Incident::clone(&found)))
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

fn find(operators: &Operators, id: String) -> Result<Arc<Incident>, Problem> {
    operators.board.incident(&IncidentId(id)).ok_or_else(|| {
        Problem::not_found(
            "no such incident is open or among the last 1000 that closed; the topic keeps more",
        )
    })
}

/// What the catalogue says of the key, by one of its ids, or by the credential that its current decision names.
fn entry<'a>(operators: &Operators, catalogue: &'a Catalogue, incident: &Incident) -> Option<&'a Entry> {
    let subject = &incident.subject;
    let ids = || [&subject.id].into_iter().chain(&subject.aliases).filter_map(|id| id.parse::<KeyId>().ok());
    let by_id = ids().find_map(|id| catalogue.get(&id, ""));
    by_id.or_else(|| {
        let decision = operators.board.decision_on(&subject.id)?.decision;
        let id = ids().next()?;
        decision.handles.iter().find_map(|handle| catalogue.get(&id, handle.credential.as_str()))
    })
}
