//! A real HAProxy with one frontend and one backend; its log goes to standard output.

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, free_port, installed},
};

pub struct Haproxy {
    port: u16,
    _folder: Folder,
    program: Program,
}

impl Haproxy {
    /// `frontend` goes into the frontend, whose backend is a server at `upstream` (a loopback port); `files` (name,
    /// content) go beside the configuration. What is named below `/etc/haproxy` is in the test's folder instead.
    #[track_caller]
    pub fn start(frontend: &str, upstream: u16, files: &[(&str, &str)]) -> Self {
        let folder = Folder::new("haproxy");
        for (name, content) in files {
            folder.write(name, content);
        }
        let port = free_port();
        let here = folder.path().display().to_string();
        let text = TEMPLATE
            .replace("FRONTEND", frontend)
            .replace("PORT", &port.to_string())
            .replace("UPSTREAM", &upstream.to_string())
            .replace("/etc/haproxy", &here);
        let config = folder.write("haproxy.cfg", text).display().to_string();
        let arguments = ["-db", "-f", &config];
        // `%tr` is in local time and has no zone.
        let zone = [("TZ", "UTC")];
        let mut program =
            Program::start_with("haproxy", installed("haproxy"), arguments, folder.path(), &zone);
        program.wait_for_port(port);
        Self { port, _folder: folder, program }
    }
}

// Without `dontlognull`, each look at the port at the start would be a record. Of several threads that log at once, one
// may leave its record out.
const TEMPLATE: &str = "\
global
    nbthread 1
defaults
    mode http
    log global
    option dontlognull
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend api
    bind 127.0.0.1:PORT
FRONTEND
    default_backend service
backend service
    server s1 127.0.0.1:UPSTREAM
";

impl Gateway for Haproxy {
    fn port(&self) -> u16 {
        self.port
    }

    fn log_bytes(&self) -> Vec<u8> {
        self.program.output_bytes()
    }
}
