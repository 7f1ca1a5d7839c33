//! The search through a JSON string for the bytes that mean something: most of the work on a record.

/// How many bytes there are before a quote, a backslash or a control character: 16 at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<16>() {
        // SAFETY: SSE2 is part of x86-64.
        #[allow(unsafe_code)]
        let marked = unsafe { marks(chunk) };
        if marked != 0 {
            return at + marked.trailing_zeros() as usize;
        }
        at += 16;
    }
    at + plain_bytes_by_word(&bytes[at..])
}

/// A bit for each byte that is a quote, a backslash or a control character.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn marks(bytes: &[u8; 16]) -> i32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (halves, _) = bytes.as_chunks::<8>();
    let word = _mm_set_epi64x(i64::from_le_bytes(halves[1]), i64::from_le_bytes(halves[0]));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(word, _mm_set1_epi8(0x1f)), word);
    let quote = _mm_cmpeq_epi8(word, _mm_set1_epi8(0x22));
    let backslash = _mm_cmpeq_epi8(word, _mm_set1_epi8(0x5c));
    _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use plain_bytes_by_word as plain_bytes;

/// The same on any processor: eight at a time.
#[inline]
pub(super) fn plain_bytes_by_word(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // The lowest byte that is marked is right; those above it may not be (a borrow), and are not looked at.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let marked = (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & TOPS;
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    at + rest.unwrap_or(bytes.len() - at)
}
