//! `place.network` and `place.country`: use from where the key has never been.
//!
//! The surprise is that of a new place on a day, from how often this key has moved before (a rate with Jeffreys'
//! half as prior), raised for anonymous and hosting networks that the key was never in, and for repeated use.

use super::{
    signal::{Signal, count_text},
    watch::Watch,
};
use crate::{
    event::{Event, NetworkType},
    profile::{Hot, Warm, sketch::Top, warm::KNOWN_AFTER_HOURS, warm::country_code},
};

/// Judges the place of one request that has just been noted in `warm`.
pub fn judge(watch: &Watch, event: &Event<'_>, hot: &Hot, warm: &Warm, signals: &mut Vec<Signal>) {
    let hour = hot.last_seen / 3600;
    // Only for a finding: most requests come from where they always do.
    let days = || format!("first time in {} days", count_text(hot.age_days().floor().max(1.0)));
    if event.place.asn != 0 && !warm.network_known(event.place.asn, hour, hot.first_seen / 3600) {
        let extra = type_bonus(event.place.network_type, warm);
        let score = newness(&warm.networks, event.place.asn, hot) + extra;
        for (rule, p) in &watch.network {
            if score >= p.surprise {
                let kind = match event.place.network_type {
                    NetworkType::Unknown => String::new(),
                    kind => format!(", {}", kind.as_str()),
                };
                signals.push(Signal {
                    rule: *rule,
                    score,
                    observed: format!("AS{} {}{kind}", event.place.asn, event.place.asn_name),
                    expected: days(),
                });
            }
        }
    }
    if event.place.country.is_known() && !warm.country_known(event.place.country, hour, hot.first_seen / 3600)
    {
        let score = newness(&warm.countries, country_code(event.place.country), hot);
        for (rule, p) in &watch.country {
            if score >= p.surprise {
                signals.push(Signal {
                    rule: *rule,
                    score,
                    observed: format!("country {}", event.place.country),
                    expected: days(),
                });
            }
        }
    }
}

/// −log10 of the chance of a new place on a day, plus up to 1 for being used ten times.
fn newness<const N: usize>(top: &Top<N>, what: u32, hot: &Hot) -> f64 {
    let first_day = hot.first_seen / 3600 + KNOWN_AFTER_HOURS;
    let moved =
        top.items.iter().filter(|item| item.what != 0 && item.what != what && item.since_hour > first_day);
    let days = hot.age_days();
    let moved = u32::try_from(moved.count()).unwrap_or(u32::MAX);
    let rate = (f64::from(moved) + 0.5) / (days + 1.0);
    let chance = 1.0 - libm::exp(-rate);
    let uses = top.get(what).map_or(1.0, |item| f64::from(item.weight));
    -libm::log10(chance) + libm::log10(uses.max(1.0)).min(1.0)
}

fn type_bonus(kind: NetworkType, warm: &Warm) -> f64 {
    if warm.type_known(kind) {
        return 0.0;
    }
    match kind {
        NetworkType::Tor => 1.5,
        NetworkType::Hosting | NetworkType::Vpn => 1.0,
        _ => 0.0,
    }
}
