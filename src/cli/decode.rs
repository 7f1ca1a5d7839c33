//! `keyhound decode`: what each record of a log turns out to be, one line an event or rejection: JSON or columns.
//!
//! Shows nothing that a daemon would not keep: no raw key, no whole address, no query string.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use bumpalo::Bump;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    key_names::NamedKeys,
    output::{Output, say},
    records::{self, Record},
    table::plain,
    text_log::TextLog,
};
use crate::{
    decode::{Decoded, Decoder, KeyPolicy, Request, Settings},
    event::{EventTime, prefix_text},
};

/// Decode a log and print one line for each event or rejection
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  keyhound decode --format nginx --output json access.json\n\nSee docs/formats.md."
)]
pub struct Args {
    /// A preset (kong, envoy, nginx, …), or a YAML file with a mapping.
    #[arg(long, value_name = "NAME|FILE")]
    format: String,
    /// What key ids are made of.
    #[arg(long, value_enum, default_value = "raw")]
    key: Key,
    /// The gateway namespace of kc1_ ids; default: the format's name.
    #[arg(long)]
    namespace: Option<String>,
    #[command(flatten)]
    key_names: NamedKeys,
    /// A network whose X-Forwarded-For is believed; may be given several times.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<IpNet>,
    /// The pepper; without it, key ids hold for this run only.
    #[arg(long, value_name = "FILE")]
    pepper_file: Option<PathBuf>,
    /// How to print: one JSON object a line, or columns.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// The log: a file, plain or gzip, or - for standard input.
    file: PathBuf,
}

/// The key policy, as the command line says it.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Key {
    /// From the raw key in the record.
    Raw,
    /// From the gateway's credential id.
    Credential,
}

impl From<Key> for KeyPolicy {
    fn from(key: Key) -> Self {
        match key {
            Key::Raw => Self::Raw,
            Key::Credential => Self::Credential,
        }
    }
}

/// Runs the command. Rejections are no failure: they are what the command is asked for.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::new(records::format(&args.format)?, args.key.into());
    settings.key_names = args.key_names.over(None);
    settings.client_address.trusted_proxies = args.trusted_proxy;
    if let Some(namespace) = args.namespace {
        settings.namespace = namespace;
    }
    let mut decoder = Decoder::new(&settings.checked()?, &records::pepper(args.pepper_file.as_ref())?)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut arena = Bump::new();
    if args.output == Output::Table {
        writeln!(out, "{}", columns(&HEAD))?;
    }
    let mut is_told = false;
    for record in records::records(&args.file)? {
        arena.reset();
        let record = record?;
        if let Some(text) = TextLog::of(&record.bytes).filter(|_| !is_told) {
            say(format_args!("{}, line {}: {text}", args.file.display(), record.line));
            is_told = true;
        }
        print(&record, &mut decoder, args.output, &arena, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print(
    record: &Record,
    decoder: &mut Decoder,
    output: Output,
    arena: &Bump,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut index = 0;
    let mut result = Ok(());
    decoder.decode(&record.bytes, arena, |decoded| {
        let position = json!({ "line": record.line, "offset": record.offset, "index": index });
        index += 1;
        if result.is_ok() {
            result = match output {
                Output::Json => writeln!(out, "{}", line(&decoded, &position)),
                Output::Table => writeln!(out, "{}", row(record.line, &decoded)),
            };
        }
    });
    result
}

const HEAD: [&str; 8] = ["LINE", "TIME", "KEY", "METHOD", "STATUS", "CLIENT", "ROUTE", "AGENT"];

/// One line of columns. They are as wide as what they usually hold: nothing is known yet of the lines to come.
fn columns(cells: &[&str; 8]) -> String {
    let [line, time, key, method, status, client, route, agent] = cells;
    let text =
        format!("{line:<7} {time:<24} {key:<36} {method:<7} {status:<6} {client:<20} {route:<32} {agent}");
    plain(text.trim_end())
}

fn row(number: u64, decoded: &Decoded<'_>) -> String {
    let number = number.to_string();
    match decoded {
        Decoded::Request(Request { event, .. }) => columns(&[
            &number,
            &event.time.rfc3339(),
            &event.key.to_string(),
            event.method.as_str(),
            &event.status.map_or("-".to_owned(), |status| status.to_string()),
            &prefix_text(event.address.prefix),
            event.route.text,
            event.agent.text,
        ]),
        Decoded::Anonymous(_) => format!("{number:<7} a request without a key"),
        Decoded::Rejected { reason, .. } => format!("{number:<7} rejected: {}", reason.as_str()),
    }
}

fn line(decoded: &Decoded<'_>, position: &Value) -> Value {
    match decoded {
        Decoded::Request(request) => event(request, position),
        Decoded::Anonymous(_) => json!({ "position": position, "anonymous": true }),
        Decoded::Rejected { reason, key, time } => json!({
            "position": position,
            "rejected": reason.as_str(),
            "key": key.map(|key| key.to_string()),
            "time": time.map(EventTime::rfc3339_millis),
        }),
    }
}

fn event(Request { event, .. }: &Request<'_>, position: &Value) -> Value {
    let time = i64::try_from(event.time.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let flags: Vec<&str> = event.flags.names().collect();
    json!({
        "position": position,
        "time": time.map(|time| time.to_string()),
        "key": event.key.to_string(),
        "alias": event.alias.map(|alias| alias.to_string()),
        "method": event.method.as_str(),
        "route": event.route.text,
        "status": event.status,
        "refused_by": refused_by(event.refusal),
        "agent": event.agent.text,
        "client": prefix_text(event.address.prefix),
        "request_bytes": event.request_bytes,
        "response_bytes": event.response_bytes,
        "latency_us": event.latency_us,
        "gateway": event.handles.gateway,
        "consumer": event.handles.consumer,
        "credential": event.handles.credential,
        "flags": flags,
    })
}

fn refused_by(refusal: crate::event::Refusal) -> Option<&'static str> {
    use crate::event::Refusal;
    match refusal {
        Refusal::None => None,
        Refusal::Upstream => Some("upstream"),
        Refusal::Gateway => Some("gateway"),
        Refusal::Ours => Some("keyhound"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Format, Pepper};

    const LINES: [&str; 3] = [
        r#"{"msec":"1795327660.839","remote_addr":"203.0.113.7","api_key":"canary-key","method":"GET","uri":"/v1/orders","status":"200","ua":"acme-sdk/4.2"}"#,
        r#"{"msec":"1795327660.839","remote_addr":"203.0.113.7","method":"GET","uri":"/","status":"200"}"#,
        r#"{"msec":"#,
    ];

    fn printed(output: Output) -> String {
        let settings = Settings::new(Format::preset("nginx").unwrap(), KeyPolicy::Raw);
        let pepper = Pepper::new(&[7; 32]).unwrap();
        let mut decoder = Decoder::new(&settings, &pepper).unwrap();
        let mut out = Vec::new();
        for (line, text) in (1..).zip(LINES) {
            let record = Record { offset: line * 100, line, bytes: text.as_bytes().to_vec() };
            print(&record, &mut decoder, output, &Bump::new(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_record_is_one_line_of_json() {
        insta::assert_snapshot!(printed(Output::Json));
    }

    #[test]
    fn each_record_is_one_row() {
        insta::assert_snapshot!(format!("{}\n{}", columns(&HEAD), printed(Output::Table)));
    }
}
