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
    /// `frontend` goes into the frontend, whose backend is a server at `upstream` (a loopback port).
    #[track_caller]
    pub fn start(frontend: &str, upstream: u16) -> Self {
        let folder = Folder::new("haproxy");
        let port = free_port();
        let text = format!(
            "global\n    log stdout format raw local0\n\
             defaults\n    mode http\n    log global\n    option dontlognull\n    timeout connect 5s\n    timeout client 10s\n    timeout server 10s\n\
             frontend api\n    bind 127.0.0.1:{port}\n{frontend}\n    default_backend service\n\
             backend service\n    server s1 127.0.0.1:{upstream}\n"
        );
        let config = folder.write("haproxy.cfg", text);
        let mut program = Program::start(
            "haproxy",
            installed("haproxy"),
            ["-db", "-f", &config.display().to_string()],
            folder.path(),
        );
        program.wait_for_port(port);
        Self { port, _folder: folder, program }
    }
}

impl Gateway for Haproxy {
    fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> String {
        self.program.output()
    }
}
