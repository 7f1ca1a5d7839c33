//! A real Alertmanager that keeps what it is sent, alone (no cluster).

use super::{
    folder::Folder,
    http,
    program::{Program, START_LIMIT, free_port, installed},
};

pub struct Alertmanager {
    /// The address to send alerts to, without a path.
    pub url: String,
    program: Program,
    _folder: Folder,
}

impl Alertmanager {
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("alertmanager");
        let config = folder
            .write("alertmanager.yml", "route: { receiver: nobody }\nreceivers: [ { name: nobody } ]\n");
        let port = free_port();
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let mut program =
            Program::start("alertmanager", installed("prometheus-alertmanager"), arguments, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        program.wait_until("ready", START_LIMIT, || http::answers_ok(&format!("{url}/-/ready")));
        Self { url, program, _folder: folder }
    }

    /// The alerts that it holds, resolved ones left out, as its API gives them.
    #[track_caller]
    pub fn alerts(&self) -> Vec<serde_json::Value> {
        let answer = http::get(&format!("{}/api/v2/alerts", self.url), &[]);
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, self.program.output());
        answer.json().as_array().cloned().unwrap_or_default()
    }
}
