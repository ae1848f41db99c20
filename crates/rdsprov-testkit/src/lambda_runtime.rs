//! Serves the runtime API of AWS Lambda on loopback: it passes events to a function, and receives their
//! results.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{Error, io_error};

const PREFIX: &str = "/2018-06-01/runtime/invocation/";

/// An event with its deadline.
struct Event {
    id: String,
    body: String,
    deadline: SystemTime,
}

/// The result of an invocation: the response, or the function error.
type InvocationResult = Result<Value, Value>;

/// A running runtime API for one function. It stops when the process ends.
pub struct LambdaRuntime {
    address: SocketAddr,
    events: Sender<Event>,
    results: Receiver<(InvocationResult, String)>,
    invocations: u64,
    text: String,
}

impl LambdaRuntime {
    /// Starts the runtime API.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn start() -> Result<Self, Error> {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(io_error("cannot find a free port"))?;
        let address = listener.local_addr().map_err(io_error("cannot find a free port"))?;
        let (events, queue) = channel();
        let (sender, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (queue, sender) = (Arc::clone(&queue), sender.clone());
                // A function that ends early is not an error of the runtime.
                std::thread::spawn(move || serve(stream, &queue, &sender));
            }
        });
        Ok(Self { address, events, results, invocations: 0, text: String::new() })
    }

    /// Returns the environment variables that a function needs.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "rdsprov".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ]
    }

    /// Invokes the function with the text of an event, and waits for its result. Returns the function
    /// error as an inner error.
    ///
    /// # Errors
    /// Fails if the function gives no result within a minute after the deadline.
    pub fn invoke(&mut self, event: &str, time: Duration) -> Result<InvocationResult, Error> {
        self.invocations += 1;
        let id = format!("invocation-{}", self.invocations);
        let failed = |output: &str| Error::Program {
            program: "the function".to_owned(),
            output: output.to_owned(),
        };
        let deadline = SystemTime::now() + time;
        let event = Event { id, body: event.to_owned(), deadline };
        self.events.send(event).map_err(|_| failed("the runtime API has ended"))?;
        let received = self.results.recv_timeout(time + Duration::from_secs(60));
        let (result, text) = received.map_err(|error| match error {
            RecvTimeoutError::Timeout => failed("no result"),
            RecvTimeoutError::Disconnected => failed("the runtime API has ended"),
        })?;
        self.text = text;
        Ok(result)
    }

    /// Returns the text of the last result, as the function has sent it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn serve(
    mut client: TcpStream,
    queue: &Mutex<Receiver<Event>>,
    results: &Sender<(InvocationResult, String)>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    // The function keeps its connection.
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let path = path.strip_prefix(PREFIX).unwrap_or_default();
        match path.rsplit('/').next() {
            Some("next") => {
                let event = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Event { id, body, deadline }) = event else { return Ok(()) };
                let since = deadline.duration_since(SystemTime::UNIX_EPOCH);
                let milliseconds = since.map_err(io::Error::other)?.as_millis();
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     lambda-runtime-aws-request-id: {id}\r\n\
                     lambda-runtime-deadline-ms: {milliseconds}\r\n\
                     lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-2:111122223333:function:rdsprov\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                )?;
            }
            kind @ Some("response" | "error") => {
                let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let result = if kind == Some("response") { Ok(value) } else { Err(value) };
                write!(client, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
                let text = String::from_utf8_lossy(&body).into_owned();
                results.send((result, text)).map_err(io::Error::other)?;
            }
            _ => write!(client, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?,
        }
    }
}
