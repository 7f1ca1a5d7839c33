//! From the bytes of a record to typed requests.
//!
//! A format is data: a [`Mapping`](mapping::Mapping) says where in a gateway's JSON each fact stands, and is compiled
//! once into a trie that one pass over the borrowed record follows. This module owns the presets, the wrappers, the
//! limits, and what must never leave: raw keys become key ids here, and paths, agents and names are stripped of
//! whatever could hold one. It never keeps a record, reads no clock and does no I/O.

mod address;
mod agent;
mod coverage;
mod fields;
mod fingerprint;
mod json;
mod key_text;
mod layout;
mod lenient;
mod letters;
mod lines;
pub mod mapping;
mod number;
mod path;
mod plain_bytes;
mod plan;
pub mod presets;
mod record;
mod reject;
mod request;
mod route;
mod scan;
mod secrecy;
mod secret;
pub mod settings;
mod time;
mod unescape;

use std::{fmt, net::IpAddr};

use bumpalo::Bump;

pub use self::{
    agent::AGENT_BYTES_MAX,
    coverage::Coverage,
    fields::Slot,
    fingerprint::{CACHE_ENTRIES_DEFAULT, Fingerprinter, credential_fingerprint, derived_key, fingerprint},
    key_text::{
        KEY_VALUES_MAX, KEYS_MAX, canonical_key, joined, key_of_header, key_of_parameter, parameters,
        percent_decoded,
    },
    mapping::{Mapping, MappingError},
    plan::DECISION_HEADER,
    record::{DEPTH_MAX, UNZIPPED_BYTES_MAX},
    reject::Reject,
    route::ROUTE_BYTES_MAX,
    secrecy::looks_secret,
    secret::{PEPPER_BYTES_MIN, Pepper, PepperError, RawKey},
    settings::{ClientAddressSettings, Format, KeyNames, KeyPolicy, Settings, SettingsError},
};
use self::{layout::Layout, plan::Plan, record::Pass, request::Assembler};
use crate::event::{Event, EventTime, KeyId};

/// What a record, or one of the requests within it, turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // lives on the stack, for the length of one call; a box would be an allocation an event
pub enum Decoded<'a> {
    Request(Request<'a>),
    /// A request without the key, or the credential, that the source's policy asks for, and its time.
    Anonymous(EventTime),
    /// A record, or a request within one, that cannot be judged: why, and what can be read of it all the same.
    Rejected {
        reason: Reject,
        /// The key at its mapped place.
        key: Option<KeyId>,
        time: Option<EventTime>,
    },
}

impl Decoded<'_> {
    /// When the gateway served it, as far as that can be read.
    pub const fn time(&self) -> Option<EventTime> {
        match self {
            Self::Request(request) => Some(request.event.time),
            Self::Anonymous(time) => Some(*time),
            Self::Rejected { time, .. } => *time,
        }
    }
}

/// One request. It borrows from the record and from the arena, and holds no raw key.
#[derive(Clone, Copy, PartialEq)]
pub struct Request<'a> {
    /// Without place, and with no more of the position than the index within the record.
    pub event: Event<'a>,
    /// The client's whole address, for looking its place up; it is not kept.
    pub client: Option<IpAddr>,
}

impl fmt::Debug for Request<'_> {
    /// Leaves the client's address out: it is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Decodes the records of one source, on one thread.
pub struct Decoder {
    plan: Plan,
    layout: Layout,
    assembler: Assembler,
    coverage: Option<Box<Coverage>>,
}

impl Decoder {
    /// Compiles the settings' format.
    pub fn new(settings: &Settings, pepper: &Pepper) -> Result<Self, MappingError> {
        Self::with_fingerprinter(settings, Fingerprinter::new(pepper))
    }

    /// The same, with a cache of a size of one's own.
    pub fn with_fingerprinter(
        settings: &Settings,
        fingerprinter: Fingerprinter,
    ) -> Result<Self, MappingError> {
        let plan = Plan::compile(&settings.format.mapping()?, &settings.key_names)?;
        Ok(Self {
            layout: Layout::new(plan.nodes()),
            assembler: Assembler::new(settings, fingerprinter, plan.gateway_ids),
            plan,
            coverage: None,
        })
    }

    /// The same, counting which facts of the mapping the records have.
    #[must_use]
    pub fn counting_coverage(mut self) -> Self {
        self.coverage = Some(Box::default());
        self
    }

    /// What has been counted since [`Self::counting_coverage`].
    pub fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_deref()
    }

    /// The thread's fingerprints, for what is not in a record.
    pub fn fingerprinter(&mut self) -> &mut Fingerprinter {
        &mut self.assembler.fingerprinter
    }

    /// Forgets how the last records were laid out. After a panic, what was noted of that may be half a record's; all else
    /// that is kept from one record to the next is written in one step, or is wiped first.
    pub fn forget_layout(&mut self) {
        self.layout = Layout::new(self.plan.nodes());
    }

    /// Decodes one record, calling `sink` at least once, and in the record's order.
    pub fn decode<'a>(&mut self, payload: &'a [u8], arena: &'a Bump, sink: impl FnMut(Decoded<'a>)) {
        let Self { plan, layout, assembler, coverage } = self;
        let coverage = coverage.as_deref_mut();
        let mut pass = Pass {
            plan,
            layout,
            assembler,
            coverage,
            arena,
            sink,
            index: 0,
            is_repaired: false,
            is_told: false,
            lenient_bytes: 0,
        };
        pass.record(payload);
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({:?})", self.assembler.fingerprinter)
    }
}

#[cfg(test)]
mod several_keys_tests;
