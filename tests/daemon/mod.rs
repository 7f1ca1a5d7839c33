//! `keyhound run` on files, for tests that need no other server: settings, a child process, and what it leaves.
//!
//! Each test binary uses a part of this, so what one leaves out is no dead code.
#![allow(dead_code)]

pub mod http;
mod ports;

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What every run makes key ids with.
pub const PEPPER: &[u8] = b"0123456789abcdef0123456789abcdef";

/// How long a run may take on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(3);

/// A folder with the settings and the input of a daemon. Removed when dropped.
pub struct Site {
    folder: tempfile::TempDir,
    pub listen: String,
    pub gateways_listen: String,
}

/// One source: the name of its file in the folder, and its `format` and `key`.
#[derive(Clone, Copy)]
pub struct FileSource<'a> {
    pub name: &'a str,
    pub format: &'a str,
    pub key: &'a str,
}

impl Site {
    /// Writes the settings; the sources' files are to be written by the caller. `follow` waits for more at their end.
    pub fn new(sources: &[FileSource<'_>], follow: bool, more: &str) -> Self {
        Self::with_state(sources, follow, "", more)
    }

    /// The same with more fields of the section `state`: `memory_max: 64MiB`.
    pub fn with_state(sources: &[FileSource<'_>], follow: bool, state: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [listen, gateways_listen] = [(); 2].map(|()| format!("127.0.0.1:{}", ports::free_port()));
        let site = Self { folder, listen, gateways_listen };
        fs::write(site.path("pepper"), PEPPER).expect("written");
        let mut text = String::from("sources:\n");
        for FileSource { name, format, key } in sources {
            let path = site.path(name);
            let _ = writeln!(
                text,
                "- file: {{ paths: [{path:?}], follow: {follow} }}\n  format: {format}\n  key: {key}\n  \
                 namespace: {}",
                name.replace(['.', '*'], "-")
            );
        }
        let _ = write!(
            text,
            "fingerprint: {{ pepper_file: {:?} }}\nstate: {{ dir: {:?}, {state} }}\nlisten: {}\ngateways_listen: {}\n{more}\n",
            site.path("pepper"),
            site.path("state"),
            site.listen,
            site.gateways_listen
        );
        fs::write(site.path("keyhound.yaml"), text).expect("written");
        site
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The sum of a metric's samples; `None` = there are none, or nobody answers.
    pub fn metric(&self, name: &str) -> Option<u64> {
        sum(&http::get(&self.listen, "/metrics")?, name, &[])
    }

    /// All incidents, as `keyhound incidents list` prints them.
    pub fn incidents(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_keyhound"))
            .args(["incidents", "--url", &format!("http://{}", self.listen), "list", "--state", "all"])
            .output()
            .expect("the command runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts the daemon; what it says is appended to `out` and `err` in the folder.
    pub fn start(&self, environment: &[(&str, &str)]) -> Daemon {
        let open = |name| File::options().create(true).append(true).open(self.path(name)).expect("opened");
        Daemon::start(
            Command::new(env!("CARGO_BIN_EXE_keyhound"))
                .args(["run", "--config"])
                .arg(self.path("keyhound.yaml"))
                .current_dir(self.folder.path())
                .envs(environment.iter().copied())
                .stdin(Stdio::null())
                .stdout(open("out"))
                .stderr(open("err")),
        )
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("err")).unwrap_or_default()).into_owned()
    }

    /// Its last words, for messages of failed tests.
    pub fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Every file below the folder, for those who look for what must not be there.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder can be listed").flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// A running daemon, killed when dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    pub fn start(command: &mut Command) -> Self {
        Self { child: command.spawn().expect("the daemon can be started") }
    }

    /// Waits for its end, at most `limit`; `None` = it still runs.
    pub fn end_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for") {
                return Some(status);
            }
            if started.elapsed() >= limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its standard input, if that is a pipe that nobody has taken.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `HUP`. One that has ended already gets none.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.is_ok(), "kill could not be started");
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks it to stop, and waits for that.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.end_within(LIMIT).expect("it stops when it is asked to")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum of a metric's samples whose labels hold all of `labels`; `None` = there are none.
pub fn sum(metrics: &str, name: &str, labels: &[&str]) -> Option<u64> {
    let samples = metrics.lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    let values: Option<Vec<u64>> = samples.map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum())
}

/// Whether a file holds a text.
pub fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    memchr::memmem::find(&bytes, text.as_bytes()).is_some()
}
