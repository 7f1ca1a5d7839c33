//! Reads `src/`: each file with its module, its text, and its code without comments, strings and test modules.

use std::{fs, path::Path};

/// One Rust file below `src/`.
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    /// The top-level module that it belongs to.
    pub module: String,
    /// How many modules deep it is: 1 for `src/event.rs` and `src/engine/mod.rs`, 2 for `src/engine/seam.rs`.
    pub depth: usize,
    /// As it is in the file.
    pub text: String,
    /// The same lines with comments and the content of strings blanked.
    pub code: String,
    /// `code` with modules under `#[cfg(test)]` blanked too; empty for files that are such a module.
    pub shipped: String,
}

impl Source {
    /// Whether the whole file is compiled for tests only.
    pub fn is_test(&self) -> bool {
        self.shipped.is_empty()
    }
}

/// The top-level modules in the order of `src/lib.rs`.
pub fn module_order() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs can be read");
    let module =
        |line: &str| line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')).map(str::to_owned);
    text.lines().filter_map(module).collect()
}

/// All files of `src/` but the two crate roots, in a fixed order.
pub fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join("src"), &mut paths);
    paths.sort();
    let roots = ["src/lib.rs", "src/main.rs"];
    let tests = test_files(&paths);
    paths
        .iter()
        .filter(|path| !roots.contains(&path.as_str()))
        .map(|path| read(path, tests.contains(path)))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("src/ can be read") {
        let path = entry.expect("src/ can be read").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).expect("it is below the repository");
            paths.push(relative.to_string_lossy().into_owned());
        }
    }
}

fn read(path: &str, is_test: bool) -> Source {
    let text = fs::read_to_string(root().join(path)).expect("a listed file can be read");
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let code = blank_comments_and_strings(&text);
    let shipped = if is_test { String::new() } else { blank_test_modules(&code) };
    Source {
        path: path.to_owned(),
        module: inside.split('/').next().unwrap_or(inside).to_owned(),
        depth: inside.split('/').count(),
        text,
        code,
        shipped,
    }
}

/// Files that a parent declares under `#[cfg(test)]`, by `mod name;` with or without `#[path]`, and all below them.
fn test_files(paths: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(root().join(path)).expect("a listed file can be read");
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let stem = path.trim_end_matches(".rs");
        let own = if stem.ends_with("/mod") || path == "src/lib.rs" { folder } else { stem };
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if line != "#[cfg(test)]" {
                continue;
            }
            let mut explicit = None;
            for line in lines.by_ref() {
                if let Some(named) = line.strip_prefix("#[path = \"") {
                    explicit = Some(format!("{folder}/{}", named.trim_end_matches("\"]")));
                } else if !line.starts_with("#[") {
                    let name = line.split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';'));
                    let default = name.map(|name| format!("{own}/{name}"));
                    found.extend(explicit.take().filter(|_| name.is_some()));
                    found.extend(default.iter().map(|base| format!("{base}.rs")));
                    let inside = default.map(|base| base + "/").unwrap_or_default();
                    found.extend(
                        paths.iter().filter(|path| !inside.is_empty() && path.starts_with(&inside)).cloned(),
                    );
                    break;
                }
            }
        }
    }
    found
}

/// Replaces every character of comments and of the inside of literals by a space; line breaks stay.
pub fn blank_comments_and_strings(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_or_comment_end(&characters, at);
        if end == at {
            out.push(characters[at]);
            at += 1;
        } else {
            out.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`; `at` itself where none begins.
fn literal_or_comment_end(text: &[char], at: usize) -> usize {
    let starts = |token: &str| token.chars().enumerate().all(|(i, c)| text.get(at + i) == Some(&c));
    let in_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    if starts("//") {
        return (at..text.len()).find(|&i| text[i] == '\n').unwrap_or(text.len());
    }
    if starts("/*") {
        return find(text, at + 2, "*/");
    }
    if !in_word && (starts("r\"") || starts("r#") || starts("br\"") || starts("br#")) {
        let hashes_at = at + if text[at] == 'b' { 2 } else { 1 };
        let hashes = text[hashes_at..].iter().take_while(|&&c| c == '#').count();
        if text.get(hashes_at + hashes) == Some(&'"') {
            return find(text, hashes_at + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
        return at;
    }
    match text[at] {
        '"' => quoted_end(text, at, '"'),
        // A lifetime has no closing quote after one character.
        '\'' if text.get(at + 1) == Some(&'\\') || text.get(at + 2) == Some(&'\'') => {
            quoted_end(text, at, '\'')
        }
        _ => at,
    }
}

fn find(text: &[char], from: usize, token: &str) -> usize {
    let token: Vec<char> = token.chars().collect();
    (from..text.len()).find(|&i| text[i..].starts_with(&token)).map_or(text.len(), |i| i + token.len())
}

fn quoted_end(text: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < text.len() && text[i] != quote {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(text.len())
}

/// Blanks what stands in braces after `#[cfg(test)]`, up to the closing brace.
fn blank_test_modules(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        let end = item_end(marked);
        out.extend(marked[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &marked[end..];
    }
    out + rest
}

/// Where the item at the beginning of `code` ends: at its closing brace, or at a `;` before any brace.
fn item_end(code: &str) -> usize {
    let mut open = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => open += 1,
            '}' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return at + 1;
                }
            }
            ';' if open == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "let a = \"crate::app\"; // crate::app\nlet b = r#\"crate::\"app\"#; let c = '\"'; crate::event /* x */";
    let code = blank_comments_and_strings(text);
    assert_eq!(code.matches("crate").count(), 1, "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn what_is_only_compiled_for_tests_is_not_shipped() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { std::fs::read(x) } }\nfn c() {}";
    let shipped = blank_test_modules(code);
    assert!(!shipped.contains("std::fs") && shipped.contains("fn c()"), "{shipped}");
}
