//! From the values of one record to one typed request.

use bumpalo::Bump;
use ipnet::IpNet;

use super::{
    Decoded, Reject, Request, address,
    agent::Agents,
    fields::{Fields, Slot},
    fingerprint::Fingerprinter,
    key_text::{
        KEY_VALUES_MAX, KEYS_MAX, Several, is_redacted, joined, kept, key_of_header, key_of_parameter_in,
        only_key_of_header, only_parameter, parameters, searched_part,
    },
    number, route,
    secrecy::{any_part_holds_key, holds_half_of_key, holds_key, looks_secret},
    settings::{KeyPolicy, Settings},
    time,
};
use crate::event::{
    ClientAddress, Event, Flags, Handles, KeyId, Method, Name, Place, Position, Refusal, stable_hash,
};

/// The longest consumer or credential that is kept as a handle, in bytes.
const HANDLE_BYTES_MAX: usize = 128;

/// What all requests of a source have in common, and the thread's fingerprints.
pub(super) struct Assembler {
    pub fingerprinter: Fingerprinter,
    agents: Agents,
    policy: KeyPolicy,
    namespace: String,
    parameters: Vec<String>,
    trusted: Vec<IpNet>,
    /// A bit for each place of the request id, by its rank, whose ids the gateway chooses.
    gateway_ids: u64,
    /// The other keys of the request that was put together last: each has an event of its own.
    pub further: Vec<KeyId>,
}

/// The raw keys that stand in a record, in their one form.
#[derive(Clone, Copy)]
struct Found<'a> {
    key: &'a str,
    in_query: bool,
    /// Other keys, each once. Nearly always none.
    others: &'a [&'a str],
    /// There are more.
    is_too_many: bool,
}

impl Assembler {
    pub fn new(settings: &Settings, fingerprinter: Fingerprinter, gateway_ids: u64) -> Self {
        Self {
            fingerprinter,
            agents: Agents::new(),
            policy: settings.key,
            namespace: settings.namespace.clone(),
            parameters: settings.key_names.parameters.clone(),
            trusted: settings.client_address.trusted_proxies.clone(),
            gateway_ids,
            further: Vec::new(),
        }
    }

    /// Puts a request together. With a time and a key it is an event, whatever else is missing; without a key, it
    /// must have a status as well, for there is much else that has a time.
    pub fn assemble<'a>(&mut self, fields: &Fields<'a>, index: u32, arena: &'a Bump) -> Decoded<'a> {
        let (value, unit) = fields.get(Slot::Time);
        let Some(time) = time::event_time(value, unit) else {
            let reason = if fields.has(Slot::Time) { Reject::BadTime } else { Reject::MissingTime };
            return self.rejected(reason, fields, arena);
        };
        let status = number::status(fields.get(Slot::Status).0);
        let (method, url) = method_and_url(fields);
        let found = self.raw_keys(fields, url, arena);
        let raw = found.map(|found| found.key);
        let credential = fields.text(Slot::Credential).filter(|id| !is_redacted(id));
        let Some((key, alias)) = self.key_ids(raw, credential) else {
            return match status {
                Some(_) => Decoded::Anonymous(time),
                None if fields.has(Slot::Status) => self.rejected(Reject::BadStatus, fields, arena),
                None => self.rejected(Reject::MissingStatus, fields, arena),
            };
        };

        // What the texts below must not hold.
        let raw = raw.map(searched_part);
        let client = address::client(fields.text(Slot::Peer), fields.text(Slot::ForwardedFor), &self.trusted);
        let (latency, latency_unit) = fields.get(Slot::Latency);
        let mut event = Event {
            time,
            key,
            alias,
            method,
            status,
            refusal: refusal(status, fields),
            flags: self.flags(fields, found),
            route: Name::new(route_text(fields, url, raw, arena)),
            agent: fields
                .text(Slot::Agent)
                .map_or(Name::NONE, |text| self.agents.name(text, raw, &self.fingerprinter, arena)),
            request_bytes: number::bytes(fields.get(Slot::RequestBytes).0),
            response_bytes: number::bytes(fields.get(Slot::ResponseBytes).0),
            latency_us: number::duration_us(latency, latency_unit),
            address: client.map_or(ClientAddress::default(), |ip| self.fingerprinter.address(ip)),
            place: Place::default(),
            request_id: fields.text(Slot::RequestId).map_or(0, |id| stable_hash(id.as_bytes())),
            handles: self.handles(fields, raw, credential, arena),
            position: Position { index, ..Position::default() },
        };
        if let Some(found) = found.filter(|found| !found.others.is_empty()) {
            self.several(&mut event, found, arena);
        }
        Decoded::Request(Request { event, client })
    }

