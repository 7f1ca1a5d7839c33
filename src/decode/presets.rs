//! The mappings that ship with Keyhound: one readable YAML file a gateway, in the language that users write too.

use super::mapping::{Mapping, RawMapping};

const PRESETS: [(&str, &str); 10] = [
    ("apisix", include_str!("presets/apisix.yaml")),
    ("aws-http", include_str!("presets/aws-http.yaml")),
    ("aws-rest", include_str!("presets/aws-rest.yaml")),
    ("caddy", include_str!("presets/caddy.yaml")),
    ("envoy", include_str!("presets/envoy.yaml")),
    ("envoy-gateway", include_str!("presets/envoy-gateway.yaml")),
    ("haproxy", include_str!("presets/haproxy.yaml")),
    ("kong", include_str!("presets/kong.yaml")),
    ("nginx", include_str!("presets/nginx.yaml")),
    ("traefik", include_str!("presets/traefik.yaml")),
];

/// The presets' names, sorted.
pub fn names() -> [&'static str; PRESETS.len()] {
    PRESETS.map(|(name, _)| name)
}

/// The YAML text of a preset, as users may copy it.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, text)| *text)
}

/// The mapping of that name.
pub fn preset(name: &str) -> Option<Mapping> {
    // A test compiles every preset, so that its text is known to be valid here.
    let raw: RawMapping = serde_saphyr::from_str(text(name)?).ok()?;
    Some(Mapping::of_preset(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{plan::Plan, settings::KeyNames};

    #[test]
    fn every_preset_is_a_valid_mapping() {
        for name in names() {
            let raw: RawMapping =
                serde_saphyr::from_str(text(name).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
            Plan::compile(&Mapping::of_preset(raw), &KeyNames::default())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
