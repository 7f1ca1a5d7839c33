//! What a check found: faults, which make the settings unusable, and warnings.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use crate::{
    cli::table::plain,
    rules::document::{Place, Problem, Problems},
};

/// Whether a daemon can start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FaultLevel {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct CheckFault {
    pub level: FaultLevel,
    pub file: String,
    /// Null where no line is known.
    pub line: Option<u32>,
    pub column: Option<u32>,
    /// The field, from the top of the file; empty for the file itself.
    pub field: String,
    /// What is wrong, with the value, and what would be right.
    pub message: String,
}

/// `keyhound.check-config/2`.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    schema: &'static str,
    pub file: String,
    /// Whether there is no error; warnings may be there.
    pub ok: bool,
    pub sources: usize,
    pub rules: usize,
    /// Null where there is no catalogue.
    pub catalogue_keys: Option<usize>,
    pub faults: Vec<CheckFault>,
}

impl CheckReport {
    pub fn new(file: &Path) -> Self {
        Self {
            schema: "keyhound.check-config/2",
            file: file.display().to_string(),
            ok: true,
            sources: 0,
            rules: 0,
            catalogue_keys: None,
            faults: Vec::new(),
        }
    }

    /// What is wrong with files, each with its place.
    pub fn problems(&mut self, problems: &Problems) {
        for Problem { file, place, path, message } in problems.sorted() {
            self.faults.push(fault(FaultLevel::Error, file, *place, path, message.clone()));
        }
    }

    /// What is wrong with what a setting names.
    pub fn add(&mut self, level: FaultLevel, place: Place, field: &str, message: String) {
        self.faults.push(fault(level, &self.file, place, field, message));
    }

    /// Sorts what was found, once all of it is there.
    pub fn finish(&mut self) {
        self.faults.sort_by(|a, b| (&a.file, a.line, a.column, a).cmp(&(&b.file, b.line, b.column, b)));
        self.faults.dedup();
        self.ok = self.faults.iter().all(|fault| fault.level == FaultLevel::Warning);
    }

    /// A line for each fault, and what they come to.
    pub fn text(&self) -> String {
        let mut text: String = self.faults.iter().map(CheckFault::line).collect();
        let count = |level| self.faults.iter().filter(|fault| fault.level == level).count();
        let warnings = count(FaultLevel::Warning);
        let more = if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
        if self.ok {
            let mut words = vec![counted(self.sources, "source"), counted(self.rules, "rule")];
            words.extend(self.catalogue_keys.map(|keys| counted(keys, "key") + " in the catalogue"));
            let _ = writeln!(text, "{}: ok: {}{more}", self.file, words.join(", "));
        } else {
            let _ = writeln!(text, "{}: {}{more}", self.file, counted(count(FaultLevel::Error), "error"));
        }
        text
    }
}

impl CheckFault {
    fn line(&self) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let field = if self.field.is_empty() { String::new() } else { format!(" {}:", self.field) };
        let level = if self.level == FaultLevel::Warning { " warning:" } else { "" };
        plain(&format!("{}{place}:{level}{field} {}", self.file, self.message)) + "\n"
    }
}

fn fault(level: FaultLevel, file: &str, place: Place, field: &str, message: String) -> CheckFault {
    let known = |number: u32| (place.line > 0).then_some(number);
    CheckFault {
        level,
        file: file.to_owned(),
        line: known(place.line),
        column: known(place.column),
        field: field.to_owned(),
        message,
    }
}

/// `1 rule`, `12 rules`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_lines_in_the_order_of_the_file_and_the_end_counts_them() {
        let mut report = CheckReport {
            sources: 1,
            rules: 12,
            catalogue_keys: Some(1),
            ..CheckReport::new(Path::new("k.yaml"))
        };
        assert_eq!(report.text(), "k.yaml: ok: 1 source, 12 rules, 1 key in the catalogue\n");
        report.add(
            FaultLevel::Warning,
            Place { line: 9, column: 3 },
            "sources[0]",
            "finds no file".to_owned(),
        );
        report.finish();
        assert!(report.ok);
        assert!(report.text().ends_with("1 key in the catalogue, 1 warning\n"), "{}", report.text());
        report.add(
            FaultLevel::Error,
            Place { line: 2, column: 1 },
            "listen",
            "\u{1b}[31m is taken".to_owned(),
        );
        report.finish();
        assert!(!report.ok);
        assert_eq!(
            report.text(),
            "k.yaml:2:1: listen:  [31m is taken\nk.yaml:9:3: warning: sources[0]: finds no file\nk.yaml: 1 error, 1 warning\n"
        );
    }
}
