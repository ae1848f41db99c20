//! Enters the initial database of a server, unless it belongs to an application: its owner could stop the
//! runs of all others with its settings and privileges.

use super::application_login::is_silent;
use super::connect::{Endpoint, Session};
use super::connect_error::ConnectError;
use crate::error_code::ErrorCode;
use crate::name::DatabaseName;

/// Whether the current database belongs to an administrator, which `plan/sql/database.rs` describes.
const BELONGS_TO_ADMINISTRATOR: &str = concat!(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = current_database() AND d.datdba IN (",
    include_str!("../plan/sql/administrators.sql"),
    "))"
);

impl Endpoint {
    /// Logs in to the initial database, or to the usual one if the initial database does not accept or answer
    /// the login, or belongs to a role that is not an administrator. Returns the database, too.
    ///
    /// # Errors
    /// Returns the error of the initial database if the usual one does not accept the login either.
    pub(crate) async fn connect_to_initial(
        &self,
        initial: &DatabaseName,
        usual: &DatabaseName,
    ) -> Result<(Session, DatabaseName), ConnectError> {
        let error = match self.connect(initial).await {
            Ok(session) => {
                let answer = session.ask(BELONGS_TO_ADMINISTRATOR).await;
                if answer.is_ok_and(|answer| answer.as_deref() == Some("t")) {
                    return Ok((session, initial.clone()));
                }
                session.end().await;
                None
            }
            // The owner of the database can delay each login to it, for example with a lock.
            Err(error) if is_silent(&error) => Some(error),
            // The server answers the same in each database.
            Err(error)
                if error.sqlstate().is_none()
                    || error.code() == ErrorCode::AuthenticationFailed =>
            {
                return Err(error);
            }
            Err(error) => Some(error),
        };
        match self.connect(usual).await {
            Ok(session) => Ok((session, usual.clone())),
            Err(other) => Err(error.unwrap_or(other)),
        }
    }
}
