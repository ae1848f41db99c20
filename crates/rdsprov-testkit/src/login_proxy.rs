//! Proxies logins to a server and can answer them in its place. It reads the startup packet, so
//! that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::{Error, Server, io_error};

/// The answer to a login in place of the server's answer.
#[derive(Debug, Clone, Copy)]
pub enum Intercept {
    /// Sends an error with this SQLSTATE and message.
    Error(&'static str, &'static str),
    /// Asks for the cleartext password, as RDS asks a member of `rds_iam`, and rejects it (28000).
    Pam,
    /// Closes the connection without an answer.
    End,
    /// Keeps the connection open and never answers.
    Silence,
}

/// A running proxy. It stops when the process ends.
pub struct LoginProxy {
    address: SocketAddr,
}

impl LoginProxy {
    /// Starts the proxy. It calls `intercept` with the role of each login. `intercept` may block;
    /// `None` forwards the connection to the server.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(
        server: &Server,
        intercept: impl Fn(&str) -> Option<Intercept> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let (upstream, intercept) = (server.port(), Arc::new(intercept));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let intercept = Arc::clone(&intercept);
                // A client that disconnects early is not an error of the proxy.
                std::thread::spawn(move || serve(stream, upstream, &*intercept));
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

fn serve(
    mut client: TcpStream,
    upstream: u16,
    intercept: &dyn Fn(&str) -> Option<Intercept>,
) -> io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length).saturating_sub(4);
    let mut first = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    client.read_exact(&mut first)?;
    // After the protocol version, names and values alternate. A cancel request has none.
    let mut words = first.get(4..).unwrap_or_default().split(|byte| *byte == 0);
    let role = words.find(|word| *word == b"user").and_then(|_| words.next());
    let role = role.map(|role| String::from_utf8_lossy(role).into_owned());
    let answer = role.as_deref().and_then(intercept);
    match answer {
        Some(Intercept::Error(code, message)) => reject(&mut client, code, message),
        Some(Intercept::Pam) => {
            client.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
            // A client that does not send its password closes the connection.
            let mut header = [0; 5];
            client.read_exact(&mut header)?;
            let role = role.unwrap_or_default();
            let message = format!("PAM authentication failed for user \"{role}\"");
            reject(&mut client, "28000", &message)
        }
        Some(Intercept::End) => Ok(()),
        Some(Intercept::Silence) => io::copy(&mut client, &mut io::sink()).map(drop),
        None => {
            let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
            server.write_all(&[length.as_slice(), &first].concat())?;
            let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            io::copy(&mut server, &mut client)?;
            client.shutdown(Shutdown::Both)
        }
    }
}

fn reject(client: &mut TcpStream, code: &str, message: &str) -> io::Result<()> {
    let text = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let size = u32::try_from(text.len() + 4).map_err(io::Error::other)?;
    client.write_all(&[b"E", size.to_be_bytes().as_slice(), text.as_bytes()].concat())
}
