//! Passwords are not told to a server as they are, however it asks for them: by `password`, `ldap`, `pam` or
//! `radius` in `pg_hba.conf`, or since it is none that was asked for. With SCRAM a server learns nothing that it
//! did not know. The driver answers each kind of question, so the question is kept from it.

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

/// The server asks for the password itself.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password itself")]
struct CleartextPasswordRequested;

/// Whether that is why a connection did not come about.
pub(super) fn is_cleartext_request(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<CleartextPasswordRequested>())
}

/// Connects as another connector does, and listens to what the server asks for.
pub(super) struct AuthGuardConnector<C> {
    pub connector: C,
    /// Becomes true where the server wants to know who is there: who is let in without that has shown nothing.
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

/// What a server says, up to the question that nobody answers.
pub(super) struct AuthGuardStream<S> {
    stream: S,
    /// What was heard of the message that is under way; none once the server has let us in.
    buffer: Option<Vec<u8>>,
    auth_requested: Arc<AtomicBool>,
}

impl<S> AuthGuardStream<S> {
    /// A message is its kind, its length without that, and the rest. `R` is about authentication: 0 says that
    /// it is over, 3 asks for the password, and others for other proofs.
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

    fn buffer(pieces: &[&[u8]]) -> bool {
        let auth_requested = Arc::default();
        let mut guarded = AuthGuardStream { stream: (), buffer: Some(Vec::new()), auth_requested };
        pieces.iter().all(|piece| guarded.inspect(piece).is_ok())
    }

    #[test]
    fn the_question_is_heard_however_it_comes() {
        let notice: &[u8] = b"N\0\0\0\x08\0\0\0\x03";
        let question: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
        assert!(buffer(&[notice, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"]));
        assert!(!buffer(&[question]));
        assert!(!buffer(&[notice, &question[..3], &question[3..]]));
        let bytes: Vec<&[u8]> = question.chunks(1).collect();
        assert!(!buffer(&bytes) && buffer(&bytes[..8]));
        // What comes once one is in is no question.
        assert!(buffer(&[b"R\0\0\0\x08\0\0\0\0", question]));
    }
}
