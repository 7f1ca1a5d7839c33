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
        let fence = line.trim_start();
        let Some(info) = fence.strip_prefix("```") else { continue };
        let indent = line.len() - fence.len();
        // The lines of another language too, so that their end is not taken for a beginning.
        let inside = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let block = inside.fold(String::new(), |block, line| block + line.get(indent..).unwrap_or("") + "\n");
        if info.split_whitespace().next() == Some(language) {
            blocks.push(block);
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

/// A page's recipe with one phrase replaced by another that the page offers.
#[track_caller]
pub fn instead(recipe: &str, phrase: &str, other: &str) -> String {
    assert!(recipe.contains(phrase), "the recipe has no {phrase}:\n{recipe}");
    recipe.replace(phrase, other)
}

/// The inside of the site block on Caddy's page.
#[track_caller]
pub fn caddy_log() -> String {
    let recipe = block_with("caddy", "caddyfile", "format filter");
    let inside =
        recipe.trim_end().strip_suffix('}').and_then(|rest| rest.split_once("{\n")).map(|(_, inside)| inside);
    inside.unwrap_or_else(|| panic!("not a site block:\n{recipe}")).to_owned()
}
