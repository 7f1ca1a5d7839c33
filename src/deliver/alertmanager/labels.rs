//! One Alertmanager's own labels: its words for severities, and labels that every alert has.

use std::collections::BTreeMap;

use crate::incident::Severity;

/// The most further labels.
const EXTRA_MAX: usize = 32;
/// Labels that Keyhound sets itself.
const TAKEN: [&str; 5] = ["alertname", "severity", "tenant", "key_id", "mode"];

/// How one Alertmanager wants its labels. Valid once held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSettings {
    /// Its word for a severity; one that is not there keeps Keyhound's own.
    pub severities: BTreeMap<Severity, String>,
    /// Labels that every alert has besides.
    pub extra: BTreeMap<String, String>,
}

/// Why labels cannot be used as written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    #[error("severity_map.{}: \"{value}\" must be a word of 1 to 64 letters, digits, _ and -", severity.as_str())]
    Severity { severity: Severity, value: String },
    #[error("severity_map.info: incidents of this severity are not sent; map low, medium, high and critical")]
    NotSent,
    #[error(
        "extra_labels: \"{name}\" is not a label's name; it must be letters, digits and _, no digit first"
    )]
    Name { name: String },
    #[error("extra_labels: \"{name}\" is a label of Keyhound's own; take another name")]
    Taken { name: String },
    #[error("extra_labels: \"{name}\" has no value; an empty label is none")]
    Empty { name: String },
    #[error("extra_labels has {0} entries; at most {EXTRA_MAX} are taken")]
    TooMany(usize),
}

impl LabelSettings {
    /// Checks what is written.
    pub fn new(
        severities: BTreeMap<Severity, String>,
        extra: BTreeMap<String, String>,
    ) -> Result<Self, LabelError> {
        let is_word = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if severities.contains_key(&Severity::Info) {
            return Err(LabelError::NotSent);
        }
        if let Some((severity, value)) = severities.iter().find(|(_, value)| !is_word(value)) {
            return Err(LabelError::Severity { severity: *severity, value: value.clone() });
        }
        if extra.len() > EXTRA_MAX {
            return Err(LabelError::TooMany(extra.len()));
        }
        for (name, value) in &extra {
            let name = || name.clone();
            if !is_label(&name()) {
                return Err(LabelError::Name { name: name() });
            }
            if TAKEN.contains(&name().as_str()) {
                return Err(LabelError::Taken { name: name() });
            }
            if value.trim().is_empty() {
                return Err(LabelError::Empty { name: name() });
            }
        }
        Ok(Self { severities, extra })
    }

    /// The Alertmanager's word for a severity.
    pub fn severity(&self, severity: Severity) -> &str {
        self.severities.get(&severity).map_or(severity.as_str(), String::as_str)
    }
}

/// A label's name of Prometheus' data model.
fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(severities: &[(Severity, &str)], extra: &[(&str, &str)], message: &str) {
        let severities = severities.iter().map(|(severity, word)| (*severity, (*word).to_owned())).collect();
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let error = LabelSettings::new(severities, extra).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn labels_that_an_alertmanager_would_refuse_are_refused() {
        refused(&[(Severity::High, "")], &[], "severity_map.high: \"\" must be a word");
        refused(&[(Severity::High, "very bad")], &[], "severity_map.high");
        refused(&[(Severity::Info, "info")], &[], "not sent");
        refused(&[], &[("1st", "x")], "\"1st\" is not a label's name");
        refused(&[], &[("severity", "x")], "\"severity\" is a label of Keyhound's own");
        refused(&[], &[("team", " ")], "\"team\" has no value");
    }

    #[test]
    fn a_severity_without_an_entry_keeps_its_word() {
        let settings = LabelSettings::new([(Severity::High, "critical".to_owned())].into(), BTreeMap::new());
        let settings = settings.unwrap();
        assert_eq!(settings.severity(Severity::High), "critical");
        assert_eq!(settings.severity(Severity::Low), "low");
    }
}
