//! Finds log lines without a stable name: each says `event = "snake_case"` first, for whoever searches or alerts on logs.

use crate::source::Source;

/// Log calls of `source` that do not begin with the field `event`, as `file:line`.
pub fn unnamed(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let calls = source.shipped.lines().enumerate().filter(|(_, code)| is_log_call(code));
    calls
        .filter(|&(index, _)| !has_event(&lines[index..]))
        .map(|(index, _)| format!("{}:{}: {}", source.path, index + 1, lines[index].trim()))
        .collect()
}

fn is_log_call(code: &str) -> bool {
    ["error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| code.contains(&format!("tracing::{level}!(")))
}

/// Whether the first argument of the call that begins on the first of `lines` is its event.
fn has_event(lines: &[&str]) -> bool {
    let call = lines.iter().take(2).map(|line| line.trim()).collect::<String>();
    let name = call
        .split_once("!(")
        .and_then(|(_, arguments)| arguments.strip_prefix("event = \""))
        .and_then(|rest| rest.split('"').next());
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

#[test]
fn an_event_comes_first_and_in_snake_case() {
    assert!(has_event(&["tracing::info!(event = \"state_restored\", entries, \"restored\");"]));
    assert!(has_event(&["    tracing::info!(", "        event = \"ready\",", "        \"ready\""]));
    for call in
        ["tracing::info!(\"ready\");", "tracing::info!(event = \"Ready\");", "tracing::info!(event = \"\");"]
    {
        assert!(!has_event(&[call]), "{call}");
    }
}
