//! Finds files and functions that a reader would want in parts.

use crate::source::Source;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

/// Larger ones that a reader would accept, with the reason: (file, function or empty for the file itself, reason).
const ACCEPTED: &[(&str, &str, &str)] = &[
    (
        "src/app/daemon.rs",
        "run",
        "the composition root is one straight line: every step needs those before it",
    ),
    ("src/telemetry/metrics/engine.rs", "new", "a list of names and meanings: cutting it would hide it"),
    ("src/telemetry/metrics/source.rs", "new", "a list of names and meanings: cutting it would hide it"),
    (
        "src/source/file/tests.rs",
        "every_line_comes_once_through_rotations_and_restarts",
        "one story of writes, rotations and restarts, told in order",
    ),
];

/// Files over 400 lines and functions over 60 in `source` that have no accepted reason.
pub fn too_large(source: &Source) -> Vec<String> {
    let accepted =
        |function: &str| ACCEPTED.iter().any(|(path, name, _)| *path == source.path && *name == function);
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX && !accepted("") {
        found.push(format!("{}: {lines} lines, the limit is {FILE_LINES_MAX}", source.path));
    }
    for (name, line, length) in functions(&source.code) {
        if length > FUNCTION_LINES_MAX && !accepted(&name) {
            found.push(format!(
                "{}:{line}: {name} has {length} lines, the limit is {FUNCTION_LINES_MAX}",
                source.path
            ));
        }
    }
    found
}

/// The functions in `code` with a body: name, first line, and how many lines from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let Some(end) = body_end(rest).filter(|_| !name.is_empty()) {
            let line = code[..at].matches('\n').count() + 1;
            found.push((name, line, rest[..end].matches('\n').count() + 1));
        }
    }
    found
}

/// Where a function's body closes; `None` for a declaration without a body.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces == 1 => return Some(at),
            '}' => braces = braces.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn a_function_is_measured_from_its_name_to_its_last_brace() {
    let code = "trait T { fn declared(&self, a: [u8; 4]); }\npub fn two(\n) { if x { y } }\nfn one() {}\n";
    let found = functions(code);
    assert_eq!(found, [("two".to_owned(), 2, 2), ("one".to_owned(), 4, 1)]);
}
