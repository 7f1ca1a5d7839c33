//! What a gateway's log shows of the requests, read as the settings say.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bumpalo::Bump;
use keyhound::{
    decode::{Decoded, Decoder, KEYS_MAX, Pepper, Settings, credential_fingerprint, fingerprint},
    event::{Event, Flags, KeyId, Method, prefix_text},
};

use super::requests::{self, AGENT, FORWARDED_FOR, OddRequest};

const PEPPER: &[u8] = b"0123456789abcdef0123456789abcdef";

/// How the keys of the requests are told.
pub struct KeyForm<'a> {
    /// What stands for the key of a request of this number, if not the raw key.
    pub credential: Option<fn(usize, &OddRequest) -> String>,
    pub settings: &'a Settings,
}

impl KeyForm<'_> {
    /// Which request has a key id.
    fn ids(&self, pepper: &Pepper, requests: &[OddRequest]) -> HashMap<KeyId, usize> {
        let mut ids = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            if let Some(credential) = self.credential {
                ids.insert(
                    credential_fingerprint(pepper, &self.settings.namespace, &credential(index, request)),
                    index,
                );
            } else {
                ids.extend(request.keys_as_read().iter().map(|key| (fingerprint(pepper, key), index)));
            }
        }
        ids
    }
}

/// The events of the requests, by their numbers.
#[derive(Default)]
pub struct LogView {
    counts: HashMap<usize, u32>,
    faults: Vec<String>,
    by_credential: bool,
    /// The records that are none, in short.
    unread: Vec<String>,
    /// How many events there are.
    pub events: u32,
    /// How many records, or requests within them, are rejected.
    pub rejected: usize,
    /// The longest record that is an event, in bytes.
    pub longest: usize,
}

impl LogView {
    /// Reads the lines of a log. What a program says at its start begins with a bracket.
    #[track_caller]
    pub fn read(log: &[u8], known: &KeyForm<'_>, requests: &[OddRequest], since: SystemTime) -> Self {
        let pepper = Pepper::new(PEPPER).expect("long enough");
        let ids = known.ids(&pepper, requests);
        let mut decoder = Decoder::new(known.settings, &pepper).unwrap_or_else(|error| panic!("{error}"));
        let mut seen = Self { by_credential: known.credential.is_some(), ..Self::default() };
        let mut arena = Bump::new();
        for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A request that shows several keys has an event of each, and is one all the same.
            let (mut of_request, mut keys) = (Vec::new(), Vec::new());
            decoder.decode(line, &arena, |decoded| {
                let Decoded::Request(request) = decoded else {
                    seen.rejected += usize::from(matches!(decoded, Decoded::Rejected { .. }));
                    if seen.unread.len() < 1_000 || line.len() < 2_000 {
                        seen.unread.push(format!("{decoded:?}: {}", short(line)));
                    }
                    return;
                };
                if !request.event.flags.has(Flags::FURTHER_KEY) {
                    seen.events += 1;
                }
                keys.push(request.event.key);
                seen.longest = seen.longest.max(line.len());
                let Some(index) = ids.get(&request.event.key) else {
                    // A part of a key with several commas need not have the request's number.
                    if !of_request.is_empty() {
                        return;
                    }
                    seen.faults.push(format!("an event of a key that nobody sent: {}", short(line)));
                    return;
                };
                if !of_request.contains(index) {
                    of_request.push(*index);
                    *seen.counts.entry(*index).or_default() += 1;
                }
                if let Some(wrong) = wrong(&requests[*index], &request.event, since) {
                    seen.faults.push(format!("{}: {wrong}: {}", requests[*index].name, short(line)));
                }
            });
            if let Some(request) = of_request.first().map(|index| &requests[*index])
                && let Some(wrong) = wrong_keys(request, line, &keys, (&pepper, seen.by_credential))
            {
                seen.faults.push(format!("{}: {wrong}: {}", request.name, short(line)));
            }
            arena.reset();
        }
        seen
    }

    /// What is not as it must be, when the upstream has seen so many requests of each number.
    pub fn faults(&self, requests: &[OddRequest], served: &[u32]) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (index, request) in requests.iter().enumerate() {
            let (served, events) = (served[index], self.counts.get(&index).copied().unwrap_or(0));
            // Of each record, all events together count once here.
            let is_right = served == 0 || (self.by_credential && !request.is_listed) || events == served;
            if !is_right {
                let mark = &requests::key(index)[..10];
                let unread =
                    self.unread.iter().find(|unread| unread.contains(mark)).map_or("", |unread| unread);
                faults.push(format!("{}: served {served}, {events} events {unread}", request.name));
            }
        }
        faults
    }
}

/// What is wrong with the keys of a record's events: there is one event for each different key that the record shows, up
/// to the most that count. What a key with an odd text around it is taken for, each gateway decides.
fn wrong_keys(
    request: &OddRequest,
    line: &[u8],
    events: &[KeyId],
    (pepper, by_credential): (&Pepper, bool),
) -> Option<String> {
    let found: BTreeSet<KeyId> = events.iter().copied().collect();
    if found.len() < events.len() {
        return Some(format!("{} events of {} keys", events.len(), found.len()));
    }
    if by_credential || !request.has_plain_keys() {
        return None;
    }
    let shown = request.keys.iter().filter(|key| is_shown(line, key));
    let shown: BTreeSet<KeyId> = shown.map(|key| fingerprint(pepper, key)).collect();
    let is_right = found.is_subset(&shown) && found.len() == shown.len().min(KEYS_MAX);
    (!is_right).then(|| format!("{} keys have an event, and {} are shown", found.len(), shown.len()))
}

/// Whether a line has the key, and not only one that it is the beginning of.
fn is_shown(line: &[u8], key: &[u8]) -> bool {
    let is_of_key = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    memchr::memmem::find_iter(line, key).any(|at| !line.get(at + key.len()).is_some_and(is_of_key))
}

/// What is wrong with the event of a request.
fn wrong(request: &OddRequest, event: &Event<'_>, since: SystemTime) -> Option<String> {
    let at = UNIX_EPOCH + Duration::from_millis(event.time.0);
    // Servers keep the time of their clocks' last tick.
    if at + Duration::from_secs(1) < since || at > SystemTime::now() + Duration::from_secs(1) {
        return Some(format!("the time is {}", event.time.rfc3339()));
    }
    if event.status.is_none() {
        return Some("no status".to_owned());
    }
    if event.status != Some(200) {
        // The gateway's own answer, to which little of the request may be known.
        return None;
    }
    if event.method != Method::parse(request.method) {
        return Some(format!("the method is {:?}", event.method));
    }
    if event.flags.has(Flags::CUT) {
        return None;
    }
    if request.has_plain_agent() && event.agent.text != AGENT {
        return Some(format!("the agent is {:?}", event.agent.text));
    }
    let prefix = prefix_text(event.address.prefix);
    if request.has_plain_address() && prefix != FORWARDED_FOR.replace(".9", ".0/24") {
        return Some(format!("the address is in {prefix}"));
    }
    None
}

fn short(line: &[u8]) -> String {
    format!("{} bytes: {}", line.len(), line[..line.len().min(500)].escape_ascii())
}