    /// Completes the event of a request that shows several raw keys. Which of them was served is not known, nor which of
    /// them the credential stands for.
    #[cold]
    fn several<'a>(&mut self, event: &mut Event<'a>, found: Found<'a>, arena: &'a Bump) {
        event.flags.set(Flags::SEVERAL_KEYS);
        if found.is_too_many {
            event.flags.set(Flags::KEYS_LEFT_OUT);
        }
        event.alias = None;
        for key in found.others {
            if self.policy == KeyPolicy::Raw {
                self.further.push(self.fingerprinter.raw(key.as_bytes()));
            }
            let key = Some(searched_part(key));
            let holds = |text: &str| any_part_holds_key(text, key) || holds_half_of_key(text, key);
            if holds(event.route.text) {
                event.route = Name::new(route::named(event.route.text, key, arena));
            }
            if holds(event.agent.text) {
                event.agent = Name::NONE;
            }
            for handle in [&mut event.handles.consumer, &mut event.handles.credential] {
                if holds(handle) {
                    *handle = "";
                }
            }
        }
    }

    /// Whether a record shows a key of the kind that the source's policy asks for.
    #[cold]
    pub fn has_key<'a>(&self, fields: &Fields<'a>, arena: &'a Bump) -> bool {
        match self.policy {
            KeyPolicy::Raw => self.raw_keys(fields, method_and_url(fields).1, arena).is_some(),
            KeyPolicy::Credential => fields.text(Slot::Credential).is_some_and(|id| !is_redacted(id)),
        }
    }

    /// A record that cannot be judged, with what can be read of it.
    #[cold]
    pub fn rejected<'a>(&mut self, reason: Reject, fields: &Fields<'a>, arena: &'a Bump) -> Decoded<'a> {
        let (value, unit) = fields.get(Slot::Time);
        let (_, url) = method_and_url(fields);
        let raw = self.raw_keys(fields, url, arena).map(|found| found.key);
        let credential = fields.text(Slot::Credential).filter(|id| !is_redacted(id));
        let key = self.key_ids(raw, credential).map(|(key, _)| key);
        Decoded::Rejected { reason, key, time: time::event_time(value, unit) }
    }

    /// The raw keys of a request: from fields and headers, then from the query string.
    #[inline]
    fn raw_keys<'a>(&self, fields: &Fields<'a>, url: Option<&'a str>, arena: &'a Bump) -> Option<Found<'a>> {
        let header = fields.text(Slot::Key);
        let query = fields.text(Slot::Query).or_else(|| url.and_then(route::query_of));
        let parameter = match query.map(|query| only_parameter(query, &self.parameters)) {
            None => None,
            Some(Ok(parameter)) => parameter,
            Some(Err(Several)) => return self.all_raw_keys(fields, query, arena),
        };
        let key = match (header, parameter) {
            (None, None) => return None,
            (Some(value), None) if fields.other_keys.is_empty() => only_key_of_header(value, arena),
            (None, Some(value)) => Ok(key_of_parameter_in(value, arena)),
            _ => Err(Several),
        };
        let Ok(key) = key else { return self.all_raw_keys(fields, query, arena) };
        let found = Found { key, in_query: parameter.is_some(), others: &[], is_too_many: false };
        (!is_redacted(key)).then_some(found)
    }

    /// The same where several values stand: each key once, in the order in which they stand.
    #[cold]
    fn all_raw_keys<'a>(
        &self,
        fields: &Fields<'a>,
        query: Option<&'a str>,
        arena: &'a Bump,
    ) -> Option<Found<'a>> {
        let headers = fields.text(Slot::Key).into_iter().chain(fields.other_keys.iter().copied());
        let of_headers = headers
            .flat_map(|value| joined(value.as_bytes()))
            .map(|value| (kept(key_of_header(value), arena), false));
        let of_query = query
            .into_iter()
            .flat_map(|query| parameters(query, &self.parameters))
            .map(|value| (key_of_parameter_in(value, arena), true));
        let (mut keys, mut in_query, mut is_too_many) = (Vec::new(), false, false);
        for (nth, (key, is_parameter)) in of_headers.chain(of_query).enumerate() {
            is_too_many = nth >= KEY_VALUES_MAX;
            if is_too_many {
                break;
            }
            if is_redacted(key) {
                continue;
            }
            in_query |= is_parameter;
            if keys.contains(&key) {
                continue;
            }
            is_too_many = keys.len() == KEYS_MAX;
            if is_too_many {
                break;
            }
            keys.push(key);
        }
        let (key, others) = arena.alloc_slice_copy(&keys).split_first()?;
        Some(Found { key, in_query, others, is_too_many })
    }

    /// The key id that the source's policy asks for, and the other one as the alias.
    fn key_ids(&mut self, raw: Option<&str>, credential: Option<&str>) -> Option<(KeyId, Option<KeyId>)> {
        // What the policy asks for is looked at first: most records without it need no fingerprint at all.
        match self.policy {
            KeyPolicy::Raw if raw.is_none() => return None,
            KeyPolicy::Credential if credential.is_none() => return None,
            _ => {}
        }
        let raw = raw.map(|key| self.fingerprinter.raw(key.as_bytes()));
        let credential = credential.map(|id| self.fingerprinter.credential(&self.namespace, id));
        match self.policy {
            KeyPolicy::Raw => raw.map(|key| (key, credential)),
            KeyPolicy::Credential => credential.map(|key| (key, raw)),
        }
    }

    fn flags(&self, fields: &Fields<'_>, found: Option<Found<'_>>) -> Flags {
        let mut flags = fields.flags;
        if let Some(found) = found {
            flags.set(Flags::CLEAR_KEY);
            if found.in_query {
                flags.set(Flags::KEY_IN_QUERY);
            }
        }
        let scheme = fields.text(Slot::Scheme);
        if scheme.is_some_and(|scheme| scheme == "http" || scheme.starts_with("http:")) {
            flags.set(Flags::PLAIN_HTTP);
        }
        let (value, unit) = fields.get(Slot::Time);
        if time::has_whole_seconds(value, unit) {
            flags.set(Flags::WHOLE_SECONDS);
        }
        if fields.has(Slot::RequestId) && self.gateway_ids >> fields.rank(Slot::RequestId) & 1 == 1 {
            flags.set(Flags::GATEWAY_ID);
        }
        flags
    }

    fn handles<'a>(
        &self,
        fields: &Fields<'a>,
        raw: Option<&str>,
        credential: Option<&'a str>,
        arena: &'a Bump,
    ) -> Handles<'a> {
        let consumer =
            fields.text(Slot::Consumer).map(|text| handle(text, raw)).filter(|text| !text.is_empty());
        let consumer = consumer.or_else(|| fields.text(Slot::User).map(|user| self.user(user, raw, arena)));
        Handles {
            gateway: arena.alloc_str(&self.namespace),
            consumer: consumer.unwrap_or(""),
            credential: credential.map_or("", |id| handle(id, raw)),
        }
    }

    /// A user name comes from the client: with basic authentication, some send the key as the user.
    fn user<'a>(&self, user: &'a str, raw: Option<&str>, arena: &'a Bump) -> &'a str {
        if looks_secret(user) || holds_half_of_key(user, raw) {
            return arena.alloc_str(&format!("#{:08x}", self.fingerprinter.short_hash(user)));
        }
        handle(user, raw)
    }
}

