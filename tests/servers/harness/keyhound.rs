//! The program itself, as an operator runs it: a child process with a settings file.

use std::time::Duration;

use keyhound::decode::{Pepper, fingerprint};
use reqwest::Method;

use super::{
    folder::Folder,
    http,
    program::{Program, START_LIMIT, free_port},
};

/// The executable that cargo built for this test run.
pub const EXECUTABLE: &str = env!("CARGO_BIN_EXE_keyhound");

/// The pepper of all runs, as its file holds it.
const PEPPER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

/// The id that every run gives to a raw key.
#[track_caller]
pub fn key_id(raw_key: &str) -> String {
    let pepper = Pepper::new(PEPPER.as_bytes()).expect("long enough");
    fingerprint(&pepper, raw_key.as_bytes()).to_string()
}

/// A running `keyhound run`.
pub struct Keyhound {
    /// `127.0.0.1:port` of metrics and operators.
    pub listen: String,
    /// `127.0.0.1:port` that gateways ask.
    pub gateways_listen: String,
    program: Program,
    folder: Folder,
    settings: String,
}

impl Keyhound {
    /// Starts it with `settings` (YAML), to which free ports, a pepper and a state folder are added, and waits until
    /// it says that it is ready.
    #[track_caller]
    pub fn start(settings: &str) -> Self {
        let folder = Folder::new("keyhound");
        let pepper = folder.write("pepper", PEPPER);
        let [listen, gateways_listen] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let settings = format!(
            "{settings}\nfingerprint: {{ pepper_file: {:?} }}\nstate: {{ dir: {:?} }}\nlisten: {listen}\n\
             gateways_listen: {gateways_listen}\n",
            pepper.display(),
            folder.path().join("state").display(),
        );
        let program = run(&folder, &settings);
        let mut keyhound = Self { listen, gateways_listen, program, folder, settings };
        keyhound.wait_until_ready();
        keyhound
    }

    /// Lets an operator do something with a key: `revoke`, `throttle`, `lift`.
    #[track_caller]
    pub fn command(&self, action: &str, key: &str) {
        let body = serde_json::json!({ "key": key_id(key), "reason": "a test", "by": "tests" }).to_string();
        let url = format!("http://{}/api/v1/decisions/{action}", self.listen);
        let answer = http::request(Method::POST, &url, &[("content-type", "application/json")], &body);
        let answer = answer.unwrap_or_else(|error| panic!("{action}: {error}"));
        assert_eq!(answer.status, 200, "{action}: {}", answer.body);
        assert_eq!(answer.json()["outcome"], "applied", "{action}: {}", answer.body);
    }

    /// Sends it a signal by its name, such as `STOP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    /// Asks it to stop; returns its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.program.signal("TERM");
        self.program.wait_for_end(Duration::from_secs(30))
    }

    /// Kills it as `kill -9` does, and starts it again on what it left, without waiting until it is ready.
    #[track_caller]
    pub fn kill_and_start_again(&mut self) {
        self.program.signal("KILL");
        self.program.wait_for_end(START_LIMIT);
        self.program = run(&self.folder, &self.settings);
    }

    /// The sum of a metric's samples; `None` = there is none.
    #[track_caller]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics();
        let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let values: Vec<f64> = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> String {
        http::get(&format!("http://{}/metrics", self.listen), &[]).body
    }

    /// What it logged so far, in all its lives.
    pub fn log(&self) -> String {
        self.program.output()
    }

    /// Waits until it says that it is ready.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let url = format!("http://{}/readyz", self.listen);
        self.program.wait_until("ready", START_LIMIT, || http::answers_ok(&url));
    }
}

#[track_caller]
fn run(folder: &Folder, settings: &str) -> Program {
    let config = folder.write("keyhound.yaml", settings);
    Program::start("keyhound", EXECUTABLE, ["run", "--config", &config.display().to_string()], folder.path())
}
