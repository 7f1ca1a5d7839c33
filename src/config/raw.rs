//! The settings as they are written. What they mean together is `check`'s.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{ByteSize, Overrides, ResponseSettings, Span, document};
use crate::{
    decode::{ClientAddressSettings, Format, KeyNames, KeyPolicy},
    deliver::alertmanager::{Links, Peer},
    enrich,
    rules::document::{Document, Problems},
    serve::ServeSettings,
    slot::CadenceSettings,
    source::{file::FileSettings, kafka::KafkaSettings, stdin::StdinSettings},
    telemetry::LogSettings,
};

/// The entry of `rules` that stands for the rules that come with Keyhound.
pub(super) const SHIPPED: &str = "shipped";

/// The settings of `keyhound run`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Keyhound settings", rename = "Config")]
pub(super) struct RawConfig {
    /// Where records come from. At least one, at most 64; at most one of them standard input.
    pub sources: Vec<RawSource>,
    /// What the names of Keyhound's own Kafka topics begin with.
    #[serde(default = "topic_prefix")]
    pub topic_prefix: String,
    /// How many engines share the keys. From 1 to 1024. Fixed when the state is created.
    #[serde(default = "partitions")]
    #[schemars(with = "u16")]
    // Wider than its range, so that `check` tells the range of whatever number stands there.
    pub partitions: i64,
    /// How key ids are made.
    pub fingerprint: RawFingerprint,
    /// Which files say where an address is.
    #[serde(default)]
    pub geo: enrich::Settings,
    /// A file that says who owns which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<PathBuf>,
    /// Rule files, and directories of them (`*.yaml`, `*.yml`). `shipped` stands for the rules that come with Keyhound.
    #[serde(default = "shipped")]
    pub rules: Vec<PathBuf>,
    /// Whether decisions are served to gateways, and for how long.
    #[serde(default)]
    pub response: ResponseSettings,
    /// Alertmanagers; each gets every alert.
    #[serde(default)]
    pub alertmanagers: Vec<Peer>,
    /// Where alerts point people to.
    #[serde(default)]
    pub links: Links,
    /// Where the state is kept.
    #[serde(default)]
    pub state: RawState,
    /// Address for metrics, health and operators. Anything but loopback needs `serve.token_file`.
    #[serde(default = "listen", deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Address for gateways that ask about a key. It answers nothing else; let only gateways reach it.
    #[serde(default = "gateways_listen", deserialize_with = "address")]
    #[schemars(with = "String")]
    pub gateways_listen: SocketAddr,
    /// How keys are found in a gateway's question, and who may use the operators' API.
    #[serde(default)]
    pub serve: ServeSettings,
    /// Keyhound's own logs.
    #[serde(default)]
    pub logs: LogSettings,
}

/// One source: exactly one of `kafka`, `file` and `stdin`, and how its records are read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source")]
pub(super) struct RawSource {
    /// Topics to read. All Kafka sources name the same brokers and group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSettings>,
    /// Files to read and follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSettings>,
    /// Standard input, to its end: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinSettings>,
    /// What the source is called in metrics, alerts, logs and `/readyz`: 1 to 64 letters, digits, `.`, `-`, `_`, `:`, `+`;
    /// unique. Default: its place among the sources and what it reads, such as `0:kong-logs`, `1:file` or `2:stdin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The longest record that is taken whole, in bytes. From 1024 to 8388608 (8 MiB). Of a longer one so many bytes are
    /// taken, as of a record that was cut.
    #[serde(default = "record_bytes_max")]
    #[schemars(with = "u32")]
    // Wider than its range, so that `check` tells the range of whatever number stands there.
    pub record_bytes_max: i64,
    /// A preset's name, or a mapping of one's own.
    pub format: Format,
    /// What key ids are made of: `raw`, the key in the record (`kf1_…`), or `credential`, the gateway's id of it
    /// (`kc1_…`). Said, never guessed.
    pub key: KeyPolicy,
    /// The gateway namespace of `kc1_` ids. Default: the format's name. 1 to 64 letters, digits, `.`, `-`, `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The names of headers and query parameters under which keys travel.
    #[serde(default)]
    pub key_names: KeyNames,
    /// Who may say who the client is.
    #[serde(default)]
    pub client_address: ClientAddressSettings,
}

/// How key ids are made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fingerprint")]
pub(super) struct RawFingerprint {
    /// A file with the secret that key ids are made with: 32 random bytes or more. Another secret makes other ids.
    pub pepper_file: PathBuf,
}

/// Where the state is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "State")]
pub(super) struct RawState {
    /// A directory of its own on a local disk.
    pub dir: PathBuf,
    /// How much memory what is kept in it may take: profiles, counters, open incidents. Buffers, caches and the program
    /// itself take up to 256 MiB more. At this limit the keys that are known least are forgotten. Default: half of the
    /// memory that the host, or its control group, has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<ByteSize>,
    /// How often what has changed is written to the directory, from 1s to 10m. A restart reads again what came since, so
    /// that the sources have to keep it for longer.
    pub checkpoint_every: Span,
}

impl Default for RawState {
    fn default() -> Self {
        let every = CadenceSettings::default().checkpoint_every;
        Self {
            dir: "/var/lib/keyhound".into(),
            memory_max: None,
            checkpoint_every: Span::from_seconds(every.as_secs()),
        }
    }
}

fn topic_prefix() -> String {
    "keyhound.".to_owned()
}

const fn record_bytes_max() -> i64 {
    8 << 20
}

const fn partitions() -> i64 {
    8
}

fn shipped() -> Vec<PathBuf> {
    vec![SHIPPED.into()]
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9464))
}

fn gateways_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9465))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("must be an address and a port, such as 127.0.0.1:9464"))
}

impl RawConfig {
    /// Reads a text; what flags and variables say goes over it.
    pub fn read(
        name: &str,
        text: &str,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Document), Problems> {
        let document = document(name, text, environment)?;
        let mut problems = Problems::of_file(name);
        let raw: Option<Self> = document.root.read("", &mut problems);
        problems.hide_replaced(&document.root);
        let Some(mut raw) = raw else { return Err(problems) };
        overrides.apply(&mut raw);
        problems.or((raw, document))
    }
}

/// The JSON Schema of the settings file, for editors.
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<RawConfig>()
        .to_value()
}