fn method_and_url<'a>(fields: &Fields<'a>) -> (Method, Option<&'a str>) {
    let line = fields.text(Slot::RequestLine).and_then(|line| line.split_once(' '));
    let method = fields.text(Slot::Method).or(line.map(|(method, _)| method));
    let from_line = line.map(|(_, rest)| rest.split_once(' ').map_or(rest, |(url, _)| url));
    let url = fields.text(Slot::Path).or(from_line);
    (method.map_or(Method::Other, Method::parse), url)
}

fn route_text<'a>(fields: &Fields<'a>, url: Option<&'a str>, raw: Option<&str>, arena: &'a Bump) -> &'a str {
    // `$default` is how an AWS HTTP API says that no route matched.
    match fields.text(Slot::Route).filter(|name| *name != "$default") {
        Some(name) => route::named(name, raw, arena),
        None => url.map_or("", |url| route::template(url, raw, arena)),
    }
}

/// A handle as it stands, or nothing: a cut or changed one would find nobody at the gateway.
fn handle<'a>(text: &'a str, raw: Option<&str>) -> &'a str {
    let unfit = text.len() > HANDLE_BYTES_MAX || text.bytes().any(|byte| byte.is_ascii_control());
    if unfit || holds_key(text, raw) { "" } else { text }
}

fn refusal(status: Option<u16>, fields: &Fields<'_>) -> Refusal {
    if !matches!(status, Some(401 | 403 | 429)) {
        Refusal::None
    } else if fields.has(Slot::Decision) {
        Refusal::Ours
    } else if fields.refused_by_gateway {
        Refusal::Gateway
    } else {
        Refusal::Upstream
    }
}
