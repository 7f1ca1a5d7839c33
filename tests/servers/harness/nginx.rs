//! A real nginx with one server block.

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, free_port, installed},
};

/// Without a master: its workers would outlive it when it is killed, with the port and whatever else they inherited.
pub const ONE_PROCESS: &str = "daemon off; master_process off;";

pub struct Nginx {
    port: u16,
    folder: Folder,
    _program: Program,
}

impl Nginx {
    /// `http` goes into the `http` block, `server` into the `server` block, `files` (name, content) beside the
    /// configuration. What is named below `/etc/nginx` and `/var/log/nginx` is in the test's folder instead.
    #[track_caller]
    pub fn start(http: &str, server: &str, files: &[(&str, &str)]) -> Self {
        let folder = Folder::new("nginx");
        for (name, content) in files {
            folder.write(name, content);
        }
        let port = free_port();
        let here = folder.path().display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("    {kind}_temp_path {here}/{kind};\n"))
            .collect();
        let text = format!(
            "{ONE_PROCESS}\npid {here}/nginx.pid;\nerror_log stderr notice;\n\
             events {{ }}\nhttp {{\n{temporary}{http}\n\
             server {{\n    listen 127.0.0.1:{port};\n{server}\n}}\n}}\n"
        );
        let config =
            folder.write("nginx.conf", text.replace("/var/log/nginx", &here).replace("/etc/nginx", &here));
        let config = config.display().to_string();
        let arguments = ["-c", &config, "-p", &here, "-e", "stderr"];
        let mut program = Program::start("nginx", installed("nginx"), arguments, folder.path());
        program.wait_for_port(port);
        Self { port, folder, _program: program }
    }
}

impl Gateway for Nginx {
    fn port(&self) -> u16 {
        self.port
    }

    fn log_bytes(&self) -> Vec<u8> {
        self.folder.read_bytes("keyhound.json")
    }
}
