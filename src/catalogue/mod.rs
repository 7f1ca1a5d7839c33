//! Who owns a key: what the operator wrote down about it.
//!
//! Owns the catalogue's types and look-up. An input to the engine as reference data: it changes only between
//! batches, and its version is named in what is emitted. Never reads a file itself.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{KeyId, printable};

/// How a key's clients are spread; it decides which detectors make sense and how far a response may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyClass {
    /// Nobody said. Treated with the care that a public key needs: see `mobile`.
    #[default]
    Unknown,
    /// A few servers in a few networks. Only such a key is throttled by what one network does.
    Server,
    /// Shipped in an app: on many thousands of addresses, and in the hands of anybody. The rules of place and breadth that
    /// ship leave it out, revoking is refused, and what one network does throttles nobody.
    Mobile,
    /// Shipped in a page: as `mobile`.
    Browser,
}

/// What the operator knows of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The key id (`kf1_…` or `kc1_…`), from `keyhound fingerprint`. Exactly one of `id` and `credential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The credential id at the gateway, as the log shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What people call the key: `billing-prod`.
    #[serde(default)]
    pub name: String,
    /// Whose it is: who is asked whether a use is theirs. Stands in alerts.
    #[serde(default)]
    pub owner: String,
    /// How to reach the owner: a channel, a number, an address. Stands in alerts.
    #[serde(default)]
    pub contact: String,
    /// The customer. Keys of one tenant make a group: what all of them do is nobody's spike.
    #[serde(default)]
    pub tenant: String,
    /// For conditions of rules: `key.plan != "internal"`.
    #[serde(default)]
    pub plan: String,
    /// What kind of client holds it. The rules that ship ask nothing about place and breadth of `mobile` and `browser`,
    /// and those keys are not revoked. Keys without a class, and those two, are not throttled automatically by errors or
    /// volume from one network alone: set `server` where it holds.
    #[serde(default)]
    pub class: KeyClass,
    /// Nothing automatic beyond an alert is ever done to this key.
    #[serde(default)]
    pub protected: bool,
}

impl KeyClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Server, Self::Mobile, Self::Browser];

    /// The word in files, conditions and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Server => "server",
            Self::Mobile => "mobile",
            Self::Browser => "browser",
        }
    }
}

impl Entry {
    /// The entry as it may be shown: its texts stand in alerts, on pages and on terminals.
    fn printable(self) -> Self {
        Self {
            name: printable(&self.name),
            owner: printable(&self.owner),
            contact: printable(&self.contact),
            tenant: printable(&self.tenant),
            plan: printable(&self.plan),
            ..self
        }
    }
}

/// All entries, found by key id or by credential.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_id: HashMap<KeyId, usize>,
    by_credential: HashMap<String, usize>,
    version: String,
}

/// An entry that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    #[error("entry {index} (\"{name}\"): give exactly one of \"id\" and \"credential\"")]
    Identity { index: usize, name: String },
    #[error("entry {index} (\"{name}\"): {source}")]
    Id { index: usize, name: String, source: crate::event::KeyIdError },
    #[error("entry {index} (\"{name}\") names the same key as entry {first}")]
    Duplicate { index: usize, name: String, first: usize },
}

impl Catalogue {
    /// Checks and indexes the entries. `version` is a hash of the file.
    pub fn new(entries: Vec<Entry>, version: String) -> Result<Self, CatalogueError> {
        let (catalogue, mut errors) = Self::indexed(entries, version);
        if errors.is_empty() { Ok(catalogue) } else { Err(errors.swap_remove(0)) }
    }

    /// Everything that is wrong with entries.
    pub fn errors(entries: Vec<Entry>) -> Vec<CatalogueError> {
        Self::indexed(entries, String::new()).1
    }

    fn indexed(entries: Vec<Entry>, version: String) -> (Self, Vec<CatalogueError>) {
        let entries: Vec<Entry> = entries.into_iter().map(Entry::printable).collect();
        let mut by_id = HashMap::new();
        let mut by_credential = HashMap::new();
        let mut errors = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = || entry.name.clone();
            let before = match (&entry.id, &entry.credential) {
                (Some(id), None) => match id.parse() {
                    Ok(id) => by_id.insert(id, index),
                    Err(source) => {
                        errors.push(CatalogueError::Id { index, name: name(), source });
                        None
                    }
                },
                (None, Some(credential)) => by_credential.insert(credential.clone(), index),
                _ => {
                    errors.push(CatalogueError::Identity { index, name: name() });
                    None
                }
            };
            errors.extend(before.map(|first| CatalogueError::Duplicate { index, name: name(), first }));
        }
        (Self { entries, by_id, by_credential, version }, errors)
    }

    /// Makes entries by credential known under the ids that keys get from it: `ids` gives those, one for each gateway
    /// namespace. An entry that names such an id itself goes first.
    pub fn know_credentials(&mut self, ids: impl Fn(&str) -> Vec<KeyId>) {
        for (credential, index) in &self.by_credential {
            for id in ids(credential) {
                self.by_id.entry(id).or_insert(*index);
            }
        }
    }

    /// The entry of a key, by its id first, then by its credential (empty = none).
    pub fn get(&self, key: &KeyId, credential: &str) -> Option<&Entry> {
        let index = self.by_id.get(key).or_else(|| self.by_credential.get(credential))?;
        self.entries.get(*index)
    }

    /// The tenants that entries name, each once, in alphabetical order.
    pub fn tenants(&self) -> Vec<&str> {
        let mut tenants: Vec<&str> = self
            .entries
            .iter()
            .map(|entry| entry.tenant.as_str())
            .filter(|tenant| !tenant.is_empty())
            .collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }

    /// The hash of the file that this came from; empty for an empty catalogue.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many keys are described.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is described.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_they_may_be_shown() {
        let entry = Entry {
            credential: Some("c\u{202e}1".to_owned()),
            name: "bill\u{1b}[31m\r\ning\u{202e}".to_owned(),
            ..Entry::default()
        };
        let catalogue = Catalogue::new(vec![entry], String::new()).unwrap();
        assert_eq!(catalogue.entries[0].name, "bill [31m  ing");
        assert_eq!(
            catalogue.entries[0].credential.as_deref(),
            Some("c\u{202e}1"),
            "looked up as it is logged"
        );
    }

    #[test]
    fn every_entry_that_cannot_be_used_is_told() {
        let of = |id: &str| Entry { id: Some(id.to_owned()), ..Entry::default() };
        let right = format!("kf1_{:032x}", 7);
        let errors = Catalogue::errors(vec![Entry::default(), of("x"), of(&right), of(&right)]);
        assert!(
            matches!(
                errors[..],
                [
                    CatalogueError::Identity { index: 0, .. },
                    CatalogueError::Id { index: 1, .. },
                    CatalogueError::Duplicate { index: 3, first: 2, .. }
                ]
            ),
            "{errors:?}"
        );
    }
}
