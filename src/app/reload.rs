//! On SIGHUP: rules, catalogue, place databases and mode are read again, and come into force between two batches.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{signal::unix::Signal, sync::oneshot};

use super::{daemon::Shared, parts};
use crate::{
    config::{Config, Overrides},
    decode::Pepper,
    deliver::WallClock,
    engine::Reference,
    enrich::Geo,
    rules::RuleSet,
    slot::{Ask, Change},
    source::geo,
    telemetry::{Metrics, logs, start_at_zero},
};

/// What a reload needs: where the settings are, and whom to tell.
pub struct Reloader {
    pub path: PathBuf,
    pub overrides: Overrides,
    pub pepper: Arc<Pepper>,
    pub shared: Arc<Shared>,
}

/// On SIGHUP, rules, catalogue, place databases and mode are read again; what is wrong leaves the old in force.
pub async fn reload_on_hangup(reloader: Reloader, mut hangups: Signal) {
    let reloader = Arc::new(reloader);
    while hangups.recv().await.is_some() {
        let loading = reloader.clone();
        let in_force = match tokio::task::spawn_blocking(move || loading.load()).await {
            Ok(Ok(change)) => reloader.put_into_force(change).await,
            Ok(Err(error)) => {
                let error = logs::with_causes(&error);
                tracing::error!(
                    event = "config_reload_failed",
                    error,
                    "reload failed; the previous settings stay active"
                );
                false
            }
            Err(_) => {
                tracing::error!(
                    event = "config_reload_failed",
                    "reload panicked; the previous settings stay active"
                );
                false
            }
        };
        if !in_force {
            reloader.shared.metrics.config_reload_successful.set(0);
        }
    }
}

/// Settings have become active: at the start, and with each reload.
pub fn tell_loaded(metrics: &Metrics, clock: &WallClock, rules: &RuleSet) {
    for rule in &rules.rules {
        start_at_zero(&metrics.detection.findings, &[&[rule.id.as_str()], &[rule.detector.name()]]);
    }
    metrics.config_reload_successful.set(1);
    metrics.config_reload_success_seconds.set(Duration::from_millis(clock.now().0).as_secs_f64());
}

impl Reloader {
    fn load(&self) -> anyhow::Result<(Reference, Arc<Geo>)> {
        let config = Config::load(&self.path, &self.overrides)?;
        let geo = geo::reload(&config.geo, &self.shared.in_force.load().1)?;
        let reference = parts::reference(&config, &geo, &self.pepper)?;
        Ok((reference, geo))
    }

    /// Whether the slot took it, or will begin with it.
    async fn put_into_force(&self, (reference, geo): (Reference, Arc<Geo>)) -> bool {
        let version = reference.rules.version.clone();
        let in_force = match self.shared.asks.load_full() {
            Some(asks) => {
                // The places that are known stay known where the files are the same.
                let is_new = !Arc::ptr_eq(&geo, &self.shared.in_force.load().1);
                let change = Change { reference: reference.clone(), geo: is_new.then(|| geo.clone()) };
                let (done, taken) = oneshot::channel();
                asks.try_send(Ask::Change { change, done }).is_ok() && taken.await.is_ok()
            }
            None => true,
        };
        if in_force {
            self.shared.catalogue.store(reference.catalogue.clone());
            self.shared.in_force.store(Arc::new((reference, geo)));
            tell_loaded(&self.shared.metrics, &self.shared.clock, &self.shared.in_force.load().0.rules);
        }
        tracing::info!(event = "config_reloaded", active = in_force, rules = version, "settings reloaded");
        in_force
    }
}
