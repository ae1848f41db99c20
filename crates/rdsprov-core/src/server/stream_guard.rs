//! Guards the stream from the server: which authentication requests are answered, and how much
//! the server may send.
//!
//! A server that only pretends to be the expected one, or that an attacker has changed, can ask for
//! the cleartext password, for an MD5 hash, or for a SCRAM proof with one iteration, from which the
//! password can be guessed. The driver answers each kind of request, and reads messages of
//! any size. So this module inspects the stream, and fails before a request reaches the driver.
//!
//! A server can also stop to respond and keep the connection open. So this module counts the requests
//! that have no response yet, and fails if the server does not become ready in time. This limits every
//! wait for a statement, whatever sends it.
//!
//! PostgreSQL requests the cleartext password for the methods `password`, `ldap`, `pam` and
//! `radius` in `pg_hba.conf`.

use std::error::Error;
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::secrets::scram::ACCEPTED_ITERATIONS;

/// The number of bytes that the server may send until it is ready for the first statement.
const MAX_LOGIN: u64 = 1 << 20;

/// The number of bytes that the server may send until it is ready for the next statement. The
/// contents of a database with 100,000 tables need less.
const MAX_RESPONSE: u64 = 256 << 20;

/// The number of notices that the server may send until it is ready for the next statement. Short
/// notices take more time than their bytes.
const MAX_NOTICES: u32 = 100_000;

/// Why the stream was not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamProblem {
    #[error("the server asks for the cleartext password")]
    Cleartext,
    #[error("the server asks for an MD5 hash of the password")]
    Md5,
    #[error("the server asks for a SCRAM proof with {0} iterations")]
    Iterations(u32),
    #[error("the server asks for a SCRAM proof that no client can compute")]
    Scram,
    #[error("the server sent a message without a valid length")]
    Length,
    #[error("the server sent more than {} kB before the end of the login", MAX_LOGIN >> 10)]
    Login,
    #[error("the server sent more than {MAX_NOTICES} notices in response to one statement")]
    Notices,
    #[error("the server sent more than {} MB in response to one statement", MAX_RESPONSE >> 20)]
    Response,
    #[error("no response of the server to a statement within {0} s")]
    Silence(u64),
}

impl StreamProblem {
    /// Returns the problem that ended a connection; `None` if it ended for another reason.
    pub(super) fn from_error(error: &tokio_postgres::Error) -> Option<Self> {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>())?;
        cause.get_ref()?.downcast_ref().copied()
    }
}

/// Which authentication requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// SCRAM-SHA-256 with [`ACCEPTED_ITERATIONS`].
    Scram,
    /// Also requests for the cleartext password: RDS requests an IAM token like this.
    ScramOrCleartext,
}

/// What the login of a session shows.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// Set once the server accepts the login after a complete SCRAM exchange, which only a server that
    /// knows a verifier of the password can complete. A login without one (`trust` in `pg_hba.conf`) does
    /// not prove the password.
    pub password_proved: AtomicBool,
    /// Set if the server sends an error in place of its first SCRAM message, which contains what it has
    /// stored of the password.
    pub challenge_failed: AtomicBool,
    /// The process id in the key for cancel requests (`BackendKeyData`). PostgreSQL sends that of
    /// the session; a proxy sends another number, or no key.
    pub process_id: OnceLock<i32>,
}

/// A TLS connector that wraps the stream of another connector in a [`GuardedStream`].
pub(super) struct GuardedConnector<C> {
    pub connector: C,
    pub answers: Answers,
    pub login: Arc<Login>,
    /// How long the response to a statement may take.
    pub limit: Duration,
}

impl<S, C: TlsConnect<S>> TlsConnect<S> for GuardedConnector<C> {
    type Stream = GuardedStream<C::Stream>;
    type Error = C::Error;
    type Future = MapOk<C::Future, Wrap<C::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { connector, answers, login, limit } = self;
        let wrap = move |stream| GuardedStream::new(stream, answers, login, limit);
        connector.connect(stream).map_ok(Box::new(wrap))
    }
}

type Wrap<S> = Box<dyn FnOnce(S) -> GuardedStream<S> + Send>;

/// A stream that fails when the server requests an answer that it does not get, or sends too much.
pub(super) struct GuardedStream<S> {
    stream: S,
    answers: Answers,
    login: Arc<Login>,
    phase: Phase,
    /// The SCRAM exchange of the login.
    scram: Scram,
    /// The type and the length of the current message, as far as they were read.
    header: Vec<u8>,
    /// The number of bytes of the current message that were not read yet.
    left: u64,
    /// The content of the current message, if it is an authentication message or the key.
    body: Vec<u8>,
    /// The number of bytes since the server was ready for a statement.
    received: u64,
    /// The number of notices since then.
    notices: u32,
    requests: Requests,
}

