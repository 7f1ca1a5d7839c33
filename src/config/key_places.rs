//! Where a gateway's question may hold a key: wherever a source looks for keys.
//!
//! A name that a source knows and `serve.checks` does not would switch enforcement off for all keys that travel under
//! it, and nothing would show it.

use axum::http::HeaderName;

use super::SourceConfig;
use crate::{
    decode::KeyPolicy,
    rules::document::{Node, Problems},
    serve::{ServeSettings, settings::NAMES_MAX},
};

/// The section with its checks completed by what the sources say, as far as the file leaves them out.
pub(super) fn serve(
    mut serve: ServeSettings,
    sources: &[SourceConfig],
    root: &Node,
    problems: &mut Problems,
) -> ServeSettings {
    let section = root.get("serve").and_then(|serve| serve.get("checks"));
    for field in ["headers", "parameters"] {
        let said = section.and_then(|section| section.get(field));
        let mut known: Vec<String> = if said.is_some() { written(&serve, field) } else { Vec::new() };
        for (index, source) in sources.iter().enumerate() {
            let names = source.decode.all_key_names();
            let names = if field == "headers" { names.headers } else { names.parameters };
            for name in names.into_iter().filter(|name| is_sendable(field, name)) {
                if known.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                    continue;
                }
                match said {
                    None => known.push(name),
                    // By ids alone, a question is about what the gateway says, and not about what its caller sent.
                    Some(_) if source.decode.key == KeyPolicy::Credential => {}
                    Some(node) => problems.add(
                        node.place,
                        format!("serve.checks.{field}"),
                        format!(
                            "\"{}\" is missing, and sources[{index}] looks for keys under it: add it, leave \
                             {field} out for the names of all sources, or name in sources[{index}].key_names.{field} \
                             only what your clients send",
                            name.escape_debug()
                        ),
                    ),
                }
            }
        }
        if known.len() > NAMES_MAX {
            let place = section.map_or(root.place, |section| section.place);
            let message = format!(
                "the sources have {} names, the limit is {NAMES_MAX}: name in their key_names what your clients send",
                known.len()
            );
            problems.add(place, format!("serve.checks.{field}"), message);
        } else if said.is_none() && !known.is_empty() {
            set(&mut serve, field, known);
        }
    }
    serve
}

/// A header that no client can send is in no question.
fn is_sendable(field: &str, name: &str) -> bool {
    field != "headers" || name.parse::<HeaderName>().is_ok()
}

fn written(serve: &ServeSettings, field: &str) -> Vec<String> {
    if field == "headers" {
        serve.checks.headers.iter().map(|name| name.as_str().to_owned()).collect()
    } else {
        serve.checks.parameters.clone()
    }
}

fn set(serve: &mut ServeSettings, field: &str, names: Vec<String>) {
    if field == "headers" {
        serve.checks.headers = names.iter().filter_map(|name| name.parse().ok()).collect();
    } else {
        serve.checks.parameters = names;
    }
}
