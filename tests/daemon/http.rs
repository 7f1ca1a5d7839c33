//! Small HTTP requests to a daemon, byte by byte where that matters.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use super::LIMIT;

/// Sends a request as it stands, and gives all that comes back until the connection is closed, head and body; `None` =
/// nobody listens, or the answer does not come to its end.
pub fn exchange(address: &str, request: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// The answer to a GET: the status line, the other headers and the body.
pub fn get(address: &str, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, &request).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}

/// The answer to a POST of JSON.
pub fn post(address: &str, path: &str, body: &str) -> Option<String> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close");
    let length = body.len();
    let request =
        format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    exchange(address, &request).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}
