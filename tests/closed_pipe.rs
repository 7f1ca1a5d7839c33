//! Commands whose output nobody reads any more, as with `| head -1`: they end, and do not panic.

use std::{
    io::pipe,
    process::{Command, Stdio},
};

/// A command with pipes that are closed at the other end; its exit code, and what it says where that can be read.
fn run(words: &[&str], is_stderr_closed: bool) -> (Option<i32>, String) {
    let closed = || {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyhound"));
    command.args(words).stdin(Stdio::null()).stdout(closed()).stderr(Stdio::piped());
    if is_stderr_closed {
        command.stderr(closed());
    }
    let output = command.spawn().expect("it can be started").wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.json");
    let line = r#"{"msec":"1795327660.839","remote_addr":"203.0.113.7","api_key":"k","method":"GET","uri":"/","status":"200"}"#;
    std::fs::write(&log, format!("{line}\n").repeat(2_000)).expect("written");
    let log = log.to_str().expect("text");
    let config = folder.path().join("keyhound.yaml");
    let pepper = folder.path().join("pepper");
    std::fs::write(&pepper, "x".repeat(32)).expect("written");
    let settings = format!(
        "sources: [{{ stdin: {{}}, format: nginx, key: raw }}]\nfingerprint: {{ pepper_file: {pepper:?} }}\n\
         state: {{ dir: {pepper:?} }}\n"
    );
    std::fs::write(&config, settings).expect("written");
    let config = config.to_str().expect("text");
    for words in [
        &["completions", "bash"][..],
        &["completions", "fish"],
        &["--help"],
        &["check-config", "--schema"],
        &["check-config", "--schema", "rules"],
        &["check-config", "--docs"],
        &["check-config", "--no-environment", "examples/keyhound.yaml"],
        &["check-config", "--print-effective", "examples/keyhound.yaml"],
        &["rules", "list"],
        &["rules", "list", "--output", "json"],
        &["inspect", log],
        &["inspect", "--output", "json", log],
        &["decode", "--format", "nginx", log],
        &["decode", "--format", "nginx", "--output", "json", log],
        &["generate", "--stream", "2000"],
        &["replay", "--config", config, "--incidents", "-", log],
    ] {
        let (code, said) = run(words, false);
        assert_eq!(code, Some(0), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}

#[test]
fn a_message_that_nobody_reads_changes_no_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("wrong.yaml"), "sources: []\n").expect("written");
    assert_eq!(run(&["run", "--config", &path("none.yaml")], true).0, Some(1));
    assert_eq!(run(&["run", "--config", &path("wrong.yaml")], true).0, Some(78));
    assert_eq!(run(&["check-config", &path("wrong.yaml")], true).0, Some(78));
    assert_eq!(run(&["incidents", "--url", "http://127.0.0.1:1"], true).0, Some(1));
}
