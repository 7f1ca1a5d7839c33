//! The events that a script stands for, in the order of time.

use std::time::Duration;

use rand::Rng as _;
use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng as _};

use super::{Block, Script, Traffic};
use crate::event::{
    ClientAddress, Country, Event, EventTime, Flags, Handles, KeyId, KeyKind, Name, Place, Position, Refusal,
    stable_hash,
};

/// The id of the key that a script calls by this letter.
pub fn key_of(letter: char) -> KeyId {
    let mut name = [0; 4];
    let name = letter.encode_utf8(&mut name).as_bytes();
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&stable_hash(name).to_be_bytes());
    hash[8..].copy_from_slice(&stable_hash(&[name, b"+"].concat()).to_be_bytes());
    KeyId { kind: KeyKind::Raw, hash }
}

impl Script {
    /// The requests in the order of time; lines that meet in one millisecond keep the order of the text.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let in_order = self.blocks.iter().flat_map(Merged::new);
        in_order.enumerate().map(|(index, request)| request.event(index as u64))
    }
}

/// One request of a line.
#[derive(Clone, Copy)]
struct Request<'s> {
    line: &'s Traffic,
    time: EventTime,
    /// Its number in the line, from 0.
    number: u64,
}

/// The lines of a block, merged by time.
struct Merged<'s> {
    lines: Vec<std::iter::Peekable<Line<'s>>>,
}

impl<'s> Merged<'s> {
    fn new(block: &'s Block) -> Self {
        Self { lines: block.lines.iter().map(|line| Line::new(line, block.start).peekable()).collect() }
    }
}

impl<'s> Iterator for Merged<'s> {
    type Item = Request<'s>;

    fn next(&mut self) -> Option<Request<'s>> {
        let heads = self.lines.iter_mut().enumerate();
        let next = heads.filter_map(|(index, line)| line.peek().map(|head| (head.time, index))).min()?;
        self.lines[next.1].next()
    }
}

/// The requests of one line.
struct Line<'s> {
    traffic: &'s Traffic,
    start: EventTime,
    number: u64,
    /// The random source and the time since the start, in milliseconds.
    random: Option<(Xoshiro256PlusPlus, f64)>,
}

impl<'s> Line<'s> {
    fn new(line: &'s Traffic, start: EventTime) -> Self {
        let random = line.poisson.map(|seed| (Xoshiro256PlusPlus::seed_from_u64(seed), 0.0));
        Self { traffic: line, start, number: 0, random }
    }

    /// Milliseconds after the start of the request with the next number.
    fn next_offset(&mut self) -> u64 {
        let per = u64::try_from(self.traffic.per.as_millis()).unwrap_or(u64::MAX);
        let Some((random, passed)) = &mut self.random else {
            return self.number * per / u64::from(self.traffic.count);
        };
        let uniform: f64 = random.random();
        // An exponential gap; 1 − uniform is never 0.
        #[allow(clippy::cast_precision_loss)] // a day has 8.64e7 ms
        let mean = per as f64 / f64::from(self.traffic.count);
        *passed -= (1.0 - uniform).ln() * mean;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // not negative, and saturating is right
        {
            *passed as u64
        }
    }
}

impl<'s> Iterator for Line<'s> {
    type Item = Request<'s>;

    fn next(&mut self) -> Option<Request<'s>> {
        let offset = Duration::from_millis(self.next_offset());
        if offset >= self.traffic.duration {
            return None;
        }
        let number = self.number;
        self.number += 1;
        Some(Request { line: self.traffic, time: self.start.after(offset), number })
    }
}

impl<'s> Request<'s> {
    fn event(&self, offset: u64) -> Event<'s> {
        let line = self.line;
        let refusal = if matches!(line.status, 401 | 403 | 429) { Refusal::Upstream } else { Refusal::None };
        Event {
            time: self.time,
            key: key_of(line.key),
            alias: None,
            method: line.method,
            status: Some(line.status),
            refusal,
            flags: Flags(if line.is_cut { Flags::CUT } else { 0 }),
            route: Name::new(self.route()),
            agent: Name::new(&line.agent),
            request_bytes: Some(150),
            response_bytes: Some(line.response_bytes),
            latency_us: Some(line.latency_us),
            address: self.address(),
            place: self.place(),
            request_id: stable_hash(&offset.to_be_bytes()),
            handles: Handles::default(),
            position: Position { input: 0, offset, index: 0 },
        }
    }

    /// Addresses take turns; those of different keys and networks never coincide.
    fn address(&self) -> ClientAddress {
        let turn = u32::try_from(self.number % u64::from(self.line.addresses)).unwrap_or(0);
        let seed =
            [&u32::from(self.line.key).to_be_bytes()[..], &self.asn().to_be_bytes(), &turn.to_be_bytes()];
        let hash = stable_hash(&seed.concat());
        ClientAddress { prefix: 1 << 63 | (hash & 0x00ff_ffff), hash }
    }

    fn route(&self) -> &'s str {
        let routes = &self.line.routes;
        let turn = usize::try_from(self.number % routes.len().max(1) as u64).unwrap_or(0);
        routes.get(turn).map_or("", String::as_str)
    }

    fn asn(&self) -> u32 {
        let turn = u32::try_from(self.number % u64::from(self.line.networks)).unwrap_or(0);
        if self.line.asn == 0 && self.line.networks == 1 { 0 } else { self.line.asn.max(1) + turn }
    }

    fn place(&self) -> Place<'s> {
        if self.line.country == Country::UNKNOWN && self.line.networks == 1 {
            return Place { network_type: self.line.network_type, ..Place::default() };
        }
        Place {
            country: self.line.country,
            asn: self.asn(),
            asn_name: "",
            network_type: self.line.network_type,
            cell: None,
            accuracy_km: 0,
        }
    }
}
