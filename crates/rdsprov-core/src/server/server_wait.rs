//! Says that a run waits for its server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::ConnectTimeout;
use crate::name::DatabaseName;

/// How long a server may take until a run says that it waits.
const UNREPORTED: Duration = Duration::from_secs(5);

/// A connection that takes long. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerWait {
    /// The server, as `host:port`.
    pub server: String,
    /// How long the connection may take.
    pub timeout: ConnectTimeout,
    /// Why the run waits.
    pub reason: WaitReason,
}

/// Why a run waits for its server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// The server has not answered for 5 seconds.
    NoResponse,
    /// The server is a reader or a standby, and the run changes a server.
    ReadOnly,
    /// The server has not answered a login to this database of an application for 5 seconds.
    Login(DatabaseName),
}

impl fmt::Display for ServerWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, timeout, reason } = self;
        match reason {
            WaitReason::NoResponse => write!(
                f,
                "waiting up to {timeout} for the server {server}; an Aurora cluster that is paused \
                 needs up to 40 s"
            ),
            WaitReason::ReadOnly => write!(
                f,
                "waiting up to {timeout} for a writer at {server}: the server is a reader or a \
                 standby"
            ),
            WaitReason::Login(database) => {
                write!(f, "waiting up to {timeout} for a login to database {database} of {server}")
            }
        }
    }
}

type Callback = dyn Fn(&ServerWait) + Send + Sync;

/// A callback for a [`ServerWait`]; by default, it does nothing.
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
        self.call(wait);
        connection.await
    }

    /// Calls the callback.
    pub(super) fn call(&self, wait: &ServerWait) {
        if let Some(callback) = &self.0 {
            callback(wait);
        }
    }
}

impl fmt::Debug for OnServerWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnServerWait")
    }
}
