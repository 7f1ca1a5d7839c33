//! What is around the daemon: files to read, a folder to write, ports, brokers, Alertmanagers.

use std::{
    ffi::CString,
    fs::File,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::output::say,
    report::{CheckReport, FaultLevel},
};
use crate::{
    app::parts,
    config::{Config, Examined},
    deliver::alertmanager,
    source::{self, file::FileSettings, kafka},
    telemetry::logs::with_causes,
};

/// How long an Alertmanager may take to answer. Brokers may take 10 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// After how long it is told what has not answered yet.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// What is wrong: the field, and a message.
type Wrong = (String, String);

/// Something on the network that is asked: what it is called, and the asking.
type Question<'a> = (String, Box<dyn FnOnce() -> Vec<Wrong> + Send + 'a>);

pub(super) fn check(examined: &Examined, config: &Config, report: &mut CheckReport) {
    let mut questions: Vec<Question<'_>> = Vec::new();
    for (at, source) in &examined.sources {
        match source {
            source::Settings::File(settings) => files(*at, settings, examined, report),
            source::Settings::Kafka(settings) => {
                let brokers = format!("brokers {} (sources[{at}])", settings.brokers().join(", "));
                questions.push((brokers, Box::new(|| topics(*at, settings))));
            }
            source::Settings::Stdin(_) => {}
        }
    }
    for (at, peer) in config.alertmanagers.iter().enumerate() {
        let name = format!("{} (alertmanagers[{at}])", peer.name());
        questions.push((name, Box::new(move || alertmanager(at, peer))));
    }
    if !examined.aside.contains("state") {
        state(&config.state_dir, examined, report);
    }
    for (field, address) in [("listen", config.listen), ("gateways_listen", config.gateways_listen)] {
        if !examined.aside.contains(field) {
            address_is_free(field, address, examined, report);
        }
    }
    for (field, message) in ask_all(questions, |waiting| say(waiting)) {
        report.add(FaultLevel::Error, examined.place(&field), &field, message);
    }
    links(examined, config, report);
}

/// Asks all at once, so that many that do not answer take no longer than one. Tells what is waited for.
fn ask_all(questions: Vec<Question<'_>>, tell: impl Fn(&str)) -> Vec<Wrong> {
    let (answered, answers) = mpsc::channel();
    let mut open: Vec<Option<String>> = questions.iter().map(|(name, _)| Some(name.clone())).collect();
    let mut wrong: Vec<Vec<Wrong>> = vec![Vec::new(); questions.len()];
    thread::scope(|scope| {
        for (number, (_, ask)) in questions.into_iter().enumerate() {
            let answered = answered.clone();
            scope.spawn(move || answered.send((number, ask())));
        }
        drop(answered);
        let started = Instant::now();
        let mut left = Some(TELL_AFTER);
        loop {
            match answers.recv_timeout(left.unwrap_or(Duration::MAX)) {
                Ok((number, found)) => (open[number], wrong[number]) = (None, found),
                Err(RecvTimeoutError::Timeout) => {
                    let names: Vec<&str> = open.iter().flatten().map(String::as_str).collect();
                    tell(&format!("waiting at most 10 s for an answer of {}", names.join("; ")));
                    left = None;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            left = left.map(|_| TELL_AFTER.saturating_sub(started.elapsed()));
        }
    });
    wrong.into_iter().flatten().collect()
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

fn topics(at: usize, settings: &kafka::KafkaSettings) -> Vec<Wrong> {
    if kafka::client::connection(settings).is_err() {
        // Told already: a property names a file or variable that is not there.
        return Vec::new();
    }
    let wrong = |field: &str, message: String| (format!("sources[{at}].kafka.{field}"), message);
    match kafka::missing_topics(settings) {
        Ok(missing) => missing.iter().map(|error| wrong("topics", error.to_string())).collect(),
        Err(error) => vec![wrong("brokers", error.to_string())],
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

fn alertmanager(at: usize, peer: &alertmanager::Peer) -> Vec<Wrong> {
    let wrong = |why: String| {
        vec![(format!("alertmanagers[{at}]"), format!("{}: {why}; no alert would arrive", peer.name()))]
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return wrong(format!("cannot be asked: {error}")),
    };
    let reached =
        runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, alertmanager::reach(peer)).await });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    match reached {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(error)) => wrong(with_causes(&error.into())),
        Err(_) => wrong(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

/// Alerts that others read must not lead to their own machines.
fn links(examined: &Examined, config: &Config, report: &mut CheckReport) {
    if let Some(message) = parts::wrong_links(config) {
        report.add(FaultLevel::Warning, examined.place("links"), "links.keyhound", message);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn all_are_asked_at_once_and_those_that_do_not_answer_are_told() {
        // Two that answer once both are asked and somebody was told that they are waited for.
        let barrier = Barrier::new(3);
        let silent = |name: &str| -> Question<'_> {
            let field = name.to_owned();
            let ask = || {
                barrier.wait();
                vec![(field, "no answer".to_owned())]
            };
            (name.to_owned(), Box::new(ask))
        };
        let quick: Question<'_> = ("quick".to_owned(), Box::new(Vec::new));
        let told = Mutex::new(Vec::new());
        let wrong = ask_all(vec![silent("a"), quick, silent("b")], |waiting| {
            told.lock().unwrap().push(waiting.to_owned());
            barrier.wait();
        });
        let fields: Vec<_> = wrong.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["a", "b"]);
        assert_eq!(*told.lock().unwrap(), ["waiting at most 10 s for an answer of a; b"]);
        assert_eq!(ask_all(Vec::new(), |_| panic!("nobody is waited for")), []);
    }
}
