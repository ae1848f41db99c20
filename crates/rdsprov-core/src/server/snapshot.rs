//! Queries the catalogs of a database in one read-only transaction.

use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::connect::{ConnectError, Session, describe_error};
use crate::error_code::ErrorCode;
use crate::hint::Hint;

/// The maximum number of connections that are open at the same time.
pub(crate) const CONNECTIONS: usize = 8;

/// The server cannot be observed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// A database cannot be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A catalog query failed.
    #[error("cannot observe {place}: {reason}")]
    Query {
        /// The server or database.
        place: String,
        /// The message of the server with its SQLSTATE.
        reason: String,
    },
    /// The result of a catalog query does not have the expected form: a bug.
    #[error("unexpected result from the catalog query on {place}: {source}")]
    Shape {
        /// The server or database.
        place: String,
        /// The error of the JSON parser.
        source: serde_json::Error,
    },
}

impl ObserveError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Connect(error) => error.code(),
            Self::Query { .. } => ErrorCode::CatalogQueryFailed,
            Self::Shape { .. } => ErrorCode::UnexpectedCatalogResult,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Connect(error) => error.hints(),
            Self::Query { .. } => vec!["check the log of the server, then run again".into()],
            Self::Shape { .. } => vec!["report this bug, with this message".into()],
        }
    }
}

/// A read-only `REPEATABLE READ` transaction, in which all queries see the same state.
pub(crate) struct Snapshot<'a> {
    session: &'a Session,
    place: String,
}

impl<'a> Snapshot<'a> {
    pub(crate) async fn open(
        session: &'a Session,
        place: impl ToString,
    ) -> Result<Self, ObserveError> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let snapshot = Self { session, place: place.to_string() };
        session.client.batch_execute(BEGIN).await.map_err(|error| snapshot.failed(&error))?;
        Ok(snapshot)
    }

    fn failed(&self, error: &tokio_postgres::Error) -> ObserveError {
        ObserveError::Query { place: self.place.clone(), reason: describe_error(error) }
    }

    /// Executes a query that returns one JSON document, and deserializes it.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<T, ObserveError> {
        let row = self
            .session
            .client
            .query_one(query, parameters)
            .await
            .map_err(|error| self.failed(&error))?;
        let text: &str = row.try_get(0).map_err(|error| self.failed(&error))?;
        serde_json::from_str(text)
            .map_err(|source| ObserveError::Shape { place: self.place.clone(), source })
    }

    pub(crate) async fn close(self) -> Result<(), ObserveError> {
        self.session.client.batch_execute("COMMIT").await.map_err(|error| self.failed(&error))
    }
}
