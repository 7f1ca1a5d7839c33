//! A plain stream for benchmarks: nginx lines of about 400 bytes, keys by Zipf's law, made at full speed.
//!
//! Nothing of the traffic's shapes, so that making the input costs little beside reading it: a template whose fields
//! have fixed widths, patched for each record.

use rand::Rng;

use super::{
    lines::Stamp,
    random::{Random, mix, random_for},
    world::World,
};
use crate::event::{EventTime, NetworkType};

/// What stream to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    pub seed: u64,
    /// Time of the first record.
    pub start: EventTime,
    /// From 1 to 10,000,000.
    pub keys: u32,
    pub records: u64,
    /// Records in a second of event time, evenly spaced; from 1.
    pub per_second: u32,
}

impl Default for StreamPlan {
    /// Five million records of 100,000 keys at 20,000 a second of event time.
    fn default() -> Self {
        Self {
            seed: 1,
            start: EventTime(1_793_577_600_000),
            keys: 100_000,
            records: 5_000_000,
            per_second: 20_000,
        }
    }
}

/// One record of the stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    pub time: EventTime,
    /// Index of the key; 0 is the busiest.
    pub key: u32,
    /// Without a line break.
    pub bytes: &'a [u8],
}

/// Makes the records of a plan.
#[derive(Debug)]
pub struct Stream {
    plan: StreamPlan,
    made: u64,
    random: Random,
    zipf: AliasTable,
    /// `240.117.` and the like: first halves of addresses, all of eight characters.
    networks: Vec<[u8; 8]>,
    stamp: Stamp,
    second: u64,
    line: Vec<u8>,
}

/// Fields are found by their widths: `~` is patched. The line has 400 bytes, give or take one.
const TEMPLATE: &str = concat!(
    r#"{"time":"~~~~~~~~~~~~~~~~~~~+00:00","msec":"~~~~~~~~~~.~~~","remote_addr":"~~~~~~~~~~~~~~~","#,
    r#""xff":"","api_key":"bench_~~~~~~~~~~~~~~~~","method":"GET","uri":"/v1/orders/~~~~~~/items?limit=50","#,
    r#""status":"~~~","bytes_sent":~~~~,"body_bytes_sent":~~~~,"request_length":347,"request_time":0.~~~,"#,
    r#""upstream_response_time":"0.~~~","ua":"acme-sdk/4.2 python/3.12","request_id":"~~~~~~~~~~~~~~~~4b4b4b4b4b4b4b4b"}"#
);

/// Where each patched field begins, found in the template when the program is compiled.
const FIELDS: [usize; 12] = fields();
const TIME: usize = 0;
const SECOND: usize = 1;
const MILLISECOND: usize = 2;
const ADDRESS: usize = 3;
const KEY: usize = 4;
const OBJECT: usize = 5;
const STATUS: usize = 6;
const BYTES_SENT: usize = 7;
const BODY_BYTES: usize = 8;
const REQUEST_TIME: usize = 9;
const UPSTREAM_TIME: usize = 10;
const REQUEST_ID: usize = 11;

const fn fields() -> [usize; 12] {
    let template = TEMPLATE.as_bytes();
    let (mut fields, mut found, mut at) = ([0; 12], 0, 1);
    while at < template.len() {
        if template[at] == b'~' && template[at - 1] != b'~' {
            fields[found] = at;
            found += 1;
        }
        at += 1;
    }
    assert!(found == 12, "the template has twelve fields");
    fields
}

impl Stream {
    /// Prepares the tables; takes 12 bytes a key.
    pub fn new(plan: StreamPlan) -> Self {
        let plan =
            StreamPlan { keys: plan.keys.clamp(1, 10_000_000), per_second: plan.per_second.max(1), ..plan };
        let world = World::new();
        let networks = world.networks().iter().filter(|network| network.kind != NetworkType::Unknown);
        // Second parts of three digits, so that all addresses have the same width.
        let halves = networks.filter_map(|network| {
            let [first, second, ..] = network.v4.network().octets();
            let text = format!("{first}.{second}.");
            text.as_bytes().try_into().ok()
        });
        Self {
            plan,
            made: 0,
            random: random_for(plan.seed, &[7]),
            zipf: AliasTable::zipf(plan.keys),
            networks: halves.collect(),
            stamp: Stamp::default(),
            second: u64::MAX,
            line: TEMPLATE.as_bytes().to_vec(),
        }
    }

    /// The raw key with an index, as it stands in the records.
    pub fn raw_key(&self, key: u32) -> String {
        let mut text = *b"bench_0000000000000000";
        hex(mix(self.plan.seed, &[8, u64::from(key)]), &mut text[6..]);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The next record, or nothing at the end of the plan.
    pub fn next_record(&mut self) -> Option<StreamRecord<'_>> {
        if self.made == self.plan.records {
            return None;
        }
        let ms = self.plan.start.0 + self.made * 1_000 / u64::from(self.plan.per_second);
        self.made += 1;
        self.patch_time(ms);
        let key = self.zipf.draw(&mut self.random);
        let bits: u64 = self.random.random();
        self.patch_request(key, bits);
        Some(StreamRecord { time: EventTime(ms), key, bytes: &self.line })
    }

    fn patch_time(&mut self, ms: u64) {
        let second = ms / 1_000;
        if self.second != second {
            self.second = second;
            self.line[FIELDS[TIME]..][..19].copy_from_slice(self.stamp.of(second).as_bytes());
            let text = format!("{second:010}");
            self.line[FIELDS[SECOND]..][..10].copy_from_slice(&text.as_bytes()[..10]);
        }
        digits(ms % 1_000, &mut self.line[FIELDS[MILLISECOND]..][..3]);
    }

