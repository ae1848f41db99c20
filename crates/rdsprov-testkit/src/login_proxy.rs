//! Proxies logins to a server and can answer them in its place. It reads the startup packet, so
//! that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::relay::{self, Startup, reject};
use crate::{Error, Server};

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
        let upstream = server.port();
        let address = relay::serve(move |client| serve(client, upstream, &intercept))?;
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
    let Startup { bytes, role } = Startup::read(&mut client)?;
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
            let mut server = relay::connect(upstream)?;
            server.write_all(&bytes)?;
            relay::forward(client, server)
        }
    }
}
