//! Relays connections to one of several servers, as the name of a host does before and after a
//! failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::{Error, Server, relay};

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
}

impl SwitchingRelay {
    /// Starts the relay to a server.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server) -> Result<Self, Error> {
        let state = Arc::new(State {
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
        let so_far = self.state.connections.load(Ordering::SeqCst);
        self.state.next.store(server.port(), Ordering::SeqCst);
        self.state.last.store(so_far + connections, Ordering::SeqCst);
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}
