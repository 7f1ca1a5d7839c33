//! The `response` section: whether decisions are served, and for how long they hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::{
    respond::{Caps, FRESH_WITHIN, Mode},
    rules::document::{Node, Problems},
};

/// Whether decisions are served to gateways, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Response")]
pub struct ResponseSettings {
    /// `shadow`: decisions are made, shown and counted, and not served. `enforce`: gateways that ask get them.
    pub mode: Mode,
    /// How long an automatic throttle holds, unless pressure extends it. From 1m to 24h.
    pub throttle_for: Span,
    /// How old evidence may be for anything automatic to come of it; what is older is listed as a backlog, and
    /// nobody is told. From 10s to 1h.
    pub fresh_within: Span,
    /// How much may be done automatically, over all keys together.
    pub caps: Caps,
}

impl Default for ResponseSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Shadow,
            throttle_for: Span::from_seconds(3_600),
            fresh_within: Span::from_seconds(FRESH_WITHIN.as_secs()),
            caps: Caps::default(),
        }
    }
}

impl ResponseSettings {
    pub(super) fn check(&self, root: &Node, problems: &mut Problems) {
        let ranges =
            [("throttle_for", self.throttle_for, 60, 86_400), ("fresh_within", self.fresh_within, 10, 3_600)];
        for (field, value, least, most) in ranges {
            let (least, most) = (Span::from_seconds(least), Span::from_seconds(most));
            if !(least..=most).contains(&value) {
                let place = root.get("response").map_or(root.place, |node| node.place_of(field));
                problems.add(
                    place,
                    format!("response.{field}"),
                    format!("{value} must be from {least} to {most}"),
                );
            }
        }
        if let Err(error) = self.caps.validate() {
            let place = root.get("response").map_or(root.place, |node| node.place_of("caps"));
            problems.add(place, format!("response.caps.{}", error.field), error.to_string());
        }
    }
}
