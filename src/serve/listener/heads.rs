//! Bytes that a gateway passes on in the head of a question and that HTTP does not allow there.
//!
//! The parser refuses a whole request for one of them, so that a caller who sends one would have his key not looked at,
//! and a gateway that serves without an answer would serve him. Each is replaced in place, as it comes in, by one that
//! the parser takes and that no key and no place of a key has. Nothing else is changed, and nothing is kept.

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4). Its frames are no heads.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// In a header's value: a byte that is in no text, which the checks take off the ends of a key.
const IN_VALUE: u8 = 0xff;
/// In the address, which the parser wants as text.
const IN_ADDRESS: u8 = b'_';

/// Where in the heads of a connection the next byte stands.
#[derive(Debug)]
pub enum Heads {
    /// So many bytes have come, and are the beginning of [`PREFACE`].
    Preface(usize),
    /// In the first line of a head.
    RequestLine,
    /// In a header. `is_empty`: nothing of this line has come.
    Header { is_empty: bool },
    /// HTTP/2, for good.
    Multiplexed,
}

impl Heads {
    /// Those of a connection that was just accepted.
    pub const fn new() -> Self {
        Self::Preface(0)
    }

    /// Whether the whole of [`PREFACE`] has come.
    pub const fn is_multiplexed(&self) -> bool {
        matches!(self, Self::Multiplexed)
    }

    /// Replaces what is not allowed in the bytes that came next.
    pub fn repair(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.is_multiplexed() {
                return;
            }
            self.next(byte);
        }
    }

    fn next(&mut self, byte: &mut u8) {
        if let Self::Preface(came) = self {
            if *byte == PREFACE[*came] {
                *self = if *came + 1 == PREFACE.len() { Self::Multiplexed } else { Self::Preface(*came + 1) };
                return;
            }
            // A head like any other, which has no line's end so far unless it is no request at all.
            *self = Self::RequestLine;
        }
        match (&self, *byte) {
            (Self::Header { is_empty: true }, b'\n') => *self = Self::RequestLine,
            (_, b'\n') => *self = Self::Header { is_empty: true },
            // The parser of addresses takes none of these three, callers send them, and gateways hand them on.
            (Self::RequestLine, 0..=0x0c | 0x0e..=0x1f | 0x7f | b'<' | b'>' | b'`') => *byte = IN_ADDRESS,
            (Self::RequestLine, _) | (_, b'\r') => {}
            (_, 0..=0x08 | 0x0b..=0x1f | 0x7f) => {
                *byte = IN_VALUE;
                *self = Self::Header { is_empty: false };
            }
            _ => *self = Self::Header { is_empty: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut into pieces.
    #[track_caller]
    fn check(sent: &[u8], came: &[u8]) {
        for size in 1..=sent.len() {
            let (mut heads, mut bytes) = (Heads::new(), sent.to_vec());
            bytes.chunks_mut(size).for_each(|piece| heads.repair(piece));
            assert_eq!(
                bytes.escape_ascii().to_string(),
                came.escape_ascii().to_string(),
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn control_bytes_are_replaced_in_values_and_addresses() {
        check(
            b"GET /a\x01?`<> HTTP/1.1\r\nX-A: \x00a\tb\x7f\r\n\r\n",
            b"GET /a_?___ HTTP/1.1\r\nX-A: \xffa\tb\xff\r\n\r\n",
        );
        check(b"PRI /<\r\nX: <\x1f\r\n\r\n", b"PRI /_\r\nX: <\xff\r\n\r\n");
    }

    #[test]
    fn the_next_head_on_the_connection_is_looked_at_too() {
        check(
            b"GET / HTTP/1.1\r\n\r\nGET /<\x02 HTTP/1.1\nX: <\x02\n\n",
            b"GET / HTTP/1.1\r\n\r\nGET /__ HTTP/1.1\nX: <\xff\n\n",
        );
    }

    #[test]
    fn frames_of_http2_are_left_alone() {
        let frames = [PREFACE, b"\x00\x01<\x7f\n\x02"].concat();
        check(&frames, &frames);
    }
}
