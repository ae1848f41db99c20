//! Serves HTTP on loopback and records each request: it stands for the endpoints of AWS that
//! provide credentials, such as STS and the instance metadata service.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, io_error};

/// One request of a client.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The method and the path with its query, such as `GET /latest/meta-data`.
    pub line: String,
    /// The names of the headers in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl HttpRequest {
    /// Returns the value of a header; the name is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }
}

/// A running endpoint. It stops when the process ends.
pub struct HttpEndpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
}

impl HttpEndpoint {
    /// Starts the endpoint. `respond` returns the status and the body of each response.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start(
        respond: impl Fn(&HttpRequest) -> (u16, String) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (recorded, respond) = (Arc::clone(&requests), Arc::new(respond));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (recorded, respond) = (Arc::clone(&recorded), Arc::clone(&respond));
                // A client that disconnects early is not an error of the endpoint.
                std::thread::spawn(move || serve(stream, &recorded, &*respond));
            }
        });
        Ok(Self { address, requests })
    }

    /// Returns the URL of the endpoint, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests since the last invocation, in order.
    #[must_use]
    pub fn take_requests(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(
    mut client: TcpStream,
    recorded: &Mutex<Vec<HttpRequest>>,
    respond: &dyn Fn(&HttpRequest) -> (u16, String),
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = HttpRequest { line, headers, body: String::new() };
    let length = request.header("content-length").and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    let (status, body) = respond(&request);
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    write!(
        client,
        "HTTP/1.1 {status} Response\r\nconnection: close\r\ncontent-length: {}\r\n\
         x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n{body}",
        body.len()
    )
}
