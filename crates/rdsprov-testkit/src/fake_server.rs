//! A server that speaks the protocol of PostgreSQL and does what no PostgreSQL server does.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::{Error, io_error};

/// What the server does.
#[derive(Debug, Clone, Copy)]
pub enum Misbehaviour {
    /// Asks for the cleartext password.
    AskCleartext,
    /// Asks for an MD5 hash of the password.
    AskMd5,
    /// Asks for a SCRAM proof with this number of iterations.
    AskScram(u32),
    /// Accepts the login, and sends notices without end before it is ready for a statement.
    NoticesInLogin,
    /// Accepts the login, and sends notices without end.
    Notices,
    /// Accepts the login, and sends a message of 2 GB.
    LongMessage,
    /// Accepts the login, and sends a row of 1.5 GB.
    LongRow,
    /// Accepts the login, and sends rows without end.
    Rows,
    /// Accepts the login, and sends nothing more.
    Silence,
}

/// A running server on loopback, without TLS. It stops when the process ends.
pub struct FakeServer {
    port: u16,
}

impl FakeServer {
    /// Starts the server. It calls `answered` with each answer to a request for a password.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(
        misbehaviour: Misbehaviour,
        answered: impl Fn(&[u8]) + Clone + Send + 'static,
    ) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answered = answered.clone();
                // A client that disconnects early is not an error of the server.
                std::thread::spawn(move || serve(stream, misbehaviour, &answered));
            }
        });
        Ok(Self { port: address.port() })
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn message(kind: u8, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([&[kind], length.to_be_bytes().as_slice(), body].concat())
}

/// Reads the length of a message and its content.
fn read_body(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    client.read_exact(&mut body)?;
    Ok(body)
}

fn read_message(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut kind = [0];
    client.read_exact(&mut kind)?;
    read_body(client)
}

fn serve(
    mut client: TcpStream,
    misbehaviour: Misbehaviour,
    answered: &dyn Fn(&[u8]),
) -> io::Result<()> {
    read_body(&mut client)?;
    let notice =
        message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mnothing of interest, again and again\0\0")?;
    match misbehaviour {
        Misbehaviour::AskCleartext => {
            client.write_all(&message(b'R', &[0, 0, 0, 3])?)?;
            answered(&read_message(&mut client)?);
        }
        Misbehaviour::AskMd5 => {
            client.write_all(&message(b'R', b"\0\0\0\x05salt")?)?;
            answered(&read_message(&mut client)?);
        }
        Misbehaviour::AskScram(iterations) => {
            client.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")?)?;
            let first = read_message(&mut client)?;
            let first = String::from_utf8_lossy(&first).into_owned();
            let nonce = first.split(",r=").nth(1).unwrap_or_default();
            let request =
                format!("r={nonce}of_the_server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}");
            client.write_all(&message(b'R', &[&[0, 0, 0, 11], request.as_bytes()].concat())?)?;
            answered(&read_message(&mut client)?);
        }
        Misbehaviour::NoticesInLogin => {
            client.write_all(&message(b'R', &[0; 4])?)?;
            endlessly(&mut client, &notice)?;
        }
        accepts => {
            client.write_all(&message(b'R', &[0; 4])?)?;
            client.write_all(&message(b'S', b"server_version\x0018.1\x00")?)?;
            client.write_all(&message(b'K', &[0; 8])?)?;
            client.write_all(&message(b'Z', b"I")?)?;
            read_message(&mut client)?;
            let long = |kind: u8, length: u32| [&[kind], length.to_be_bytes().as_slice()].concat();
            let row = message(b'D', &[&[0, 1, 0, 0, 16, 0], [b'x'; 4096].as_slice()].concat())?;
            let columns =
                message(b'T', b"\0\x01text\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")?;
            match accepts {
                Misbehaviour::LongMessage => {
                    client.write_all(&long(b'N', i32::MAX.unsigned_abs()))?;
                    endlessly(&mut client, &[b'x'; 65536])?;
                }
                Misbehaviour::LongRow => {
                    client.write_all(&columns)?;
                    client.write_all(&long(b'D', 1_500_000_000))?;
                    endlessly(&mut client, &[b'x'; 65536])?;
                }
                Misbehaviour::Rows => {
                    client.write_all(&columns)?;
                    endlessly(&mut client, &row)?;
                }
                Misbehaviour::Notices => endlessly(&mut client, &notice)?,
                _ => {}
            }
        }
    }
    // Keeps the connection open until the client closes it.
    io::copy(&mut client, &mut io::sink()).map(drop)
}

fn endlessly(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(1 + (1 << 16) / bytes.len());
    loop {
        client.write_all(&many)?;
    }
}
