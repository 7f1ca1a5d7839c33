//! Sockets without a library between: what a library would not send, and an upstream that takes whatever comes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long an answer is waited for. A request that a gateway does not take for a whole one gets none.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Once the first bytes of an answer are there, the others follow at once, or the server keeps the connection.
const REST_WITHIN: Duration = Duration::from_millis(30);
/// How long the upstream waits for the rest of a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Sends bytes to a loopback port and gives what comes back, as far as it comes.
pub fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return Vec::new() };
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(ANSWER_WITHIN));
    let _ = stream.set_read_timeout(Some(ANSWER_WITHIN));
    // A server may answer, and end, before it has taken all.
    let _ = stream.write_all(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(length) = stream.read(&mut piece) {
        if length == 0 {
            break;
        }
        answer.extend(&piece[..length]);
        let _ = stream.set_read_timeout(Some(REST_WITHIN));
    }
    let _ = stream.shutdown(Shutdown::Both);
    answer
}

/// Sends bytes to a loopback port and goes away.
pub fn leave(port: u16, bytes: &[u8]) {
    if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        let _ = stream.write_all(bytes);
    }
}

/// An upstream that answers 200 to all and keeps the head of each request, byte for byte.
pub struct Sink {
    pub port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    ended: Arc<AtomicBool>,
}

impl Sink {
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let sink = Self { port, seen: Arc::clone(&seen), ended: Arc::clone(&ended) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || answer(stream, &seen));
            }
        });
        sink
    }

    /// Takes out the heads that came so far.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen.lock().expect("no connection panics"))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// One request a connection: what follows its head is its body, and is thrown away.
fn answer(mut stream: TcpStream, seen: &Mutex<Vec<Vec<u8>>>) {
    let _ = stream.set_read_timeout(Some(REQUEST_WITHIN));
    let (mut head, mut piece) = (Vec::new(), [0; 64 * 1024]);
    let end = loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => head.extend(&piece[..length]),
            _ => break head.len(),
        }
    };
    head.truncate(end);
    if !head.is_empty() {
        seen.lock().expect("no connection panics").push(head);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    let _ = stream.shutdown(Shutdown::Write);
    // A connection that is closed with unread bytes is reset, and the answer with it.
    let started = Instant::now();
    while started.elapsed() < REQUEST_WITHIN && stream.read(&mut piece).is_ok_and(|length| length > 0) {}
}
