//! What a request shows: to people a sample, to gateways a handle, to the catalogue a credential.

use serde::{Deserialize, Serialize};

use super::input_names::InputNames;
use crate::{
    event::{Event, NetworkType, prefix_text},
    incident::{Sample, origins},
    respond::Handle,
};

/// What is kept of a request that is evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// When it was made, in milliseconds.
    pub at_ms: u64,
    pub handle: Handle,
    pub sample: Sample,
    /// Input and offset of the record.
    pub position: (u32, u64),
    /// The network that it came from.
    pub origin: u64,
}

impl Shown {
    /// What an event shows; `inputs` are the names of the inputs.
    pub fn of(event: &Event<'_>, inputs: &InputNames) -> Self {
        let handle = Handle {
            gateway: event.handles.gateway.to_owned(),
            consumer: event.handles.consumer.to_owned(),
            credential: event.handles.credential.to_owned(),
        };
        let position = (event.position.input, event.position.offset);
        Self {
            at_ms: event.time.0,
            handle,
            sample: sample_of(event, inputs),
            position,
            origin: origins::network(event),
        }
    }
}

fn sample_of(event: &Event<'_>, inputs: &InputNames) -> Sample {
    let input = inputs.of(event.position.input);
    let network = match (event.place.asn, event.place.network_type) {
        (0, _) => String::new(),
        (asn, NetworkType::Unknown) => format!("AS{asn} {}", event.place.asn_name),
        (asn, kind) => format!("AS{asn} {} ({})", event.place.asn_name, kind.as_str()),
    };
    Sample {
        at: event.time.rfc3339(),
        method: event.method.as_str().to_owned(),
        route: event.route.text.to_owned(),
        status: event.status,
        network,
        country: event.place.country.to_string(),
        prefix: prefix_text(event.address.prefix),
        agent: event.agent.text.to_owned(),
        position: format!("{input}@{}", event.position.offset),
    }
}
