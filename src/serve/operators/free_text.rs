//! What an operator writes in his own words: why, and who he is.
//!
//! It goes into the log, the audit, the decision and so to whoever reads their topics. People paste what they look at,
//! so that whatever looks like a key is taken out.

use super::Problem;
use crate::{decode::looks_secret, event::KeyId};

const REMOVED: &str = "[removed]";
/// Digits of the ids of decisions and incidents.
const ID_DIGITS: usize = 32;

/// One line of text of at most `most` characters. A word with a part that looks like a secret is `[removed]`.
pub(super) fn read(field: &str, text: &str, most: usize) -> Result<String, Problem> {
    let length = text.chars().count();
    if length > most {
        return Err(Problem::unprocessable(format!(
            "{field} has {length} characters; at most {most} are taken"
        )));
    }
    Ok(one_line(text, most))
}

/// The same of a text that was let through elsewhere, cut at `most` characters.
pub(in crate::serve) fn one_line(text: &str, most: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let shown: Vec<&str> = words.map(|word| if holds_secret(word) { REMOVED } else { word }).collect();
    shown.join(" ").chars().take(most).collect()
}

fn holds_secret(word: &str) -> bool {
    // Keys hold these two marks. Others end a part, so that an address of a page or a person is not taken for a key.
    let is_mark = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    word.split(is_mark).any(|part| looks_secret(part) && !is_our_id(part))
}

/// Whether it is the id of a key, a decision or an incident, which are there to be quoted.
fn is_our_id(part: &str) -> bool {
    let of_an_incident = part.strip_prefix("dec_").or_else(|| part.strip_prefix("inc_"));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    part.parse::<KeyId>().is_ok()
        || of_an_incident.is_some_and(|id| id.len() == ID_DIGITS && id.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let read = read("reason", text, 500).unwrap_or_else(|_| panic!("{text} is short"));
        assert_eq!(read, shown);
    }

    #[test]
    fn what_looks_like_a_key_is_taken_out() {
        check("leaked sk_live_4eC39HqLyjWDarjtT1zdp7dc in a repo", "leaked [removed] in a repo");
        check("key=3f2504e0-4f89-11d3-9a0c-0305e82c3301.", "[removed]");
        check("(Bearer\tAbCdEfGhIjKlMnOpQr)", "(Bearer [removed]");
        check("a, b,deadbeef", "a, [removed]");
    }

    #[test]
    fn words_names_and_our_own_ids_stay() {
        let id = "0123456789abcdef0123456789abcdef";
        check(
            &format!("kf1_{id}, kc1_{id}; (dec_{id}) inc_{id}: OPS-1234"),
            &format!("kf1_{id}, kc1_{id}; (dec_{id}) inc_{id}: OPS-1234"),
        );
        check("jane.doe2@payments.example.com", "jane.doe2@payments.example.com");
        check("https://wiki.example.com/runbooks/leak#1", "https://wiki.example.com/runbooks/leak#1");
        check(" two\nlines \u{7}", "two lines");
        check(&format!("dec_{id}0"), "[removed]");
    }

    #[test]
    fn a_long_text_is_refused() {
        assert!(read("by", "abc", 2).is_err());
    }
}
