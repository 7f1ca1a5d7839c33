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
    profile::{Hot, Warm, places::Places, warm::country_code},
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
fn newness<const N: usize, const M: usize>(places: &Places<N, M>, what: u32, hot: &Hot) -> f64 {
    let moves = places.moves - places.moved_to(what).min(places.moves);
    let rate = (f64::from(moves) + 0.5) / (hot.age_days() + 1.0);
    let chance = 1.0 - libm::exp(-rate);
    let uses = f64::from(places.uses(what)).max(1.0);
    -libm::log10(chance) + libm::log10(uses).min(1.0)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        detect::settings::NewPlace,
        event::{EventTime, KeyId, KeyKind, Place, testing::plain},
        profile::Known,
    };

    const DAY: u32 = 86_400;

    /// Plays a key's requests, each by its second and its network. Gives what was told: the day and the network.
    fn told(surprise: f64, requests: impl Iterator<Item = (u32, u32)>) -> BTreeSet<(u32, u32)> {
        let watch = Watch { network: vec![(0, NewPlace { surprise })], ..Watch::default() };
        let key = KeyId { kind: KeyKind::Raw, hash: [1; 16] };
        let mut hot = Hot::new(key, DAY);
        let mut warm = Warm::new(&hot);
        let mut told = BTreeSet::new();
        let mut signals = Vec::new();
        for (second, asn) in requests {
            let event = Event {
                place: Place { asn, ..Place::default() },
                ..plain(key, EventTime(u64::from(second) * 1000))
            };
            let is_open = hot.advance(second, Known::at(second), Some(&mut warm));
            hot.count(second, is_open, Some(&mut warm));
            warm.advance(second);
            warm.note_place(&event, second, hot.first_seen / 3600);
            judge(&watch, &event, &hot, &warm, &mut signals);
            if signals.drain(..).count() > 0 {
                told.insert((second / DAY, asn));
            }
        }
        told
    }

    #[test]
    fn a_key_that_changes_between_more_networks_than_are_kept_is_not_new_in_each() {
        // Another of eight networks each day, with a day's weight.
        let requests = (DAY / 60..40 * DAY / 60).map(|minute| (minute * 60, 100 + minute / 1440 % 8));
        let told = told(2.0, requests);
        assert!(told.iter().all(|(day, _)| *day < 16), "{told:?}");
    }

    #[test]
    fn a_stranger_does_not_make_a_network_of_the_key_new() {
        let owner = (DAY / 600..40 * DAY / 600).map(|minutes| (minutes * 600, 100 + minutes % 6));
        // From the twentieth day on, some requests an hour from another network each.
        let stranger = (20 * 24..40 * 24).flat_map(|hour| [1, 2, 3].map(|n| (hour * 3600 + n, 1_000 + hour)));
        let mut all: Vec<(u32, u32)> = owner.chain(stranger).collect();
        all.sort_unstable();
        let told = told(1.0, all.into_iter());
        assert!(told.iter().any(|(day, _)| *day == 20), "the stranger is told");
        assert!(told.iter().all(|(_, asn)| *asn >= 1_000), "{told:?}");
    }
}
