//! Connects to a server that accepts changes, and not to a reader or a standby.
//!
//! After a failover, the name of a host leads to the demoted writer until the new address is known.
//! So a run that changes the server connects again, for a limited time.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::connect::{Endpoint, Session};
use super::connect_error::ConnectError;
use super::server_wait::{OnServerWait, ServerWait, WaitReason};
use crate::name::DatabaseName;

/// The pause between two connections. DNS may cache the name of an RDS endpoint for 5 seconds.
const PAUSE: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Connects to a database of a server that accepts changes.
    ///
    /// If the server is in recovery, calls `on_wait` and connects again, for as long as a connection
    /// may take. Each connection resolves the host name anew.
    ///
    /// # Errors
    /// Returns [`ConnectError::ServerReadOnly`] if the last server is in recovery as well, and
    /// the errors of [`Endpoint::connect`].
    pub(crate) async fn connect_to_writer(
        &self,
        database: &DatabaseName,
        on_wait: &OnServerWait,
    ) -> Result<Session, ConnectError> {
        let started = Instant::now();
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
        while started.elapsed() + PAUSE < self.connect_timeout.duration() {
            sleep(PAUSE).await;
            // A new writer that is not ready yet rejects connections.
            match self.connect(database).await {
                Ok(session) if session.in_recovery => {
                    session.end().await;
                    last = self.read_only();
                }
                Ok(session) => return Ok(session),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
