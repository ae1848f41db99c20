//! Passwords are not told to a server as they are, however it asks for them: by `password`, `ldap`, `pam` or
//! `radius` in `pg_hba.conf`, or since it is none that was asked for. With SCRAM a server learns nothing that it
//! did not know. The driver answers each kind of question, so the question is kept from it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// The server asks for the password itself.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password itself")]
struct AskedForPassword;

/// Whether that is why a connection did not come about.
pub(super) fn was_asked_for_password(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<AskedForPassword>())
}

/// Connects as another connector does, and listens to what the server asks for.
pub(super) struct Discreetly<C>(pub C);

impl<S, C: MakeTlsConnect<S>> MakeTlsConnect<S> for Discreetly<C> {
    type Stream = Discreet<C::Stream>;
    type TlsConnect = Discreetly<C::TlsConnect>;
    type Error = C::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(Discreetly)
    }
}

impl<S, C: TlsConnect<S>> TlsConnect<S> for Discreetly<C> {
    type Stream = Discreet<C::Stream>;
    type Error = C::Error;
    type Future = MapOk<C::Future, fn(C::Stream) -> Discreet<C::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(|stream| Discreet { stream, heard: Some(Vec::new()) })
    }
}

/// What a server says, up to the question that nobody answers.
pub(super) struct Discreet<S> {
    stream: S,
    /// What was heard of the message that is under way; none once the server has let us in.
    heard: Option<Vec<u8>>,
}

impl<S> Discreet<S> {
    /// A message is its kind, its length without that, and the rest. `R` is about authentication: 0 says that
    /// it is over, 3 asks for the password.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), AskedForPassword> {
        let Some(heard) = &mut self.heard else { return Ok(()) };
        heard.extend_from_slice(bytes);
        while let [kind, a, b, c, d, rest @ ..] = heard.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]).saturating_sub(4);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(body) = rest.get(..length) else { break };
            match (kind, body) {
                (b'R', [0, 0, 0, 0, ..]) => {
                    self.heard = None;
                    return Ok(());
                }
                (b'R', [0, 0, 0, 3, ..]) => return Err(AskedForPassword),
                _ => drop(heard.drain(..5 + length)),
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Discreet<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        Poll::Ready(this.hear(&buf.filled()[before..]).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Discreet<S> {
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

impl<S: TlsStream + Unpin> TlsStream for Discreet<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&[u8]]) -> bool {
        let mut discreet = Discreet { stream: (), heard: Some(Vec::new()) };
        pieces.iter().all(|piece| discreet.hear(piece).is_ok())
    }

    #[test]
    fn the_question_is_heard_however_it_comes() {
        let notice: &[u8] = b"N\0\0\0\x08\0\0\0\x03";
        let question: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
        assert!(heard(&[notice, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"]));
        assert!(!heard(&[question]));
        assert!(!heard(&[notice, &question[..3], &question[3..]]));
        let bytes: Vec<&[u8]> = question.chunks(1).collect();
        assert!(!heard(&bytes) && heard(&bytes[..8]));
        // What comes once one is in is no question.
        assert!(heard(&[b"R\0\0\0\x08\0\0\0\0", question]));
    }
}
