//! The detectors of all rules in force, sorted by what has to be looked at.

use super::{
    BeyondRoute, CountUse, Counting, Detector, FanOut, NewPlace, RefusedShare, Scale, UnreadableShare,
};
use crate::profile::tail::ThresholdTable;

/// A rule's index in the rule set, with its detector's parameters.
pub type Use<P> = (u16, P);

/// What to watch on one scale: every rule's bar, and a table for the lowest of them.
#[derive(Clone, Debug, Default)]
pub struct ScaleWatch {
    pub bars: Vec<Use<f64>>,
    pub table: Option<ThresholdTable>,
}

/// Every use of a detector, by kind. Built once for a rule set and shared by all partitions.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// By [`Scale`], shortest first.
    pub volume: [ScaleWatch; 4],
    pub network: Vec<Use<NewPlace>>,
    pub country: Vec<Use<NewPlace>>,
    pub refused: Vec<Use<RefusedShare>>,
    pub addresses: Vec<Use<FanOut>>,
    pub networks: Vec<Use<FanOut>>,
    pub slow: Vec<Use<BeyondRoute>>,
    pub large: Vec<Use<BeyondRoute>>,
    pub unreadable: Vec<Use<UnreadableShare>>,
    pub counting: Counting,
}

impl Watch {
    /// Sorts the detectors of a rule set: the rules' ids with their detectors, in the order of the rules.
    pub fn new<'r>(rules: impl IntoIterator<Item = (&'r str, &'r Detector)>) -> Self {
        let mut watch = Self::default();
        let mut counts = Vec::new();
        for (rule, (id, detector)) in (0..).zip(rules) {
            match detector.clone() {
                Detector::VolumeSpike(p) => watch.volume[p.scale as usize].bars.push((rule, p.surprise)),
                Detector::NewNetwork(p) => watch.network.push((rule, p)),
                Detector::NewCountry(p) => watch.country.push((rule, p)),
                Detector::RefusedShare(p) => watch.refused.push((rule, p)),
                Detector::AddressFanOut(p) => watch.addresses.push((rule, p)),
                Detector::NetworkFanOut(p) => watch.networks.push((rule, p)),
                Detector::SlowForRoute(p) => watch.slow.push((rule, p)),
                Detector::LargeForRoute(p) => watch.large.push((rule, p)),
                Detector::UnreadableShare(p) => watch.unreadable.push((rule, p)),
                Detector::Count(count) => counts.push(CountUse::new(rule, id, count)),
            }
        }
        watch.counting = Counting::new(counts);
        watch.tabulate();
        watch
    }

    fn tabulate(&mut self) {
        let mut made: Vec<(f64, ThresholdTable)> = Vec::new();
        for scale in &mut self.volume {
            let Some(bar) = scale.bars.iter().map(|(_, bar)| *bar).min_by(f64::total_cmp) else { continue };
            let found =
                made.iter().find(|(made, _)| made.total_cmp(&bar).is_eq()).map(|(_, table)| table.clone());
            let table = found.unwrap_or_else(|| ThresholdTable::new(bar));
            made.push((bar, table.clone()));
            scale.table = Some(table);
        }
    }

    /// Scales in their order, with what to watch on each.
    pub fn scales(&self) -> impl Iterator<Item = (Scale, &ScaleWatch)> {
        Scale::ALL.into_iter().zip(&self.volume)
    }
}
