//! One pass over a record's JSON, along the compiled mapping.
//!
//! A known name leads to its node of the trie, an unknown one is skipped without being decoded. Texts are borrowed
//! from the record, or unescaped into the batch's arena. No tree of values is built. If it fails, what it has put into
//! the fields stood before the fault.

use bumpalo::Bump;

use super::{
    fields::{Fields, Slot},
    json::{Failed, Json, Kind},
    layout::Layout,
    plan::{Node, NodeId, Plan, ROOT, Wraps},
    unescape::Escapes,
};

/// How many objects of wrappers are followed, one within the other.
const WRAPPERS_MAX: u8 = 2;

/// Reads one record's object into `fields`.
pub(super) struct Scan<'s, 'a, const LENIENT: bool = false> {
    pub plan: &'s Plan,
    pub layout: &'s mut Layout,
    pub arena: &'a Bump,
    pub json: &'s mut Json<'a, LENIENT>,
    pub fields: &'s mut Fields<'a>,
}

impl<'a, const LENIENT: bool> Scan<'_, 'a, LENIENT> {
    /// Reads an object that has begun, whose names are the children of a node.
    ///
    /// Recursion is bounded by the depth of the mapping, and by `wrappers`, the wrappers' objects on the way here.
    pub fn object(&mut self, id: NodeId, wrappers: u8) -> Result<(), Failed> {
        for index in 0.. {
            let (kind, child) = match self.layout.member(id, index) {
                Some(member) if !LENIENT && self.json.pass(&member.step) => match member.kind {
                    Some(kind) => (self.json.opened(kind)?, member.child),
                    None => (self.json.value()?, member.child),
                },
                _ => match self.member(id, index)? {
                    Some(member) => member,
                    None => break,
                },
            };
            match child {
                Some(child) => self.value(kind, child, wrappers)?,
                None => self.json.skip(kind)?,
            }
        }
        Ok(())
    }

    /// Reads a member up to its value, and remembers it; nothing at the object's end.
    fn member(&mut self, id: NodeId, index: usize) -> Result<Option<(Kind, Option<NodeId>)>, Failed> {
        let begin = self.json.offset();
        if !self.json.member(index == 0)? {
            return Ok(None);
        }
        let name = self.json.name()?;
        let child = self.plan.node(id).child(self.json.unescaped(name, self.arena));
        let kind = self.json.value()?;
        // What is remembered is taken for JSON the next time.
        if !LENIENT {
            self.layout.learn(id, index, self.json.since(begin), kind, child);
        }
        Ok(Some((kind, child)))
    }

    fn value(&mut self, kind: Kind, id: NodeId, wrappers: u8) -> Result<(), Failed> {
        let node = self.plan.node(id);
        match kind {
            Kind::String if LENIENT && node.wraps == Wraps::Record => self.wrapped_text(node)?,
            Kind::String => {
                let raw = self.json.string()?;
                self.put_text(node, raw);
            }
            Kind::Number => {
                let digits = self.json.number()?;
                self.put(node, digits);
            }
            Kind::Object if node.wraps == Wraps::Record && wrappers < WRAPPERS_MAX => {
                self.object(ROOT, wrappers + 1)?;
            }
            Kind::Object if node.has_children() => self.object(id, wrappers)?,
            Kind::Array if node.wraps == Wraps::Records => self.log_events()?,
            Kind::Array if node.is_leaf() => self.array(node)?,
            kind => self.json.skip(kind)?,
        }
        Ok(())
    }

    /// A record within a text: of one that is cut, what stands before the cut counts.
    fn wrapped_text(&mut self, node: &Node) -> Result<(), Failed> {
        let begin = self.json.offset();
        let read = self.json.string();
        let raw = read.unwrap_or_else(|Failed| {
            self.json.escapes = Escapes::Odd;
            &self.json.text()[begin..self.json.offset()]
        });
        self.put_text(node, raw);
        read.map(drop)
    }

    /// The values of a header that came several times, or an array where one value was expected.
    fn array(&mut self, node: &Node) -> Result<(), Failed> {
        let mut first = true;
        while self.json.element(first)? {
            match self.json.value()? {
                Kind::String if first => {
                    let raw = self.json.string()?;
                    self.put_text(node, raw);
                }
                Kind::String => {
                    let raw = self.json.string()?;
                    self.put_another(node, raw);
                }
                Kind::Number if first => {
                    let digits = self.json.number()?;
                    self.put(node, digits);
                }
                kind => self.json.skip(kind)?,
            }
            first = false;
        }
        Ok(())
    }

    /// The `logEvents` of AWS's log subscriptions: objects with the record as the text `message`.
    fn log_events(&mut self) -> Result<(), Failed> {
        let mut first = true;
        while self.json.element(first)? {
            first = false;
            let kind = self.json.value()?;
            if kind != Kind::Object {
                self.json.skip(kind)?;
                continue;
            }
            let mut first = true;
            while self.json.member(first)? {
                first = false;
                let name = self.json.name()?;
                let kind = self.json.value()?;
                if kind == Kind::String && name == "message" {
                    let raw = self.json.string()?;
                    self.fields.wrap(self.json.unescaped(raw, self.arena));
                } else {
                    self.json.skip(kind)?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn put_text(&mut self, node: &Node, raw: &'a str) {
        let text = self.json.unescaped(raw, self.arena);
        self.put(node, text);
    }

    #[inline]
    fn put(&mut self, node: &Node, text: &'a str) {
        for condition in &node.conditions {
            self.fields.refused_by_gateway |= self.plan.conditions[usize::from(*condition)].holds(text);
        }
        // Gateways write an empty text or a dash for what is absent.
        if matches!(text.as_bytes(), [] | [b'-']) {
            return;
        }
        for write in &node.writes {
            self.fields.put(*write, text);
        }
        if node.wraps == Wraps::Record && text.contains('{') {
            self.fields.wrap(text);
        }
    }

    /// A header that came twice: of keys, all are kept; addresses are one list, in the order in which they came
    /// (RFC 9110, section 5.3).
    fn put_another(&mut self, node: &Node, raw: &'a str) {
        if let Some(write) = node.writes.iter().find(|write| write.slot == Slot::Key) {
            let text = self.json.unescaped(raw, self.arena);
            return self.fields.put(*write, text);
        }
        let slot = Slot::ForwardedFor;
        let (held, _) = self.fields.get(slot);
        let is_same_header =
            node.writes.iter().any(|write| write.slot == slot && write.rank == self.fields.rank(slot));
        if is_same_header {
            let text = self.json.unescaped(raw, self.arena);
            self.fields.replace(slot, self.arena.alloc_str(&format!("{held},{text}")));
        }
    }
}
