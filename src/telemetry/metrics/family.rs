//! Short ways to make and register a metric, so that the list in `metrics` reads as a list.

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
    core::{Atomic, Collector, GenericGaugeVec},
};

/// Makes metrics and registers each. A clash of names or a bad label is a mistake in `metrics`, found by its tests.
pub(super) struct Families<'a>(pub &'a Registry);

impl Families<'_> {
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    pub fn real_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub fn real_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub fn real_counter(&self, name: &str, help: &str) -> Counter {
        self.register(Counter::new(name, help))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn register<M: Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric =
            made.unwrap_or_else(|error| unreachable!("a metric's name or labels are wrong: {error}"));
        if let Err(error) = self.0.register(Box::new(metric.clone())) {
            unreachable!("a metric is registered twice: {error}");
        }
        metric
    }
}

/// Makes the series of each combination of labels, given the values of each label, so that it is 0 from the start. A
/// series that appears with its first increment has no earlier sample, so no rate or increase would ever show that one.
pub fn start_at_zero(counters: &IntCounterVec, values: &[&[&str]]) {
    let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
    for label in values {
        let mut longer = Vec::new();
        for known in &combinations {
            longer.extend(label.iter().map(|value| [known.as_slice(), &[*value]].concat()));
        }
        combinations = longer;
    }
    for combination in combinations {
        counters.with_label_values(&combination);
    }
}

/// Raises a counter to what was read. Two scrapes at once may read in either order: it never falls.
pub(super) fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

pub(super) fn raise_real(counter: &Counter, to: f64) {
    counter.inc_by((to - counter.get()).max(0.0));
}

/// Sets a gauge to what is known. What is not known any more, as the lag of files that are gone, must not stay as it was;
/// that there is nothing to remove is no error.
pub(super) fn set_or_remove<A: Atomic>(gauges: &GenericGaugeVec<A>, label: &[&str], known: Option<A::T>) {
    match known {
        Some(value) => gauges.with_label_values(label).set(value),
        None => drop(gauges.remove_label_values(label)),
    }
}

pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss)] // milliseconds of this millennium are exact in a double
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
