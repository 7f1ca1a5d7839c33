//! The settings file: whatever is written in it, it is valid or the fault is told with its place.
//!
//! What is valid stays so when it is printed as the settings in force, and its formats compile. No message shows a value
//! of the environment.

use keyhound::{
    config::{Config, Overrides, effective},
    decode::{Decoder, Fingerprinter, Pepper},
};

use super::seeds;

/// What every variable of the environment holds.
const VALUE: &str = "hunter2-CANARY-4711";
const FILE: &str = "keyhound.yaml";

/// The example, the one of the tests, and one with a mapping of one's own.
pub fn seeds() -> Vec<Vec<u8>> {
    let example = seeds::read("examples/keyhound.yaml");
    let plain: Vec<&str> = example.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let commented = example.replace("\n# ", "\n").replace("      # ", "      ");
    let short = "sources:\n- { stdin: {}, format: nginx, key: raw }\nfingerprint: { pepper_file: p }\n";
    let own = "sources:\n- file: { paths: [a] }\n  key: credential\n  namespace: x\n  format:\n    time: { at: [t], unit: s }\n\
               \x20   status: [s]\n    key: { headers_at: [h] }\nfingerprint: { pepper_file: ${P} }\nlisten: ${L:-127.0.0.1:1}\n";
    let mut seeds: Vec<Vec<u8>> =
        [example.clone(), plain.join("\n"), commented, short.to_owned(), own.to_owned()]
            .map(String::into_bytes)
            .into();
    seeds.extend(seeds::read_all("src/decode/presets", "yaml").into_iter().map(|mapping| {
        let lines: String = mapping.lines().map(|line| format!("    {line}\n")).collect();
        format!("sources:\n- stdin: {{}}\n  key: raw\n  format:\n{lines}fingerprint: {{ pepper_file: p }}\n")
            .into_bytes()
    }));
    seeds
}

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let environment = |name: &str| (name != "UNSET").then(|| VALUE.to_owned());
    let overrides = Overrides::default();
    match Config::parse(FILE, text, &overrides, &environment) {
        Err(problems) => told(&problems.to_string(), FILE, text, Some(VALUE)),
        Ok(config) => {
            let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
            for source in &config.sources {
                let fingerprinter = Fingerprinter::with_entries(&pepper, 1);
                let decoder = Decoder::with_fingerprinter(&source.decode, fingerprinter);
                assert!(decoder.is_ok(), "{:?}", decoder.err());
            }
            assert!(!config.sources.is_empty() && (1..=1024).contains(&config.partitions));
            let printed =
                effective(FILE, text, &overrides, &environment).expect("valid settings can be printed");
            if let Err(problems) = Config::parse(FILE, &printed, &overrides, &environment) {
                panic!("what is printed is not valid: {problems}\n{printed}");
            }
        }
    }
}

/// Every line of a message names the file and a line that it has, and says something.
pub fn told(message: &str, file: &str, text: &str, secret: Option<&str>) {
    assert!(!message.is_empty(), "an error that says nothing");
    assert!(secret.is_none_or(|secret| !message.contains(secret)), "{message}");
    // The last line may be behind the last line break, and a file that ends early is told behind its end.
    let most = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
    for told in message.lines().filter(|line| line.starts_with(file)) {
        let rest = told[file.len()..].strip_prefix(':').unwrap_or_else(|| panic!("no place: {told}"));
        let line = rest.split(':').next().and_then(|line| line.parse::<usize>().ok());
        assert!(line.is_some_and(|line| (1..=most).contains(&line)), "line {line:?} of {most}: {told}");
    }
    assert!(message.starts_with(file), "the file is not named: {message}");
}