    /// Sixteen bits of `bits` at a time decide the fields.
    fn patch_request(&mut self, key: u32, bits: u64) {
        let line = self.line.as_mut_slice();
        let hash = mix(self.plan.seed, &[8, u64::from(key)]);
        hex(hash, &mut line[FIELDS[KEY]..][..16]);
        address(&self.networks, hash, bits, &mut line[FIELDS[ADDRESS]..][..15]);
        digits(bits % 1_000_000, &mut line[FIELDS[OBJECT]..][..6]);
        let failed = (bits >> 20).trailing_zeros() >= 8;
        line[FIELDS[STATUS]..][..3].copy_from_slice(if failed { b"404" } else { b"200" });
        let bytes = 1_000 + (bits >> 28 & 0x1fff);
        digits(bytes + 154, &mut line[FIELDS[BYTES_SENT]..][..4]);
        digits(bytes, &mut line[FIELDS[BODY_BYTES]..][..4]);
        let took = 5 + (bits >> 41 & 0x7f);
        digits(took, &mut line[FIELDS[REQUEST_TIME]..][..3]);
        digits(took - 1, &mut line[FIELDS[UPSTREAM_TIME]..][..3]);
        hex(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.made, &mut line[FIELDS[REQUEST_ID]..][..16]);
    }
}

/// One of a key's four addresses, which all are in one network.
fn address(networks: &[[u8; 8]], hash: u64, bits: u64, out: &mut [u8]) {
    let which = bits >> 48 & 3;
    let network = usize::try_from(hash >> 33).unwrap_or_default() % networks.len();
    out[..8].copy_from_slice(&networks[network]);
    digits(100 + (hash >> 8 & 0x7f), &mut out[8..11]);
    out[11] = b'.';
    digits(100 + (hash >> 16 & 0x7f) + which, &mut out[12..15]);
}

/// Writes a number with leading zeros; what does not fit is cut off at the left.
fn digits(mut number: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        #[allow(clippy::cast_possible_truncation)] // below 10
        {
            *byte = b'0' + (number % 10) as u8;
        }
        number /= 10;
    }
}

fn hex(number: u64, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = DIGITS[usize::try_from(number >> (60 - 4 * index) & 15).unwrap_or_default()];
    }
}

/// Walker's alias method: one random number and two reads a draw, whatever the number of keys.
#[derive(Debug)]
struct AliasTable {
    /// Chance, in 2⁻³², that a slot stands for itself; else it stands for its alias.
    slots: Vec<(u32, u32)>,
}

impl AliasTable {
    /// Zipf's law with exponent 1.
    fn zipf(keys: u32) -> Self {
        let total: f64 = (1..=keys).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut weights: Vec<f64> =
            (1..=keys).map(|rank| f64::from(keys) / f64::from(rank) / total).collect();
        let mut slots: Vec<(u32, u32)> = (0..keys).map(|key| (u32::MAX, key)).collect();
        let (mut rich, mut poor): (Vec<u32>, Vec<u32>) =
            (0..keys).partition(|key| weights[*key as usize] >= 1.0);
        while let (Some(giver), Some(taker)) = (rich.last().copied(), poor.pop()) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a weight below 1
            let own = (weights[taker as usize] * f64::from(u32::MAX)) as u32;
            slots[taker as usize] = (own, giver);
            weights[giver as usize] -= 1.0 - weights[taker as usize];
            if weights[giver as usize] < 1.0 {
                rich.pop();
                poor.push(giver);
            }
        }
        Self { slots }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let bits: u64 = random.random();
        #[allow(clippy::cast_possible_truncation)] // the two halves
        let (low, high) = (bits as u32, bits >> 32);
        let slot = (high * self.slots.len() as u64) >> 32;
        let slot = usize::try_from(slot).unwrap_or_default();
        let (own, alias) = self.slots[slot];
        if low <= own { u32::try_from(slot).unwrap_or_default() } else { alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_of_the_promised_size_in_order() {
        let mut stream = Stream::new(StreamPlan { records: 5_000, keys: 1_000, ..StreamPlan::default() });
        let mut last = EventTime(0);
        let mut first_key = 0;
        while let Some(record) = stream.next_record() {
            assert!((380..=420).contains(&record.bytes.len()), "{} bytes", record.bytes.len());
            assert!(record.time >= last);
            last = record.time;
            first_key += u32::from(record.key == 0);
            let json: serde_json::Value = serde_json::from_slice(record.bytes).unwrap();
            let (time, key, bytes) = (record.time, record.key, json["bytes_sent"].as_u64().unwrap());
            assert!(bytes > json["body_bytes_sent"].as_u64().unwrap());
            assert_eq!(json["msec"], format!("{}.{:03}", time.0 / 1_000, time.0 % 1_000));
            json["remote_addr"].as_str().unwrap().parse::<std::net::IpAddr>().unwrap();
            assert!(json["api_key"].as_str().unwrap().starts_with("bench_"));
            if key == 7 {
                assert_eq!(json["api_key"], stream.raw_key(7));
            }
        }
        // Of Zipf's law: 1 / H(1000) = 13.4 %.
        assert!((570..770).contains(&first_key), "{first_key}");
    }

    #[test]
    fn equal_plans_give_equal_bytes() {
        let bytes = || {
            let mut stream = Stream::new(StreamPlan { records: 100, keys: 50, ..StreamPlan::default() });
            let mut all = Vec::new();
            while let Some(record) = stream.next_record() {
                all.extend_from_slice(record.bytes);
            }
            all
        };
        assert_eq!(bytes(), bytes());
    }
}
