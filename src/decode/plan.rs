//! A mapping, compiled: a trie of field names with the slots to fill at each leaf.
//!
//! Compiled once for a source, then only read. A node's children are sorted by the length of their names, so that
//! an unknown name costs one look at a small table, and a known one a comparison or two of equal length.

use super::{
    fields::{Slot, Write},
    mapping::{Condition, HeaderPlace, Mapping, MappingError, RawMapping, Unit},
    path::{At, ChosenBy},
    settings::KeyNames,
};

/// The header that Keyhound's own answers carry; a record that logged it tells our refusals from others.
pub const DECISION_HEADER: &str = "x-keyhound-decision";

const SEGMENTS_MAX: usize = 8;
const PLACES_MAX: usize = 64;
/// Names of this length and above share one entry of the length table.
const LENGTH_MAX: usize = 40;

/// Index of a node in [`Plan::nodes`].
pub(super) type NodeId = u16;
pub(super) const ROOT: NodeId = 0;

/// The compiled mapping.
#[derive(Debug)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    pub conditions: Vec<Condition>,
    /// A bit for each place of the request id, by its rank, whose ids the gateway chooses.
    pub gateway_ids: u64,
}

/// What a wrapper's field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wraps {
    Nothing,
    /// The record itself, as a text (Fluent Bit `log`, Vector `message`) or an object (Filebeat `json`).
    Record,
    /// A list of objects, each with the record as the text `message` (the `logEvents` of AWS's log subscriptions).
    Records,
}

/// One name on the way to some fields.
#[derive(Debug)]
pub(super) struct Node {
    pub writes: Vec<Write>,
    /// Indices into [`Plan::conditions`].
    pub conditions: Vec<u8>,
    pub wraps: Wraps,
    children: Vec<Child>,
    /// `children[starts[l]..starts[l + 1]]` have names of length `l`.
    starts: [u16; LENGTH_MAX + 2],
}

#[derive(Debug)]
struct Child {
    name: Box<str>,
    any_case: bool,
    tag: Tag,
    node: NodeId,
}

/// One step of a path while the trie is built.
struct Step {
    name: String,
    any_case: bool,
}

impl Plan {
    /// Compiles a mapping for a source whose keys travel under `names`.
    pub fn compile(mapping: &Mapping, names: &KeyNames) -> Result<Self, MappingError> {
        let raw = mapping.resolved()?;
        let conditions = raw.refused_by_gateway.clone();
        let mut plan = Self { nodes: vec![Node::new()], conditions, gateway_ids: 0 };
        for (slot, paths) in raw.slots() {
            let (field, places) = (slot.as_str(), paths.0.len());
            if places > PLACES_MAX {
                return Err(MappingError::TooManyPlaces { field, places });
            }
            for (rank, path) in (0..).zip(&paths.0) {
                let unit = unit_of(slot, path.unit, &path.at)?;
                match path.chosen_by {
                    Some(_) if slot != Slot::RequestId => return Err(MappingError::NotAnId { field }),
                    Some(ChosenBy::Gateway) => plan.gateway_ids |= 1 << rank,
                    _ => {}
                }
                plan.add(&steps(field, &path.at, &raw)?, Write { slot, rank, unit });
            }
        }
        plan.add_headers(Slot::Key, raw.request_headers.as_ref(), names.headers.iter().map(String::as_str))?;
        plan.add_headers(Slot::Decision, raw.response_headers.as_ref(), [DECISION_HEADER].into_iter())?;
        let places = raw.refused_by_gateway.len();
        if places > PLACES_MAX {
            return Err(MappingError::TooManyPlaces { field: "refused_by_gateway", places });
        }
        for (index, condition) in (0..).zip(&raw.refused_by_gateway) {
            let node = plan.walk(&pointer("refused_by_gateway", &condition.path)?);
            plan.nodes[usize::from(node)].conditions.push(index);
        }
        plan.add_wrappers();
        plan.nodes.iter_mut().for_each(Node::index);
        Ok(plan)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    fn add(&mut self, steps: &[Step], write: Write) {
        let node = self.walk(steps);
        self.nodes[usize::from(node)].writes.push(write);
    }

    /// Adds headers after the places that the mapping itself names.
    fn add_headers<'a>(
        &mut self,
        slot: Slot,
        place: Option<&HeaderPlace>,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), MappingError> {
        let Some(place) = place else { return Ok(()) };
        for (rank, name) in (128..).zip(names.take(PLACES_MAX)) {
            let steps = header(slot.as_str(), place, name)?;
            self.add(&steps, Write { slot, rank, unit: Unit::S });
        }
        Ok(())
    }

