//! Tables for a terminal, without colour: whatever colour would say is said in words.

use crate::event::printable;
use comfy_table::{ContentArrangement, Table, presets};

/// A table with a head; columns shrink to the terminal's width where there is one.
pub(super) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(head);
    table
}

/// A time of a record, to the second: `2026-11-22 03:11:40Z`.
pub(super) fn time(text: &str) -> String {
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(clock)) => format!("{date} {clock}Z"),
        _ => text.to_owned(),
    }
}

/// A key as people know it: its name with the tenant, or its id.
pub(super) fn key(subject: &crate::respond::SubjectRef) -> String {
    let names = [subject.tenant.as_str(), subject.name.as_str()];
    let text = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" / ");
    if text.is_empty() { subject.id.clone() } else { format!("{text}  {}", subject.id) }
}

/// Nothing in a text of a log or a catalogue may steer a terminal.
pub(super) fn plain(text: &str) -> String {
    printable(text)
}
