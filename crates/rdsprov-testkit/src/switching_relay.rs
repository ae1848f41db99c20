//! Relays connections to one of several servers, as the name of a host does before and after a
//! failover.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::{Error, Server, io_error};

/// A running relay. It stops when the process ends.
pub struct SwitchingRelay {
    address: SocketAddr,
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
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let state = Arc::new(State {
            upstream: AtomicU16::new(server.port()),
            connections: AtomicUsize::new(0),
            last: AtomicUsize::new(usize::MAX),
            next: AtomicU16::new(server.port()),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let is_next = number > shared.last.load(Ordering::SeqCst);
                let upstream = if is_next { &shared.next } else { &shared.upstream };
                let upstream = upstream.load(Ordering::SeqCst);
                // A client that disconnects early is not an error of the relay.
                std::thread::spawn(move || serve(client, upstream));
            }
        });
        Ok(Self { address, state })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
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

fn serve(mut client: TcpStream, upstream: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
