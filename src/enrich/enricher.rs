//! A thread's cache of places: most requests come from addresses that were seen just before.

use std::{net::IpAddr, sync::Arc};

use hashbrown::HashMap;

use super::geo::{Geo, Sources};
use crate::event::{Country, NetworkType, Place};

/// Where a place stands in an [`Enricher`]'s table. Good for the next [`PLACES_PASSING`] calls of
/// [`Enricher::resolve`] at least; a batch of 32 is far below that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceIndex(u32);

/// Addresses remembered a thread: IPv4 and IPv6 apart, so that an IPv4 entry has 8 bytes.
const CACHE_V4_BITS: u32 = 16;
const CACHE_V6_BITS: u32 = 14;
/// Distinct places kept a thread, about 24 bytes each. Larger than what a city database's busy part has.
pub const PLACES_KEPT: usize = 1 << 18;
/// Slots that places take in turn when the table is full.
pub const PLACES_PASSING: usize = 4_096;
/// Distinct network names kept a thread. There are about 90,000 autonomous systems in the world.
const NAMES_KEPT: usize = 1 << 18;

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnricherStats {
    /// Look-ups that the address cache did not answer.
    pub misses: u64,
    /// Places decoded from a database.
    pub decoded: u64,
    /// Places that were not kept, because the table was full.
    pub passing: u64,
}

/// Finds places for one thread.
#[derive(Debug)]
pub struct Enricher {
    geo: Arc<Geo>,
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u32)]>,
    by_sources: HashMap<Sources, u32, foldhash::fast::FixedState>,
    places: Vec<Kept>,
    names: Names,
    next_passing: usize,
    places_kept_max: usize,
    stats: EnricherStats,
}

/// A place with its name interned.
#[derive(Clone, Copy, Debug)]
struct Kept {
    country: Country,
    asn: u32,
    name: u32,
    network_type: NetworkType,
    cell: Option<(i16, i16)>,
    accuracy_km: u16,
}

const EMPTY: u32 = u32::MAX;

impl Enricher {
    /// Begins with empty caches; they take about 1 MB.
    pub fn new(geo: Arc<Geo>) -> Self {
        Self {
            geo,
            v4: vec![(0, EMPTY); 1 << CACHE_V4_BITS].into(),
            v6: vec![(0, EMPTY); 1 << CACHE_V6_BITS].into(),
            by_sources: HashMap::default(),
            places: Vec::new(),
            names: Names::default(),
            next_passing: 0,
            places_kept_max: PLACES_KEPT,
            stats: EnricherStats::default(),
        }
    }

    /// The databases that it asks.
    pub fn geo(&self) -> &Arc<Geo> {
        &self.geo
    }

    /// Finds where an address is. An IPv4 address in IPv6 form is taken as IPv4.
    pub fn resolve(&mut self, address: IpAddr) -> PlaceIndex {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let slot = slot_of(u64::from(u32::from(v4)), CACHE_V4_BITS);
                let (tag, index) = self.v4[slot];
                if index != EMPTY && tag == u32::from(v4) {
                    return PlaceIndex(index);
                }
                let (index, kept) = self.find(IpAddr::V4(v4));
                if kept {
                    self.v4[slot] = (u32::from(v4), index);
                }
                PlaceIndex(index)
            }
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                #[allow(clippy::cast_possible_truncation)] // the two halves, folded
                let slot = slot_of((bits >> 64) as u64 ^ (bits as u64).rotate_left(32), CACHE_V6_BITS);
                let (tag, index) = self.v6[slot];
                if index != EMPTY && tag == bits {
                    return PlaceIndex(index);
                }
                let (index, kept) = self.find(IpAddr::V6(v6));
                if kept {
                    self.v6[slot] = (bits, index);
                }
                PlaceIndex(index)
            }
        }
    }

    /// The place that [`resolve`](Self::resolve) found.
    pub fn place(&self, index: PlaceIndex) -> Place<'_> {
        let kept = &self.places[index.0 as usize];
        Place {
            country: kept.country,
            asn: kept.asn,
            asn_name: self.names.text(kept.name),
            network_type: kept.network_type,
            cell: kept.cell,
            accuracy_km: kept.accuracy_km,
        }
    }

    /// Counts since the start.
    pub fn stats(&self) -> EnricherStats {
        self.stats
    }

    /// How many distinct places are in the table.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Asks the databases; says whether the place is kept for good, so that an address may point to it.
    fn find(&mut self, address: IpAddr) -> (u32, bool) {
        self.stats.misses += 1;
        let sources = self.geo.sources(address);
        if let Some(index) = self.by_sources.get(&sources) {
            return (*index, true);
        }
        self.stats.decoded += 1;
        let place = self.geo.place(address, sources);
        let kept = Kept {
            country: place.country,
            asn: place.asn,
            name: self.names.intern(place.asn_name),
            network_type: place.network_type,
            cell: place.cell,
            accuracy_km: place.accuracy_km,
        };
        if self.places.len() < self.places_kept_max {
            let index = as_index(self.places.len());
            self.places.push(kept);
            self.by_sources.insert(sources, index);
            return (index, true);
        }
        (self.pass(kept), false)
    }

    /// Puts a place into one of the slots behind the full table. Nothing points there but what was just returned.
    fn pass(&mut self, kept: Kept) -> u32 {
        self.stats.passing += 1;
        let at = self.places_kept_max + self.next_passing;
        self.next_passing = (self.next_passing + 1) % PLACES_PASSING;
        if at < self.places.len() {
            self.places[at] = kept;
        } else {
            self.places.push(kept);
        }
        as_index(at)
    }
}

