//! Tests of the operators' API through the real router, with an engine that answers as told.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};
use tower::ServiceExt;

use super::*;
use crate::{
    catalogue::Entry,
    deliver::alertmanager::{LinkSigner, Links},
    engine::{Action, Effect, seam::Grant},
    incident::{Incident, IncidentId, Severity},
    respond::Step,
    serve::{
        Applied,
        commands::CommandError,
        table::tests::{NOW, decision, key},
    },
    telemetry::logs::testing::json_lines,
};

/// A raw key whose appearance anywhere is a failure.
const CANARY: &str = "sk_live_CANARY_4711";

pub(super) struct OperatorApi {
    pub router: Router,
    pub board: Arc<Board>,
    commands: Arc<Mutex<Vec<Action>>>,
    metrics: Arc<Metrics>,
    catalogue: Arc<ArcSwap<Catalogue>>,
}

fn daemon(effects: Result<Vec<Effect>, CommandError>) -> OperatorApi {
    daemon_of(effects, Access::local(Vec::new()), links(None))
}

pub(super) fn links(signer: Option<LinkSigner>) -> PageLinks {
    PageLinks::new(&Links::default(), "10.0.0.1:9464".parse().unwrap(), "", signer)
}

pub(super) fn daemon_of(
    effects: Result<Vec<Effect>, CommandError>,
    access: Access,
    links: PageLinks,
) -> OperatorApi {
    let board = Arc::new(Board::default());
    board.take_decision(decision(1, 7, Step::Throttle), Applied::Served);
    board.take_decision(decision(2, 8, Step::Observe), Applied::Lifted);
    for (id, severity, closed) in [("inc_1", Severity::High, false), ("inc_2", Severity::Low, true)] {
        board.take_incident(Incident {
            id: IncidentId(id.to_owned()),
            severity,
            updated_at: NOW.rfc3339(),
            closed_at: closed.then(|| NOW.rfc3339()),
            ..Incident::default()
        });
    }
    let commands = Arc::new(Mutex::new(Vec::new()));
    let metrics = Arc::new(Metrics::new("test", ""));
    let seen = commands.clone();
    let catalogue = Arc::new(ArcSwap::default());
    let operators = Operators {
        board: board.clone(),
        commands: Commander::new(move |asked| {
            seen.lock().unwrap().push(asked.command.action);
            let _ = asked.reply.send(effects.clone()?);
            Ok(())
        }),
        access,
        catalogue: catalogue.clone(),
        links: Arc::new(links),
        clock: WallClock::from_fn(|| NOW),
        metrics: metrics.clone(),
        ready_lag_seconds_max: 300,
    };
    OperatorApi { router: operators.router(), board, commands, metrics, catalogue }
}

impl OperatorApi {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:9464");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let counters = ["keyhound_commands_total", "keyhound_operator_requests_total"];
        let series = counters.map(|name| self.metrics.series(name));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let now = counters.map(|name| self.metrics.series(name));
        assert_eq!(now, series, "an outcome that did not start at 0");
        let status = response.status().as_u16();
        let media = format!("{:?}", response.headers().get("content-type"));
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(CANARY), "{text}");
        assert!(status < 400 || status == 409 || media.contains("problem+json"), "{media} {text}");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn post(&self, action: &str, body: Value) -> (u16, Value) {
        self.ask("POST", &format!("/api/v1/decisions/{action}"), Some(body)).await
    }
}

fn revoked() -> Vec<Effect> {
    vec![Effect::Decision(Box::new(decision(3, 9, Step::Revoke)))]
}

