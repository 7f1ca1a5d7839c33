//! Names the build: the revision and the target, for `--version`, the log and `keyhound_build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=KEYHOUND_REVISION");
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=KEYHOUND_TARGET={target}");
    let given = env::var("KEYHOUND_REVISION").ok().filter(|revision| !revision.is_empty());
    // Debug builds do not ask git: a commit would then compile everything again.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let revision = given.or_else(|| is_release.then(revision_of_git).flatten());
    println!("cargo:rustc-env=KEYHOUND_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out, if this folder is the root of a git repository: an unpacked archive may lie inside
/// another one.
fn revision_of_git() -> Option<String> {
    let here = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).canonicalize().ok()?;
    let root = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if here != root {
        return None;
    }
    // Every commit and checkout is added to the log; what is compiled may differ from it.
    for path in ["src", "rules", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
