//! Relays connections as RDS Proxy does: without the key for cancel requests, and only for the roles
//! whose secrets it has. It reads the startup packet, so that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::relay::{self, Startup, read_body, reject};
use crate::{Error, Server};

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
        let upstream = server.port();
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        let address = relay::serve(move |client| serve(client, upstream, &roles))?;
        Ok(Self { address })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

fn serve(mut client: TcpStream, upstream: u16, roles: &[String]) -> io::Result<()> {
    let Startup { bytes, role: Some(role) } = Startup::read(&mut client)? else { return Ok(()) };
    if !roles.contains(&role) {
        let message = format!(
            "This RDS proxy has no credentials for the role {role}. Check the credentials for this \
             role and try again."
        );
        return reject(&mut client, "28000", &message);
    }
    let mut server = relay::connect(upstream)?;
    server.write_all(&bytes)?;
    relay::forward_from(&client, &server)?;
    let result = forward(&mut server, &mut client);
    client.shutdown(Shutdown::Both)?;
    result
}

/// Forwards the messages of the login except the key, and then everything.
fn forward(server: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut kind = [0];
        server.read_exact(&mut kind)?;
        let body = read_body(server)?;
        if kind != *b"K" {
            client.write_all(&[kind.as_slice(), &body].concat())?;
        }
        if kind == *b"Z" {
            return io::copy(server, client).map(drop);
        }
    }
}
