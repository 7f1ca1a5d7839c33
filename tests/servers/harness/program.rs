//! A program under test: started, watched until it is ready, killed when dropped.
//!
//! Its output goes to one file in its folder. Every child dies with the test process, even where that is killed:
//! `setpriv --pdeathsig` asks the kernel for it. The kernel sends that signal when the *thread* that started the
//! child ends, and test threads come and go, so one thread that never ends starts them all.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

#[path = "../../daemon/ports.rs"]
mod ports;

pub use ports::free_port;

/// How long a server may take to come up on a busy machine of two cores.
pub const START_LIMIT: Duration = Duration::from_mins(3);

/// Pause between two looks at something that takes time.
const LOOK: Duration = Duration::from_millis(20);

/// A running child process.
pub struct Program {
    name: &'static str,
    child: Child,
    output: PathBuf,
}

impl Program {
    /// Starts `path` with `args` in `folder`; standard output and error go to `folder/NAME.out`.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(
        name: &'static str,
        path: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        folder: &Path,
    ) -> Self {
        Self::start_with(name, path, args, folder, &[])
    }

    /// Like [`Program::start`], with environment variables.
    #[track_caller]
    pub fn start_with<A: AsRef<OsStr>>(
        name: &'static str,
        path: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        let output = folder.join(format!("{name}.out"));
        let file =
            File::options().create(true).append(true).open(&output).expect("the output file can be made");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(path).args(args);
        command.current_dir(folder).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = spawn(command).unwrap_or_else(|error| panic!("{name} could not be started: {error}"));
        Self { name, child, output }
    }

    /// The process id. `setpriv` replaces itself by the program, so this is the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the program wrote so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output_bytes()).into_owned()
    }

    /// The same as bytes.
    pub fn output_bytes(&self) -> Vec<u8> {
        fs::read(&self.output).unwrap_or_default()
    }

    /// Waits until `ready`, at most `limit`; fails the test with the program's last words if it ends or is late.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for") {
                panic!("{} ended ({status}) before {what}:\n{}", self.name, self.last_words());
            }
            assert!(
                started.elapsed() < limit,
                "{}: not {what} after {limit:?}:\n{}",
                self.name,
                self.last_words()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until something accepts connections on `port`.
    #[track_caller]
    pub fn wait_for_port(&mut self, port: u16) {
        self.wait_until("listening", START_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    /// Sends a signal by its name, such as `TERM`, `HUP`, `STOP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{} could not be sent SIG{name}", self.name);
        if name == "STOP" {
            // Its threads stop one after the other; until the last has, one may still answer.
            eventually("its threads stand still", Duration::from_secs(30), || {
                self.stands_still().then_some(())
            });
        }
    }

    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it has threads");
        tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
        })
    }

    /// Waits until the program has ended by itself, at most `limit`; returns its exit code, if it had one.
    #[track_caller]
    pub fn wait_for_end(&mut self, limit: Duration) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for") {
                return status.code();
            }
            assert!(
                started.elapsed() < limit,
                "{} still runs after {limit:?}:\n{}",
                self.name,
                self.last_words()
            );
            std::thread::sleep(LOOK);
        }
    }

    fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `ready` gives a value, at most `limit`.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < limit, "not {what} after {limit:?}");
        std::thread::sleep(LOOK);
    }
}

/// The folder that `tests/install/run` fills.
pub fn cache() -> PathBuf {
    std::env::var_os("KEYHOUND_TEST_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"), PathBuf::from)
}

/// Where an installed daemon is: `sbin` is often not in a user's PATH.
pub fn installed(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{program} is not installed: tests/install/run all"))
}

/// Where `tests/install/gateways.sh` puts the executable of a gateway that Debian does not package.
pub fn fetched(program: &str) -> PathBuf {
    let path = cache().join("gateways-1.40.0-3.7.15-2.11.7").join(program);
    assert!(path.exists(), "{} is missing: tests/install/run gateways", path.display());
    path
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, answered) = mpsc::channel();
    starter.send((command, answer)).map_err(io::Error::other)?;
    answered.recv().map_err(io::Error::other)?
}
