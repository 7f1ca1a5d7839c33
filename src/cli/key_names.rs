//! `--key-header` and `--key-parameter`: `key_names` on the command line.

use crate::decode::KeyNames;

/// Names under which keys travel; each may be given several times.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NamedKeys {
    /// A request header that holds the key, such as authorization, in the place of the usual ones; may be given
    /// several times.
    #[arg(long, value_name = "NAME")]
    key_header: Vec<String>,
    /// A query parameter that holds the key, in the place of the usual ones; may be given several times.
    #[arg(long, value_name = "NAME")]
    key_parameter: Vec<String>,
}

impl NamedKeys {
    /// What is given goes over what settings say, and that over the usual names.
    pub fn over(&self, settings: Option<KeyNames>) -> KeyNames {
        let mut names = settings.unwrap_or_default();
        for (given, known) in
            [(&self.key_header, &mut names.headers), (&self.key_parameter, &mut names.parameters)]
        {
            if !given.is_empty() {
                known.clone_from(given);
            }
        }
        names
    }
}
