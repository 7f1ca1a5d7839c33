//! Holds the walls of the house: modules import downwards only, the core knows no outside world, files stay small, log
//! lines have names.
//!
//! The order is that of `src/lib.rs`. What is read are `use crate::…`, inline `crate::…` and `super::…` paths in the
//! source text with comments and strings removed. Modules under `#[cfg(test)]` may look anywhere below or beside
//! them, but not upwards either: a core module whose tests need the daemon is tested in the wrong place.

mod events;
mod imports;
mod purity;
mod size;
mod source;

use source::{Source, module_order, sources};

/// Everything wrong, as a list that fits an editor's "go to line".
#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn a_module_imports_only_from_those_before_it() {
    let order = module_order();
    let found: Vec<String> = sources().iter().flat_map(|source| imports::upward(source, &order)).collect();
    assert_none("these imports go up (the order is that of src/lib.rs)", &found);
}

#[test]
fn the_core_knows_no_clock_no_file_no_socket_and_no_log() {
    let core = core_modules();
    let found: Vec<String> = sources()
        .iter()
        .filter(|source| core.contains(&source.module))
        .flat_map(purity::impurities)
        .collect();
    assert_none("the core must be a function of its inputs", &found);
}

#[test]
fn every_log_line_has_a_stable_event() {
    let found: Vec<String> = sources().iter().flat_map(events::unnamed).collect();
    assert_none("these log calls do not begin with event = \"snake_case\"", &found);
}

#[test]
fn files_and_functions_stay_small() {
    let found: Vec<String> = sources().iter().flat_map(size::too_large).collect();
    assert_none("split these, or give a reason in tests/layers/size.rs", &found);
}

#[test]
fn every_file_says_what_it_is_for() {
    // A file of tests is explained by the module that it tests.
    let silent = |source: &&Source| !source.is_test() && !source.text.starts_with("//!");
    let found: Vec<String> = sources().iter().filter(silent).map(|source| source.path.clone()).collect();
    assert_none("these files have no module documentation", &found);
}

/// `event` to `generate`, as `src/lib.rs` lists them.
fn core_modules() -> Vec<String> {
    let order = module_order();
    let last =
        order.iter().position(|module| module == "generate").expect("src/lib.rs has the module generate");
    order[..=last].to_vec()
}