#[tokio::test]
async fn incidents_are_listed_by_state_and_severity() {
    let daemon = daemon(Ok(revoked()));
    let ids = |list: &Value| {
        let list = list["incidents"].as_array().unwrap().iter();
        list.map(|incident| incident["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (_, list) = daemon.ask("GET", "/api/v1/incidents", None).await;
    assert_eq!(ids(&list), ["inc_1"]);
    let (_, list) = daemon.ask("GET", "/api/v1/incidents?state=all", None).await;
    assert_eq!(ids(&list), ["inc_1", "inc_2"]);
    let (_, list) = daemon.ask("GET", "/api/v1/incidents?state=all&severity=medium", None).await;
    assert_eq!(ids(&list), ["inc_1"]);
    let since = |at: crate::deliver::WallTime| format!("/api/v1/incidents?since={}", at.rfc3339());
    let (_, list) = daemon.ask("GET", &since(NOW), None).await;
    assert_eq!(ids(&list), ["inc_1"]);
    let (_, list) = daemon.ask("GET", &since(NOW.after(Duration::from_secs(1))), None).await;
    assert!(ids(&list).is_empty());
    assert_eq!(daemon.ask("GET", "/api/v1/incidents?since=yesterday", None).await.0, 422);
    assert_eq!(daemon.ask("GET", "/api/v1/incidents?state=ajar", None).await.0, 422);
    assert_eq!(daemon.ask("GET", "/api/v1/incidents/inc_2", None).await.1["severity"], "low");
    assert_eq!(daemon.ask("GET", "/api/v1/incidents/inc_3", None).await.0, 404);
}

#[tokio::test]
async fn an_incident_is_a_page_for_people_with_its_owner() {
    let daemon = daemon(Ok(revoked()));
    let incident = crate::incident::testing::stolen();
    let mut entry = Entry { owner: "payments-oncall".to_owned(), ..Entry::default() };
    entry.id = Some(incident.subject.id.clone());
    daemon.catalogue.store(Arc::new(Catalogue::new(vec![entry], "1".to_owned()).unwrap()));
    daemon.board.take_incident(incident);
    let (status, page) = daemon.ask("GET", "/api/v1/incidents/inc_7q4m/page", None).await;
    let page = page.as_str().unwrap();
    assert_eq!(status, 200);
    assert!(page.starts_with("STOLEN KEY, likely") && page.contains("owner payments-oncall"), "{page}");
    assert!(!page.contains("Effect"), "nobody counted: {page}");
    assert_eq!(daemon.ask("GET", "/api/v1/incidents/inc_3/page", None).await.0, 404);
}

#[tokio::test]
async fn decisions_in_force_are_listed_with_whether_they_are_served() {
    let daemon = daemon(Ok(revoked()));
    let (_, list) = daemon.ask("GET", "/api/v1/decisions", None).await;
    assert_eq!(list["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(list["decisions"][0]["state"], "served");
    assert_eq!(list["decisions"][0]["decision"]["id"], "dec_1_7");
    let (_, list) = daemon.ask("GET", "/api/v1/decisions?all=true", None).await;
    assert_eq!(list["decisions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_command_is_applied_answered_and_counted() {
    let daemon = daemon(Ok(revoked()));
    let body =
        json!({"key": key(3).to_string(), "for_seconds": 60, "reason": "leaked\nin a gist", "by": "ana"});
    let (status, answer) = daemon.post("revoke", body).await;
    assert_eq!(
        (status, &answer["outcome"], &answer["decisions"][0]["id"]),
        (200, &json!("applied"), &json!("dec_3_9"))
    );
    let expected = Action::Take { key: key(3).to_string(), step: Step::Revoke, for_seconds: 60 };
    assert_eq!(*daemon.commands.lock().unwrap(), [expected]);
    assert_eq!(daemon.metrics.serving.commands.with_label_values(&["revoke", "applied"]).get(), 1);
}

#[test]
fn a_command_leaves_a_line_in_the_log_without_what_looks_like_a_key() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lines = json_lines(|| {
        runtime.block_on(async {
            let reason = format!("{CANARY} was in a gist");
            let body = json!({"key": key(3).to_string(), "reason": reason, "by": "ana"});
            assert_eq!(daemon(Ok(revoked())).post("revoke", body).await.0, 200);
        });
    });
    let fields = ["event", "by", "action", "key", "reason", "outcome"];
    let key = key(3).to_string();
    assert_eq!(
        fields.map(|field| lines[0][field].as_str().unwrap_or_default()),
        ["operator_command", "ana", "revoke", &key, "[removed] was in a gist", "applied"]
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_engine_does_not_say_the_decision_is_waited_for() {
    let daemon = daemon(Ok(Vec::new()));
    let body = json!({"key": key(1).to_string()});
    let (status, answer) = daemon.post("lift", body.clone()).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("taken")));
    let lifted = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        daemon.board.take_decision(decision(1, 8, Step::Observe), Applied::Lifted);
    };
    let ((status, answer), ()) = tokio::join!(daemon.post("lift", body), lifted);
    assert_eq!((status, &answer["outcome"]), (200, &json!("applied")));
    assert_eq!(answer["decisions"][0]["id"], "dec_1_8");
}

#[tokio::test(start_paused = true)]
async fn a_decision_can_be_lifted_by_its_id() {
    let daemon = daemon(Ok(Vec::new()));
    assert_eq!(daemon.post("lift", json!({"decision": "dec_1_7"})).await.0, 200);
    assert_eq!(*daemon.commands.lock().unwrap(), [Action::Lift { key: key(1).to_string() }]);
    assert_eq!(daemon.post("lift", json!({"decision": "dec_none"})).await.0, 404);
    assert_eq!(daemon.post("pause", json!({})).await.0, 200);
}

#[tokio::test]
async fn a_raw_key_is_refused_and_not_echoed() {
    let daemon = daemon(Ok(revoked()));
    assert_eq!(daemon.post("revoke", json!({"key": CANARY})).await.0, 422);
    assert_eq!(daemon.post("revoke", json!({"decision": CANARY})).await.0, 404);
    assert_eq!(daemon.post("revoke", json!({"raw_key": CANARY})).await.0, 422);
    assert_eq!(daemon.post("revoke", json!(CANARY)).await.0, 422);
    assert_eq!(daemon.post(CANARY, json!({})).await.0, 404);
    assert_eq!(daemon.ask("GET", &format!("/api/v1/incidents/{CANARY}"), None).await.0, 404);
    assert!(daemon.commands.lock().unwrap().is_empty());
    assert!(!daemon.metrics.render().contains(CANARY));
}

#[tokio::test]
async fn what_is_out_of_range_is_named() {
    let daemon = daemon(Ok(revoked()));
    let id = key(1).to_string();
    let (status, problem) = daemon.post("revoke", json!({"key": id, "for_seconds": 0})).await;
    assert_eq!(
        (status, &problem["detail"]),
        (422, &json!("for_seconds is 0; it must be from 1 to 31536000"))
    );
    let (status, _) = daemon.post("revoke", json!({"key": id, "reason": "x".repeat(501)})).await;
    assert_eq!(status, 422);
    assert_eq!(daemon.post("revoke", json!({"key": id, "decision": "dec_1_7"})).await.0, 422);
}

#[tokio::test]
async fn a_command_that_a_rail_holds_is_a_conflict() {
    let grant = Grant {
        key: key(1),
        step: Step::Revoke,
        at: crate::event::EventTime(0),
        outcome: Err(crate::respond::Guardrail::Protected),
    };
    let daemon = daemon(Ok(vec![Effect::Grant(Box::new(grant))]));
    let (status, answer) = daemon.post("revoke", json!({"key": key(1).to_string()})).await;
    assert_eq!((status, &answer["outcome"]), (409, &json!("held: protected")));
    assert_eq!(daemon.metrics.serving.commands.with_label_values(&["revoke", "held"]).get(), 1);
}

#[tokio::test]
async fn a_full_queue_is_said_and_counted() {
    let daemon = daemon(Err(CommandError::Busy));
    assert_eq!(daemon.post("pause", json!({})).await.0, 503);
    assert_eq!(daemon.metrics.serving.commands.with_label_values(&["pause", "busy"]).get(), 1);
}

#[tokio::test]
async fn health_and_metrics_need_no_access_and_readiness_says_why_not() {
    let daemon = daemon(Ok(revoked()));
    assert_eq!(daemon.ask("GET", "/healthz", None).await.0, 200);
    let request =
        Request::builder().uri("/metrics").header("host", "keyhound.internal").body(Body::empty()).unwrap();
    let response = daemon.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    let request = Request::builder().uri("/readyz").body(Body::empty()).unwrap();
    let response = daemon.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn a_post_that_a_web_page_could_send_is_denied() {
    let daemon = daemon(Ok(revoked()));
    let request =
        Request::builder().method("POST").uri("/api/v1/decisions/pause").header("host", "localhost");
    let response = daemon.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 415);
    assert!(daemon.commands.lock().unwrap().is_empty());
}
