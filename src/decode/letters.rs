//! Whether a run of letters is a word, or several, or was drawn at random.
//!
//! A key of letters and digits may have a half without a digit and with few capitals: `oyryVjuJnkqtAjgm` has the shape of
//! `listPaymentMethods`. What tells them apart is which letters follow each other.

/// How unusual it is that a letter follows another within a word, as −log2 of its share, rounded, at most 15: a row for the
/// first letter, a hexadecimal digit for the second. Counted in 39 million pairs of the sources and texts of about 300
/// packages on crates.io, identifiers taken apart at their capitals.
const SURPRISE: [&[u8; 26]; 26] = [
    b"a544b65a5b7343e5b34267776a",
    b"4868399c25b38a39d5572adb4c",
    b"496945935e448828a46359cd8e",
    b"4885184a3a959939c55758786f",
    b"4644657a8b945386623396657c",
    b"4987344c3e64582ad456599d8f",
    b"598819753fc56457a44549ad89",
    b"29981abd3eb9793ad5745caf7c",
    b"5644565d9c954246b643b5f7f4",
    b"4c8b1bcb4c7cba39db384c8dcc",
    b"3666198a3dc8756987457a9d9b",
    b"48a4239b3aa3a937ea54498d5e",
    b"26882aac4fb66833ba563acd9e",
    b"4953363b5c669646ca32677e7c",
    b"7744866c69654254f365464899",
    b"3a883aa75fa4bb45d35429ab6f",
    b"aa987d999ff4a99ac7790c8dcd",
    b"3966285a3f675539e444579d6e",
    b"5a6a29654d7668559742499c59",
    b"3a6728b33fd78a46d3555b884c",
    b"6257465f5fd45385f3339de7eb",
    b"2b8a197c3ed98b4ad998bdd9db",
    b"399739b32ea8a449d348cc7bbb",
    b"375735b54dd97972b89278977e",
    b"667959a96fb55342a623ba8ab9",
    b"686709ba4ec89849db7a89bd77",
];

/// Letters whose pairs are on average more unusual than this, in half bits, were drawn at random. Of 27,000 mixed identifiers
/// of 16 letters and more in those packages 2.2 % are above (most of them pieces of certificates), of random ones 99.8 %.
const HALF_BITS_MAX: u32 = 9;
/// Fewer pairs say too little.
const PAIRS_MIN: u32 = 8;

/// Whether the letters of a text were drawn at random. A capital begins a word, and so does whatever is no letter.
pub fn are_random(text: &str) -> bool {
    let (mut sum, mut pairs) = (0, 0);
    for pair in text.as_bytes().windows(2) {
        let &[first, second] = pair else { continue };
        if first.is_ascii_alphabetic() && second.is_ascii_lowercase() {
            sum += surprise(first.to_ascii_lowercase(), second);
            pairs += 1;
        }
    }
    pairs >= PAIRS_MIN && 2 * sum > HALF_BITS_MAX * pairs
}

fn surprise(first: u8, second: u8) -> u32 {
    let digit = SURPRISE[usize::from(first - b'a')][usize::from(second - b'a')];
    char::from(digit).to_digit(16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn words_are_told_from_letters_drawn_at_random() {
        for words in [
            "listPaymentMethods",
            "internationalization",
            "updateSubscriptionSchedule",
            "getHttpsCertificateStrengths",
            "kubernetes-node-exporter",
            "konfigurationseinstellungen",
            "obtenerMetodosDePago",
        ] {
            assert!(!are_random(words), "{words}");
        }
        assert!(are_random("oyryVjuJnkqtAjgm"));
        let mut random = Xoshiro256PlusPlus::seed_from_u64(20_261_129);
        let mut draw = || -> String {
            // Few capitals: the shape catches the others.
            (0..16)
                .map(|_| {
                    char::from(
                        if random.random_ratio(1, 6) { b'A' } else { b'a' } + random.random_range(0..26),
                    )
                })
                .collect()
        };
        let missed = (0..10_000).filter(|_| !are_random(&draw())).count();
        assert!(missed < 100, "{missed} of 10,000 are taken for words");
    }
}
