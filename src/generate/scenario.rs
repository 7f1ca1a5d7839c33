//! What can happen to keys: incidents that must alert, and honest look-alikes that must not.
//!
//! A scenario is data once it is built: phases of extra requests by a stranger, and alterations of what the keys do
//! themselves. The numbers are those that the project's detection notes give for each scenario.

mod honest;
mod hostile;

use std::{net::IpAddr, time::Duration};

use serde::Serialize;

use super::{
    keys::{KeyProfile, Tenant},
    places::hosts,
    random::{Random, pick, random_for},
    request::Style,
    world::World,
};
use crate::event::{EventTime, NetworkType};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// A key leaks: discovery calls from a strange hosting network, many refused, then a spike.
    Leak,
    /// A key is sold on: many networks and countries over two days, beside the owner.
    Reseller,
    /// A key's data is fetched id by id, evenly paced.
    Scrape,
    /// Routes are tried, most of them not there.
    Enumeration,
    /// The key is used in a far country at the same time.
    TwoPlaces,
    /// Another network and another agent at the same volume.
    Takeover,
    /// As many requests as ever, but twenty times as large and slow.
    CostAbuse,
    /// Flat use near a quota for six hours, by the owner's own machines.
    QuotaDrain,
    /// A little more each day, so that learning would follow.
    Poisoning,
    /// A key that was silent wakes up abroad.
    DormantRevived,
    /// All keys of a tenant are used more, by more clients.
    FlashCrowd,
    /// A person travels: silence, then a new country.
    Traveller,
    /// A deployment goes wrong: errors and retries from the same machines.
    RetryStorm,
    /// A new customer doubles its use every day.
    NewCustomer,
    /// The gateway is away for a while; then clients catch up.
    Outage,
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [Self; 15] = [
        Self::Leak,
        Self::Reseller,
        Self::Scrape,
        Self::Enumeration,
        Self::TwoPlaces,
        Self::Takeover,
        Self::CostAbuse,
        Self::QuotaDrain,
        Self::Poisoning,
        Self::DormantRevived,
        Self::FlashCrowd,
        Self::Traveller,
        Self::RetryStorm,
        Self::NewCustomer,
        Self::Outage,
    ];

    /// The word that labels and the command line use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Reseller => "reseller",
            Self::Scrape => "scrape",
            Self::Enumeration => "enumeration",
            Self::TwoPlaces => "two_places",
            Self::Takeover => "takeover",
            Self::CostAbuse => "cost_abuse",
            Self::QuotaDrain => "quota_drain",
            Self::Poisoning => "poisoning",
            Self::DormantRevived => "dormant_revived",
            Self::FlashCrowd => "flash_crowd",
            Self::Traveller => "traveller",
            Self::RetryStorm => "retry_storm",
            Self::NewCustomer => "new_customer",
            Self::Outage => "outage",
        }
    }

    /// Whether an alert is right; else anything beyond information is a false alarm.
    pub const fn must_alert(self) -> bool {
        !matches!(
            self,
            Self::FlashCrowd | Self::Traveller | Self::RetryStorm | Self::NewCustomer | Self::Outage
        )
    }

    /// Whether it happens to a whole tenant rather than to one key.
    pub const fn is_for_tenant(self) -> bool {
        matches!(self, Self::FlashCrowd | Self::Outage)
    }
}

/// A scenario at a time, on a key or a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    pub scenario: Scenario,
    /// When it begins.
    pub at: EventTime,
    /// Index of the key, or of the tenant where [`Scenario::is_for_tenant`] says so.
    pub target: usize,
}

/// An injection that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectionError {
    #[error("there is no {kind} {target}; there are {count}, counted from 0")]
    Target { kind: &'static str, target: usize, count: usize },
    #[error("{scenario:?} would begin at {at}; the traffic runs from {from} to {to}")]
    Time { scenario: Scenario, at: String, from: String, to: String },
}

/// The truth about an injected scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    pub scenario: Scenario,
    pub must_alert: bool,
    /// RFC 3339.
    pub from: String,
    pub to: String,
    pub from_ms: u64,
    pub to_ms: u64,
    pub keys: Vec<LabelledKey>,
}

/// A key that a scenario happens to. Never the raw key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelledKey {
    pub index: usize,
    pub consumer: String,
    pub credential: String,
    pub tenant: &'static str,
}

/// Extra requests with a key.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub key: usize,
    pub from_ms: u64,
    pub to_ms: u64,
    pub per_minute: f64,
    /// Evenly spaced rather than at random.
    pub paced: bool,
    pub style: Style,
}

/// How the requests of some keys differ for a time.
#[derive(Clone, Debug)]
pub(super) struct Alteration {
    pub keys: Vec<usize>,
    pub from_ms: u64,
    pub to_ms: u64,
    pub scale: Scale,
    pub style: Style,
}

/// A factor on a key's rate, over the time of an alteration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    Times(f64),
    /// Up to the factor, stay, and back to 1.
    Swell {
        rise_ms: u64,
        fall_ms: u64,
        factor: f64,
    },
    /// The factor in every third minute, a third of it between.
    Bursts(f64),
    /// Twice as much each day, 1 at the end.
    Doubling,
    /// So many times as much each day, 1 at the beginning.
    Growth(f64),
}

/// A scenario made ready.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub phases: Vec<Phase>,
    pub alterations: Vec<Alteration>,
}

/// Everything that a scenario may look at.
pub(super) struct Scene<'a> {
    pub seed: u64,
    pub start: EventTime,
    pub end: EventTime,
    pub world: &'a World,
    pub tenants: &'a [Tenant],
    pub keys: &'a [KeyProfile],
}

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

