//! Tests of the notifier: in virtual time against a peer in memory, and over HTTP against a small server.

use std::sync::atomic::{AtomicU16, Ordering};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::{
    deliver::{
        WallTime,
        alertmanager::{Links, peer::PostError},
    },
    incident::{IncidentId, Severity, testing::stolen},
};

/// A clock that follows tokio's, so that it stands still and leaps with it.
fn virtual_clock() -> WallClock {
    let start = time::Instant::now();
    WallClock::from_fn(move || WallTime(1_795_317_100_000).after(start.elapsed()))
}

/// A peer in memory. It takes a batch for each permit.
struct Memory {
    got: mpsc::UnboundedSender<Vec<Alert>>,
    permits: Arc<Semaphore>,
}

impl Post for Memory {
    async fn post(&self, alerts: &[Alert]) -> Result<(), PostError> {
        self.permits.acquire().await.unwrap().forget();
        self.got.send(alerts.to_vec()).unwrap();
        Ok(())
    }

    async fn reach(&self) -> Result<(), PostError> {
        Ok(())
    }
}

fn memory(permits: usize) -> (Memory, mpsc::UnboundedReceiver<Vec<Alert>>, Arc<Semaphore>) {
    let (got, batches) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(permits));
    (Memory { got, permits: permits.clone() }, batches, permits)
}

fn start(posts: Vec<(String, Memory)>, open: &[Incident]) -> (Notifier, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new("test", ""));
    let recipients = posts
        .into_iter()
        .map(|(name, post)| Recipient { name, labels: LabelSettings::default(), post })
        .collect();
    let notifier = Notifier::with_recipients(recipients, &links(), virtual_clock(), metrics.clone(), open);
    (notifier, metrics)
}

fn links() -> Arc<PageLinks> {
    Arc::new(PageLinks::new(&Links::default(), "127.0.0.1:9464".parse().unwrap(), "", None))
}

fn numbered(number: usize) -> Incident {
    let mut incident = stolen();
    incident.id = IncidentId(format!("inc_{number}"));
    incident.subject.id = format!("kf1_{number:032x}");
    incident
}

