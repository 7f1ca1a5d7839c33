//! Runs the roster against the clock, and a task for each Alertmanager.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time};

use super::{
    LabelSettings, PageLinks,
    alert::Alert,
    peer::{ClientError, HttpPeer, Post},
    queue::{CAPACITY, Queue},
    roster::{INTERVAL, Roster},
    settings::Peer,
};
use crate::{
    deliver::{Seldom, WallClock},
    incident::Incident,
    telemetry::Metrics,
};

/// How often a peer is tried that nothing is sent to.
const REACH_EVERY: Duration = Duration::from_secs(30);
/// The most alerts in one request.
const BATCH: usize = 256;

/// Tells every Alertmanager about incidents, until it is shut down.
pub struct Notifier {
    shared: Arc<Shared>,
    resender: JoinHandle<()>,
    senders: Vec<JoinHandle<()>>,
}

/// Why the notifier could not start.
#[derive(Debug, thiserror::Error)]
#[error("alertmanager {name}: {source}")]
pub struct StartError {
    name: String,
    source: ClientError,
}

struct Shared {
    lanes: Vec<Lane>,
    clock: WallClock,
    metrics: Arc<Metrics>,
}

/// One peer's alerts, its queue, and its name in metrics.
#[derive(Clone)]
struct Lane {
    name: String,
    queue: Arc<Queue>,
    roster: Arc<Mutex<Roster>>,
    losses: Arc<Seldom>,
}

/// A peer that alerts are posted to, before it has its task.
struct Recipient<P> {
    name: String,
    labels: LabelSettings,
    post: P,
}

impl Notifier {
    /// Starts within the current tokio runtime. `open` are the incidents that were open before: they are told again.
    pub fn start(
        peers: &[Peer],
        links: &Arc<PageLinks>,
        clock: WallClock,
        metrics: Arc<Metrics>,
        open: &[Incident],
    ) -> Result<Self, StartError> {
        let mut recipients = Vec::with_capacity(peers.len());
        for peer in peers {
            let name = peer.name();
            let post = HttpPeer::new(peer).map_err(|source| StartError { name: name.clone(), source })?;
            recipients.push(Recipient { name, labels: peer.labels.clone(), post });
        }
        Ok(Self::with_recipients(recipients, links, clock, metrics, open))
    }

    fn with_recipients<P: Post>(
        recipients: Vec<Recipient<P>>,
        links: &Arc<PageLinks>,
        clock: WallClock,
        metrics: Arc<Metrics>,
        open: &[Incident],
    ) -> Self {
        metrics.delivery.notifications_queue_capacity.set(i64::try_from(CAPACITY).unwrap_or(i64::MAX));
        let mut lanes = Vec::new();
        let mut senders = Vec::new();
        for Recipient { name, labels, post } in recipients {
            let roster = Arc::new(Mutex::new(Roster::new(links.clone(), labels)));
            let lane = Lane { name, queue: Arc::default(), roster, losses: Arc::default() };
            for counter in [
                &metrics.delivery.notifications_sent,
                &metrics.delivery.notifications_errors,
                &metrics.delivery.notifications_dropped,
            ] {
                counter.with_label_values(&[lane.name.as_str()]);
            }
            senders.push(tokio::spawn(send(lane.clone(), post, metrics.clone())));
            lanes.push(lane);
        }
        let shared = Arc::new(Shared { lanes, clock, metrics });
        for incident in open {
            shared.observe(incident);
        }
        let resender = tokio::spawn(resend(shared.clone()));
        Self { shared, resender, senders }
    }

    /// Takes an incident's current record. Never waits: what does not fit into a queue pushes out the oldest.
    pub fn observe(&self, incident: &Incident) {
        self.shared.observe(incident);
    }

