//! `keyhound inspect`: what Keyhound makes of a log, and with which settings to start.
//!
//! Tries each preset on a sample, keeps the best, and shows which facts it finds, how many keys, and why records
//! were rejected. Shows counts and positions only: no raw key, no address.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::bail;
use bumpalo::Bump;

use super::records::{self, Record};
use crate::{
    decode::{
        Coverage, Decoded, Decoder, Fingerprinter, Format, KeyPolicy, Pepper, Reject, Settings, Slot, presets,
    },
    event::{Flags, KeyId},
};

/// How many records the presets are tried on.
const TRIAL_RECORDS: usize = 200;
/// Positions shown for each reason of rejection.
const EXAMPLES: usize = 3;
const CACHE_ENTRIES: usize = 1 << 12;

/// Guess a log's format; show what is in it and a configuration to start with.
#[derive(clap::Args)]
pub struct Args {
    /// The format, where the guess is not wanted: a preset or a YAML file with a mapping.
    #[arg(long, value_name = "NAME|FILE")]
    format: Option<String>,
    /// How many records to look at.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    records: u32,
    /// The log: a file, plain or gzip, or - for standard input.
    file: PathBuf,
}

/// Runs the command. It fails if nothing could be read as a request.
#[allow(clippy::needless_pass_by_value)] // the form that every command has
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let args = &args;
    let sample: Vec<Record> =
        records::records(&args.file)?.take(args.records as usize).collect::<anyhow::Result<_>>()?;
    if sample.is_empty() {
        bail!("{} has no records", args.file.display());
    }
    let pepper = records::pepper(None)?;
    let format = match &args.format {
        Some(name) => records::format(name)?,
        None => guess(&sample, &pepper)?,
    };
    let raw = Survey::of(&sample, &format, KeyPolicy::Raw, &pepper)?;
    let credential = Survey::of(&sample, &format, KeyPolicy::Credential, &pepper)?;
    // A credential id is preferred: it is there only for keys that the gateway knows, and is no secret.
    let (policy, best) = if credential.requests > 0 && credential.requests * 2 >= raw.requests {
        ("credential", &credential)
    } else {
        ("raw", &raw)
    };
    print!("{}", report(args, &format, &sample, policy, best, &raw));
    Ok(if best.requests + best.anonymous == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The preset that reads the most records, and of those the one that finds the most facts in them.
fn guess(sample: &[Record], pepper: &Pepper) -> anyhow::Result<Format> {
    let trial = &sample[..sample.len().min(TRIAL_RECORDS)];
    let mut best: Option<(u64, u64, Format)> = None;
    for name in presets::names() {
        let Some(format) = Format::preset(name) else { continue };
        let survey = Survey::of(trial, &format, KeyPolicy::Raw, pepper)?;
        let facts = Slot::ALL.iter().map(|slot| survey.coverage.seen(*slot)).sum();
        let read = survey.requests + survey.anonymous;
        if best.as_ref().is_none_or(|(most, most_facts, _)| (read, facts) > (*most, *most_facts)) {
            best = Some((read, facts, format));
        }
    }
    match best {
        Some((read, _, format)) if read > 0 => Ok(format),
        _ => bail!(
            "no preset reads any of the first {} records; write a mapping: docs/formats.md",
            trial.len()
        ),
    }
}

/// What one way of decoding makes of the sample.
#[derive(Default)]
struct Survey {
    requests: u64,
    anonymous: u64,
    clear_keys: u64,
    keys_in_query: u64,
    keys: HashSet<KeyId>,
    private_clients: u64,
    clients: u64,
    rejected: BTreeMap<Reject, (u64, Vec<u64>)>,
    coverage: Coverage,
}

impl Survey {
    fn of(sample: &[Record], format: &Format, policy: KeyPolicy, pepper: &Pepper) -> anyhow::Result<Self> {
        let settings = Settings::new(format.clone(), policy);
        let fingerprinter = Fingerprinter::with_entries(pepper, CACHE_ENTRIES);
        let mut decoder = Decoder::with_fingerprinter(&settings, fingerprinter)?.counting_coverage();
        let mut survey = Self::default();
        let mut arena = Bump::new();
        for record in sample {
            arena.reset();
            decoder.decode(&record.bytes, &arena, |decoded| survey.count(&decoded, record.offset));
        }
        survey.coverage = decoder.coverage().cloned().unwrap_or_default();
        Ok(survey)
    }

    fn count(&mut self, decoded: &Decoded<'_>, offset: u64) {
        match decoded {
            Decoded::Request(request) => {
                self.requests += 1;
                self.keys.insert(request.event.key);
                self.clear_keys += u64::from(request.event.flags.has(Flags::CLEAR_KEY));
                self.keys_in_query += u64::from(request.event.flags.has(Flags::KEY_IN_QUERY));
                self.clients += u64::from(request.client.is_some());
                self.private_clients += u64::from(request.client.is_some_and(is_private));
            }
            Decoded::Anonymous => self.anonymous += 1,
            Decoded::Rejected(reason) => {
                let (count, examples) = self.rejected.entry(*reason).or_default();
                *count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(offset);
                }
            }
        }
    }

    /// Whether the socket's peers look like proxies: inside, and speaking for others.
    fn is_behind_proxies(&self) -> bool {
        let forwarded = self.coverage.seen(Slot::ForwardedFor);
        self.clients > 0 && self.private_clients * 10 >= self.clients * 9 && forwarded * 2 >= self.clients
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}

fn report(
    args: &Args,
    format: &Format,
    sample: &[Record],
    policy: &str,
    best: &Survey,
    raw: &Survey,
) -> String {
    let mut text = String::new();
    let guessed = if args.format.is_some() { "given" } else { "guessed" };
    let read = best.requests + best.anonymous;
    let rejected: u64 = best.rejected.values().map(|(count, _)| count).sum();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "format     {} ({guessed})", format.name());
    let _ = writeln!(text, "records    {} lines, {read} requests, {rejected} rejected", sample.len());
    let _ = writeln!(
        text,
        "keys       {} distinct by {policy}; {} requests with, {} without",
        best.keys.len(),
        best.requests,
        best.anonymous
    );
    if raw.clear_keys > 0 {
        let _ = writeln!(
            text,
            "WARNING    {} requests show their raw key in clear, {} of them in the query string: log a credential id",
            raw.clear_keys, raw.keys_in_query
        );
    }
    text.push_str("\nfact            in requests\n");
    for slot in Slot::ALL {
        let seen = best.coverage.seen(slot);
        if seen > 0 || is_wanted(slot) {
            let _ = writeln!(text, "{:<15} {:>5}", slot.as_str(), percent(seen, best.coverage.requests()));
        }
    }
    if !best.rejected.is_empty() {
        text.push_str("\nrejected        count  first at byte\n");
        for (reason, (count, examples)) in &best.rejected {
            let at: Vec<String> = examples.iter().map(u64::to_string).collect();
            let _ = writeln!(text, "{:<15} {count:>5}  {}", reason.as_str(), at.join(", "));
        }
    }
    text.push_str(&config(args, format, policy, best));
    text
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

fn percent(part: u64, whole: u64) -> String {
    (part * 100).checked_div(whole).map_or_else(|| "-".to_owned(), |share| format!("{share} %"))
}

fn config(args: &Args, format: &Format, policy: &str, best: &Survey) -> String {
    let format = args.format.as_deref().unwrap_or(format.name());
    let source = if args.file == Path::new("-") {
        "stdin: {}".to_owned()
    } else {
        // JSON quoting is YAML's double-quoted style, whatever is in the path.
        let path = serde_json::Value::String(args.file.display().to_string());
        format!("file: {{ paths: [{path}], start: beginning }}")
    };
    let mut text = format!("\nsources:\n  - {source}\n    format: {format}\n    key: {policy}\n");
    if best.is_behind_proxies() {
        text.push_str(
            "    # Most peers are inside and forward for others: name the networks of your proxies.\n",
        );
        text.push_str(
            "    client_address: { trusted_proxies: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16] }\n",
        );
    }
    text.push_str("fingerprint: { pepper_file: secrets/pepper }\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(lines: &[&str]) -> Vec<Record> {
        let record =
            |(line, text): (u64, &&str)| Record { offset: line * 100, line, bytes: text.as_bytes().to_vec() };
        (1..).zip(lines).map(record).collect()
    }

    #[track_caller]
    fn check_guess(line: &str, expected: &str) {
        let pepper = records::pepper(None).unwrap();
        assert_eq!(guess(&sample(&[line]), &pepper).unwrap().name(), expected);
    }

    #[test]
    fn each_presets_own_golden_record_is_guessed() {
        for name in presets::names() {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.jsonl"));
            let text = std::fs::read_to_string(golden).unwrap();
            check_guess(text.lines().find(|line| !line.starts_with('#')).unwrap(), name);
        }
    }

    #[test]
    fn a_report_has_positions_and_no_key() {
        let lines = [
            r#"{"msec":"1795327660.839","remote_addr":"10.0.0.1","xff":"203.0.113.7","api_key":"canary-key","method":"GET","uri":"/v1/canary-key","status":"200","ua":"canary-key"}"#,
            r#"{"msec":"1795327660.839","#,
        ];
        let (pepper, format) = (records::pepper(None).unwrap(), Format::preset("nginx").unwrap());
        let survey = Survey::of(&sample(&lines), &format, KeyPolicy::Raw, &pepper).unwrap();
        let args = Args { format: None, records: 10, file: PathBuf::from("access.json") };
        let text = report(&args, &format, &sample(&lines), "raw", &survey, &survey);
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("truncated           1  200"), "{text}");
        assert!(text.contains("trusted_proxies"), "{text}");
        assert!(text.contains("1 distinct by raw"), "{text}");
    }
}
