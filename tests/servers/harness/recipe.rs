//! Takes configuration for gateways out of `docs/gateways/`, so that what is documented is what is tested.

use std::{fs, path::Path};

/// The fenced code blocks of `docs/gateways/PAGE.md` whose info string starts with `language`, in their order.
#[track_caller]
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gateways").join(format!("{page}.md"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```").is_some_and(|info| info.split_whitespace().next() == Some(language)) {
            blocks.push(
                lines
                    .by_ref()
                    .take_while(|line| !line.starts_with("```"))
                    .fold(String::new(), |block, line| block + line + "\n"),
            );
        } else if line.starts_with("```") {
            // A block of another language: skip it, so that its end is not taken for a beginning.
            lines.by_ref().find(|line| line.starts_with("```"));
        }
    }
    blocks
}

/// The one block of `language` on `PAGE` that contains `marker`.
#[track_caller]
pub fn block_with(page: &str, language: &str, marker: &str) -> String {
    let found = blocks(page, language).into_iter().find(|block| block.contains(marker));
    found.unwrap_or_else(|| panic!("docs/gateways/{page}.md has no ```{language} block with \"{marker}\""))
}
