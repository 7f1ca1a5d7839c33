//! A throw-away certificate authority and a server certificate for 127.0.0.1, made by openssl for one run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where the made files are.
pub struct Certificates {
    /// The authority's certificate, PEM.
    pub authority: PathBuf,
    /// The server's key (PKCS#8) and certificate in one PEM file, as Kafka reads it.
    pub server: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    #[track_caller]
    pub fn make(folder: &Path) -> Self {
        let (authority, server) = (folder.join("authority.pem"), folder.join("server.pem"));
        openssl(
            folder,
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout authority.key -out authority.pem",
        );
        openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr");
        fs::write(folder.join("names.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            .expect("a file can be written");
        openssl(
            folder,
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile names.ext -out server.crt",
        );
        let parts =
            ["server.key", "server.crt"].map(|part| fs::read(folder.join(part)).expect("openssl wrote it"));
        fs::write(&server, parts.concat()).expect("a file can be written");
        Self { authority, server }
    }
}

#[track_caller]
fn openssl(folder: &Path, arguments: &str) {
    let output =
        Command::new("openssl").args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("openssl could not be started: {error}"));
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
