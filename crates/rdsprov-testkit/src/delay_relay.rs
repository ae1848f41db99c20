//! Relays connections to a server that is far away: each direction takes some time. It counts the
//! connections and the flights, which do not depend on the speed of the machine.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::{Error, Server, relay};

/// A running relay. It stops when the process ends.
///
/// A *flight* is what a client sends until the server answers, if the client goes on after the answer: a round
/// trip. Clients may use TLS, whose handshake is a flight, too. The end of a connection is none: the client
/// does not wait for it.
pub struct DelayRelay {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    flights: AtomicUsize,
}

impl DelayRelay {
    /// Starts the relay. A round trip takes this time longer than without it. A client must be able to
    /// send a flight in half of it.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server, round_trip: Duration) -> Result<Self, Error> {
        let upstream = server.port();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let address = relay::serve(move |client| {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let server = relay::connect(upstream)?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let was_answered = Arc::<AtomicBool>::default();
            let (answered, counts) = (Arc::clone(&was_answered), Arc::clone(&shared));
            let there = (client.try_clone()?, server.try_clone()?);
            spawn(move || {
                forward(there, round_trip / 2, move || {
                    let goes_on = was_answered.swap(false, Ordering::SeqCst);
                    counts.flights.fetch_add(usize::from(goes_on), Ordering::SeqCst);
                });
            });
            forward((server, client), round_trip / 2, move || {
                answered.store(true, Ordering::SeqCst);
            });
            Ok(())
        })?;
        Ok(Self { address, counts })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of flights that were answered so far.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.counts.flights.load(Ordering::SeqCst)
    }
}

/// Forwards what one side sends, each part later by the delay. `delivered` is called before each part
/// is delivered.
fn forward((mut from, mut to): (TcpStream, TcpStream), delay: Duration, delivered: impl Fn()) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    for (due, part) in receiver {
        sleep(due.saturating_duration_since(Instant::now()));
        delivered();
        if to.write_all(&part).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
