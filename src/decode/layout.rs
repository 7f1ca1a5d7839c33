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
        if index >= MEMBERS_MAX {
            return;
        }
        let step = Step::new(step).unwrap_or(Step::NEVER);
        let kind = matches!(kind, Kind::Object | Kind::Array | Kind::String).then_some(kind);
        let member = Member { step, kind, child };
        if let Some(place) = members.get_mut(index) {
            *place = member;
        } else if index == members.len() {
            // Members are learnt from the first on.
            members.push(member);
        }
    }
}

impl Step {
    /// Stands for one that is too long: no text has such bytes.
    const NEVER: Self = Self { bytes: [u128::MAX; 2], mask: [u128::MAX; 2], length: 0 };

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
        let differs = ((text[0] ^ self.bytes[0]) & self.mask[0]) | ((text[1] ^ self.bytes[1]) & self.mask[1]);
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
    use bumpalo::Bump;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoded, Decoder, Format, KeyPolicy, Pepper, Settings, fingerprint::Fingerprinter};

    #[test]
    fn a_step_is_found_at_the_beginning_only_and_whole() {
        let step = Step::new(b",\"status\":").unwrap();
        assert_eq!(step.begins(b",\"status\":200,\"bytes_sent\":165,\"ua\":\"x\"}"), Some(10));
        assert_eq!(step.begins(b",\"status\":2}"), Some(10));
        assert_eq!(step.begins(b",\"status\""), None);
        assert_eq!(step.begins(b""), None);
        assert_eq!(step.begins(b" ,\"status\":200,\"bytes_sent\":165,\"ua\":\"x\"}"), None);
    }

    /// Pieces from which records are made that resemble each other: names that begin alike, blanks, values of other
    /// kinds, objects within, and ends that come too early.
    const PIECES: &[&str] = &[
        r#""msec":"1795327660.839""#,
        r#""msec": 1795327660.839"#,
        r#""status":200"#,
        r#""status":"200""#,
        r#""status" : [200]"#,
        r#""statusx":200"#,
        r#""st\u0061tus":401"#,
        r#""api_key":"a""#,
        r#""api_key":null"#,
        r#""uri":{"uri":"/a","status":500}"#,
        r#""uri":"/a/\u00e9""#,
        r#""a_name_that_is_longer_than_a_step_may_be":1"#,
        r#""x":"#,
        "",
    ];

    fn decoder() -> Decoder {
        let pepper = Pepper::new(&[7; 32]).unwrap();
        let settings = Settings::new(Format::preset("nginx").unwrap(), KeyPolicy::Raw);
        Decoder::with_fingerprinter(&settings, Fingerprinter::with_entries(&pepper, 2)).unwrap()
    }

    fn decoded(decoder: &mut Decoder, record: &str) -> String {
        let (arena, mut parts) = (Bump::new(), Vec::new());
        decoder.decode(record.as_bytes(), &arena, |decoded: Decoded<'_>| parts.push(format!("{decoded:?}")));
        parts.concat()
    }

    proptest! {
        #[test]
        fn what_was_read_before_never_changes_what_is_read(
            records in prop::collection::vec(prop::collection::vec(0..PIECES.len(), 0..8), 1..12),
            separator in prop::sample::select(vec![",", ", ", "\n,"]),
        ) {
            let mut used = decoder();
            for pieces in records {
                let members: Vec<&str> = pieces.into_iter().map(|piece| PIECES[piece]).collect();
                let record = format!("{{{}}}", members.join(separator));
                prop_assert_eq!(decoded(&mut used, &record), decoded(&mut decoder(), &record), "{}", record);
            }
        }
    }

    #[test]
    fn a_step_that_is_too_long_is_never_found_and_what_follows_it_is() {
        let mut layout = Layout::new(1);
        layout.learn(0, 0, b"\"a\":", Kind::Number, Some(1));
        layout.learn(0, 1, &[b'x'; STEP_BYTES_MAX + 1], Kind::Number, None);
        layout.learn(0, 2, b",\"b\":", Kind::Number, Some(2));
        let begins = |index, text: &[u8]| layout.member(0, index).and_then(|member| member.step.begins(text));
        assert!(layout.member(0, 0).is_some_and(|member| member.child == Some(1) && member.kind.is_none()));
        assert_eq!((begins(1, &[b'x'; STEP_BYTES_MAX + 1]), begins(1, b"")), (None, None));
        assert_eq!(begins(2, b",\"b\":1}"), Some(5));
        layout.learn(0, MEMBERS_MAX, b",\"c\":", Kind::Number, None);
        assert!(layout.member(0, MEMBERS_MAX).is_none() && layout.member(0, 2).is_some());
    }
}
