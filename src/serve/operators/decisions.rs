//! Reading decisions, and the commands that make or lift them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{ConnectInfo, Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use tokio::time;

use super::{Operators, Problem, free_text};
use crate::{
    deliver::WallTime,
    engine::{Action, Command, Effect},
    event::KeyId,
    respond::{Decision, DecisionId, Step},
    serve::{board::Shown, commands::CommandError},
};

/// How long the decision that a command led to may take from its commit to the board.
const DECISION_WAIT: Duration = Duration::from_secs(1);

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// How long a step by hand lasts unless said otherwise, in seconds: a week for revoke, an hour for throttle.
const REVOKE_SECONDS: u64 = 7 * 24 * 3_600;
const THROTTLE_SECONDS: u64 = 3_600;
/// The longest: a year.
const SECONDS_MAX: u64 = 365 * 24 * 3_600;
/// The longest reason and name, in characters.
const REASON_MAX: usize = 500;
const BY_MAX: usize = 100;

/// The answer to `GET /api/v1/decisions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionList {
    /// An operator has paused what is automatic.
    #[serde(default)]
    pub automation_paused: bool,
    pub decisions: Vec<ShownDecision>,
}

/// A current decision and whether gateways are told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShownDecision {
    /// `served`, `shadow`, `lifted`, `ended`, `stale`, `full` or `not_a_key`.
    pub state: String,
    pub decision: Decision,
}

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Also those that are over or lifted.
    #[serde(default)]
    all: bool,
    key: Option<String>,
    limit: Option<usize>,
}

/// The body of a command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandRequest {
    /// The key id. For `revoke`, `throttle` and `lift`, exactly one of `key` and `decision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of a current decision, in place of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// For how long: from 1 to 31,536,000. Only for `revoke` and `throttle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// Why; at most 500 characters. What looks like a key in it is taken out.
    pub reason: String,
    /// Who; at most 100 characters, and the same.
    pub by: String,
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// `applied`; `held: …` with the rail; or `taken`: it is committed, and no decision has come of it.
    pub outcome: String,
    pub decisions: Vec<Decision>,
}

