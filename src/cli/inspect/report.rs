//! What is printed of a sample: for people, or as `keyhound.inspect/1`.

use std::fmt::Write;

use serde::Serialize;

use super::{
    input::{Input, Sample},
    keying::Keyed,
    survey::Survey,
};
use crate::decode::{Format, KeyNames, Settings, Slot, presets};

/// What there is to say. No raw key and no address.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `keyhound.inspect/1`.
    schema: &'static str,
    format: String,
    /// `guessed`, `given` or `of the settings`.
    format_is: &'static str,
    records: usize,
    /// Requests that could be read.
    pub requests: u64,
    rejected_records: u64,
    /// What key ids would be made of: `raw` or `credential`.
    key: &'static str,
    keys: usize,
    requests_with_key: u64,
    requests_without_key: u64,
    /// Requests that show their raw key, and those of them that show it in the query string.
    clear_keys: u64,
    clear_keys_in_query: u64,
    coverage: Vec<Fact>,
    rejected: Vec<Rejected>,
    /// How a topic is keyed; null for a file.
    keyed: Option<Keyed>,
    /// Settings to start with, in YAML.
    config: String,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    requests: u64,
    /// Of the requests, in percent, rounded down.
    percent: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    reason: &'static str,
    count: u64,
    /// The byte at which the line begins, or `partition@offset`.
    first_at: Vec<String>,
}

impl Report {
    pub fn new(
        input: &Input,
        settings: &Settings,
        format_is: &'static str,
        sample: &Sample,
        key: &'static str,
        best: &Survey,
        raw: &Survey,
    ) -> Self {
        let fact = |slot: Slot| {
            let requests = best.coverage.seen(slot);
            let percent = (requests * 100).checked_div(best.coverage.requests());
            (requests > 0 || is_wanted(slot)).then(|| Fact { name: slot.as_str(), requests, percent })
        };
        let rejected = best.rejected.iter().map(|(reason, (count, at))| Rejected {
            reason: reason.as_str(),
            count: *count,
            first_at: at.iter().map(ToString::to_string).collect(),
        });
        Self {
            schema: "keyhound.inspect/1",
            format: settings.format.name().to_owned(),
            format_is,
            records: sample.pieces.len(),
            requests: best.read(),
            rejected_records: best.rejected.values().map(|(count, _)| count).sum(),
            key,
            keys: best.keys.len(),
            requests_with_key: best.requests,
            requests_without_key: best.anonymous,
            clear_keys: raw.clear_keys,
            clear_keys_in_query: raw.keys_in_query,
            coverage: Slot::ALL.iter().copied().filter_map(fact).collect(),
            rejected: rejected.collect(),
            keyed: sample.partitions.map(|partitions| best.keying.conclude(partitions)),
            config: config(&input.source(), settings, key, best.is_behind_proxies()),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "format     {} ({})", self.format, self.format_is);
        let _ = writeln!(
            text,
            "records    {} {}, {} requests, {} rejected",
            self.records,
            if self.keyed.is_some() { "records" } else { "lines" },
            self.requests,
            self.rejected_records
        );
        let _ = writeln!(
            text,
            "keys       {} distinct by {}; {} requests with, {} without",
            self.keys, self.key, self.requests_with_key, self.requests_without_key
        );
        if self.clear_keys > 0 {
            let _ = writeln!(
                text,
                "WARNING    {} requests show their raw key in clear, {} of them in the query string: log a credential id",
                self.clear_keys, self.clear_keys_in_query
            );
        }
        text.push_str(&self.keyed.as_ref().map(Keyed::lines).unwrap_or_default());
        text.push_str("\nfact            in requests\n");
        for fact in &self.coverage {
            let share = fact.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
            let _ = writeln!(text, "{:<15} {share:>5}", fact.name);
        }
        if !self.rejected.is_empty() {
            let unit = if self.keyed.is_some() { "partition@offset" } else { "byte" };
            let _ = writeln!(text, "\nrejected        count  first at {unit}");
            for Rejected { reason, count, first_at } in &self.rejected {
                let _ = writeln!(text, "{reason:<15} {count:>5}  {}", first_at.join(", "));
            }
        }
        let _ = write!(text, "\n{}", self.config);
        text
    }
}

/// Facts whose absence weakens detection, so that a zero is shown.
fn is_wanted(slot: Slot) -> bool {
    !matches!(
        slot,
        Slot::Query
            | Slot::RequestLine
            | Slot::Scheme
            | Slot::User
            | Slot::Key
            | Slot::Credential
            | Slot::ForwardedFor
    )
}

/// Settings that `check-config` takes, once there is a pepper.
fn config(source: &str, settings: &Settings, key: &str, is_behind_proxies: bool) -> String {
    let format = match &settings.format {
        // A name that a shipped preset has, or the mapping itself: settings name no file with one.
        format if presets::names().contains(&format.name()) && !matches!(format, Format::Mapping(_)) => {
            format.name().to_owned()
        }
        format => serde_json::to_string(format).unwrap_or_default(),
    };
    let mut text = format!("sources:\n  - {source}\n    format: {format}\n    key: {key}\n");
    if settings.namespace != settings.format.name() {
        let _ = writeln!(text, "    namespace: {}", settings.namespace);
    }
    if settings.key_names != KeyNames::default() {
        // JSON is YAML's flow style. Lists of texts cannot fail to serialize.
        let names = serde_json::to_string(&settings.key_names).unwrap_or_default();
        let _ = writeln!(text, "    key_names: {names}");
    }
    let trusted = &settings.client_address.trusted_proxies;
    if !trusted.is_empty() {
        let trusted: Vec<String> = trusted.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(text, "    client_address: {{ trusted_proxies: {} }}", serde_json::Value::from(trusted));
    } else if is_behind_proxies {
        text.push_str(
            "    # Most peers are inside and forward for others: name the networks of your proxies.\n",
        );
        text.push_str(
            "    client_address: { trusted_proxies: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16] }\n",
        );
    }
    text.push_str("# Make it once: mkdir -p secrets && head -c 32 /dev/urandom > secrets/pepper\n");
    text.push_str("fingerprint: { pepper_file: secrets/pepper }\n");
    text
}
