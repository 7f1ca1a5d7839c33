//! The table of detectors in `docs/rules.md`, made from what rules are checked against.

use std::fmt::Write as _;

use crate::detect::{Scale, settings::LEARNING};

const BEGIN: &str = "<!-- detectors: made from src/detect/settings.rs; a test holds it current -->\n";
const END: &str = "<!-- end of detectors -->\n";

/// The page with its table made anew; `None` = it has no place for one.
pub fn with_detectors(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", detectors()))
}

fn detectors() -> String {
    let mut text = String::from("| Detector | Finds | `with` |\n|---|---|---|\n");
    for learning in &LEARNING {
        let mut parameters = Vec::new();
        if learning.has_scale {
            // As serde reads them.
            let names =
                Scale::ALL.map(|scale| serde_json::to_string(&scale).unwrap_or_default().replace('"', "`"));
            parameters.push(format!("`scale` ({})", names.join(", ")));
        }
        for number in learning.numbers {
            let default = number.default.map_or_else(String::new, |default| format!(", default {default}"));
            let (least, most) = (number.least, grouped(number.most));
            parameters.push(format!("`{}` ({least} to {most}{default})", number.name));
        }
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {} |", learning.name, learning.finds, parameters.join(", "));
    }
    text + "| `count` | more requests of a kind than a limit that you set | [below](#rules-that-count) |\n"
}

/// `1,000,000`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let cut = |(index, digit): (usize, char)| {
        let comma = index > 0 && (digits.len() - index).is_multiple_of(3);
        [comma.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.chars().enumerate().flat_map(cut).collect()
}
