//! Relays connections to a server, and goes silent after a number of statements, or at one of them:
//! the last one reaches the server, and nothing more reaches the client. The connections stay open.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Server, io_error};

/// A running relay for connections without TLS. It stops when the process ends.
pub struct SilentRelay {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: u16,
    /// The number of statements of all connections after which the relay is silent.
    last: usize,
    /// Texts that must occur in this order, each in another message. The relay is silent after the
    /// last one.
    texts: Mutex<VecDeque<String>>,
    statements: AtomicUsize,
    is_silent: AtomicBool,
}

impl SilentRelay {
    /// Starts the relay. It goes silent with the response to the statement of this number, from 1,
    /// counted over all connections.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server, last: usize) -> Result<Self, Error> {
        Self::with(server, last, &[])
    }

    /// Starts the relay. It goes silent with the response to the simple query that contains the last
    /// text, after messages with the other texts.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start_at(server: &Server, texts: &[&str]) -> Result<Self, Error> {
        Self::with(server, usize::MAX, texts)
    }

    fn with(server: &Server, last: usize, texts: &[&str]) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let state = Arc::new(State {
            upstream: server.port(),
            last,
            texts: Mutex::new(texts.iter().map(|&text| text.to_owned()).collect()),
            statements: AtomicUsize::new(0),
            is_silent: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that disconnects early is not an error of the relay.
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Ok(Self { address, state })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Forwards all messages again. The connections that were silent stay unusable.
    pub fn resume(&self) {
        self.state.is_silent.store(false, Ordering::SeqCst);
    }

    /// Returns the number of statements so far.
    #[must_use]
    pub fn statements(&self) -> usize {
        self.state.statements.load(Ordering::SeqCst)
    }

    /// Returns whether the relay is silent.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.state.is_silent.load(Ordering::SeqCst)
    }
}

impl State {
    /// Returns whether a message contains the last text.
    fn is_last_text(&self, body: &[u8]) -> bool {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let contained =
            |text: &String| body.windows(text.len()).any(|part| part == text.as_bytes());
        texts.front().is_some_and(contained) && {
            texts.pop_front();
            texts.is_empty()
        }
    }
}

fn serve(mut client: TcpStream, state: &Arc<State>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", state.upstream))?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let silent = Arc::clone(state);
    std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let is_silent = silent.is_silent.load(Ordering::SeqCst);
            if !is_silent && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        if !silent.is_silent.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
    let result = forward(&mut client, &mut server, state);
    // The server rolls back when its client disconnects.
    server.shutdown(Shutdown::Both)?;
    result
}

/// Forwards the messages of a client, until it disconnects.
fn forward(client: &mut TcpStream, server: &mut TcpStream, state: &State) -> io::Result<()> {
    // The startup packet has no type.
    let mut kind = None;
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let size = u32::from_be_bytes(length).saturating_sub(4);
        let mut body = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        client.read_exact(&mut body)?;
        if !state.is_silent.load(Ordering::SeqCst) {
            // A simple query, and the end of an extended one.
            let is_last = matches!(kind, Some(b'Q' | b'S'))
                && state.statements.fetch_add(1, Ordering::SeqCst) + 1 == state.last;
            if state.is_last_text(&body) || is_last {
                state.is_silent.store(true, Ordering::SeqCst);
            }
            let kind: Vec<u8> = kind.into_iter().collect();
            server.write_all(&[kind.as_slice(), &length, &body].concat())?;
        }
        let mut next = [0];
        client.read_exact(&mut next)?;
        kind = Some(next[0]);
    }
}
