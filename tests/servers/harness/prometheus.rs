//! A real Prometheus that scrapes one target each second, with alert rules if given.

use std::path::Path;

use super::{
    folder::Folder,
    http,
    program::{Program, START_LIMIT, free_port, installed},
};

pub struct Prometheus {
    pub url: String,
    _program: Program,
    _folder: Folder,
}

impl Prometheus {
    /// Scrapes `target` (`host:port`) as the job `keyhound`.
    #[track_caller]
    pub fn start(target: &str, rules: &[&Path]) -> Self {
        let folder = Folder::new("prometheus");
        let rules: Vec<String> = rules.iter().map(|path| path.display().to_string()).collect();
        let config = folder.write(
            "prometheus.yml",
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
                 rule_files: {rules:?}\n\
                 scrape_configs: [ {{ job_name: keyhound, static_configs: [ {{ targets: [\"{target}\"] }} ] }} ]\n"
            ),
        );
        let port = free_port();
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ];
        let mut program = Program::start("prometheus", installed("prometheus"), arguments, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        program.wait_until("ready", START_LIMIT, || http::answers_ok(&format!("{url}/-/ready")));
        Self { url, _program: program, _folder: folder }
    }

    /// The series of an instant query, each with its labels and value.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<serde_json::Value> {
        let url =
            reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", expression)]);
        let answer = http::get(url.expect("a valid address").as_str(), &[]);
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
        answer.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}
