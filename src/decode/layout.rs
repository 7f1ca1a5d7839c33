//! What stood where in the objects of the last records.
//!
//! One program writes the records of a source, so they have the same names in the same order. Where the bytes from
//! one value to the next are those of the last record, they mean what they meant there: comparing them costs a
//! fraction of reading the name and looking it up. A guess that fails costs a comparison, and never changes what is
//! read.

use super::{json::Kind, plan::NodeId};

/// The longest way from one value to the next that is remembered, in bytes.
pub(super) const STEP_BYTES_MAX: usize = 32;
/// How many members of an object are remembered.
const MEMBERS_MAX: usize = 64;

/// The last members of each of a plan's objects. Has no `Debug`: a name that a client chose may hold a raw key.
pub(super) struct Layout(Vec<Vec<Member>>);

/// One member, up to its value.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub step: Step,
    /// What the value is, if the step holds its first byte.
    pub kind: Option<Kind>,
    /// The name's node, if the mapping knows it.
    pub child: Option<NodeId>,
}

/// The bytes from the end of one value to the beginning of the next: `,"name":"`.
#[derive(Clone, Copy)]
pub(super) struct Step {
    bytes: [u128; 2],
    mask: [u128; 2],
    length: usize,
}

impl Layout {
    /// Nothing seen yet, for a plan with so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self(vec![Vec::new(); nodes])
    }

    /// What stood there in the last object of a node.
    #[inline]
    pub fn member(&self, node: NodeId, index: usize) -> Option<&Member> {
        self.0[usize::from(node)].get(index)
    }

    /// Remembers what stands there. `step` ends behind the value's first byte, if that tells its kind, else before it.
    pub fn learn(&mut self, node: NodeId, index: usize, step: &[u8], kind: Kind, child: Option<NodeId>) {
        let members = &mut self.0[usize::from(node)];
        let Some(step) = Step::new(step).filter(|_| index < MEMBERS_MAX) else {
            return members.truncate(index);
        };
        let kind = matches!(kind, Kind::Object | Kind::Array | Kind::String).then_some(kind);
        let member = Member { step, kind, child };
        if let Some(place) = members.get_mut(index) {
            *place = member;
        } else if index == members.len() {
            // Members are learnt from the first on; after one that is too long to remember come none.
            members.push(member);
        }
    }
}

impl Step {
    fn new(step: &[u8]) -> Option<Self> {
        let mut padded = [0; STEP_BYTES_MAX];
        padded.get_mut(..step.len())?.copy_from_slice(step);
        let mut mask = [0; STEP_BYTES_MAX];
        mask[..step.len()].fill(0xff);
        Some(Self { bytes: words(&padded), mask: words(&mask), length: step.len() })
    }

    /// The step's length if `text` begins with it.
    #[inline]
    pub fn begins(&self, text: &[u8]) -> Option<usize> {
        let text = match text.first_chunk::<STEP_BYTES_MAX>() {
            Some(chunk) => words(chunk),
            None => words(&padded(text)),
        };
        let differs =
            ((text[0] ^ self.bytes[0]) & self.mask[0]) | ((text[1] ^ self.bytes[1]) & self.mask[1]);
        (differs == 0).then_some(self.length)
    }
}

#[inline]
fn words(bytes: &[u8; STEP_BYTES_MAX]) -> [u128; 2] {
    let (halves, _) = bytes.as_chunks::<16>();
    [u128::from_le_bytes(halves[0]), u128::from_le_bytes(halves[1])]
}

/// Padded with zero bytes, which stand in no step: JSON has none outside of strings.
#[cold]
fn padded(text: &[u8]) -> [u8; STEP_BYTES_MAX] {
    let mut chunk = [0; STEP_BYTES_MAX];
    chunk[..text.len()].copy_from_slice(text);
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_at_the_beginning_only_and_whole() {
        let step = Step::new(b",\"status\":").unwrap();
        assert_eq!(step.begins(b",\"status\":200,\"bytes_sent\":165,\"ua\":\"x\"}"), Some(10));
        assert_eq!(step.begins(b",\"status\":2}"), Some(10));
        assert_eq!(step.begins(b",\"status\""), None);
        assert_eq!(step.begins(b""), None);
        assert_eq!(step.begins(b" ,\"status\":200,\"bytes_sent\":165,\"ua\":\"x\"}"), None);
    }

    #[test]
    fn what_follows_a_step_that_is_too_long_is_not_remembered() {
        let mut layout = Layout::new(1);
        layout.learn(0, 0, b"\"a\":", Kind::Number, Some(1));
        layout.learn(0, 1, &[b'x'; STEP_BYTES_MAX + 1], Kind::Number, None);
        layout.learn(0, 2, b",\"b\":", Kind::Number, Some(2));
        assert!(layout.member(0, 0).is_some_and(|member| member.child == Some(1) && member.kind.is_none()));
        assert!(layout.member(0, 1).is_none() && layout.member(0, 2).is_none());
    }
}