#[tokio::test(start_paused = true)]
async fn open_incidents_are_told_at_the_start_and_each_minute() {
    let (peer, mut batches, _permits) = memory(usize::MAX >> 4);
    let started = time::Instant::now();
    let (_notifier, _) = start(vec![("am".to_owned(), peer)], &[stolen()]);
    for minute in 0..4 {
        assert_eq!(batches.recv().await.unwrap().len(), 1);
        assert_eq!(started.elapsed().as_secs(), minute * 60);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_holds_up_no_other() {
    let (hanging, _never, _permits) = memory(0);
    let (sound, mut batches, _more) = memory(100);
    let posts = vec![("hanging".to_owned(), hanging), ("sound".to_owned(), sound)];
    let (notifier, _) = start(posts, &[]);
    notifier.observe(&stolen());
    assert_eq!(batches.recv().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_and_counts_them() {
    let (peer, mut batches, permits) = memory(0);
    let (notifier, metrics) = start(vec![("am".to_owned(), peer)], &[]);
    notifier.observe(&numbered(0));
    tokio::task::yield_now().await; // the first is on its way, and hangs there
    for number in 1..=CAPACITY + 5 {
        notifier.observe(&numbered(number));
    }
    assert_eq!(metrics.delivery.notifications_dropped.with_label_values(&["am"]).get(), 5);
    permits.add_permits(2);
    assert_eq!(batches.recv().await.unwrap()[0].labels.key_id, numbered(0).subject.id);
    let next = batches.recv().await.unwrap();
    assert_eq!((next.len(), &next[0].labels.key_id), (BATCH, &numbered(6).subject.id));
}

#[tokio::test(start_paused = true)]
async fn of_two_states_of_one_alert_that_wait_the_older_is_not_sent() {
    let (peer, mut batches, _permits) = memory(100);
    let (notifier, metrics) = start(vec![("am".to_owned(), peer)], &[]);
    let mut nothing_done = stolen();
    nothing_done.steps.clear();
    notifier.observe(&nothing_done);
    notifier.observe(&numbered(1));
    notifier.observe(&stolen());
    let batch = batches.recv().await.unwrap();
    let summaries: Vec<&str> = batch.iter().map(|alert| alert.annotations.summary.as_str()).collect();
    assert_eq!(summaries.len(), 2, "{summaries:?}");
    assert!(summaries[1].ends_with("; throttled"), "{summaries:?}");
    assert_eq!(metrics.delivery.notifications_dropped.with_label_values(&["am"]).get(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_sends_what_waits_and_counts_what_it_could_not() {
    let (peer, mut batches, _permits) = memory(1);
    let (hanging, _never, _none) = memory(0);
    let (notifier, metrics) = start(vec![("am".to_owned(), peer), ("hanging".to_owned(), hanging)], &[]);
    tokio::task::yield_now().await;
    notifier.observe(&numbered(1));
    notifier.observe(&numbered(2));
    notifier.shutdown(Duration::from_secs(5)).await;
    assert_eq!(batches.recv().await.unwrap().len(), 2);
    assert_eq!(metrics.delivery.notifications_sent.with_label_values(&["am"]).get(), 2);
    assert_eq!(metrics.delivery.notifications_sent.with_label_values(&["hanging"]).get(), 0);
}

/// A small Alertmanager: keeps what is posted, answers as told.
async fn fake(answer: u16) -> (String, mpsc::UnboundedReceiver<Value>, Arc<AtomicU16>) {
    type Shared = (mpsc::UnboundedSender<Value>, Arc<AtomicU16>);
    async fn take(State((got, answer)): State<Shared>, Json(alerts): Json<Value>) -> StatusCode {
        got.send(alerts).unwrap();
        StatusCode::from_u16(answer.load(Ordering::Relaxed)).unwrap()
    }
    let (got, posts) = mpsc::unbounded_channel();
    let answer = Arc::new(AtomicU16::new(answer));
    let router = Router::new().route("/am/api/v2/alerts", post(take)).with_state((got, answer.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/am/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, posts, answer)
}

/// How long anything over HTTP may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// What is posted next, attempts with no alert left out.
async fn posted(posts: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    loop {
        let post = time::timeout(LIMIT, posts.recv()).await.expect("a post in time").expect("a server");
        if post.as_array().is_some_and(|alerts| !alerts.is_empty()) {
            return post;
        }
    }
}

fn http(url: &str) -> (Notifier, Arc<Metrics>, String) {
    let peer = Peer::try_from(url).unwrap();
    let metrics = Arc::new(Metrics::new("test", ""));
    let name = peer.name();
    let notifier = Notifier::start(&[peer], &links(), WallClock::system(), metrics.clone(), &[]).unwrap();
    (notifier, metrics, name)
}

#[tokio::test]
async fn an_alert_arrives_over_http_in_the_form_of_api_v2() {
    let (url, mut posts, _) = fake(202).await;
    let (notifier, metrics, name) = http(&url);
    let mut incident = stolen();
    incident.severity_before = Some(Severity::Medium);
    notifier.observe(&incident);
    let alerts = posted(&mut posts).await;
    notifier.shutdown(LIMIT).await;
    assert_eq!(alerts.as_array().unwrap().len(), 2, "{alerts}");
    assert_eq!(alerts[0]["labels"]["severity"], "medium");
    let labels = alerts[1]["labels"].as_object().unwrap();
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    assert_eq!(names, ["alertname", "severity", "tenant", "key_id", "mode"]);
    assert_eq!(metrics.delivery.notifications_sent.with_label_values(&[name.as_str()]).get(), 2);
}

#[tokio::test]
async fn a_batch_that_was_taken_in_part_is_not_sent_again() {
    let (url, mut posts, _) = fake(400).await;
    let (notifier, metrics, name) = http(&url);
    notifier.observe(&stolen());
    posted(&mut posts).await;
    notifier.shutdown(LIMIT).await;
    while let Ok(post) = posts.try_recv() {
        assert_eq!(post, Value::Array(Vec::new()));
    }
    assert_eq!(metrics.delivery.notifications_errors.with_label_values(&[name.as_str()]).get(), 1);
}

#[tokio::test]
async fn a_peer_that_nothing_is_sent_to_is_tried_all_the_same() {
    let (url, mut posts, _) = fake(500).await;
    let (_notifier, metrics, name) = http(&url);
    let attempt = time::timeout(LIMIT, posts.recv()).await.unwrap().unwrap();
    assert_eq!(attempt, Value::Array(Vec::new()));
    let mut faults = metrics.outputs.faults();
    while faults.is_empty() {
        tokio::task::yield_now().await;
        faults = metrics.outputs.faults();
    }
    let [(output, fault)] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(*output, format!("alertmanager:{name}"));
    assert!(fault.contains("500"), "{fault}");
}