pub(super) async fn list(
    State(operators): State<Arc<Operators>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<DecisionList>, Problem> {
    let Query(wanted) =
        wanted.map_err(|_| Problem::unprocessable("the query takes all (true, false), key and limit"))?;
    let now = operators.clock.now();
    let passes = |shown: &Shown| {
        let subject = &shown.decision.subject;
        let key = wanted.key.as_ref().is_none_or(|key| subject.id == *key || subject.aliases.contains(key));
        key && (wanted.all || is_current(shown, now))
    };
    let found = operators.board.decisions(wanted.limit.unwrap_or(LIMIT).min(LIMIT_MAX), passes);
    let show = |shown: Shown| ShownDecision {
        state: if is_over(&shown, now) { "ended" } else { shown.applied.as_str() }.to_owned(),
        decision: Decision::clone(&shown.decision),
    };
    let automation_paused = operators.metrics.reading().is_some_and(|reading| reading.paused);
    Ok(Json(DecisionList { automation_paused, decisions: found.into_iter().map(show).collect() }))
}

pub(super) async fn command(
    State(operators): State<Arc<Operators>>,
    Path(action): Path<String>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    body: Bytes,
) -> Result<(StatusCode, Json<CommandAnswer>), Problem> {
    let request = read_body(&body)?;
    let (name, action) = read_action(&operators, &action, &request)?;
    let key = match &action {
        Action::Take { key, .. } | Action::Lift { key } => key.clone(),
        Action::Pause | Action::Resume | Action::TakeIn { .. } | Action::NotServed { .. } => String::new(),
    };
    let now = operators.clock.now();
    let by = free_text::read("by", &request.by, BY_MAX)?;
    let reason = free_text::read("reason", &request.reason, REASON_MAX)?;
    let by = if by.is_empty() { "operator".to_owned() } else { by };
    let from = peer.map_or_else(String::new, |Extension(ConnectInfo(peer))| peer.ip().to_string());
    let command = Command { sequence: 0, at_ms: now.0, by, from, reason, action };
    // Apart from the connection, so that a command whose client went away is logged and counted like any other.
    let applied = tokio::spawn(apply(operators, name, key, command)).await;
    match applied.unwrap_or(Err(CommandError::Gone)) {
        Ok(answer) if answer.outcome.starts_with("held") => Ok((StatusCode::CONFLICT, Json(answer))),
        Ok(answer) => Ok((StatusCode::OK, Json(answer))),
        Err(error @ CommandError::Pending) => {
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()))
        }
        Err(error) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

/// The commands, and what can come of each, as metrics name them.
pub(super) const ACTIONS: [&str; 5] = ["revoke", "throttle", "lift", "pause", "resume"];
pub(super) const OUTCOMES: [&str; 7] = ["applied", "taken", "held", "pending", "busy", "starting", "gone"];

/// Hands the command over, and says what came of it in the log and in the metrics.
async fn apply(
    operators: Arc<Operators>,
    name: &'static str,
    key: String,
    command: Command,
) -> Result<CommandAnswer, CommandError> {
    let Command { by, from, reason, .. } = command.clone();
    let before = operators.board.decision_on(&key).map_or(0, |shown| shown.decision.epoch);
    let applied = match operators.commands.apply(command).await {
        Ok(effects) => Ok(answer(&operators, &key, before, &effects).await),
        Err(error) => Err(error),
    };

    let (outcome, label) = match &applied {
        Ok(answer) if answer.outcome == "applied" => ("applied".to_owned(), "applied"),
        Ok(answer) if answer.outcome == "taken" => ("taken".to_owned(), "taken"),
        Ok(answer) => (answer.outcome.clone(), "held"),
        Err(CommandError::Pending) => ("pending".to_owned(), "pending"),
        Err(CommandError::Busy) => ("busy".to_owned(), "busy"),
        Err(CommandError::Starting) => ("starting".to_owned(), "starting"),
        Err(CommandError::Gone) => ("gone".to_owned(), "gone"),
    };
    operators.metrics.serving.commands.with_label_values(&[name, label]).inc();
    tracing::info!(
        event = "operator_command",
        by,
        from,
        action = name,
        key,
        reason,
        outcome,
        "operator command"
    );
    applied
}

fn is_over(shown: &Shown, now: WallTime) -> bool {
    shown.decision.step.is_enforced() && shown.decision.expires().0 <= now.0
}

fn is_current(shown: &Shown, now: WallTime) -> bool {
    shown.decision.step.is_enforced() && !is_over(shown, now)
}

/// An empty body says nothing, as `pause` and `resume` need nothing said.
fn read_body(body: &[u8]) -> Result<CommandRequest, Problem> {
    if body.is_empty() {
        return Ok(CommandRequest::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        // The position, and never the text: it may hold a pasted key.
        let (line, column) = (error.line(), error.column());
        Problem::unprocessable(format!(
            "line {line}, column {column}: expected an object with key or decision, for_seconds, reason and by"
        ))
    })
}

fn read_action(
    operators: &Operators,
    action: &str,
    request: &CommandRequest,
) -> Result<(&'static str, Action), Problem> {
    let take = |step, seconds_default| -> Result<Action, Problem> {
        let for_seconds = request.for_seconds.unwrap_or(seconds_default);
        if !(1..=SECONDS_MAX).contains(&for_seconds) {
            return Err(Problem::unprocessable(format!(
                "for_seconds is {for_seconds}; it must be from 1 to {SECONDS_MAX}"
            )));
        }
        Ok(Action::Take { key: read_key(operators, request)?, step, for_seconds })
    };
    let (name, read) = match action {
        "revoke" => ("revoke", take(Step::Revoke, REVOKE_SECONDS)?),
        "throttle" => ("throttle", take(Step::Throttle, THROTTLE_SECONDS)?),
        "lift" => ("lift", Action::Lift { key: read_key(operators, request)? }),
        "pause" => ("pause", Action::Pause),
        "resume" => ("resume", Action::Resume),
        _ => {
            let detail = "no such command; there are revoke, throttle, lift, pause and resume";
            return Err(Problem::not_found(detail));
        }
    };
    Ok((name, read))
}

fn read_key(operators: &Operators, request: &CommandRequest) -> Result<String, Problem> {
    match (&request.key, &request.decision) {
        (Some(key), None) => match key.parse::<KeyId>() {
            Ok(key) => Ok(key.to_string()),
            Err(error) => Err(Problem::unprocessable(format!("key: {error}; a raw key is never sent here"))),
        },
        (None, Some(id)) => {
            let shown = operators.board.decision(&DecisionId(id.clone()));
            let shown =
                shown.ok_or_else(|| Problem::not_found("decision: no current decision has this id"))?;
            Ok(shown.decision.subject.id.clone())
        }
        _ => Err(Problem::unprocessable("give exactly one of key (kf1_… or kc1_…) and decision (dec_…)")),
    }
}

/// What came of a command: the decisions that it made, or the rail that held it. Where the effects do not say, the
/// decision is waited for on the board, which it reaches right after its commit.
async fn answer(operators: &Operators, key: &str, before: u64, effects: &[Effect]) -> CommandAnswer {
    let mut decisions = Vec::new();
    for effect in effects {
        match effect {
            Effect::Decision(decision) => decisions.push(Decision::clone(decision)),
            Effect::Grant(grant) => {
                if let Err(rail) = &grant.outcome {
                    return CommandAnswer { outcome: format!("held: {rail}"), decisions };
                }
            }
            _ => {}
        }
    }
    let mut outcome = "applied";
    if decisions.is_empty() && !key.is_empty() {
        match time::timeout(DECISION_WAIT, operators.board.decided_on(key, before)).await {
            Ok(shown) => decisions.push(Decision::clone(&shown.decision)),
            Err(_) => outcome = "taken",
        }
    }
    CommandAnswer { outcome: outcome.to_owned(), decisions }
}
