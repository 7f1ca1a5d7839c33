//! A real Caddy with one site, without its admin endpoint and without certificates.

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, fetched, free_port, installed},
};

/// Which Caddy.
#[derive(Clone, Copy)]
pub enum Version {
    /// The one that Debian packages, 2.6 at the time of writing: it knows no `client_ip`.
    Debian,
    /// The one that the project's documentation asks for.
    Current,
}

pub struct Caddy {
    port: u16,
    folder: Folder,
    _program: Program,
}

impl Caddy {
    /// `site` is the body of the site block. Logs named below `/var/log/caddy/` are in the
    /// test's folder instead.
    #[track_caller]
    pub fn start(version: Version, site: &str) -> Self {
        let folder = Folder::new("caddy");
        let port = free_port();
        let here = folder.path().display().to_string();
        let text = format!(
            "{{\n    admin off\n    auto_https off\n}}\n\
             http://127.0.0.1:{port} {{\n    bind 127.0.0.1\n{site}\n}}\n"
        );
        let config = folder.write("Caddyfile", text.replace("/var/log/caddy", &here));
        let config = config.display().to_string();
        let arguments = ["run", "--adapter", "caddyfile", "--config", &config];
        let homes = [("HOME", here.as_str()), ("XDG_DATA_HOME", &here), ("XDG_CONFIG_HOME", &here)];
        let path = match version {
            Version::Debian => installed("caddy"),
            Version::Current => fetched("caddy"),
        };
        let mut program = Program::start_with("caddy", path, arguments, folder.path(), &homes);
        program.wait_for_port(port);
        Self { port, folder, _program: program }
    }
}

impl Gateway for Caddy {
    fn port(&self) -> u16 {
        self.port
    }

    fn log_bytes(&self) -> Vec<u8> {
        self.folder.read_bytes("keyhound.json")
    }
}
