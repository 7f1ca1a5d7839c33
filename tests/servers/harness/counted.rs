//! A loopback port that passes bytes on to another one, and counts those that come back.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// The port. It is served until the process ends.
pub struct Counted {
    pub port: u16,
    received: Arc<AtomicU64>,
}

impl Counted {
    /// Passes on to this loopback port.
    #[track_caller]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let both = (client.try_clone(), server.try_clone());
                let (Ok(to_client), Ok(to_server)) = both else { continue };
                let counter = Arc::clone(&counter);
                thread::spawn(move || pass(client, to_server, &AtomicU64::new(0)));
                thread::spawn(move || pass(server, to_client, &counter));
            }
        });
        Self { port: own, received }
    }

    /// How many bytes have come back so far, over all connections.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Until either side goes away.
fn pass(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut piece = vec![0; 64 * 1024];
    let _ = to.set_nodelay(true);
    while let Ok(length) = from.read(&mut piece) {
        counter.fetch_add(length as u64, Ordering::Relaxed);
        if length == 0 || to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
