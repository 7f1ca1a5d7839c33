//! One pass over a record's JSON, along the compiled mapping.
//!
//! A serde visitor follows the trie of the plan: a known name leads to its node, an unknown one is skipped without
//! being decoded. Texts are borrowed from the record, or unescaped into the batch's arena. No tree of values is built.

use std::fmt;

use bumpalo::Bump;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    fields::{Fields, Slot, Value},
    plan::{Node, NodeId, Plan, ROOT, Wraps},
};

/// Reads the value at a node into `fields`.
pub(super) struct At<'s, 'a> {
    pub plan: &'s Plan,
    pub arena: &'a Bump,
    pub fields: &'s mut Fields<'a>,
    pub node: NodeId,
    /// Objects of wrappers on the way here; a wrapper's object within a wrapper's object is read no deeper.
    pub wrappers: u8,
}

/// How many objects of wrappers are followed.
const WRAPPERS_MAX: u8 = 2;

impl<'a> At<'_, 'a> {
    fn node(&self) -> &Node {
        self.plan.node(self.node)
    }

    fn child(&mut self, node: NodeId, wrappers: u8) -> At<'_, 'a> {
        At { plan: self.plan, arena: self.arena, fields: self.fields, node, wrappers }
    }

    fn put(&mut self, value: Value<'a>) {
        let node = self.plan.node(self.node);
        if value.says_something() {
            for write in &node.writes {
                self.fields.put(*write, value);
            }
        }
        for condition in &node.conditions {
            let condition = &self.plan.conditions[usize::from(*condition)];
            self.fields.refused_by_gateway |= match value {
                Value::Text(text) => condition.holds(text),
                Value::Unsigned(number) => condition.holds(&number.to_string()),
                _ => false,
            };
        }
        if node.wraps == Wraps::Record
            && let Value::Text(text) = value
            && text.contains('{')
        {
            self.fields.wrap(text);
        }
    }

    /// A header that came twice is one list, in the order in which it came (RFC 9110, §5.3).
    fn put_another(&mut self, value: Value<'a>) {
        let node = self.plan.node(self.node);
        for write in &node.writes {
            if write.slot == Slot::ForwardedFor
                && self.fields.rank(Slot::ForwardedFor) == write.rank
                && let (Some(first), Value::Text(next)) = (self.fields.text(Slot::ForwardedFor), value)
            {
                let joined = self.arena.alloc_str(&format!("{first},{next}"));
                self.fields.replace(Slot::ForwardedFor, Value::Text(joined));
            }
        }
    }

    /// Reads the fields of an object whose names are the children of `node`.
    pub fn object<M: MapAccess<'a>>(&mut self, mut map: M) -> Result<(), M::Error> {
        let node = self.plan.node(self.node);
        while let Some(child) = map.next_key_seed(NameIn(node))? {
            match child {
                Some(child) => map.next_value_seed(self.child(child, self.wrappers))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for At<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for At<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'a str) -> Result<(), E> {
        self.put(Value::Text(text));
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if self.node().is_leaf() {
            let text = self.arena.alloc_str(text);
            self.put(Value::Text(text));
        }
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.put(Value::Unsigned(number));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.put(u64::try_from(number).map_or(Value::Negative, Value::Unsigned));
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.put(Value::Float(number));
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let events = self.node().wraps == Wraps::Records;
        if !events && !self.node().is_leaf() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let node = self.node;
        let mut first = true;
        while seq.next_element_seed(Element { at: self.child(node, WRAPPERS_MAX), events, first })?.is_some()
        {
            first = false;
        }
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        if self.node().wraps == Wraps::Record && self.wrappers < WRAPPERS_MAX {
            let wrappers = self.wrappers + 1;
            return self.child(ROOT, wrappers).object(map);
        }
        if self.node().has_children() {
            return self.object(map);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// An element of an array at a leaf: a header's value, or an event of a CloudWatch subscription.
struct Element<'s, 'a> {
    at: At<'s, 'a>,
    events: bool,
    first: bool,
}

impl<'a> DeserializeSeed<'a> for Element<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Element<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header's value or a log event")
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'a str) -> Result<(), E> {
        if self.events {
            self.at.fields.wrap(text);
        } else if self.first {
            self.at.put(Value::Text(text));
        } else {
            self.at.put_another(Value::Text(text));
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = self.at.arena.alloc_str(text);
        self.visit_borrowed_str(text)
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        if self.first && !self.events {
            self.at.put(Value::Unsigned(number));
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(is_message) = map.next_key_seed(IsMessage)? {
            if is_message && self.events {
                map.next_value_seed(Element {
                    at: At {
                        plan: self.at.plan,
                        arena: self.at.arena,
                        fields: &mut *self.at.fields,
                        node: self.at.node,
                        wrappers: self.at.wrappers,
                    },
                    events: true,
                    first: false,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A name, looked up among the children of a node.
struct NameIn<'p>(&'p Node);

impl<'de> DeserializeSeed<'de> for NameIn<'_> {
    type Value = Option<NodeId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIn<'_> {
    type Value = Option<NodeId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(name))
    }
}

/// Whether a name is `message`.
struct IsMessage;

impl<'de> DeserializeSeed<'de> for IsMessage {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsMessage {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == "message")
    }
}
