//! Relays connections to a server, and replaces values in its results: a server that lies. It reads all
//! messages, so that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::relay::{self, forward_from, read_body};
use crate::{Error, Server};

/// Starts a relay, which stops when the process ends, and returns its port on 127.0.0.1. `rewrite` gets the
/// value of each row with one column, and returns another one, or `None`.
///
/// # Errors
/// Fails if no port is free.
pub fn rewriting_relay(
    server: &Server,
    rewrite: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<u16, Error> {
    let upstream = server.port();
    let address = relay::serve(move |client| serve(&client, upstream, &rewrite))?;
    Ok(address.port())
}

fn serve(
    client: &TcpStream,
    upstream: u16,
    rewrite: &impl Fn(&str) -> Option<String>,
) -> io::Result<()> {
    let mut server = relay::connect(upstream)?;
    forward_from(client, &server)?;
    let forwarded = forward(&mut server, &mut &*client, rewrite);
    client.shutdown(Shutdown::Both)?;
    forwarded
}

/// Forwards the messages of a server, until it disconnects.
fn forward(
    server: &mut TcpStream,
    client: &mut &TcpStream,
    rewrite: &impl Fn(&str) -> Option<String>,
) -> io::Result<()> {
    loop {
        let mut kind = [0];
        server.read_exact(&mut kind)?;
        let mut message = read_body(server)?;
        // A row: the length, the number of columns, and the length of each value before the value.
        if kind == *b"D" && message.get(4..6) == Some(&[0, 1]) {
            let value = String::from_utf8_lossy(message.get(10..).unwrap_or_default());
            if let Some(value) = rewrite(&value) {
                let size = |more| u32::try_from(value.len() + more).map_err(io::Error::other);
                let parts = [&size(10)?.to_be_bytes()[..], &[0, 1], &size(0)?.to_be_bytes()];
                message = [&parts.concat(), value.as_bytes()].concat();
            }
        }
        client.write_all(&[kind.as_slice(), &message].concat())?;
    }
}
