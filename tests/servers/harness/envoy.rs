//! A real Envoy with one HTTP listener and one route to one cluster.

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, fetched, free_port},
};

pub struct Envoy {
    port: u16,
    folder: Folder,
    _program: Program,
}

/// What differs from test to test, each YAML without leading indentation.
#[derive(Default)]
pub struct EnvoyConfig<'a> {
    /// The list under `access_log`. A path below `/var/log/envoy` is in the test's folder instead.
    pub access_log: &'a str,
    /// More fields of the connection manager, such as `use_remote_address`.
    pub manager: &'a str,
    /// HTTP filters before the router, a list.
    pub filters: &'a str,
    /// Clusters beside `service`, a list.
    pub clusters: &'a str,
}

impl Envoy {
    #[track_caller]
    pub fn start(config: &EnvoyConfig<'_>, upstream: u16) -> Self {
        let folder = Folder::new("envoy");
        let port = free_port();
        let config = folder.write(
            "envoy.yaml",
            text(config, port, upstream).replace("/var/log/envoy", &folder.path().display().to_string()),
        );
        let config = config.display().to_string();
        let mut program = run(&folder, &config);
        program.wait_for_port(port);
        Self { port, folder, _program: program }
    }
}

impl Gateway for Envoy {
    fn port(&self) -> u16 {
        self.port
    }

    fn log_bytes(&self) -> Vec<u8> {
        self.folder.read_bytes("keyhound.json")
    }
}

/// Starts Envoy with a configuration file. Its access log is flushed every ten seconds unless it is told otherwise.
#[track_caller]
pub fn run(folder: &Folder, config: &str) -> Program {
    let arguments = ["-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"];
    let arguments = arguments.into_iter().chain(["--file-flush-interval-msec", "100"]);
    Program::start("envoy", fetched("envoy"), arguments, folder.path())
}

/// A cluster of one loopback port, as one item of a list of clusters.
pub fn cluster(name: &str, port: u16) -> String {
    format!(
        "- name: {name}\n  type: STATIC\n  connect_timeout: 1s\n  load_assignment:\n    cluster_name: {name}\n    \
         endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: \
         {{ address: 127.0.0.1, port_value: {port} }} }} }} }} ] }} ]\n"
    )
}

fn text(config: &EnvoyConfig<'_>, port: u16, upstream: u16) -> String {
    let EnvoyConfig { access_log, manager, filters, clusters } = config;
    format!(
        "static_resources:\n  listeners:\n  - name: api\n    address: {{ socket_address: {{ address: 127.0.0.1, \
         port_value: {port} }} }}\n    filter_chains:\n    - filters:\n      - \
         name: envoy.filters.network.http_connection_manager\n        typed_config:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
         stat_prefix: api\n{manager}          access_log:\n{access_log}          http_filters:\n{filters}          \
         - name: envoy.filters.http.router\n            typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}\n          \
         route_config:\n            virtual_hosts:\n            - name: api\n              domains: [\"*\"]\n              \
         routes: [ {{ name: orders-route, match: {{ prefix: / }}, route: {{ cluster: service }} }} ]\n  \
         clusters:\n{service}{clusters}",
        manager = indented(manager, 10),
        access_log = indented(access_log, 10),
        filters = indented(filters, 10),
        service = indented(&cluster("service", upstream), 2),
        clusters = indented(clusters, 2),
    )
}

fn indented(block: &str, by: usize) -> String {
    block.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}
