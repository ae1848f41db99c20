//! Says that a run waits for its server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::ConnectTimeout;

/// How long a server may take until a run says that it waits.
const UNREPORTED: Duration = Duration::from_secs(5);

/// A connection of the administrator that takes longer than 5 seconds. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerWait {
    /// The server, as `host:port`.
    pub server: String,
    /// How long the connection may take.
    pub timeout: ConnectTimeout,
}

impl fmt::Display for ServerWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, timeout } = self;
        write!(
            f,
            "waiting up to {timeout} for the server {server}; an Aurora cluster that is paused \
             needs up to 40 s"
        )
    }
}

type Callback = dyn Fn(&ServerWait) + Send + Sync;

/// A callback for a [`ServerWait`]; by default, nobody is told.
#[derive(Clone, Default)]
pub struct OnServerWait(Option<Arc<Callback>>);

impl OnServerWait {
    /// Creates the callback.
    #[must_use]
    pub fn new(callback: impl Fn(&ServerWait) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// Awaits a connection, and calls the callback once if it takes long.
    pub(crate) async fn during<T>(
        &self,
        wait: &ServerWait,
        connection: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(connection);
        tokio::select! {
            biased;
            result = &mut connection => return result,
            () = sleep(UNREPORTED) => {}
        }
        if let Some(callback) = &self.0 {
            callback(wait);
        }
        connection.await
    }
}

impl fmt::Debug for OnServerWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnServerWait")
    }
}
