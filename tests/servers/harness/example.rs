//! A gateway run with its complete configuration from `examples/gateways/`, on ports of the test's own.

use std::{fs, path::Path};

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, START_LIMIT, eventually, fetched, free_port, installed},
};

/// Which example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Nginx,
    Envoy,
    EnvoyGrpc,
    Caddy,
    Traefik,
}

impl Of {
    const fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Envoy => "envoy.yaml",
            Self::EnvoyGrpc => "envoy-grpc.yaml",
            Self::Caddy => "Caddyfile",
            Self::Traefik => "traefik.yaml",
        }
    }

    /// The example, told to wait for an answer as long as a test does: on a busy machine one comes late.
    fn patient(self, text: String) -> String {
        let hasty: &[&str] = match self {
            Self::Nginx | Self::Caddy | Self::Traefik => &["100ms", "200ms"],
            Self::Envoy | Self::EnvoyGrpc => &["0.1s", "0.2s"],
        };
        hasty.iter().fold(text, |text, timeout| {
            assert!(text.contains(timeout), "the example has no timeout of {timeout}");
            text.replace(timeout, "10s")
        })
    }

    /// What the example says to do to fail closed: a text in it, and what to write instead.
    fn closed(self, text: &str) -> String {
        let (open, closed) = match self {
            Self::Nginx => ("server 127.0.0.1:9466 backup;", ""),
            Self::Envoy | Self::EnvoyGrpc => ("failure_mode_allow: true", "failure_mode_allow: false"),
            Self::Caddy => {
                let from = text.find("\thandle_errors {").expect("the block that fails open");
                let length = text[from..].find("\n\t}\n").expect("its end") + 4;
                return format!("{}{}", &text[..from], &text[from + length..]);
            }
            Self::Traefik => ("service: keyhound-or-open", "service: keyhound"),
        };
        assert!(text.contains(open), "the example has no {open}");
        text.replace(open, closed)
    }
}

/// How long the gateway waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// As its example says.
    Shortly,
    /// As long as a test does: on a busy machine an answer comes late.
    Patiently,
}

/// A gateway of the example's configuration.
pub struct Example {
    of: Of,
    port: u16,
    /// Takes HTTP/2 without TLS.
    pub h2_port: u16,
    folder: Folder,
    program: Program,
}

impl Example {
    /// Starts it before `upstream` (a loopback port), asking at `keyhound` (`127.0.0.1:port`).
    #[track_caller]
    pub fn start(of: Of, fails_open: bool, upstream: u16, keyhound: &str) -> Self {
        Self::start_in(Folder::new("example"), of, fails_open, upstream, keyhound)
    }

    /// Starts it with the example's own times.
    #[track_caller]
    pub fn start_hasty(of: Of, upstream: u16, keyhound: &str) -> Self {
        Self::start_as(Folder::new("example"), of, (true, Waits::Shortly), upstream, keyhound)
    }

    /// Everything that the program wrote.
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Like [`Example::start`], in a folder in which the log, [`LOG`], may have a past.
    #[track_caller]
    pub fn start_in(folder: Folder, of: Of, fails_open: bool, upstream: u16, keyhound: &str) -> Self {
        Self::start_as(folder, of, (fails_open, Waits::Patiently), upstream, keyhound)
    }

    #[track_caller]
    fn start_as(
        folder: Folder,
        of: Of,
        (fails_open, waits): (bool, Waits),
        upstream: u16,
        keyhound: &str,
    ) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateways").join(of.file());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = if fails_open { text } else { of.closed(&text) };
        let text = if waits == Waits::Patiently { of.patient(text) } else { text };
        let port = free_port();
        let asked = keyhound.rsplit(':').next().expect("an address with a port");
        let beside = free_port();
        let text = [
            ("8080", port.to_string()),
            ("8081", upstream.to_string()),
            ("9465", asked.to_owned()),
            // nginx' server that lets pass, Traefik's entry point for questions.
            ("9466", beside.to_string()),
            ("9467", beside.to_string()),
        ]
        .iter()
        .fold(text, |text, (from, to)| {
            text.replace(&format!(":{from}"), &format!(":{to}"))
                .replace(&format!("port_value: {from}"), &format!("port_value: {to}"))
        });
        let text = if matches!(of, Of::Envoy | Of::EnvoyGrpc) { logging_to(&folder, &text) } else { text };
        let (text, h2_port) = with_h2(of, &text, port);
        let config = folder.write(if of == Of::Traefik { "dynamic.yaml" } else { of.file() }, text);
        let program = run(of, &folder, &config.display().to_string(), port, beside);
        let mut example = Self { of, port, h2_port, folder, program };
        example.program.wait_for_port(port);
        if of == Of::Traefik {
            // The port is open before the dynamic file is read; until then every path is a 404 of Traefik's own.
            eventually("routing", START_LIMIT, || {
                (super::http::get(&example.url("/probe"), &[]).status != 404).then_some(())
            });
        }
        example
    }
}

