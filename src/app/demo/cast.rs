//! Who is in the story: the traffic, the four keys and the tenant that something happens to, and the catalogue.

use std::{sync::Arc, time::Duration};

use anyhow::Context;

use super::Settings;
use crate::{
    catalogue::{Catalogue, Entry, KeyClass},
    decode::{Pepper, fingerprint},
    event::{EventTime, KeyId},
    generate::{ClientKind, Format, Injection, KeyProfile, Plan, Scenario, Tenant, Traffic},
};

/// How long the live part is, in event time: from a look at quiet traffic to the end of the longest spike.
pub(super) const LIVE: Duration = Duration::from_mins(27);
const MINUTE: Duration = Duration::from_mins(1);
/// A traveller is silent for so long before he is seen abroad.
const FLIGHT: Duration = Duration::from_hours(9);

/// The parts that keys play, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Leaked,
    Crowd,
    Traveller,
    RetryStorm,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Leaked, Self::Crowd, Self::Traveller, Self::RetryStorm];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaked => "leaked key",
            Self::Crowd => "flash crowd",
            Self::Traveller => "traveller",
            Self::RetryStorm => "retry storm",
        }
    }
}

/// Who is who.
pub(super) struct Cast {
    /// The busiest first.
    pub keys: Vec<KeyProfile>,
    tenants: Vec<Tenant>,
    /// Key ids by the key's index.
    pub ids: Vec<KeyId>,
    pub catalogue: Arc<Catalogue>,
    /// By the key's index.
    parts: Vec<Option<Part>>,
    pub leaked: usize,
    /// A key of the leaked key's tenant, to which nothing happens.
    pub neighbour: usize,
    pub live_from: EventTime,
}

impl Cast {
    /// Makes the traffic, lets the four things happen in its last [`LIVE`], and says who is who in it.
    pub fn with_traffic(settings: &Settings, pepper: &Pepper) -> anyhow::Result<(Self, Traffic)> {
        let start = settings.end.before(Duration::from_hours(24 * u64::from(settings.days)));
        let plan = Plan {
            seed: settings.seed,
            start,
            days: settings.days,
            keys: settings.keys,
            formats: settings.formats,
            lines_max: settings.lines_max,
            ..Plan::default()
        };
        let mut traffic = Traffic::new(plan)?;
        let live_from = traffic.plan().end().before(LIVE);
        let ids: Vec<KeyId> =
            traffic.keys().iter().map(|key| fingerprint(pepper, key.raw_key.reveal().as_bytes())).collect();
        let mut parts = vec![None; ids.len()];
        let leaked = key_for(&mut traffic, Scenario::Leak, live_from.after(6 * MINUTE))?;
        let traveller = key_for(&mut traffic, Scenario::Traveller, live_from.after(3 * MINUTE).before(FLIGHT))?;
        let storm = key_for(&mut traffic, Scenario::RetryStorm, live_from.after(2 * MINUTE))?;
        for (key, part) in [(leaked, Part::Leaked), (traveller, Part::Traveller), (storm, Part::RetryStorm)] {
            parts[key] = Some(part);
        }
        let tenant = crowded_tenant(&traffic, &parts).context(TOO_FEW)?;
        traffic.inject(Injection { scenario: Scenario::FlashCrowd, at: live_from.after(MINUTE), target: tenant })?;
        for key in traffic.keys().iter().filter(|key| key.tenant == tenant) {
            parts[key.index] = Some(Part::Crowd);
        }
        let neighbour = neighbour(&traffic, &parts, leaked).context(TOO_FEW)?;
        let catalogue = Arc::new(catalogue(&traffic, &ids)?);
        let (keys, tenants) = (traffic.keys().to_vec(), traffic.tenants().to_vec());
        Ok((Self { keys, tenants, ids, catalogue, parts, leaked, neighbour, live_from }, traffic))
    }

    /// The part of a key; most have none.
    pub fn part(&self, key: usize) -> Option<Part> {
        self.parts[key]
    }

    /// The part of the key with this id.
    pub fn part_of_id(&self, id: &str) -> Option<Part> {
        let key = self.ids.iter().position(|known| known.to_string() == id)?;
        self.parts[key]
    }

    /// The keys that play a part.
    pub fn players(&self, part: Part) -> impl Iterator<Item = &KeyProfile> {
        self.keys.iter().filter(move |key| self.parts[key.index] == Some(part))
    }

    /// The gateway that a key comes through.
    pub fn format(&self, key: usize) -> Format {
        self.tenants[self.keys[key].tenant].format
    }

    /// How many tenants there are.
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// The tenant of a key.
    pub fn tenant(&self, key: usize) -> &'static str {
        self.tenants[self.keys[key].tenant].name
    }

    /// A key as people know it: `acme / billing-prod-017`.
    pub fn name(&self, key: usize) -> String {
        let tenant = self.tenant(key);
        format!("{tenant} / {}", short_name(&self.keys[key], tenant))
    }
}

const TOO_FEW: &str = "there are too few keys for the story; --keys 100 is enough";

/// Lets a scenario happen to the key that is most typical of it.
fn key_for(traffic: &mut Traffic, scenario: Scenario, at: EventTime) -> anyhow::Result<usize> {
    let (kind, per_minute) = match scenario {
        Scenario::Traveller => (ClientKind::Developer, 0.5),
        _ => (ClientKind::Server, 5.0),
    };
    let target = traffic.key_like(kind, per_minute).context(TOO_FEW)?;
    traffic.inject(Injection { scenario, at, target })?;
    Ok(target)
}

/// The tenant with the most keys among those that nothing else happens to.
fn crowded_tenant(traffic: &Traffic, parts: &[Option<Part>]) -> Option<usize> {
    let keys = |tenant: usize| traffic.keys().iter().filter(move |key| key.tenant == tenant);
    let free = |tenant: &usize| keys(*tenant).all(|key| parts[key.index].is_none());
    (0..traffic.tenants().len()).filter(free).max_by_key(|tenant| keys(*tenant).count())
}

/// The key of the same tenant, without a part, that is used most like the leaked one.
fn neighbour(traffic: &Traffic, parts: &[Option<Part>], leaked: usize) -> Option<usize> {
    let of = &traffic.keys()[leaked];
    let distance = |key: &KeyProfile| (key.per_minute / of.per_minute).ln().abs();
    let same = traffic.keys().iter().filter(|key| key.tenant == of.tenant && parts[key.index].is_none());
    same.min_by(|a, b| distance(a).total_cmp(&distance(b))).map(|key| key.index)
}

/// What the operator of the platform would have written down about the keys.
fn catalogue(traffic: &Traffic, ids: &[KeyId]) -> anyhow::Result<Catalogue> {
    let entry = |(key, id): (&KeyProfile, &KeyId)| {
        let tenant = traffic.tenants()[key.tenant].name;
        Entry {
            id: Some(id.to_string()),
            name: short_name(key, tenant).to_owned(),
            owner: format!("{tenant}-oncall"),
            tenant: tenant.to_owned(),
            plan: "standard".to_owned(),
            class: if key.kind == ClientKind::Mobile { KeyClass::Mobile } else { KeyClass::Server },
            ..Entry::default()
        }
    };
    let entries = traffic.keys().iter().zip(ids).map(entry).collect();
    Ok(Catalogue::new(entries, format!("demo-{}", traffic.plan().seed))?)
}

/// The consumer's name without the tenant's, which stands before it.
fn short_name<'a>(key: &'a KeyProfile, tenant: &str) -> &'a str {
    key.consumer.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&key.consumer)
}
