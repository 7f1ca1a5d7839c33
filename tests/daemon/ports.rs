//! Loopback ports for servers under test.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// A loopback port that nobody listens on and that no other call in this process was given.
///
/// From below the range that the kernel uses for outgoing connections, so that none of those takes it meanwhile.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 16_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Other test processes on this machine start elsewhere.
    let next = NEXT.get_or_init(|| AtomicU16::new(u16::try_from(std::process::id() % 500).unwrap_or(0) * 32));
    for _ in 0..COUNT {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
