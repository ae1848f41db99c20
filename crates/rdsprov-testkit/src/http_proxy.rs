//! Proxies HTTP between a program and a Secrets Manager, records each call and can answer it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::secrets_manager::environment;
use crate::{Error, SecretsManager, io_error};

/// One call of the Secrets Manager API.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name of the action, such as `GetSecretValue`.
    pub action: String,
    /// The parameters of the call as JSON.
    pub parameters: Value,
    /// The id of the access key that signed the call; empty without a signature.
    pub access_key_id: String,
}

/// The answer to a call in place of the Secrets Manager's answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A successful response with this body.
    Value(Value),
    /// An API error with this code and message.
    Error(&'static str, String),
    /// Closes the connection without forwarding the call.
    Disconnect,
    /// Forwards the call to the Secrets Manager and discards the response.
    DropResponse,
}

/// A running proxy. It stops when the process ends.
pub struct HttpProxy {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl HttpProxy {
    /// Starts the proxy. It forwards a call to the Secrets Manager if `intercept` returns `None`.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(
        manager: &SecretsManager,
        intercept: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (recorded, upstream, intercept) =
            (Arc::clone(&calls), manager.port(), Arc::new(intercept));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (recorded, intercept) = (Arc::clone(&recorded), Arc::clone(&intercept));
                // A client that disconnects early is not an error of the proxy.
                std::thread::spawn(move || serve(stream, upstream, &recorded, &*intercept));
            }
        });
        Ok(Self { address, calls })
    }

    /// Returns the environment variables that direct a program to this proxy.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&format!("http://{}", self.address))
    }

    /// Returns the calls since the last invocation, in order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(
    mut client: TcpStream,
    upstream: u16,
    recorded: &Mutex<Vec<Call>>,
    intercept: &dyn Fn(&Call) -> Option<Reply>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut action, mut length) = (String::new(), String::new(), 0);
    let mut access_key_id = String::new();
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
            "authorization" => {
                let key = value.split("Credential=").nth(1).and_then(|key| key.split('/').next());
                access_key_id = key.unwrap_or_default().to_owned();
            }
            "connection" => continue,
            _ => {}
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let parameters = serde_json::from_slice(&body).unwrap_or_default();
    let call = Call { action, parameters, access_key_id };
    let reply = intercept(&call);
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let (status, reply) = match reply {
        Some(Reply::Value(value)) => ("200 OK", value),
        Some(Reply::Error(code, message)) => {
            ("400 Bad Request", serde_json::json!({ "__type": code, "message": message }))
        }
        Some(Reply::Disconnect) => return Ok(()),
        other => {
            let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
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
