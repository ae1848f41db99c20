//! Relays connections as RDS Proxy does: without the key for cancel requests, and only for the roles
//! whose secrets it has. It reads the startup packet, so that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::{Error, Server, io_error};

/// A running proxy. It stops when the process ends.
pub struct RdsProxy {
    address: SocketAddr,
}

impl RdsProxy {
    /// Starts the proxy, with the roles that it knows.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(server: &Server, roles: &[&str]) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let upstream = server.port();
        let roles: Arc<[String]> = roles.iter().map(|&role| role.to_owned()).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let roles = Arc::clone(&roles);
                // A client that disconnects early is not an error of the proxy.
                std::thread::spawn(move || serve(stream, upstream, &roles));
            }
        });
        Ok(Self { address })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Reads the length of a message and its content.
fn read_body(stream: &mut TcpStream) -> io::Result<([u8; 4], Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    stream.read_exact(&mut body)?;
    Ok((length, body))
}

fn serve(mut client: TcpStream, upstream: u16, roles: &[String]) -> io::Result<()> {
    let (length, startup) = read_body(&mut client)?;
    // After the protocol version, names and values alternate. A cancel request has none.
    let mut words = startup.get(4..).unwrap_or_default().split(|byte| *byte == 0);
    let role = words.find(|word| *word == b"user").and_then(|_| words.next());
    let Some(role) = role.map(|role| String::from_utf8_lossy(role).into_owned()) else {
        return Ok(());
    };
    if !roles.contains(&role) {
        let message = format!(
            "This RDS proxy has no credentials for the role {role}. Check the credentials for this \
             role and try again."
        );
        let text = format!("SFATAL\0VFATAL\0C28000\0M{message}\0\0");
        let size = u32::try_from(text.len() + 4).map_err(io::Error::other)?;
        return client.write_all(&[b"E", size.to_be_bytes().as_slice(), text.as_bytes()].concat());
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    server.write_all(&[length.as_slice(), &startup].concat())?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let result = forward(&mut server, &mut client);
    client.shutdown(Shutdown::Both)?;
    result
}

/// Forwards the messages of the login except the key, and then everything.
fn forward(server: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut kind = [0];
        server.read_exact(&mut kind)?;
        let (length, body) = read_body(server)?;
        if kind != *b"K" {
            client.write_all(&[kind.as_slice(), &length, &body].concat())?;
        }
        if kind == *b"Z" {
            return io::copy(server, client).map(drop);
        }
    }
}