impl Scene<'_> {
    /// Checks and builds a scenario, and says what the truth about it is.
    pub(super) fn stage(&self, injection: Injection) -> Result<(Script, Label), InjectionError> {
        let Injection { scenario, at, target } = injection;
        self.check(injection)?;
        let mut random = random_for(self.seed, &[3, scenario as u64, at.0, target as u64]);
        let script = match scenario {
            Scenario::Leak => hostile::leak(self, target, at.0, &mut random),
            Scenario::Reseller => hostile::reseller(self, target, at.0, &mut random),
            Scenario::Scrape => hostile::scrape(self, target, at.0, &mut random),
            Scenario::Enumeration => hostile::enumeration(self, target, at.0, &mut random),
            Scenario::TwoPlaces => hostile::two_places(self, target, at.0, &mut random),
            Scenario::Takeover => hostile::takeover(self, target, at.0, &mut random),
            Scenario::CostAbuse => hostile::cost_abuse(target, at.0),
            Scenario::QuotaDrain => hostile::quota_drain(self, target, at.0),
            Scenario::Poisoning => hostile::poisoning(self, target, at.0),
            Scenario::DormantRevived => hostile::dormant_revived(self, target, at.0, &mut random),
            Scenario::FlashCrowd => honest::flash_crowd(self, target, at.0, &mut random),
            Scenario::Traveller => honest::traveller(self, target, at.0, &mut random),
            Scenario::RetryStorm => honest::retry_storm(target, at.0),
            Scenario::NewCustomer => honest::new_customer(self, target),
            Scenario::Outage => honest::outage(self, target, at.0),
        };
        let label = self.label(injection, &script);
        Ok((script, label))
    }

    fn check(&self, injection: Injection) -> Result<(), InjectionError> {
        let Injection { scenario, at, target } = injection;
        let (kind, count) =
            if scenario.is_for_tenant() { ("tenant", self.tenants.len()) } else { ("key", self.keys.len()) };
        if target >= count {
            return Err(InjectionError::Target { kind, target, count });
        }
        if at < self.start || at >= self.end {
            let [at, from, to] = [at, self.start, self.end].map(EventTime::rfc3339);
            return Err(InjectionError::Time { scenario, at, from, to });
        }
        Ok(())
    }

    fn label(&self, injection: Injection, script: &Script) -> Label {
        let phases = script.phases.iter().map(|phase| (phase.to_ms, std::slice::from_ref(&phase.key)));
        let alterations = script.alterations.iter().map(|some| (some.to_ms, some.keys.as_slice()));
        let (ends, keys): (Vec<u64>, Vec<&[usize]>) = phases.chain(alterations).unzip();
        let mut keys = keys.concat();
        keys.sort_unstable();
        keys.dedup();
        let (from, to) = (injection.at, EventTime(ends.into_iter().max().unwrap_or(injection.at.0)));
        Label {
            scenario: injection.scenario,
            must_alert: injection.scenario.must_alert(),
            from: from.rfc3339(),
            to: to.rfc3339(),
            from_ms: from.0,
            to_ms: to.0,
            keys: keys.into_iter().map(|key| self.labelled(&self.keys[key])).collect(),
        }
    }

    fn labelled(&self, key: &KeyProfile) -> LabelledKey {
        LabelledKey {
            index: key.index,
            consumer: key.consumer.clone(),
            credential: key.credential.clone(),
            tenant: self.tenants[key.tenant].name,
        }
    }

    /// The keys of a tenant.
    fn keys_of(&self, tenant: usize) -> Vec<usize> {
        self.keys.iter().filter(|key| key.tenant == tenant).map(|key| key.index).collect()
    }

    /// Networks of a kind that are in no country and of no number that the key is used from.
    fn strange_networks(&self, key: usize, kind: NetworkType) -> Vec<usize> {
        let networks = self.world.networks();
        let own = self.keys[key].places.networks();
        self.world.matching(|network| {
            network.kind == kind
                && own
                    .iter()
                    .all(|own| networks[*own].asn != network.asn && networks[*own].country != network.country)
        })
    }

    /// One to three addresses in a network of a kind that the key was never used from.
    fn strange_addresses(&self, key: usize, kind: NetworkType, random: &mut Random) -> Vec<IpAddr> {
        let network = *pick(random, &self.strange_networks(key, kind));
        hosts(self.world, network, 1, 3, random)
    }
}

impl Alteration {
    /// The factor at a time within the alteration.
    pub(super) fn factor(&self, ms: u64) -> f64 {
        let since = Duration::from_millis(ms.saturating_sub(self.from_ms)).as_secs_f64();
        let left = Duration::from_millis(self.to_ms.saturating_sub(ms)).as_secs_f64();
        let seconds = |ms: u64| Duration::from_millis(ms.max(1)).as_secs_f64();
        match self.scale {
            Scale::Times(factor) => factor,
            Scale::Swell { rise_ms, fall_ms, factor } => {
                let part = (since / seconds(rise_ms)).min(left / seconds(fall_ms)).min(1.0);
                1.0 + (factor - 1.0) * part
            }
            Scale::Bursts(factor) if (ms / MINUTE_MS).is_multiple_of(3) => factor,
            Scale::Bursts(factor) => factor / 3.0,
            Scale::Doubling => (-left / 86_400.0).exp2(),
            Scale::Growth(daily) => daily.powf(since / 86_400.0),
        }
    }
}
