//! A script's text to its blocks.

use std::{str::FromStr, time::Duration};

use super::{
    Block, LIMIT_DURATION, LIMIT_EVENTS, START, Script, ScriptError, Traffic,
    lexicon::{self, Word, words},
};
use crate::{
    catalogue::KeyClass,
    detect::count::METHODS,
    event::{Country, EventTime, Method, NetworkType},
    rules::document::did_you_mean,
};

const ATTRIBUTES: [&str; 14] = [
    "class",
    "from",
    "addresses",
    "networks",
    "network_type",
    "method",
    "status",
    "record",
    "route",
    "routes",
    "agent",
    "bytes",
    "latency",
    "poisson",
];

/// Parses a script; the grammar is in `docs/rules.md`.
pub fn parse(text: &str) -> Result<Script, ScriptError> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut start = START;
    let mut events = 0;
    for (index, line) in text.lines().enumerate() {
        let words = words(line, u32::try_from(index + 1).unwrap_or(u32::MAX));
        let Some(first) = words.first() else { continue };
        let beside = first.text == "&";
        let (duration, traffic) = read_line(if beside { &words[1..] } else { &words }, first)?;
        events += traffic.as_ref().map_or(0, expected_events);
        match blocks.last_mut() {
            Some(block) if beside => {
                block.duration = block.duration.max(duration);
                block.lines.extend(traffic);
            }
            None if beside => return Err(first.wrong("the first line cannot begin with \"&\"")),
            _ => blocks.push(Block { start, duration, lines: traffic.into_iter().collect() }),
        }
        if let Some(block) = blocks.last() {
            start = block.start.after(block.duration);
        }
        check_limits(start, events, first)?;
    }
    if blocks.iter().all(|block| block.lines.is_empty()) {
        return Err(ScriptError { line: 1, column: 1, message: "no line has traffic in it".to_owned() });
    }
    Ok(Script { blocks })
}

fn check_limits(end: EventTime, events: u64, at: &Word<'_>) -> Result<(), ScriptError> {
    if end.since(START) > LIMIT_DURATION {
        return Err(at.wrong(format!("the script lasts over {} days", LIMIT_DURATION.as_secs() / 86_400)));
    }
    if events > LIMIT_EVENTS {
        return Err(at.wrong(format!("the script is {events} requests, the limit is {LIMIT_EVENTS}")));
    }
    Ok(())
}

fn expected_events(line: &Traffic) -> u64 {
    let requests = u128::from(line.count) * line.duration.as_millis() / line.per.as_millis().max(1);
    u64::try_from(requests).unwrap_or(u64::MAX)
}