/// The requests to the server that have no complete response.
struct Requests {
    /// The type and the length of the current message to the server, as far as they were written.
    header: Vec<u8>,
    /// The number of bytes of this message that were not written yet.
    left: u64,
    /// Whether messages were written after which the server does not become ready yet.
    begun: bool,
    /// How often the server will become ready.
    pending: u32,
    limit: Duration,
    /// The end of the time for the next response, while one is awaited.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Requests {
    fn new(limit: Duration) -> Self {
        let header = Vec::with_capacity(5);
        Self { header, left: 0, begun: false, pending: 0, limit, deadline: None }
    }

    /// Follows bytes that were written to the server after the login.
    fn written(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.header.is_empty() {
                // A simple query and `Sync`: the server becomes ready after each of them. It does not
                // respond to `Terminate`.
                match first {
                    b'Q' | b'S' => self.pending += 1,
                    b'X' => {}
                    _ => self.begun = true,
                }
                self.begun &= *first != b'S';
            }
            let taken = if self.header.len() < 5 {
                let taken = bytes.len().min(5 - self.header.len());
                self.header.extend_from_slice(&bytes[..taken]);
                if let [_, a, b, c, d] = *self.header.as_slice() {
                    let length = u64::from(u32::from_be_bytes([a, b, c, d]));
                    self.left = length.saturating_sub(4);
                }
                taken
            } else {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let taken = bytes.len().min(most);
                self.left -= taken as u64;
                taken
            };
            bytes = &bytes[taken..];
            if self.header.len() == 5 && self.left == 0 {
                self.header.clear();
            }
        }
        self.start();
    }

    /// The server is ready for the next statement.
    fn ready(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.deadline = None;
        self.start();
    }

    fn start(&mut self) {
        if (self.begun || self.pending > 0) && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(self.limit)));
        }
    }

    /// Fails if the time for a response is over. Otherwise, wakes the task when it will be.
    fn check(&mut self, cx: &mut Context<'_>) -> Result<(), StreamProblem> {
        match self.deadline.as_mut().map(|deadline| deadline.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Err(StreamProblem::Silence(self.limit.as_secs())),
            Some(Poll::Pending) | None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server has not accepted the login yet.
    Authentication,
    /// The server has accepted the login, and is not ready for a statement yet.
    Start,
    /// The server executes statements.
    Statements,
}

/// How far the SCRAM exchange of a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scram {
    /// The server has not sent its first message yet.
    Begun,
    /// The server has not sent its proof yet.
    Challenged,
    /// The server has sent its proof, which the driver verifies before it reads the next message.
    Complete,
    /// The server has sent an error. The driver reads no message after it.
    Failed,
}

impl<S> GuardedStream<S> {
    pub fn new(stream: S, answers: Answers, login: Arc<Login>, limit: Duration) -> Self {
        Self {
            stream,
            answers,
            login,
            phase: Phase::Authentication,
            scram: Scram::Begun,
            header: Vec::with_capacity(5),
            left: 0,
            body: Vec::new(),
            received: 0,
            notices: 0,
            requests: Requests::new(limit),
        }
    }

