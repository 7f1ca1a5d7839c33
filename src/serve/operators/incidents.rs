//! Reading incidents.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{Operators, Problem};
use crate::incident::{Incident, IncidentId, Severity};

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
    let found = operators.board.incident(&IncidentId(id));
    let found = found.ok_or_else(|| {
        Problem::not_found(
            "no such incident is open or among the last 1000 that closed; the topic keeps more",
        )
    })?;
    Ok(Json(Incident::clone(&found)))
}