/// A duration with `quiet`, or with a key, a rate and attributes.
fn read_line(words: &[Word<'_>], first: &Word<'_>) -> Result<(Duration, Option<Traffic>), ScriptError> {
    let [duration, rest @ ..] = words else {
        return Err(first.wrong("a line needs a duration, a key and a rate: 2m a 5/min"));
    };
    let length = lexicon::duration(duration.text).ok_or_else(|| {
        duration.wrong(format!("\"{}\" is not a duration; write 20s, 5m, 1h30m or 6d", duration.text))
    })?;
    match rest {
        [quiet] if quiet.text == "quiet" => Ok((length, None)),
        [key, rate, attributes @ ..] => {
            let mut traffic = traffic(length, key, rate)?;
            read_attributes(&mut traffic, attributes)?;
            Ok((length, Some(traffic)))
        }
        _ => Err(duration.wrong("after the duration: a key and a rate (a 5/min), or \"quiet\"")),
    }
}

fn traffic(duration: Duration, key: &Word<'_>, rate: &Word<'_>) -> Result<Traffic, ScriptError> {
    let letter = lexicon::key(key.text)
        .ok_or_else(|| key.wrong(format!("\"{}\" is not a key; write one letter from a to z", key.text)))?;
    let (count, per) = lexicon::rate(rate.text).ok_or_else(|| {
        let message = "is not a rate; write a whole number from 1 to 1000000 and /s, /min, /h or /d";
        rate.wrong(format!("\"{}\" {message}", rate.text))
    })?;
    Ok(Traffic {
        duration,
        key: letter,
        class: None,
        count,
        per,
        country: Country::UNKNOWN,
        asn: 0,
        addresses: 1,
        networks: 1,
        network_type: NetworkType::Unknown,
        method: Method::Get,
        status: 200,
        is_cut: false,
        routes: vec!["/v1/orders/{n}".to_owned()],
        agent: "acme-sdk/4.2".to_owned(),
        response_bytes: 512,
        latency_us: 20_000,
        poisson: None,
    })
}

fn read_attributes(traffic: &mut Traffic, words: &[Word<'_>]) -> Result<(), ScriptError> {
    let mut seen: Vec<&str> = Vec::new();
    let mut routes = 1;
    for pair in words.chunks(2) {
        let name = &pair[0];
        if !ATTRIBUTES.contains(&name.text) {
            let known = did_you_mean(name.text, &ATTRIBUTES);
            return Err(name.wrong(format!("\"{}\" is not an attribute; {known}", name.text)));
        }
        if seen.contains(&name.text) {
            return Err(name.wrong(format!("\"{}\" stands twice", name.text)));
        }
        seen.push(name.text);
        let Some(value) = pair.get(1) else {
            return Err(name.wrong(format!("\"{}\" needs a value", name.text)));
        };
        match name.text {
            "routes" => routes = number(value, 1, 1000)?,
            name => set_attribute(traffic, name, value)?,
        }
    }
    if routes > 1 {
        let route = traffic.routes.concat();
        traffic.routes = (1..=routes).map(|turn| format!("{route}/{turn}")).collect();
    }
    Ok(())
}

fn set_attribute(traffic: &mut Traffic, name: &str, value: &Word<'_>) -> Result<(), ScriptError> {
    match name {
        "from" => {
            (traffic.country, traffic.asn) = lexicon::place(value.text).ok_or_else(|| {
                value.wrong(format!("\"{}\" is not a place; write IE/AS16509 or IE", value.text))
            })?;
        }
        "addresses" => traffic.addresses = number(value, 1, 100_000)?,
        "networks" => traffic.networks = number(value, 1, 10_000)?,
        "status" => traffic.status = number(value, 100, 599)?,
        "record" => {
            let known = ["whole", "cut"];
            let found = known.iter().position(|word| *word == value.text);
            let found = found.ok_or_else(|| {
                let known = did_you_mean(value.text, &known);
                value.wrong(format!("\"{}\" is not how a record can be; {known}", value.text))
            })?;
            traffic.is_cut = found == 1;
        }
        "network_type" => {
            let known = NetworkType::ALL.map(NetworkType::as_str);
            let kind = NetworkType::ALL.into_iter().find(|kind| kind.as_str() == value.text);
            traffic.network_type = kind.ok_or_else(|| {
                let known = did_you_mean(value.text, &known);
                value.wrong(format!("\"{}\" is not a kind of network; {known}", value.text))
            })?;
        }
        "class" => {
            let class = KeyClass::ALL.into_iter().find(|class| class.as_str() == value.text);
            traffic.class = Some(class.ok_or_else(|| {
                let known = did_you_mean(value.text, &KeyClass::ALL.map(KeyClass::as_str));
                value.wrong(format!("\"{}\" is not a class of keys; {known}", value.text))
            })?);
        }
        "method" => {
            let known = METHODS.contains(&value.text).then(|| Method::parse(value.text));
            traffic.method = known.ok_or_else(|| {
                let known = did_you_mean(value.text, &METHODS);
                value.wrong(format!("\"{}\" is not a method; {known}", value.text))
            })?;
        }
        "route" => traffic.routes = vec![value.text.to_owned()],
        "agent" => value.text.clone_into(&mut traffic.agent),
        "bytes" => traffic.response_bytes = number(value, 1, 1_000_000_000)?,
        "latency" => traffic.latency_us = number(value, 1, 600_000)? * 1000,
        _ => traffic.poisson = Some(number(value, 0, u64::MAX)?),
    }
    Ok(())
}

fn number<N>(word: &Word<'_>, least: N, most: N) -> Result<N, ScriptError>
where
    N: FromStr + PartialOrd + Copy + std::fmt::Display,
{
    word.text
        .parse()
        .ok()
        .filter(|value| *value >= least && *value <= most)
        .ok_or_else(|| word.wrong(format!("\"{}\" must be a whole number from {least} to {most}", word.text)))
}
