//! A leaked key among many honest ones, as the gateways of an API platform would have logged it until now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyhound::{
    event::EventTime,
    generate::{ClientKind, Format, Formats, Injection, Plan, Scenario, Traffic, world},
};

/// How long before now the leak began: the spike has begun, and what it leads to is fresh.
const SINCE_LEAK: Duration = Duration::from_mins(9);

/// What was logged until now, and the truth about it.
pub struct Story {
    lines: Vec<(Format, Vec<u8>)>,
    /// The key that leaked, as clients send it.
    pub leaked: String,
}

/// How large a story is.
#[derive(Clone, Copy)]
pub struct Size {
    pub keys: usize,
    pub days: u16,
    pub lines_max: u64,
    pub seed: u64,
}

impl Story {
    /// Makes it, up to the present moment.
    pub fn new(size: Size, formats: Formats) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let day = Duration::from_hours(24);
        let start = now + Duration::from_mins(1) - day * u32::from(size.days);
        let plan = Plan {
            seed: size.seed,
            start: EventTime(milliseconds(start)),
            days: size.days,
            keys: size.keys,
            formats,
            median_per_minute: 0.005,
            lines_max: size.lines_max,
            ..Plan::default()
        };
        let mut traffic = Traffic::new(plan).expect("a valid plan");
        let target = traffic.key_like(ClientKind::Server, 4.0).expect("a busy server key");
        let at = EventTime(milliseconds(now - SINCE_LEAK));
        traffic.inject(Injection { scenario: Scenario::Leak, at, target }).expect("within the plan");
        let profile = &traffic.keys()[target];
        let leaked = profile.raw_key.reveal().to_owned();
        let gateways: Vec<Format> =
            traffic.keys().iter().map(|key| traffic.tenants()[key.tenant].format).collect();
        let mut lines = Vec::new();
        while let Some(line) = traffic.next_line().filter(|line| line.time.0 <= milliseconds(now)) {
            lines.push((gateways[line.key], line.bytes.to_vec()));
        }
        Self { lines, leaked }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The lines of one gateway, in the order of time.
    pub fn lines(&self, of: Format) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |(gateway, _)| *gateway == of).map(|(_, line)| line.as_slice())
    }

    /// The place database of the invented world.
    pub fn places() -> Vec<u8> {
        world::database()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("the year is not 500 million")
}
