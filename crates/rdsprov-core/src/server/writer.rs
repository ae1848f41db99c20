//! Connects to a server that accepts changes, and not to a reader or a standby.
//!
//! After a failover, the name of a host leads to the demoted writer until the new address is known.
//! So a run that changes the server connects again, for a limited time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::connect::{Endpoint, Session};
use super::connect_error::ConnectError;
use super::server_wait::{OnServerWait, ServerWait, WaitReason};
use crate::error_code::ErrorCode;
use crate::name::DatabaseName;

/// The pause between two connections. DNS may cache the name of an RDS endpoint for 5 seconds.
const PAUSE: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Connects to a database of a server that accepts changes.
    ///
    /// If the server is in recovery, calls `on_wait` and connects again, until the time that a
    /// connection may take has passed since the first one. Each connection resolves the host name anew.
    ///
    /// # Errors
    /// Returns [`ConnectError::ServerReadOnly`] if the last server is in recovery as well, and
    /// the errors of [`Endpoint::connect`].
    pub(crate) async fn connect_to_writer(
        &self,
        database: &DatabaseName,
        on_wait: &OnServerWait,
    ) -> Result<Session, ConnectError> {
        let deadline = Instant::now() + self.connect_timeout.duration();
        let first = self.connect(database).await?;
        if !first.in_recovery {
            return Ok(first);
        }
        first.end().await;
        on_wait.call(&ServerWait {
            server: format!("{}:{}", self.host, self.port),
            timeout: self.connect_timeout,
            reason: WaitReason::ReadOnly,
        });
        let mut last = self.read_only();
        while Instant::now() + PAUSE < deadline {
            sleep(PAUSE).await;
            match timeout_at(deadline, self.connect(database)).await {
                Ok(Ok(session)) if session.in_recovery => {
                    session.end().await;
                    last = self.read_only();
                }
                Ok(Ok(session)) => return Ok(session),
                // It stays wrong, and each rejected login is in the log of the server.
                Ok(Err(error)) if error.code() == ErrorCode::AuthenticationFailed => {
                    return Err(error);
                }
                // A new writer that is not ready yet rejects connections.
                Ok(Err(error)) => last = error,
                Err(_) => break,
            }
        }
        Err(last)
    }
}