    /// Wrappers are opened unless the format has a field of that name itself.
    fn add_wrappers(&mut self) {
        for (name, wraps) in [
            ("log", Wraps::Record),
            ("message", Wraps::Record),
            ("json", Wraps::Record),
            ("logEvents", Wraps::Records),
        ] {
            let known = self.nodes[0].children.iter().any(|child| child.is(name));
            if !known {
                let node = self.walk(&[Step { name: name.to_owned(), any_case: false }]);
                self.nodes[usize::from(node)].wraps = wraps;
            }
        }
    }

    /// The node at the end of `steps`, made where it is not there yet.
    fn walk(&mut self, steps: &[Step]) -> NodeId {
        let mut at = ROOT;
        for step in steps {
            let found = self.nodes[usize::from(at)].children.iter_mut().find(|child| {
                child.is(&step.name) || (step.any_case && child.name.eq_ignore_ascii_case(&step.name))
            });
            at = if let Some(child) = found {
                child.any_case |= step.any_case;
                child.node
            } else {
                let node = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
                let name = step.name.clone().into_boxed_str();
                let tag = Tag::of(name.as_bytes());
                self.nodes[usize::from(at)].children.push(Child { name, any_case: step.any_case, tag, node });
                self.nodes.push(Node::new());
                node
            };
        }
        at
    }
}

impl Node {
    fn new() -> Self {
        Self {
            writes: Vec::new(),
            conditions: Vec::new(),
            wraps: Wraps::Nothing,
            children: Vec::new(),
            starts: [0; LENGTH_MAX + 2],
        }
    }

    /// Whether a scalar here is of interest.
    pub fn is_leaf(&self) -> bool {
        !self.writes.is_empty() || !self.conditions.is_empty() || self.wraps != Wraps::Nothing
    }

    /// Whether an object here is of interest.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The node of the field `name`, if the mapping knows it.
    #[inline]
    pub fn child(&self, name: &str) -> Option<NodeId> {
        let length = name.len().min(LENGTH_MAX);
        let candidates = usize::from(self.starts[length])..usize::from(self.starts[length + 1]);
        let tag = Tag::of(name.as_bytes());
        self.children[candidates].iter().find(|child| child.matches(name, tag)).map(|child| child.node)
    }

    fn index(&mut self) {
        self.children.sort_by_key(|child| child.name.len().min(LENGTH_MAX));
        for length in 0..=LENGTH_MAX + 1 {
            let shorter =
                self.children.iter().filter(|child| child.name.len().min(LENGTH_MAX) < length).count();
            self.starts[length] = u16::try_from(shorter).unwrap_or(u16::MAX);
        }
    }
}

impl Child {
    #[inline]
    fn is(&self, name: &str) -> bool {
        if self.any_case { self.name.eq_ignore_ascii_case(name) } else { *self.name == *name }
    }

    /// As [`Self::is`] for a name of equal length whose tag is known.
    #[inline]
    fn matches(&self, name: &str, tag: Tag) -> bool {
        if self.any_case {
            self.tag.in_lower_case() == tag.in_lower_case() && self.name.eq_ignore_ascii_case(name)
        } else {
            self.tag == tag && (name.len() <= TAG_BYTES || *self.name == *name)
        }
    }
}

/// Bytes of a name that say all, or nearly all, of it: with the length, they are a name of up to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u64, u64);