    /// Inspects bytes that were read from the server, in pieces of any size.
    ///
    /// A message is a type byte, the length of the rest including the length itself, and a body.
    fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), StreamProblem> {
        while !bytes.is_empty() {
            let taken = if self.header.len() < 5 {
                let (taken, _) = bytes.split_at(bytes.len().min(5 - self.header.len()));
                self.header.extend_from_slice(taken);
                if let [_, a, b, c, d] = *self.header.as_slice() {
                    let length = u64::from(u32::from_be_bytes([a, b, c, d]));
                    self.begin_message(length)?;
                }
                taken.len()
            } else {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (taken, _) = bytes.split_at(bytes.len().min(most));
                if self.is_authentication() || self.is_key() {
                    self.body.extend_from_slice(taken);
                }
                self.left -= taken.len() as u64;
                taken.len()
            };
            bytes = &bytes[taken..];
            if self.header.len() == 5 && self.left == 0 {
                self.end_message()?;
            }
        }
        Ok(())
    }

    fn is_authentication(&self) -> bool {
        self.phase == Phase::Authentication && self.header.first() == Some(&b'R')
    }

    fn is_key(&self) -> bool {
        self.phase == Phase::Start && self.header.first() == Some(&b'K')
    }

    /// Checks the length of a message before its content is read.
    fn begin_message(&mut self, length: u64) -> Result<(), StreamProblem> {
        self.left = length.checked_sub(4).ok_or(StreamProblem::Length)?;
        self.received += length + 1;
        match self.phase {
            // Each role chooses its own salt.
            Phase::Authentication if self.received > MAX_LOGIN && self.is_authentication() => {
                Err(StreamProblem::Scram)
            }
            Phase::Authentication | Phase::Start if self.received > MAX_LOGIN => {
                Err(StreamProblem::Login)
            }
            Phase::Statements if self.received > MAX_RESPONSE => Err(StreamProblem::Response),
            _ => Ok(()),
        }
    }

    fn end_message(&mut self) -> Result<(), StreamProblem> {
        let body = std::mem::take(&mut self.body);
        if self.is_authentication() {
            self.authentication(&body)?;
        } else if self.phase == Phase::Authentication && self.header.first() == Some(&b'E') {
            let is_challenge = self.scram == Scram::Begun;
            self.login.challenge_failed.store(is_challenge, Ordering::Relaxed);
            self.scram = Scram::Failed;
        } else if self.is_key() {
            let process_id = body.first_chunk::<4>().copied().map(i32::from_be_bytes);
            let _ = self.login.process_id.set(process_id.ok_or(StreamProblem::Length)?);
        } else if self.header.first() == Some(&b'Z') {
            if self.phase == Phase::Statements {
                self.requests.ready();
            }
            self.phase = Phase::Statements;
            self.received = 0;
            self.notices = 0;
        } else if self.header.first() == Some(&b'N') {
            self.notices += 1;
            if self.notices > MAX_NOTICES {
                return Err(StreamProblem::Notices);
            }
        }
        self.header.clear();
        Ok(())
    }

    /// Checks an authentication message: 0 means success, and other numbers request an answer.
    fn authentication(&mut self, body: &[u8]) -> Result<(), StreamProblem> {
        let Some((code, content)) = body.split_first_chunk::<4>() else {
            return Err(StreamProblem::Length);
        };
        let code = u32::from_be_bytes(*code);
        match code {
            0 => {
                self.phase = Phase::Start;
                let is_complete = self.scram == Scram::Complete;
                self.login.password_proved.store(is_complete, Ordering::Relaxed);
                Ok(())
            }
            3 if self.answers == Answers::Scram => Err(StreamProblem::Cleartext),
            5 => Err(StreamProblem::Md5),
            11 => {
                if self.scram == Scram::Begun {
                    self.scram = Scram::Challenged;
                }
                let iterations = iterations(content).ok_or(StreamProblem::Scram)?;
                let accepted: RangeInclusive<u32> = ACCEPTED_ITERATIONS;
                if accepted.contains(&iterations) {
                    Ok(())
                } else {
                    Err(StreamProblem::Iterations(iterations))
                }
            }
            12 if !matches!(self.scram, Scram::Complete | Scram::Failed) => {
                self.scram = Scram::Complete;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Returns the number of iterations in the first SCRAM message of a server (RFC 5802):
/// `r=NONCE,s=SALT,i=NUMBER`. PostgreSQL also stores salts in an encoding that clients do not accept.
fn iterations(content: &[u8]) -> Option<u32> {
    let mut fields = std::str::from_utf8(content).ok()?.split(',');
    fields.next()?.strip_prefix("r=")?;
    STANDARD.decode(fields.next()?.strip_prefix("s=")?).ok()?;
    let number = fields.next()?.strip_prefix("i=")?.parse().ok()?;
    fields.next().is_none().then_some(number)
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => match this.requests.check(cx) {
                Ok(()) => Poll::Pending,
                Err(problem) => Poll::Ready(Err(io::Error::other(problem))),
            },
            Poll::Ready(result) => {
                result?;
                this.inspect(&buf.filled()[before..]).map_err(io::Error::other)?;
                // A server that sends one byte after the other does not respond in time either.
                Poll::Ready(this.requests.check(cx).map_err(io::Error::other))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        if this.phase == Phase::Statements {
            this.requests.written(&buf[..written]);
            // The driver reads before it writes: this call wakes it when the time is over.
            this.requests.check(cx).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for GuardedStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the problem of messages that arrive in these pieces.
    fn problem_for(answers: Answers, pieces: &[&[u8]]) -> Option<StreamProblem> {
        let mut guarded =
            GuardedStream::new((), answers, Arc::default(), Duration::from_secs(3600));
        pieces.iter().find_map(|piece| guarded.inspect(piece).err())
    }

    fn problem(pieces: &[&[u8]]) -> Option<StreamProblem> {
        problem_for(Answers::Scram, pieces)
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), body].concat()
    }

    fn scram(text: &str) -> Vec<u8> {
        message(b'R', &[&[0, 0, 0, 11], text.as_bytes()].concat())
    }

    #[test]
    fn weak_requests_are_detected_in_any_pieces() {
        let notice: &[u8] = b"N\0\0\0\x08\0\0\0\x03";
        let cleartext: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
        assert_eq!(problem(&[notice, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"]), None);
        assert_eq!(problem(&[cleartext]), Some(StreamProblem::Cleartext));
        assert_eq!(problem_for(Answers::ScramOrCleartext, &[cleartext]), None);
        let pieces = [notice, &cleartext[..3], &cleartext[3..]];
        assert_eq!(problem(&pieces), Some(StreamProblem::Cleartext));
        let bytes: Vec<&[u8]> = cleartext.chunks(1).collect();
        assert_eq!(problem(&bytes), Some(StreamProblem::Cleartext));
        assert_eq!(problem(&bytes[..8]), None);
        let md5 = message(b'R', b"\0\0\0\x05salt");
        for answers in [Answers::Scram, Answers::ScramOrCleartext] {
            assert_eq!(problem_for(answers, &[&md5]), Some(StreamProblem::Md5));
        }
        // After authentication, the same bytes are not an authentication request.
        assert_eq!(problem(&[b"R\0\0\0\x08\0\0\0\0", cleartext]), None);
    }

    #[test]
    fn unusable_challenges_are_detected() {
        let challenge = |salt: &str, iterations: &str| {
            problem(&[&scram(&format!("r=nonce,s={salt},i={iterations}"))])
        };
        assert_eq!(challenge("AAECAwQFBgcICQoLDA0ODw==", "4096"), None);
        for (salt, iterations) in [
            ("AAECAwQFBgcICQoLDA0ODx==", "4096"),
            ("AAECAwQFBgcICQoLDA0ODw", "4096"),
            ("AAECAwQFBgcICQoLDA0ODw==", "-4096"),
            (&"A".repeat(1 << 20), "4096"),
        ] {
            let start = &salt[..10];
            assert_eq!(challenge(salt, iterations), Some(StreamProblem::Scram), "{start}");
        }
        // PostgreSQL reads what it has stored before it asks for SCRAM, and parses it after that.
        let requested = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        let error = message(b'E', b"CXX000\0\0");
        let challenge = scram("r=nonce,s=AAECAwQFBgcICQoLDA0ODw==,i=4096");
        for (messages, expected) in [
            (vec![&requested, &error], true),
            (vec![&error], true),
            (vec![&requested, &challenge, &error], false),
        ] {
            let login = Arc::<Login>::default();
            let hour = Duration::from_secs(3600);
            let mut guarded = GuardedStream::new((), Answers::Scram, login.clone(), hour);
            for message in messages {
                guarded.inspect(message).unwrap();
            }
            assert_eq!(login.challenge_failed.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn key_is_that_of_the_login() {
        let key = |process_id: i32| message(b'K', &[process_id.to_be_bytes(), [7; 4]].concat());
        let accepted = message(b'R', &[0; 4]);
        let ready = message(b'Z', b"I");
        for (messages, expected) in [
            (vec![accepted.clone(), key(4711), ready.clone(), key(9)], Some(4711)),
            (vec![accepted.clone(), key(-3)], Some(-3)),
            (vec![key(1), accepted.clone(), ready.clone()], None),
        ] {
            let login = Arc::<Login>::default();
            let hour = Duration::from_secs(3600);
            let mut guarded = GuardedStream::new((), Answers::Scram, login.clone(), hour);
            for piece in messages.concat().chunks(3) {
                guarded.inspect(piece).unwrap();
            }
            assert_eq!(login.process_id.get().copied(), expected);
        }
        let short = message(b'K', &[0; 3]);
        assert_eq!(problem(&[&accepted, &short]), Some(StreamProblem::Length));
    }

    /// A password is proved by a complete exchange only, whatever a server sends in addition.
    #[test]
    fn password_is_proved_by_scram_only() {
        let accepted = message(b'R', &[0; 4]);
        let proof = message(b'R', b"\0\0\0\x0cv=proof");
        let error = message(b'E', b"C42501\0\0");
        for (messages, expected) in [
            (vec![&proof, &accepted], true),
            (vec![&proof, &accepted, &error], true),
            (vec![&accepted, &error], false),
            (vec![&accepted, &proof, &accepted], false),
            (vec![&error, &proof, &accepted], false),
            (vec![&proof, &error, &accepted], false),
            (vec![&proof, &error], false),
        ] {
            let login = Arc::<Login>::default();
            let hour = Duration::from_secs(3600);
            let mut guarded = GuardedStream::new((), Answers::Scram, login.clone(), hour);
            for message in messages {
                guarded.inspect(message).unwrap();
            }
            assert_eq!(login.password_proved.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn scram_has_enough_iterations() {
        for (number, expected) in [
            ("4096", None),
            ("100000", None),
            ("1", Some(StreamProblem::Iterations(1))),
            ("4095", Some(StreamProblem::Iterations(4095))),
            ("100001", Some(StreamProblem::Iterations(100_001))),
            ("4096,i=1", Some(StreamProblem::Scram)),
            ("99999999999", Some(StreamProblem::Scram)),
            ("", Some(StreamProblem::Scram)),
        ] {
            let request = scram(&format!("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={number}"));
            assert_eq!(problem(&[&request]), expected, "{number}");
        }
        assert_eq!(problem(&[&scram("i=4096")]), Some(StreamProblem::Scram));
    }

    #[test]
    fn server_sends_a_limited_number_of_bytes() {
        let header = |kind: u8, length: u32| [&[kind], length.to_be_bytes().as_slice()].concat();
        // The header of a message is enough: its content is not read.
        assert_eq!(problem(&[&header(b'N', 2 << 20)]), Some(StreamProblem::Login));
        assert_eq!(problem(&[&header(b'N', 3)]), Some(StreamProblem::Length));
        let notice = message(b'N', &[0; 60_000]);
        let notices = vec![notice.as_slice(); 20];
        assert_eq!(problem(&notices), Some(StreamProblem::Login));
        let accepted = message(b'R', &[0; 4]);
        let ready = message(b'Z', b"I");
        let start = [accepted.as_slice(), &ready];
        assert_eq!(problem(&[start.as_slice(), &notices].concat()), None);
        let row = header(b'D', 1_500_000_000);
        assert_eq!(
            problem(&[start.as_slice(), &[row.as_slice()]].concat()),
            Some(StreamProblem::Response)
        );
        let many = vec![notice.as_slice(); 5000];
        assert_eq!(problem(&[start.as_slice(), &many].concat()), Some(StreamProblem::Response));
        let short = message(b'N', &[0]).repeat(100_001);
        assert_eq!(problem(&[start.as_slice(), &[&short]].concat()), Some(StreamProblem::Notices));
        // The number counts from the end of the previous statement.
        let statements =
            many.chunks(1000).flat_map(|part| [part, &[ready.as_slice()][..]].concat());
        let pieces: Vec<&[u8]> = start.into_iter().chain(statements).collect();
        assert_eq!(problem(&pieces), None);
    }

    /// A response is awaited until the server has become ready as often as it was asked to.
    #[tokio::test]
    async fn responses_are_awaited_for_a_limited_time() {
        let is_awaited = |requests: &Requests| requests.deadline.is_some();
        let query = message(b'Q', b"SELECT 1\0");
        let pieces: Vec<&[u8]> = query.chunks(3).collect();
        let mut requests = Requests::new(Duration::from_secs(1));
        pieces.iter().for_each(|piece| requests.written(piece));
        assert!(is_awaited(&requests));
        requests.ready();
        assert!(!is_awaited(&requests));
        // The driver closes a statement, and sends the next request before the response.
        let close = [message(b'C', b"Ss1\0"), message(b'S', b"")].concat();
        requests.written(&[close.as_slice(), &query].concat());
        requests.ready();
        assert!(is_awaited(&requests));
        requests.ready();
        assert!(!is_awaited(&requests));
        // A request that is not complete is awaited as well, and `Terminate` is not.
        requests.written(&query[..1]);
        assert!(is_awaited(&requests));
        let mut requests = Requests::new(Duration::from_secs(1));
        requests.written(&message(b'X', b""));
        assert!(!is_awaited(&requests));
        requests.written(&message(b'P', b"\0SELECT 1\0\0\0")[..4]);
        assert!(is_awaited(&requests));
    }
}
