//! Finds what the core must not know: tokio, Kafka, files, sockets, clocks, the system's randomness, logs.

use crate::source::Source;

/// What may not stand in the shipped code of a core module, and why one would be tempted.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "no runtime in the core"),
    ("rdkafka", "no Kafka in the core"),
    ("reqwest", "no network in the core"),
    ("axum", "no network in the core"),
    ("hyper", "no network in the core"),
    ("tonic", "no network in the core"),
    ("rusqlite", "no database in the core"),
    ("std::fs", "bytes are given, not read from a file"),
    ("File::open", "bytes are given, not read from a file"),
    ("std::net::Tcp", "no sockets in the core"),
    ("std::net::Udp", "no sockets in the core"),
    ("std::os", "no operating system in the core"),
    ("std::env", "no environment in the core"),
    ("std::process", "no processes in the core"),
    ("std::thread", "one thread owns a partition, and it is the slot's"),
    ("thread::spawn", "one thread owns a partition, and it is the slot's"),
    ("SystemTime", "time is event time and comes with the input"),
    ("Instant::now", "time is event time and comes with the input"),
    ("std::time::Instant", "time is event time and comes with the input"),
    ("Timestamp::now", "time is event time and comes with the input"),
    ("Zoned::now", "time is event time and comes with the input"),
    ("thread_rng", "randomness comes from a seed that is given"),
    ("rand::rng(", "randomness comes from a seed that is given"),
    ("rand::random", "randomness comes from a seed that is given"),
    ("OsRng", "randomness comes from a seed that is given"),
    ("from_os_rng", "randomness comes from a seed that is given"),
    ("from_entropy", "randomness comes from a seed that is given"),
    ("RandomState", "hashing with a random seed makes orders that differ from run to run"),
    ("tracing", "what is worth telling is an effect or a counter"),
    ("log::", "what is worth telling is an effect or a counter"),
    ("println!", "what is worth telling is an effect or a counter"),
    ("eprintln!", "what is worth telling is an effect or a counter"),
    ("dbg!", "what is worth telling is an effect or a counter"),
];

/// Where one of them is right all the same: (file, word, reason).
const ACCEPTED: &[(&str, &str, &str)] = &[(
    "src/rules/condition.rs",
    "std::thread",
    "the CEL compiler recurses: it gets a large stack for a moment, and is waited for; nothing depends on timing",
)];

/// The forbidden words in what `source` ships, as `file:line: word (why)`.
pub fn impurities(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in source.shipped.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            let accepted =
                ACCEPTED.iter().any(|(path, accepted, _)| *path == source.path && accepted == word);
            if !accepted && contains_word(line, word) {
                found.push(format!("{}:{}: {word} ({why})", source.path, index + 1));
            }
        }
    }
    found.extend(groups_of_std(&source.shipped).map(|word| format!("{}: use std::{{{word}}}", source.path)));
    found
}

/// Whether `word` stands in `line` and is not the tail of a longer name: `catalog::` is not `log::`.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Modules of the outside world in a group: `use std::{fs, …}`.
fn groups_of_std(code: &str) -> impl Iterator<Item = &'static str> {
    let groups: Vec<&str> =
        code.split("use std::{").skip(1).filter_map(|rest| rest.split(';').next()).collect();
    ["fs", "os", "env", "process", "thread"].into_iter().filter(move |module| {
        let named = |name: &str| name.trim().split("::").next().is_some_and(|first| first.trim() == *module);
        groups.iter().any(|group| group.trim_end().trim_end_matches('}').split([',', '{', '}']).any(named))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::blank_comments_and_strings;

    #[track_caller]
    fn check(code: &str, expected: usize) {
        let code = blank_comments_and_strings(code);
        let (path, module) = ("src/event.rs".to_owned(), "event".to_owned());
        let source = Source { path, module, depth: 1, text: code.clone(), shipped: code.clone(), code };
        let found = impurities(&source);
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn clocks_files_and_logs_are_found() {
        check("let now = std::time::SystemTime::now();", 1);
        check("use std::{collections::HashMap, fs, io};", 1);
        check("tracing::info!(x);", 1);
        check("std::fs::read(p)?;", 1);
    }

    #[test]
    fn durations_addresses_and_like_names_are_not() {
        check("use std::{net::IpAddr, time::Duration};", 0);
        check("use crate::catalogue; catalog::entry(); // SystemTime", 0);
    }
}
