//! The broker and the child processes of the tests with real servers.
#![allow(dead_code)] // the tests use more of it

#[path = "../../tests/servers/harness/certificates.rs"]
pub mod certificates;
#[path = "../../tests/servers/harness/counted.rs"]
pub mod counted;
#[path = "../../tests/servers/harness/folder.rs"]
pub mod folder;
#[path = "../../tests/servers/harness/http.rs"]
pub mod http;
#[path = "../../tests/servers/harness/kafka.rs"]
pub mod kafka;
#[path = "../../tests/servers/harness/program.rs"]
pub mod program;
