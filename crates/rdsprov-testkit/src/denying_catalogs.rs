//! Relays connections to a server whose catalogs deny the administrator what the server allows.
//!
//! On RDS, a member of `rds_superuser` may grant roles without `ADMIN OPTION`, and create roles without
//! `CREATEROLE`. A stock server allows this to superusers only. So the administrator is one, and the relay
//! changes what the query for the observed state returns: an administrator without attributes, and
//! no `ADMIN OPTION`. It reads all messages, so that clients must connect without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::relay::{self, read_body};
use crate::server::MASTER;
use crate::{Error, Server};

/// A running relay. It stops when the process ends.
pub struct DenyingCatalogs {
    address: SocketAddr,
}

impl DenyingCatalogs {
    /// Makes the administrator of a server a superuser, and starts the relay.
    ///
    /// # Errors
    /// Fails if no port is free, or returns the error output of psql.
    pub fn start(server: &Server) -> Result<Self, Error> {
        server.superuser("postgres", &format!("ALTER ROLE {MASTER} SUPERUSER"))?;
        let upstream = server.port();
        let address = relay::serve(move |client| {
            let server = relay::connect(upstream)?;
            relay::forward_from(&client, &server)?;
            let result = forward(server, &client);
            client.shutdown(Shutdown::Both)?;
            result
        })?;
        Ok(Self { address })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Forwards the messages of a server, until it disconnects.
fn forward(mut server: TcpStream, mut client: &TcpStream) -> io::Result<()> {
    loop {
        let mut kind = [0];
        server.read_exact(&mut kind)?;
        let body = read_body(&mut server)?;
        let body = if kind == *b"D" { denied(&body).unwrap_or(body) } else { body };
        client.write_all(&[kind.as_slice(), &body].concat())?;
    }
}

/// Returns another row if it is the observed state: the length, the number of columns (1), the length of the
/// value, and the value.
fn denied(row: &[u8]) -> Option<Vec<u8>> {
    let mut observed: Value = serde_json::from_slice(row.get(10..)?).ok()?;
    let administrator = observed.get_mut("administrator")?.as_object_mut()?;
    for attribute in ["superuser", "create_role", "create_database"] {
        administrator.insert(attribute.to_owned(), false.into());
    }
    for (name, role) in observed.get_mut("roles")?.as_object_mut()? {
        let role = role.as_object_mut()?;
        role.insert("administrator_has_admin_option".to_owned(), false.into());
        if name == MASTER {
            for attribute in ["superuser", "create_role", "create_database"] {
                role.insert(attribute.to_owned(), false.into());
            }
        }
    }
    let value = observed.to_string();
    let size = u32::try_from(value.len()).ok()?;
    let header = [(size + 10).to_be_bytes().as_slice(), &[0, 1], &size.to_be_bytes()].concat();
    Some([header.as_slice(), value.as_bytes()].concat())
}
