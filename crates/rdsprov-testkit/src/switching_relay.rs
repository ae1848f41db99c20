//! Relays connections to one of several servers, as the name of a host does before and after a
//! failover.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::{Error, Server, io_error, relay};

/// A running relay. It stops when the process ends.
pub struct SwitchingRelay {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// The port of the server for the next connections.
    upstream: AtomicU16,
    /// The number of connections so far.
    connections: AtomicUsize,
    /// The number of connections after which the server is `next`.
    last: AtomicUsize,
    next: AtomicU16,
    /// The system accepts connections to it, and nothing answers them.
    silent: TcpListener,
}

impl SwitchingRelay {
    /// Starts the relay to a server.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server) -> Result<Self, Error> {
        let silent =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let state = Arc::new(State {
            silent,
            upstream: AtomicU16::new(server.port()),
            connections: AtomicUsize::new(0),
            last: AtomicUsize::new(usize::MAX),
            next: AtomicU16::new(server.port()),
        });
        let shared = Arc::clone(&state);
        let port = relay(move |number| {
            shared.connections.store(number + 1, Ordering::SeqCst);
            let is_next = number >= shared.last.load(Ordering::SeqCst);
            let upstream = if is_next { &shared.next } else { &shared.upstream };
            upstream.load(Ordering::SeqCst)
        })?;
        Ok(Self { port, state })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads the next connections to another server. Open connections stay where they are.
    pub fn switch_to(&self, server: &Server) {
        self.state.last.store(usize::MAX, Ordering::SeqCst);
        self.state.upstream.store(server.port(), Ordering::SeqCst);
    }

    /// Leads the connections after the next ones to another server.
    pub fn switch_after(&self, connections: usize, server: &Server) {
        self.next(connections, server.port());
    }

    /// Answers no connections after the next ones.
    ///
    /// # Errors
    /// Fails if the system does not know the address of its socket.
    pub fn silence_after(&self, connections: usize) -> Result<(), Error> {
        let address =
            self.state.silent.local_addr().map_err(io_error("cannot find a free port"))?;
        self.next(connections, address.port());
        Ok(())
    }

    fn next(&self, connections: usize, port: u16) {
        let so_far = self.state.connections.load(Ordering::SeqCst);
        self.state.next.store(port, Ordering::SeqCst);
        self.state.last.store(so_far + connections, Ordering::SeqCst);
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}
