//! Relays connections to a server message by message, and cuts them after a chosen one. A test can also
//! act before a message is delivered. Clients must connect without TLS, so that the messages of the
//! protocol can be counted.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::relay::{self, read_body};
use crate::{Error, Server};

/// A running relay. It stops when the process ends.
pub struct MessageRelay {
    address: SocketAddr,
    state: Arc<State>,
}

/// A message that the relay is about to deliver.
#[derive(Debug, Clone, Copy)]
pub struct RelayedMessage<'a> {
    /// The number of the message, from 1, over all connections and both directions.
    pub number: usize,
    /// The number of its connection, from 1.
    pub connection: usize,
    /// Whether the client has sent it.
    pub is_of_client: bool,
    /// The type of the message; `None` for the first packet of a connection, which has none.
    pub kind: Option<u8>,
    /// The content, without type and length.
    pub body: &'a [u8],
}

/// What the relay does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Delivers it.
    Deliver,
    /// Cuts its connection instead.
    CutBefore,
    /// Delivers it, and then cuts its connection.
    CutConnection,
    /// Delivers it, and then cuts all connections, and each new one.
    CutAll,
}

type Decide = dyn Fn(RelayedMessage<'_>) -> Delivery + Send + Sync;

struct State {
    upstream: AtomicU16,
    messages: AtomicUsize,
    accepted: AtomicUsize,
    is_cut: AtomicBool,
    decide: Mutex<Arc<Decide>>,
    connections: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    number: usize,
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
}

impl Connection {
    /// Ends the connection for both sides. The server still reads what was delivered to it before.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Write);
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }
}

impl MessageRelay {
    /// Starts the relay, which delivers all messages.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server) -> Result<Self, Error> {
        let state = Arc::new(State {
            upstream: AtomicU16::new(server.port()),
            messages: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            is_cut: AtomicBool::new(false),
            decide: Mutex::new(Arc::new(|_| Delivery::Deliver)),
            connections: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let address = relay::serve(move |client| serve(client, &shared))?;
        Ok(Self { address, state })
    }

    /// Counts from 1 again, and delivers messages as `decide` says, which is called for each of them.
    /// It may block: then only this direction of this connection waits.
    pub fn decide(&self, decide: impl Fn(RelayedMessage<'_>) -> Delivery + Send + Sync + 'static) {
        *lock(&self.state.decide) = Arc::new(decide);
        self.state.messages.store(0, Ordering::SeqCst);
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// Delivers all messages again, and counts from 1.
    pub fn deliver_all(&self) {
        self.decide(|_| Delivery::Deliver);
    }

    /// Cuts all connections, and leads new ones to another server, as in a failover.
    pub fn switch_to(&self, server: &Server) {
        self.state.upstream.store(server.port(), Ordering::SeqCst);
        lock(&self.state.connections).iter().for_each(|one| one.cut());
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of messages since the last decision.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.state.messages.load(Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: TcpStream, state: &Arc<State>) -> io::Result<()> {
    if state.is_cut.load(Ordering::SeqCst) {
        return client.shutdown(Shutdown::Both);
    }
    let server = relay::connect(state.upstream.load(Ordering::SeqCst))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_cut = AtomicBool::new(false);
    let number = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    let connection = Arc::new(Connection { number, client, server, is_cut });
    lock(&state.connections).push(Arc::clone(&connection));
    let (of_client, shared) = (Arc::clone(&connection), Arc::clone(state));
    std::thread::spawn(move || {
        let from = of_client.client.try_clone()?;
        let result = forward(from, &of_client.server, &of_client, &shared, true);
        // The server may still answer what was delivered to it.
        let _ = of_client.server.shutdown(Shutdown::Write);
        result
    });
    let from = connection.server.try_clone()?;
    let result = forward(from, &connection.client, &connection, state, false);
    if connection.is_cut() {
        // Closing a connection with unread data would discard what the server has not read yet.
        let _ = io::copy(&mut &connection.server, &mut io::sink());
    }
    lock(&state.connections).retain(|one| !Arc::ptr_eq(one, &connection));
    let _ = connection.client.shutdown(Shutdown::Both);
    let _ = connection.server.shutdown(Shutdown::Both);
    result
}

/// Forwards the messages of one side, until it disconnects or the connection is cut.
fn forward(
    from: impl Read,
    mut to: &TcpStream,
    connection: &Connection,
    state: &State,
    is_of_client: bool,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut has_type = !is_of_client;
    loop {
        let mut kind = None;
        if has_type {
            let mut byte = [0];
            from.read_exact(&mut byte)?;
            kind = Some(byte[0]);
        }
        has_type = true;
        let message = read_body(&mut from)?;
        let number = state.messages.fetch_add(1, Ordering::SeqCst) + 1;
        let decide = Arc::clone(&lock(&state.decide));
        let body = message.get(4..).unwrap_or_default();
        let delivery = decide(RelayedMessage {
            number,
            connection: connection.number,
            is_of_client,
            kind,
            body,
        });
        if connection.is_cut() {
            return Ok(());
        }
        if delivery == Delivery::CutBefore {
            connection.cut();
            return Ok(());
        }
        let bytes: Vec<u8> = kind.into_iter().chain(message).collect();
        to.write_all(&bytes)?;
        match delivery {
            Delivery::Deliver => {}
            Delivery::CutBefore | Delivery::CutConnection => {
                connection.cut();
                return Ok(());
            }
            Delivery::CutAll => {
                state.is_cut.store(true, Ordering::SeqCst);
                lock(&state.connections).iter().for_each(|one| one.cut());
                return Ok(());
            }
        }
    }
}
