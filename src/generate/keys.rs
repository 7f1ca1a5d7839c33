//! The tenants, and the keys that they use.

use std::fmt;

use rand::Rng;

use super::{
    places::Places,
    plan::{Format, Formats, Plan, TENANTS_MAX},
    random::{Random, between, log_uniform, pick, pick_some, random_for},
    rhythm::Rhythm,
    routes::{Route, routes},
    world::{COUNTRIES, World},
};

/// What stands behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// 2 to 6 fixed addresses in one data centre.
    Server,
    /// Phones: 5 to 50 addresses a day in 1 to 3 networks of one country.
    Mobile,
    /// 3 to 5 hosting regions at once, from the first day.
    MultiRegion,
    /// Fifty times as much for two minutes on the hour.
    Cron,
    /// A person at home.
    Developer,
    /// A person at home or behind 3 to 6 VPN exits.
    VpnUser,
    /// A person whose IPv6 address changes each hour.
    PrivacyV6,
}

impl ClientKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Server,
        Self::Mobile,
        Self::MultiRegion,
        Self::Cron,
        Self::Developer,
        Self::VpnUser,
        Self::PrivacyV6,
    ];

    /// The word that labels use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Mobile => "mobile",
            Self::MultiRegion => "multi_region",
            Self::Cron => "cron",
            Self::Developer => "developer",
            Self::VpnUser => "vpn_user",
            Self::PrivacyV6 => "privacy_v6",
        }
    }
}

/// Kinds by rank, again and again: each kind is found among busy and among rare keys.
const KINDS: [ClientKind; 20] = {
    use ClientKind::{Cron, Developer, Mobile, MultiRegion, PrivacyV6, Server, VpnUser};
    [
        Server,
        Mobile,
        Server,
        MultiRegion,
        Server,
        Cron,
        Mobile,
        Server,
        Developer,
        Server,
        Mobile,
        VpnUser,
        Server,
        Cron,
        Mobile,
        Server,
        PrivacyV6,
        Server,
        MultiRegion,
        Developer,
    ]
};

/// The raw key of an invented client. It is in the log lines; nothing else shows it.
#[derive(Clone)]
pub struct SyntheticKey(String);

impl SyntheticKey {
    /// The key itself, as a client would send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SyntheticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyntheticKey(…)")
    }
}

/// A customer of the platform, with an API of its own.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub name: &'static str,
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// The gateway that it is behind.
    pub format: Format,
    pub routes: Vec<Route>,
    pub(super) utc_offset_minutes: i16,
}

/// How one key is used.
#[derive(Clone, Debug)]
pub struct KeyProfile {
    /// Index among the keys; 0 is the busiest.
    pub index: usize,
    pub raw_key: SyntheticKey,
    /// The credential's id at the gateway.
    pub credential: String,
    /// The consumer's name at the gateway: `acme-billing-prod-017`.
    pub consumer: String,
    /// Index of the tenant.
    pub tenant: usize,
    pub kind: ClientKind,
    /// Mean requests a minute over a week.
    pub per_minute: f64,
    /// Of the negative binomial counts in a minute.
    pub dispersion: f64,
    /// User agents, the usual one first.
    pub agents: Vec<String>,
    /// Share of requests that fail.
    pub error_share: f64,
    /// Indices of the tenant's routes that the key calls, the most used first.
    pub(super) routes: Vec<usize>,
    pub(super) places: Places,
    pub(super) rhythm: Rhythm,
    /// Tells the key's addresses from others'.
    pub(super) secret: u64,
}

/// Name and home country.
const TENANTS: [(&str, &str); TENANTS_MAX] = [
    ("acme", "IE"),
    ("borealis", "SE"),
    ("cinder", "US"),
    ("dovetail", "GB"),
    ("evergreen", "CA"),
    ("fathom", "SG"),
    ("granite", "DE"),
    ("harbour", "NL"),
    ("indigo", "IN"),
    ("jetty", "AU"),
    ("kestrel", "BR"),
    ("lantern", "JP"),
];

pub(super) fn tenants(plan: &Plan) -> Vec<Tenant> {
    TENANTS[..plan.tenants]
        .iter()
        .enumerate()
        .map(|(index, &(name, country))| Tenant {
            name,
            country,
            format: match plan.formats {
                Formats::One(format) => format,
                Formats::Mixed => [Format::Nginx, Format::Kong, Format::Envoy][index % 3],
            },
            routes: routes(&mut random_for(plan.seed, &[1, index as u64])),
            utc_offset_minutes: COUNTRIES
                .iter()
                .find(|row| row.code == country)
                .map_or(0, |row| row.utc_offset_minutes),
        })
        .collect()
}

