//! Refuses cleartext password authentication over TLS, because a server that receives the
//! password could store it.
//!
//! PostgreSQL requests the cleartext password for the methods `password`, `ldap`, `pam` and
//! `radius` in `pg_hba.conf`. A server that only pretends to be the expected one can request it,
//! too. With SCRAM, such a server learns nothing. The driver answers each kind of request, so this
//! module inspects the stream, and fails before the request reaches the driver.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// The server requests the cleartext password (`AuthenticationCleartextPassword`).
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the cleartext password")]
struct CleartextPasswordRequested;

/// Returns whether a connection failed because the server requested the cleartext password.
pub(super) fn is_cleartext_request(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<CleartextPasswordRequested>())
}

/// A TLS connector that wraps the stream of another connector in an [`AuthGuardStream`].
pub(super) struct AuthGuardConnector<C> {
    pub connector: C,
    /// Set once the server sends an authentication request. A login accepted without one (`trust`
    /// in `pg_hba.conf`) does not prove the password.
    pub auth_requested: Arc<AtomicBool>,
}

impl<S, C: MakeTlsConnect<S>> MakeTlsConnect<S> for AuthGuardConnector<C> {
    type Stream = AuthGuardStream<C::Stream>;
    type TlsConnect = AuthGuardConnector<C::TlsConnect>;
    type Error = C::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        let auth_requested = self.auth_requested.clone();
        let connector = self.connector.make_tls_connect(domain)?;
        Ok(AuthGuardConnector { connector, auth_requested })
    }
}

impl<S, C: TlsConnect<S>> TlsConnect<S> for AuthGuardConnector<C> {
    type Stream = AuthGuardStream<C::Stream>;
    type Error = C::Error;
    type Future = MapOk<C::Future, Wrap<C::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { connector, auth_requested } = self;
        let wrap = |stream| AuthGuardStream { stream, buffer: Some(Vec::new()), auth_requested };
        connector.connect(stream).map_ok(Box::new(wrap))
    }
}

type Wrap<S> = Box<dyn FnOnce(S) -> AuthGuardStream<S> + Send>;

/// A stream that fails when the server requests the cleartext password.
pub(super) struct AuthGuardStream<S> {
    stream: S,
    /// The part of the current message that was read so far; `None` after authentication.
    buffer: Option<Vec<u8>>,
    auth_requested: Arc<AtomicBool>,
}

impl<S> AuthGuardStream<S> {
    /// Inspects the messages in bytes that were read from the server.
    ///
    /// A message is a type byte, the length of the rest, and a body. In an authentication
    /// message (`R`), 0 means success, 3 requests the cleartext password, and other numbers
    /// request other kinds of authentication.
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), CleartextPasswordRequested> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        buffer.extend_from_slice(bytes);
        while let [kind, a, b, c, d, rest @ ..] = buffer.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]).saturating_sub(4);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(body) = rest.get(..length) else { break };
            match (kind, body) {
                (b'R', [0, 0, 0, 0, ..]) => {
                    self.buffer = None;
                    return Ok(());
                }
                (b'R', [0, 0, 0, 3, ..]) => return Err(CleartextPasswordRequested),
                (b'R', _) => self.auth_requested.store(true, Ordering::Relaxed),
                _ => {}
            }
            buffer.drain(..5 + length);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AuthGuardStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        Poll::Ready(this.inspect(&buf.filled()[before..]).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AuthGuardStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for AuthGuardStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the guard accepts messages that arrive in these pieces.
    fn accepts(pieces: &[&[u8]]) -> bool {
        let auth_requested = Arc::default();
        let mut guarded = AuthGuardStream { stream: (), buffer: Some(Vec::new()), auth_requested };
        pieces.iter().all(|piece| guarded.inspect(piece).is_ok())
    }

    #[test]
    fn cleartext_request_is_detected_in_any_pieces() {
        let notice: &[u8] = b"N\0\0\0\x08\0\0\0\x03";
        let request: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
        assert!(accepts(&[notice, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"]));
        assert!(!accepts(&[request]));
        assert!(!accepts(&[notice, &request[..3], &request[3..]]));
        let bytes: Vec<&[u8]> = request.chunks(1).collect();
        assert!(!accepts(&bytes) && accepts(&bytes[..8]));
        // After authentication, the same bytes are not an authentication request.
        assert!(accepts(&[b"R\0\0\0\x08\0\0\0\0", request]));
    }
}
