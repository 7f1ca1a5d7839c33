//! A real Traefik with one entry point and one router, from a static and a dynamic file.

use super::{
    folder::Folder,
    gateway::Gateway,
    program::{Program, fetched, free_port},
};

pub struct Traefik {
    port: u16,
    folder: Folder,
    _program: Program,
}

impl Traefik {
    /// `settings` is added to the static file (the access log); `middlewares` is a YAML map of middlewares, all of
    /// which the router uses. A log below `/var/log/traefik` is in the test's
    /// folder instead.
    #[track_caller]
    pub fn start(settings: &str, middlewares: &serde_json::Value, upstream: u16) -> Self {
        let folder = Folder::new("traefik");
        let port = free_port();
        let here = folder.path().display().to_string();
        let names: Vec<&String> =
            middlewares.as_object().into_iter().flatten().map(|(name, _)| name).collect();
        let mut http = serde_json::json!({
            "routers": { "orders": { "rule": "PathPrefix(`/`)", "service": "be", "middlewares": names } },
            "services": { "be": { "loadBalancer": { "servers": [{ "url": format!("http://127.0.0.1:{upstream}") }] } } },
        });
        if !names.is_empty() {
            http["middlewares"] = middlewares.clone();
        }
        // Traefik reads YAML, of which JSON is a part.
        let dynamic = folder.write("dynamic.yaml", serde_json::json!({ "http": http }).to_string());
        let text = format!(
            "entryPoints: {{ web: {{ address: \"127.0.0.1:{port}\", forwardedHeaders: {{ trustedIPs: [127.0.0.1] }} }} }}\n\
             providers: {{ file: {{ filename: {:?} }} }}\nlog: {{ level: WARN }}\n\
             global: {{ checkNewVersion: false, sendAnonymousUsage: false }}\n{settings}\n",
            dynamic.display()
        );
        let config = folder.write("traefik.yaml", text.replace("/var/log/traefik", &here));
        let mut program = Program::start(
            "traefik",
            fetched("traefik"),
            [format!("--configFile={}", config.display())],
            folder.path(),
        );
        program.wait_for_port(port);
        let traefik = Self { port, folder, _program: program };
        traefik.wait_for_route();
        traefik
    }

    /// The port is open before the dynamic file is read; until then every path is a 404 of Traefik's own.
    #[track_caller]
    fn wait_for_route(&self) {
        super::program::eventually("routing", super::program::START_LIMIT, || {
            let answer = super::http::get(&self.url(Self::PROBE), &[]);
            (answer.status != 404).then_some(())
        });
    }

    /// The path of the requests that [`Traefik::start`] makes, which the access log shows too.
    pub const PROBE: &str = "/probe";
}

impl Gateway for Traefik {
    fn port(&self) -> u16 {
        self.port
    }

    /// Without the records of the probing at the start.
    fn log_bytes(&self) -> Vec<u8> {
        let log = self.folder.read_bytes("keyhound.json");
        let lines = log.split_inclusive(|byte| *byte == b'\n');
        lines
            .filter(|line| memchr::memmem::find(line, Self::PROBE.as_bytes()).is_none())
            .collect::<Vec<_>>()
            .concat()
    }
}