/// The example with HTTP/2 without TLS, and the port that takes it: NGINX and Caddy must be told.
fn with_h2(of: Of, text: &str, port: u16) -> (String, u16) {
    let beside = free_port();
    let listen = format!("listen 127.0.0.1:{port};");
    let (known, more, h2_port) = match of {
        Of::Nginx => (listen.as_str(), format!("{listen} listen 127.0.0.1:{beside} http2;"), beside),
        Of::Caddy => {
            ("auto_https off", "auto_https off\n\tservers {\n\t\tprotocols h1 h2c\n\t}".to_owned(), port)
        }
        Of::Envoy | Of::EnvoyGrpc | Of::Traefik => return (text.to_owned(), port),
    };
    assert!(text.contains(known), "the example has no {known}");
    (text.replace(known, &more), h2_port)
}

/// The name that nginx' example gives to its access log.
pub const LOG: &str = "keyhound-example-access.json";

/// Envoy's example with its log in a file, as Keyhound follows it.
fn logging_to(folder: &Folder, text: &str) -> String {
    let (stdout, file) = ("stream.v3.StdoutAccessLog\n", "file.v3.FileAccessLog\n");
    let at = text.find(stdout).expect("the example's log") + stdout.len();
    let indent: String = text[at..].chars().take_while(|c| *c == ' ').collect();
    let path = folder.path().join(LOG);
    format!("{}{file}{indent}path: {path:?}\n{}", &text[..at - stdout.len()], &text[at..])
}

fn run(of: Of, folder: &Folder, config: &str, port: u16, beside: u16) -> Program {
    let here = folder.path().display().to_string();
    match of {
        Of::Nginx => {
            let directives = super::nginx::ONE_PROCESS;
            let arguments = ["-p", &here, "-c", config, "-e", "stderr", "-g", directives];
            Program::start("nginx", installed("nginx"), arguments, folder.path())
        }
        Of::Envoy | Of::EnvoyGrpc => super::envoy::run(folder, config),
        Of::Caddy => {
            let homes = [("HOME", here.as_str()), ("XDG_DATA_HOME", &here), ("XDG_CONFIG_HOME", &here)];
            let arguments = ["run", "--adapter", "caddyfile", "--config", config];
            Program::start_with("caddy", fetched("caddy"), arguments, folder.path(), &homes)
        }
        Of::Traefik => {
            let arguments = [
                format!("--entrypoints.web.address=127.0.0.1:{port}"),
                format!("--entrypoints.keyhound.address=127.0.0.1:{beside}"),
                "--entrypoints.keyhound.forwardedheaders.trustedips=127.0.0.1".to_owned(),
                "--ping=true".to_owned(),
                "--ping.manualrouting=true".to_owned(),
                format!("--providers.file.filename={config}"),
                "--accesslog=true".to_owned(),
                "--accesslog.format=json".to_owned(),
                "--accesslog.fields.headers.names.X-Api-Key=keep".to_owned(),
                "--accesslog.fields.headers.names.X-Keyhound-Decision=keep".to_owned(),
                "--global.checknewversion=false".to_owned(),
                "--global.sendanonymoususage=false".to_owned(),
            ];
            Program::start("traefik", fetched("traefik"), arguments, folder.path())
        }
    }
}

impl Gateway for Example {
    fn port(&self) -> u16 {
        self.port
    }

    /// The access log, which Caddy and Traefik write to standard output.
    fn log_bytes(&self) -> Vec<u8> {
        match self.of {
            Of::Nginx | Of::Envoy | Of::EnvoyGrpc => self.folder.read_bytes(LOG),
            Of::Caddy | Of::Traefik => self.program.output_bytes(),
        }
    }
}