const TAG_BYTES: usize = 16;

impl Tag {
    #[inline]
    fn of(name: &[u8]) -> Self {
        if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            return Self(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        }
        if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            return Self(u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
        }
        match *name {
            [] => Self(0, 0),
            [a] => Self(u64::from(a), 0),
            [a, .., c] => Self(u64::from(a) << 8 | u64::from(c), u64::from(name[1])),
        }
    }

    /// Letters in lower case; other bytes may change too, so that equal tags need not be equal names.
    #[inline]
    fn in_lower_case(self) -> Self {
        const BITS: u64 = 0x2020_2020_2020_2020;
        Self(self.0 | BITS, self.1 | BITS)
    }
}

fn steps(field: &'static str, at: &At, raw: &RawMapping) -> Result<Vec<Step>, MappingError> {
    let (place, name, object) = match at {
        At::Path(path) => return pointer(field, path),
        At::Header(name) => (&raw.request_headers, name, "request_headers"),
        At::ResponseHeader(name) => (&raw.response_headers, name, "response_headers"),
    };
    match place {
        Some(place) => header(field, place, name),
        None => Err(MappingError::NoHeaders { field, header: name.clone(), object }),
    }
}

fn header(field: &'static str, place: &HeaderPlace, name: &str) -> Result<Vec<Step>, MappingError> {
    let mut steps = if place.path.is_empty() { Vec::new() } else { pointer(field, &place.path)? };
    steps.push(Step { name: format!("{}{name}", place.prefix), any_case: true });
    Ok(steps)
}

/// Splits a JSON pointer (RFC 6901) into its names.
fn pointer(field: &'static str, path: &str) -> Result<Vec<Step>, MappingError> {
    let Some(names) = path.strip_prefix('/') else {
        return Err(MappingError::NotAPointer { field, path: path.to_owned() });
    };
    let steps: Vec<Step> = names
        .split('/')
        .map(|name| Step { name: name.replace("~1", "/").replace("~0", "~"), any_case: false })
        .collect();
    if steps.len() > SEGMENTS_MAX {
        return Err(MappingError::TooDeep { field, path: path.to_owned(), segments: steps.len() });
    }
    Ok(steps)
}

fn unit_of(slot: Slot, unit: Option<Unit>, at: &At) -> Result<Unit, MappingError> {
    let wrong = |unit: Unit, allowed| {
        let unit = match unit {
            Unit::S => "s",
            Unit::Ms => "ms",
            Unit::Us => "us",
            Unit::Ns => "ns",
            Unit::Rfc3339 => "rfc3339",
            Unit::Clf => "clf",
        };
        Err(MappingError::WrongUnit { field: slot.as_str(), unit, allowed })
    };
    match (slot, unit) {
        (Slot::Time, unit) => Ok(unit.unwrap_or(Unit::Rfc3339)),
        (Slot::Latency, Some(unit @ (Unit::S | Unit::Ms | Unit::Us | Unit::Ns))) => Ok(unit),
        (Slot::Latency, Some(unit)) => wrong(unit, "s, ms, us and ns"),
        (Slot::Latency, None) => {
            let (At::Path(path) | At::Header(path) | At::ResponseHeader(path)) = at;
            Err(MappingError::NoUnit { path: path.clone() })
        }
        (_, None) => Ok(Unit::S),
        (_, Some(unit)) => wrong(unit, "none: only time and latency have one"),
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::Mapping;

    #[test]
    fn more_conditions_than_can_be_numbered_are_refused() {
        let conditions = |count: usize| {
            let condition = serde_json::json!({ "path": "/a", "is": ["x"] });
            let mapping =
                serde_json::json!({ "like": "nginx", "refused_by_gateway": vec![condition; count] });
            serde_json::from_value::<Mapping>(mapping)
        };
        assert!(conditions(64).is_ok());
        let error = conditions(300).unwrap_err().to_string();
        assert!(error.contains("refused_by_gateway has 300 places, the limit is 64"), "{error}");
    }
}
