//! Finds imports that go up.

use crate::source::Source;

/// The paths of `source` that lead to its own top-level neighbours above it, as `file:line: path`.
pub fn upward(source: &Source, order: &[String]) -> Vec<String> {
    let Some(own) = order.iter().position(|module| *module == source.module) else {
        return vec![format!("{}: the module {} is not in src/lib.rs", source.path, source.module)];
    };
    let upward = |name: &String| order.iter().position(|module| module == name).is_some_and(|at| at > own);
    named_modules(source)
        .into_iter()
        .filter(|(_, name)| upward(name))
        .map(|(line, name)| format!("{}:{line}: {} uses {name}", source.path, source.module))
        .collect()
}

/// The top-level modules that `source` names, with the line: by `crate::`, or by enough `super::` to reach the root.
fn named_modules(source: &Source) -> Vec<(usize, String)> {
    let to_root = "super::".repeat(source.depth);
    // A module inside the file may climb one more step.
    let from_inner = "super::".repeat(source.depth + 1);
    let mut named = Vec::new();
    for prefix in ["crate::", &to_root, &from_inner] {
        let mut from = 0;
        while let Some(at) = source.code[from..].find(prefix).map(|at| from + at) {
            from = at + prefix.len();
            if begins_a_path(&source.code, at) {
                let line = source.code[..at].matches('\n').count() + 1;
                named.extend(first_names(&source.code[from..]).into_iter().map(|name| (line, name)));
            }
        }
    }
    named
}

/// Whether the path at `at` is not the tail of a longer one, such as `my_crate::` or `super::super::`.
fn begins_a_path(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The first names of a path: one, or those of a group such as `{event::Event, engine::{self, seam}}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return name(path).into_iter().collect();
    };
    let mut depth = 0_usize;
    let mut names: Vec<String> = name(group.trim_start()).into_iter().collect();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(name(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::blank_comments_and_strings;

    #[track_caller]
    fn check(depth: usize, code: &str, expected: &[&str]) {
        let order = ["event", "detect", "engine", "serve"].map(str::to_owned);
        let code = blank_comments_and_strings(code);
        let path = "src/detect/x.rs".to_owned();
        let source =
            Source { path, module: "detect".into(), depth, text: code.clone(), shipped: code.clone(), code };
        let found: Vec<String> = upward(&source, &order)
            .into_iter()
            .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_stands_below_may_be_used() {
        check(2, "use crate::event::Event; use crate::detect::Finding;", &[]);
    }

    #[test]
    fn a_use_an_inline_path_and_a_group_are_seen() {
        check(2, "use crate::engine::Engine;", &["engine"]);
        check(2, "fn f() { crate::serve::now() }", &["serve"]);
        check(2, "use crate::{event::{self, Event}, engine::{Effect, Input}};", &["engine"]);
    }

    #[test]
    fn supers_that_reach_the_root_are_seen() {
        check(2, "use super::super::serve::Table;", &["serve"]);
        check(1, "use super::serve::Table;", &["serve"]);
        check(1, "mod tests { use super::super::serve::Table; }", &["serve"]);
        check(2, "use super::engine_of_this_module;", &[]);
    }

    #[test]
    fn comments_and_other_crates_are_no_imports() {
        check(2, "// crate::serve\nuse my_crate::serve::Table;", &[]);
    }
}
