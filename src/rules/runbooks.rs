//! The runbooks that come with Keyhound, as they stand in `docs/runbooks/`: an installed program has no such folder.

/// Where rules say that a runbook of Keyhound's own is.
const FOLDER: &str = "docs/runbooks/";

macro_rules! runbooks {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each, in the order of their names.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../docs/runbooks/", $name, ".md")))),*];
    };
}

runbooks![
    "daemon",
    "key-cost",
    "key-denied-routes",
    "key-fan-out",
    "key-new-country",
    "key-new-network",
    "key-refused-share",
    "key-unreadable-records",
    "key-volume-spike",
];

/// The text of the runbook of that name, in Markdown.
pub fn text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

/// The name of the shipped runbook that a rule's `runbook` means: `docs/runbooks/key-cost.md` is `key-cost`.
pub fn name(runbook: &str) -> Option<&str> {
    runbook.strip_prefix(FOLDER)?.strip_suffix(".md").filter(|name| text(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_folder_is_shipped() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_rule_names_a_shipped_runbook_by_its_path() {
        assert_eq!(name("docs/runbooks/key-cost.md"), Some("key-cost"));
        for other in
            ["docs/runbooks/own.md", "https://acme.io/key-cost.md", "key-cost", "docs/runbooks/../x.md"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
