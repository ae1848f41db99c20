//! Limits the time of a run for databases whose owners keep each login to them waiting.
//!
//! The owner of a database can delay each login to it, for example with a lock on its catalogs. A run counts the
//! databases of applications to which a login was not answered. The first ones have the full time.
//! Then the administrator waits a short time only, and the roles of applications log in to the administrator
//! database only. So the time does not grow with the number of such databases.

use std::time::Duration;

use super::connect::{Endpoint, Session};
use super::connect_error::{ConnectError, RejectionCause};
use super::server_wait::{ServerWait, WaitReason};
use crate::config::ConnectTimeout;
use crate::name::DatabaseName;

/// The number of databases without a response up to which logins have the full time.
const WITH_FULL_TIME: usize = 8;

/// The time for each further login of the administrator. A login takes some round trips.
const SHORT_TIME: Duration = Duration::from_secs(3);

impl Endpoint {
    /// Connects to the database of an application. All such connections without a response take at most the
    /// time for the observation of one database, in addition to the first ones.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails, or if it is not tried.
    pub(crate) async fn connect_to_application(
        &self,
        database: &DatabaseName,
    ) -> Result<Session, ConnectError> {
        let times = self.observation_timeout.duration().as_secs().div_ceil(SHORT_TIME.as_secs());
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        let max = WITH_FULL_TIME + self.max_connections.work().saturating_mul(times);
        let silent = self.silent_logins.count(SHORT_TIME);
        if silent >= max && !self.silent_logins.has_answered(database) {
            return Err(self.not_tried(database));
        }
        let full = self.connect_timeout.after_an_answer();
        let limit = match silent {
            0..WITH_FULL_TIME => full,
            _ => full.min(ConnectTimeout::from_duration(SHORT_TIME)),
        };
        let endpoint = Self { connect_timeout: limit, ..self.clone() };
        self.silent_logins.started(database);
        let login = Box::pin(endpoint.connect(database));
        self.count(database, self.reported(database, limit, login).await)
    }

    /// Logs in to the database of an application, and executes no statement; `None` if too many such logins of
    /// this run have no response.
    pub(crate) async fn log_in_to_application(
        &self,
        database: &DatabaseName,
    ) -> Option<Result<Session, ConnectError>> {
        if self.silent_logins.count(SHORT_TIME) >= WITH_FULL_TIME {
            return None;
        }
        self.silent_logins.started(database);
        let (limit, login) = (self.connect_timeout, Box::pin(self.log_in(database)));
        Some(self.count(database, self.reported(database, limit, login).await))
    }

    /// Awaits a login, and says that it takes long.
    async fn reported<T>(
        &self,
        database: &DatabaseName,
        timeout: ConnectTimeout,
        login: impl Future<Output = T>,
    ) -> T {
        let server = format!("{}:{}", self.host, self.port);
        let wait = ServerWait { server, timeout, reason: WaitReason::Login(database.clone()) };
        self.silent_logins.on_wait.during(&wait, login).await
    }

    fn count(
        &self,
        database: &DatabaseName,
        login: Result<Session, ConnectError>,
    ) -> Result<Session, ConnectError> {
        self.silent_logins.ended(database, !login.as_ref().is_err_and(is_silent));
        login
    }
}

/// Returns whether the server has not answered a login in time.
pub(super) fn is_silent(error: &ConnectError) -> bool {
    let cause = Some(RejectionCause::NoResponse);
    matches!(error, ConnectError::Rejected { cause: found, .. } if *found == cause)
}
