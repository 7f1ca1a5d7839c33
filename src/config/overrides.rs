//! What the command line and the environment may set over the file.

use std::{net::SocketAddr, path::PathBuf};

use super::raw::RawConfig;
use crate::respond::Mode;

/// Settings that a flag, or else a variable, sets over the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Over the file")]
pub struct Overrides {
    /// Address for metrics, health and operators
    #[arg(long, env = "KEYHOUND_LISTEN", value_name = "ADDRESS", value_parser = listen)]
    pub listen: Option<SocketAddr>,
    /// Address for gateways that ask
    #[arg(long, env = "KEYHOUND_GATEWAYS_LISTEN", value_name = "ADDRESS", value_parser = gateways_listen)]
    pub gateways_listen: Option<SocketAddr>,
    /// Directory of the state
    #[arg(long, env = "KEYHOUND_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Whether decisions are served
    #[arg(long, env = "KEYHOUND_MODE", value_name = "shadow|enforce", value_parser = mode)]
    pub mode: Option<Mode>,
    /// Log level or filter
    #[arg(long, env = "KEYHOUND_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl Overrides {
    pub(super) fn apply(&self, raw: &mut RawConfig) {
        raw.listen = self.listen.unwrap_or(raw.listen);
        raw.gateways_listen = self.gateways_listen.unwrap_or(raw.gateways_listen);
        raw.response.mode = self.mode.unwrap_or(raw.response.mode);
        if let Some(dir) = &self.state_dir {
            raw.state.dir.clone_from(dir);
        }
        if let Some(level) = &self.log_level {
            raw.logs.level.clone_from(level);
        }
    }
}

/// `shadow` or `enforce`.
pub fn mode(text: &str) -> Result<Mode, String> {
    let found = [Mode::Shadow, Mode::Enforce].into_iter().find(|mode| mode.as_str() == text);
    found.ok_or_else(|| from_variable("KEYHOUND_MODE", text, "it must be shadow or enforce"))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    address("KEYHOUND_LISTEN", text)
}

fn gateways_listen(text: &str) -> Result<SocketAddr, String> {
    address("KEYHOUND_GATEWAYS_LISTEN", text)
}

fn address(variable: &str, text: &str) -> Result<SocketAddr, String> {
    let wanted = "it must be an address and a port, such as 127.0.0.1:9464";
    text.parse().map_err(|_| from_variable(variable, text, wanted))
}

/// The message names the flag; a value that came from the environment is looked for in vain on the command line.
fn from_variable(variable: &str, text: &str, wanted: &str) -> String {
    if std::env::var(variable).is_ok_and(|value| value == text) {
        return format!("{wanted}; the environment variable {variable} says so");
    }
    wanted.to_owned()
}
