//! What all relays of connections share: the listener, the startup packet, and the forwarding.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::{Error, io_error};

/// Forwards each connection to the port that `upstream` returns for its number, from 0 on. `upstream`
/// may block; it is called for one connection after the other. Returns the port of the relay.
///
/// # Errors
/// Fails if no port is free.
pub fn relay(mut upstream: impl FnMut(usize) -> u16 + Send + 'static) -> Result<u16, Error> {
    let (listener, address) = listen()?;
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let port = upstream(number);
            std::thread::spawn(move || forward(client, connect(port)?));
        }
    });
    Ok(address.port())
}

/// Serves each connection in a thread of its own.
pub(crate) fn serve(
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Result<SocketAddr, Error> {
    let (listener, address) = listen()?;
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A client that disconnects early is not an error of the relay.
            std::thread::spawn(move || serve(client));
        }
    });
    Ok(address)
}

fn listen() -> Result<(TcpListener, SocketAddr), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
    let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
    Ok((listener, address))
}

/// Connects to a server on this machine.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port))
}

/// Forwards both directions until the server closes the connection.
pub(crate) fn forward(client: TcpStream, mut server: TcpStream) -> io::Result<()> {
    forward_from(&client, &server)?;
    io::copy(&mut server, &mut &client)?;
    client.shutdown(Shutdown::Both)
}

/// Forwards what the client sends, in a thread of its own.
pub(crate) fn forward_from(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// The first packet of a client.
pub(crate) struct Startup {
    pub bytes: Vec<u8>,
    /// The role that logs in; `None` in a cancel request.
    pub role: Option<String>,
}

impl Startup {
    pub(crate) fn read(client: &mut TcpStream) -> io::Result<Self> {
        let bytes = read_body(client)?;
        // After the length and the protocol version, names and values alternate.
        let mut words = bytes.get(8..).unwrap_or_default().split(|byte| *byte == 0);
        let role = words.find(|word| *word == b"user").and_then(|_| words.next());
        let role = role.map(|role| String::from_utf8_lossy(role).into_owned());
        Ok(Self { bytes, role })
    }
}

/// Reads a message without its type. Returns its length, as it was sent, and its content.
pub(crate) fn read_body(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length).saturating_sub(4);
    let mut bytes = length.to_vec();
    bytes.resize(4 + usize::try_from(size).map_err(io::Error::other)?, 0);
    stream.read_exact(&mut bytes[4..])?;
    Ok(bytes)
}

/// Rejects a login with this SQLSTATE and message.
pub(crate) fn reject(client: &mut TcpStream, code: &str, message: &str) -> io::Result<()> {
    let text = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let size = u32::try_from(text.len() + 4).map_err(io::Error::other)?;
    client.write_all(&[b"E", size.to_be_bytes().as_slice(), text.as_bytes()].concat())
}