/// Distinct network names, each kept once.
#[derive(Debug, Default)]
struct Names {
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, u32, foldhash::fast::FixedState>,
}

impl Names {
    /// A name beyond the bound is kept as no name: its number still tells the network.
    fn intern(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return EMPTY;
        }
        if let Some(index) = self.by_text.get(text) {
            return *index;
        }
        if self.texts.len() >= NAMES_KEPT {
            return EMPTY;
        }
        let (index, text) = (as_index(self.texts.len()), Arc::<str>::from(text));
        self.texts.push(Arc::clone(&text));
        self.by_text.insert(text, index);
        index
    }

    fn text(&self, index: u32) -> &str {
        self.texts.get(index as usize).map_or("", |text| text)
    }
}

/// Fibonacci hashing: the upper bits of the product are the well-mixed ones.
fn slot_of(value: u64, bits: u32) -> usize {
    let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
    usize::try_from(mixed).unwrap_or_default()
}

/// The tables are bounded far below `u32::MAX`.
fn as_index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(EMPTY - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{Databases, ListTexts};

    fn listed(places_kept_max: usize) -> Enricher {
        let lists = ListTexts {
            tor: Some("203.0.113.7\n2001:db8::/32".to_owned()),
            vpn: Some("203.0.113.0/24".to_owned()),
            hosting: Some("198.51.100.0/24".to_owned()),
        };
        let geo = Geo::new(Databases { lists, ..Databases::default() }).unwrap();
        Enricher { places_kept_max, ..Enricher::new(Arc::new(geo)) }
    }

    #[track_caller]
    fn check(enricher: &mut Enricher, address: &str, kind: NetworkType) {
        let index = enricher.resolve(address.parse().unwrap());
        assert_eq!(enricher.place(index).network_type, kind, "{address}");
    }

    #[test]
    fn lists_name_the_kind_of_a_network_and_tor_goes_first() {
        let mut enricher = listed(PLACES_KEPT);
        for _ in 0..2 {
            check(&mut enricher, "203.0.113.7", NetworkType::Tor);
            check(&mut enricher, "203.0.113.8", NetworkType::Vpn);
            check(&mut enricher, "198.51.100.1", NetworkType::Hosting);
            check(&mut enricher, "2001:db8::1", NetworkType::Tor);
            check(&mut enricher, "::ffff:203.0.113.8", NetworkType::Vpn);
            check(&mut enricher, "192.0.2.1", NetworkType::Unknown);
        }
        assert_eq!(enricher.stats().misses, 5, "the second round is answered by the cache");
        assert_eq!(enricher.places(), 4);
    }

    #[test]
    fn a_full_table_still_gives_right_places() {
        let mut enricher = listed(1);
        check(&mut enricher, "192.0.2.1", NetworkType::Unknown);
        for _ in 0..PLACES_PASSING {
            check(&mut enricher, "203.0.113.7", NetworkType::Tor);
            check(&mut enricher, "198.51.100.1", NetworkType::Hosting);
            check(&mut enricher, "192.0.2.1", NetworkType::Unknown);
        }
        assert_eq!(enricher.places(), 1 + PLACES_PASSING);
        assert_eq!(enricher.stats().passing, 2 * PLACES_PASSING as u64);
    }

    #[test]
    fn without_files_everything_is_unknown() {
        let mut enricher = Enricher::new(Arc::new(Geo::empty()));
        let index = enricher.resolve("203.0.113.7".parse().unwrap());
        assert_eq!(enricher.place(index), Place::default());
        assert_eq!(enricher.geo().version(), "none");
    }

    #[test]
    fn the_version_follows_the_contents() {
        let version = |tor: &str| {
            let lists = ListTexts { tor: Some(tor.to_owned()), ..ListTexts::default() };
            Geo::new(Databases { lists, ..Databases::default() }).unwrap().version().to_owned()
        };
        assert_eq!(version("203.0.113.7").len(), 8);
        assert_eq!(version("203.0.113.7"), version("203.0.113.7"));
        assert_ne!(version("203.0.113.7"), version("203.0.113.8"));
    }
}