pub(super) fn keys(plan: &Plan, tenants: &[Tenant], world: &World) -> Vec<KeyProfile> {
    let rates = plan.rates();
    rates.into_iter().enumerate().map(|(index, rate)| key(plan, index, rate, tenants, world)).collect()
}

fn key(plan: &Plan, index: usize, per_minute: f64, tenants: &[Tenant], world: &World) -> KeyProfile {
    let mut random = random_for(plan.seed, &[2, index as u64]);
    let kind = KINDS[index % KINDS.len()];
    let tenant = between(&mut random, 0, tenants.len() - 1);
    let of = &tenants[tenant];
    let secret: u64 = random.random();
    let credential: [u64; 2] = random.random();
    let raw: [u64; 2] = random.random();
    KeyProfile {
        index,
        raw_key: SyntheticKey(format!("demo_{:016x}{:016x}", raw[0], raw[1])),
        credential: uuid(credential),
        consumer: format!("{}-{}-{index:03}", of.name, service(kind, &mut random)),
        tenant,
        kind,
        per_minute,
        // Variance-to-mean stays below 13 for the busy keys too.
        dispersion: log_uniform(&mut random, 0.0002, 0.1).min(12.0 / (per_minute * 2.0)),
        agents: agents(kind, of.name, &mut random),
        error_share: log_uniform(&mut random, 0.001, 0.01),
        routes: own_routes(kind, of.routes.len(), &mut random),
        places: Places::new(kind, of.country, world, &mut random),
        rhythm: Rhythm::new(kind, of.utc_offset_minutes, &mut random),
        secret,
    }
}

/// A version 4 UUID.
fn uuid([high, low]: [u64; 2]) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn service(kind: ClientKind, random: &mut Random) -> &'static str {
    let names: &[&str] = match kind {
        ClientKind::Server => {
            &["billing-prod", "orders-prod", "ledger-prod", "crm-sync", "search-prod", "warehouse"]
        }
        ClientKind::Mobile => &["ios-app", "android-app"],
        ClientKind::MultiRegion => &["edge", "global-api"],
        ClientKind::Cron => &["hourly-sync", "hourly-export"],
        ClientKind::Developer | ClientKind::PrivacyV6 => &["developer", "notebook"],
        ClientKind::VpnUser => &["remote-ops"],
    };
    let name: &&str = pick(random, names);
    name
}

fn agents(kind: ClientKind, tenant: &str, random: &mut Random) -> Vec<String> {
    let (major, minor) = (between(random, 1, 6), between(random, 0, 9));
    match kind {
        ClientKind::Mobile => (0..between(random, 2, 3))
            .map(|back| format!("{tenant}-app/{major}.{} okhttp/4.12.0", minor + 3 - back))
            .collect(),
        ClientKind::Cron => vec![(*pick(random, &["curl/8.5.0", "python-requests/2.32.3"])).to_owned()],
        _ => {
            let runtime = pick(random, &["python/3.12", "node/22.11", "go/1.23", "java/21.0.5"]);
            vec![format!("{tenant}-sdk/{major}.{minor} {runtime}")]
        }
    }
}

fn own_routes(kind: ClientKind, count: usize, random: &mut Random) -> Vec<usize> {
    let (least, most) = match kind {
        ClientKind::Cron => (1, 4),
        ClientKind::MultiRegion => (8, 16),
        ClientKind::Mobile => (6, 14),
        _ => (4, 10),
    };
    let all: Vec<usize> = (0..count).collect();
    let wanted = between(random, least, most);
    pick_some(random, &all, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_key_is_not_shown() {
        let world = World::new();
        let plan = Plan { keys: 3, ..Plan::default() };
        let keys = keys(&plan, &tenants(&plan), &world);
        let raw = keys[0].raw_key.reveal().to_owned();
        assert!(!format!("{keys:?}").contains(&raw));
    }

    #[test]
    fn every_kind_of_client_is_there() {
        let world = World::new();
        let plan = Plan { keys: 20, ..Plan::default() };
        let keys = keys(&plan, &tenants(&plan), &world);
        for kind in ClientKind::ALL {
            assert!(keys.iter().any(|key| key.kind == kind), "{kind:?}");
        }
    }
}
