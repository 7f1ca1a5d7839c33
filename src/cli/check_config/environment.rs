//! What is around the daemon: files to read, a folder to write, ports, brokers, Alertmanagers.

use std::{
    ffi::CString,
    fs::File,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    time::Duration,
};

use super::report::{CheckReport, FaultLevel};
use crate::{
    app::parts,
    config::{Config, Examined},
    deliver::alertmanager,
    source::{self, file::FileSettings, kafka},
    telemetry::logs::with_causes,
};

/// How long an Alertmanager may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn check(examined: &Examined, config: &Config, report: &mut CheckReport) -> anyhow::Result<()> {
    for (at, source) in &examined.sources {
        match source {
            source::Settings::File(settings) => files(*at, settings, examined, report),
            source::Settings::Kafka(settings) => topics(*at, settings, examined, report),
            source::Settings::Stdin(_) => {}
        }
    }
    if !examined.aside.contains("state") {
        state(&config.state_dir, examined, report);
    }
    for (field, address) in [("listen", config.listen), ("gateways_listen", config.gateways_listen)] {
        if !examined.aside.contains(field) {
            address_is_free(field, address, examined, report);
        }
    }
    alertmanagers(examined, config, report)?;
    links(examined, config, report);
    Ok(())
}

/// Files come and go: a pattern without one is a warning. What is there has to be readable.
fn files(at: usize, settings: &FileSettings, examined: &Examined, report: &mut CheckReport) {
    for (number, pattern) in settings.paths().iter().enumerate() {
        let field = format!("sources[{at}].file.paths[{number}]");
        let place = examined.place(&format!("sources[{at}]"));
        let Ok(found) = glob::glob(pattern) else { continue };
        let found: Vec<_> = found.flatten().filter(|path| path.is_file()).collect();
        if found.is_empty() {
            let folder = Path::new(pattern).parent().filter(|folder| !folder.as_os_str().is_empty());
            let why = match folder.map(Path::read_dir) {
                Some(Err(error))
                    if !pattern.contains(['*', '?', '[']) || error.kind() != ErrorKind::NotFound =>
                {
                    format!(" ({error})")
                }
                _ => String::new(),
            };
            let message = format!("\"{pattern}\" finds no file{why}; nothing is read until there is one");
            report.add(FaultLevel::Warning, place, &field, message);
        }
        for path in found {
            if let Err(error) = File::open(&path) {
                let message = format!("{} cannot be read: {error}", path.display());
                report.add(FaultLevel::Error, place, &field, message);
            }
        }
    }
}

fn topics(at: usize, settings: &kafka::KafkaSettings, examined: &Examined, report: &mut CheckReport) {
    let mut add = |field: &str, message: String| {
        let field = format!("sources[{at}].kafka.{field}");
        report.add(FaultLevel::Error, examined.place(&field), &field, message);
    };
    if kafka::client::connection(settings).is_err() {
        // Told already: a property names a file or variable that is not there.
        return;
    }
    match kafka::missing_topics(settings) {
        Ok(missing) => missing.iter().for_each(|error| add("topics", error.to_string())),
        Err(error) => add("brokers", error.to_string()),
    }
}

/// The folder of the state, or the one above it in which it will be made.
fn state(dir: &Path, examined: &Examined, report: &mut CheckReport) {
    let mut add = |message: String| {
        report.add(FaultLevel::Error, examined.place("state.dir"), "state.dir", message);
    };
    let Some(there) = dir.ancestors().find(|path| path.exists() || path.as_os_str().is_empty()) else {
        return;
    };
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        add(format!("{} is a file; {} has to be a folder", there.display(), dir.display()));
    } else if let Err(error) = is_writable(there) {
        let whose = if there == dir { "it".to_owned() } else { there.display().to_string() };
        add(format!(
            "{}: {whose} cannot be written: {error}; give it to the user that runs Keyhound",
            dir.display()
        ));
    }
}

/// Whether this process may write there, as the kernel says it.
fn is_writable(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the pointer is that of a string that ends with zero and outlives the call.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A port that is in use may be that of a Keyhound that runs.
fn address_is_free(field: &str, address: SocketAddr, examined: &Examined, report: &mut CheckReport) {
    let Err(error) = TcpListener::bind(address) else { return };
    let place = examined.place(field);
    if error.kind() == ErrorKind::AddrInUse {
        let message =
            format!("{address} is in use; right if this Keyhound runs already, else take another port");
        report.add(FaultLevel::Warning, place, field, message);
    } else {
        report.add(FaultLevel::Error, place, field, format!("{address} cannot be listened on: {error}"));
    }
}

fn alertmanagers(examined: &Examined, config: &Config, report: &mut CheckReport) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (at, peer) in config.alertmanagers.iter().enumerate() {
        let reached =
            runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, alertmanager::reach(peer)).await });
        let why = match reached {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => with_causes(&error.into()),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        let field = format!("alertmanagers[{at}]");
        let message = format!("{}: {why}; no alert would arrive", peer.name());
        report.add(FaultLevel::Error, examined.place(&field), &field, message);
    }
    Ok(())
}

/// Alerts that others read must not lead to their own machines.
fn links(examined: &Examined, config: &Config, report: &mut CheckReport) {
    if let Some(message) = parts::wrong_links(config) {
        report.add(FaultLevel::Warning, examined.place("links"), "links.keyhound", message);
    }
}
