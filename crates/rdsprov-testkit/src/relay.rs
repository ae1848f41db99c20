//! A relay on loopback between a program and a Secrets Manager: it notes each call, and may answer it itself.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::secrets_manager::environment;
use crate::{Error, SecretsManager, io_error};

/// One call of the API.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked for: `GetSecretValue`, say.
    pub action: String,
    /// Its parameters.
    pub parameters: Value,
}

/// What is answered in place of the Secrets Manager.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer.
    Value(Value),
    /// An error of the API: its code, and its message.
    Error(&'static str, String),
    /// Nothing: the connection ends, and the Secrets Manager never hears of the call.
    Cut,
    /// Nothing, though the Secrets Manager has done what was asked.
    Lost,
}

/// A running relay. It ends with the process.
pub struct Relay {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Relay {
    /// Starts one. What `instead` has no reply to goes to the Secrets Manager.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn start(
        manager: &SecretsManager,
        instead: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(io_error("a free port"))?;
        let address = listener.local_addr().map_err(io_error("a free port"))?;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (noted, behind, instead) = (Arc::clone(&calls), manager.port(), Arc::new(instead));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, instead) = (Arc::clone(&noted), Arc::clone(&instead));
                // A client that goes away in the middle is not the relay's concern.
                std::thread::spawn(move || serve(stream, behind, &noted, &*instead));
            }
        });
        Ok(Self { address, calls })
    }

    /// What a program needs in its environment to be sent here.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&format!("http://{}", self.address))
    }

    /// The calls since the last time, in order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(
    mut client: TcpStream,
    behind: u16,
    noted: &Mutex<Vec<Call>>,
    instead: &dyn Fn(&Call) -> Option<Reply>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut action, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut head)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => {
                action = value.rsplit('.').next().unwrap_or_default().trim().to_owned();
            }
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "connection" => continue,
            _ => {}
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call = Call { action, parameters: serde_json::from_slice(&body).unwrap_or_default() };
    let reply = instead(&call);
    noted.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let (status, reply) = match reply {
        Some(Reply::Value(value)) => ("200 OK", value),
        Some(Reply::Error(code, message)) => {
            ("400 Bad Request", serde_json::json!({ "__type": code, "message": message }))
        }
        Some(Reply::Cut) => return Ok(()),
        other => {
            let mut server = TcpStream::connect(("127.0.0.1", behind))?;
            write!(server, "{head}connection: close\r\n\r\n")?;
            server.write_all(&body)?;
            return match other {
                None => io::copy(&mut server, &mut client).map(drop),
                Some(_) => io::copy(&mut server, &mut io::sink()).map(drop),
            };
        }
    };
    let reply = reply.to_string();
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{reply}",
        reply.len()
    )
}