    /// Sends what waits, for at most `within`, then ends. What is left is dropped and counted.
    pub async fn shutdown(self, within: Duration) {
        self.resender.abort();
        for lane in &self.shared.lanes {
            lane.queue.close();
        }
        let deadline = time::Instant::now() + within;
        for (mut sender, lane) in self.senders.into_iter().zip(&self.shared.lanes) {
            if time::timeout_at(deadline, &mut sender).await.is_err() {
                sender.abort();
                let left = lane.queue.len();
                if left == 0 {
                    continue;
                }
                tracing::warn!(
                    event = "alerts_not_sent",
                    alertmanager = lane.name,
                    left,
                    "alerts were not sent before the end"
                );
                self.shared.count_dropped(lane, left);
            }
        }
    }
}

impl Shared {
    fn observe(&self, incident: &Incident) {
        let incident = Arc::new(incident.clone());
        for lane in &self.lanes {
            let mut roster = lane.roster.lock().unwrap_or_else(PoisonError::into_inner);
            let before = roster.dropped();
            let alerts = roster.observe(&incident, self.clock.now());
            self.metrics.delivery.alerts_evicted.inc_by(roster.dropped() - before);
            // Queued under the lock, so that a resend cannot overtake a newer record.
            self.queue(lane, &alerts);
        }
    }

    fn resend(&self) {
        for lane in &self.lanes {
            let mut roster = lane.roster.lock().unwrap_or_else(PoisonError::into_inner);
            let alerts = roster.due(self.clock.now());
            self.queue(lane, &alerts);
            drop(roster);
            lane.tell_losses(0);
        }
    }

    fn queue(&self, lane: &Lane, alerts: &[Alert]) {
        if alerts.is_empty() {
            return;
        }
        let dropped = lane.queue.push(alerts);
        self.count_dropped(lane, dropped);
        lane.show_length(&self.metrics);
    }

    fn count_dropped(&self, lane: &Lane, dropped: usize) {
        lane.tell_losses(dropped);
        if dropped > 0 {
            self.metrics
                .delivery
                .notifications_dropped
                .with_label_values(&[lane.name.as_str()])
                .inc_by(dropped as u64);
        }
    }
}

impl Lane {
    fn tell_losses(&self, dropped: usize) {
        if let Some(dropped) = self.losses.add(dropped) {
            tracing::warn!(event = "alerts_dropped", alertmanager = self.name, dropped, "alerts dropped");
        }
    }

    fn show_length(&self, metrics: &Metrics) {
        let length = i64::try_from(self.queue.len()).unwrap_or(i64::MAX);
        metrics.delivery.notifications_queue_length.with_label_values(&[self.name.as_str()]).set(length);
    }
}

async fn resend(shared: Arc<Shared>) {
    let mut ticks = time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        shared.resend();
    }
}

async fn send<P: Post>(lane: Lane, post: P, metrics: Arc<Metrics>) {
    let output = format!("alertmanager:{}", lane.name);
    let mut ticks = time::interval(REACH_EVERY);
    loop {
        let batch = tokio::select! {
            biased;
            batch = lane.queue.take(BATCH) => batch,
            _ = ticks.tick() => {
                let tried = post.reach().await;
                metrics.outputs.attempted(&output, tried.err().map(|error| error.to_string()));
                continue;
            }
        };
        let Some(batch) = batch else { return };
        ticks.reset();
        lane.show_length(&metrics);
        let timer = metrics.delivery.notification_seconds.start_timer();
        let sent = post.post(&batch).await;
        timer.observe_duration();
        metrics.outputs.attempted(&output, sent.as_ref().err().map(ToString::to_string));
        let label = &[lane.name.as_str()];
        match sent {
            Ok(()) => metrics.delivery.notifications_sent.with_label_values(label).inc_by(batch.len() as u64),
            Err(error) => {
                metrics.delivery.notifications_errors.with_label_values(label).inc_by(batch.len() as u64);
                tracing::warn!(event = "alerts_not_accepted", alertmanager = lane.name, alerts = batch.len(), %error, "alerts were not accepted");
            }
        }
    }
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
