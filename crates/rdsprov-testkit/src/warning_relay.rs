//! Relays connections to a server, and adds a warning to the response to some statements, as a server
//! does whose green environment does not get them. Event triggers cannot do this for statements about
//! databases, nor for `COMMIT`. It reads all messages, so that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::relay::{self, Startup, read_body};
use crate::{Error, Server};

/// A running relay. It stops when the process ends.
pub struct WarningRelay {
    address: SocketAddr,
}

impl WarningRelay {
    /// Starts the relay. It warns of each simple query that begins with this text.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server, text: &'static str) -> Result<Self, Error> {
        let upstream = server.port();
        let address = relay::serve(move |client| serve(client, upstream, text.as_bytes()))?;
        Ok(Self { address })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

const WARNING: &str = "SWARNING\0VWARNING\0C01000\0\
     Mcommand will not be replicated to the green instance\0\0";

fn serve(mut client: TcpStream, upstream: u16, text: &[u8]) -> io::Result<()> {
    let mut server = relay::connect(upstream)?;
    server.write_all(&Startup::read(&mut client)?.bytes)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let result = forward(&mut client, &mut server, text);
    server.shutdown(Shutdown::Both)?;
    result
}

/// Forwards the messages of a client, until it disconnects.
fn forward(client: &mut TcpStream, server: &mut TcpStream, text: &[u8]) -> io::Result<()> {
    loop {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        let body = read_body(client)?;
        if kind == *b"Q" && body[4..].starts_with(text) {
            // The server sends nothing until it has the query.
            let size = u32::try_from(WARNING.len() + 4).map_err(io::Error::other)?;
            client
                .write_all(&[b"N", size.to_be_bytes().as_slice(), WARNING.as_bytes()].concat())?;
        }
        server.write_all(&[kind.as_slice(), &body].concat())?;
    }
}
