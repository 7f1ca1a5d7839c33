//! Text from outside, as it may be shown.

/// The text in one line, without characters that steer a terminal or change how a reader sees what is beside them:
/// control characters and separators of lines become spaces; marks of direction and invisible characters are left out.
///
/// A log's text and a catalogue's reach terminals, pages and alerts. Unicode TR 36 (§3) has what such characters do.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).map(|c| if breaks_a_line(c) { ' ' } else { c }).collect()
}

fn breaks_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Format characters (Unicode's category Cf) that have no form of their own.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_steers_a_terminal_or_turns_a_line_round_is_taken_out() {
        assert_eq!(printable("bill\u{1b}[31ming\r\n\u{85}x"), "bill [31ming   x");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{2028}f\u{e0041}"), "abcde f");
    }

    #[test]
    fn letters_of_any_language_stay() {
        let text = "Zahlungen-Ä / 決済 / оплата / تسديد / a–b · ✓";
        assert_eq!(printable(text), text);
    }
}
