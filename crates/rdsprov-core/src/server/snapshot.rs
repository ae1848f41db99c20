//! Queries the catalogs of a database in one read-only transaction.

use std::borrow::Cow;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Row, SimpleQueryStream};

use super::connect::Session;
use super::connect_error::ConnectError;
use super::parameter::{Parameter, query_one};
use super::wait::{LockHolder, LockWait};
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::name::RoleName;
use crate::observed::UNDECODABLE;

/// How long a catalog query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(600);

/// The maximum size of the result of a catalog query, in bytes. The server compares it and sends
/// nothing larger, because the owner of a database can create any number of objects in it.
const MAX_RESULT: usize = 64 << 20;

/// The number of objects of one kind that a database may contain.
const MAX_OBJECTS: i64 = 250_000;

/// The number of relations that a database may contain. They are read in groups.
const MAX_RELATIONS: i64 = 4_000_000;

const SIZE: &str = include_str!("queries/size.sql");

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
    /// A catalog query waited in vain for a lock: only `VACUUM FULL`, `CLUSTER`, `REINDEX` and `LOCK` on
    /// the catalog itself conflict with reading it.
    #[error("cannot observe {place}: {}", locked(reason, wait.as_ref()))]
    Locked {
        /// The server or database.
        place: String,
        /// The message of the server with its SQLSTATE.
        reason: String,
        /// The catalog and the sessions that lock it; `None` if they are not known.
        wait: Option<LockWait>,
    },
    /// A database contains so much that it is not read.
    #[error("{place} {excess}")]
    TooLarge {
        /// The server or database.
        place: String,
        /// What it contains: `contains too many schemas to be read`.
        excess: String,
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

fn locked(reason: &str, wait: Option<&LockWait>) -> String {
    match wait {
        Some(wait) => format!("{reason}, waiting for {wait}"),
        None => reason.to_owned(),
    }
}

impl ObserveError {
    /// Returns the error of a database or server that has not answered in time.
    pub(super) fn silent(place: impl ToString, limit: Duration) -> Self {
        let reason = format!("no response within {} s", limit.as_secs());
        Self::Query { place: place.to_string(), reason }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Connect(error) => error.code(),
            Self::Query { .. } | Self::Locked { .. } | Self::TooLarge { .. } => {
                ErrorCode::CatalogQueryFailed
            }
            Self::Shape { .. } => ErrorCode::UnexpectedCatalogResult,
        }
    }

    /// Returns why a database cannot be read, for a message that names it.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Query { reason, .. } => reason.clone(),
            Self::Locked { reason, wait, .. } => locked(reason, wait.as_ref()),
            _ => self.to_string(),
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Connect(error) => error.hints(),
            Self::Query { .. } => vec!["check the log of the server, then run again".into()],
            Self::Locked { wait, .. } => lock_hints(wait.as_ref()),
            Self::TooLarge { .. } => vec!["drop what is not needed, then run again".into()],
            Self::Shape { .. } => vec!["report this bug, with this message".into()],
        }
    }
}

fn lock_hints(wait: Option<&LockWait>) -> Vec<Hint> {
    let holders = wait.map(|wait| wait.holders.as_slice()).unwrap_or_default();
    let advice = holders.iter().filter_map(LockHolder::advice).map(Hint::from);
    advice.chain(["then run again".into()]).collect()
}

/// What a database is, before it is read.
#[derive(Deserialize)]
pub(crate) struct Size {
    /// Its OID.
    pub database: u32,
    /// The kinds of objects of which it contains too many.
    excess: Vec<String>,
    /// Whether it can contain objects of other roles than its owner, or privileges on objects other than schemas,
    /// relations and columns.
    pub has_other_objects: bool,
}

/// A read-only `REPEATABLE READ` transaction, in which all queries see the same state.
///
/// Its `BEGIN` and `COMMIT` cost no round trip: the first query is sent directly after `BEGIN`, and nothing
/// waits for the response to `COMMIT`.
pub(crate) struct Snapshot<'a> {
    session: &'a Session,
    place: String,
    /// The response to `BEGIN`, until the first query waits for it.
    begun: Mutex<Option<SimpleQueryStream>>,
}

impl<'a> Snapshot<'a> {
    pub(crate) async fn open(
        session: &'a Session,
        place: impl ToString,
    ) -> Result<Self, ObserveError> {
        // The owner of a database can lock its catalogs (`VACUUM FULL`). JIT compilation of a long query
        // takes longer than its execution.
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
            SET LOCAL lock_timeout = '10s'; SET LOCAL jit = off";
        let mut snapshot = Self { session, place: place.to_string(), begun: Mutex::default() };
        let begun = session.client.simple_query_raw(BEGIN).await;
        snapshot.begun = Mutex::new(Some(begun.map_err(|error| snapshot.failed(&error))?));
        Ok(snapshot)
    }

    /// Waits for the responses to the statements with which the session begins, and to `BEGIN`, once.
    async fn begun(&self) -> Result<(), tokio_postgres::Error> {
        self.session.begun().await?;
        let response = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        match response {
            Some(response) => response.try_for_each(|_| std::future::ready(Ok(()))).await,
            None => Ok(()),
        }
    }

    /// Executes a query that returns one row.
    async fn row(&self, query: &str, parameters: &[&dyn Parameter]) -> Result<Row, ObserveError> {
        let response = query_one(&self.session.client, query, parameters);
        let both = async {
            // Both wait at the same time, so that the query is sent at once.
            let (begun, row) = tokio::join!(self.begun(), response);
            begun?;
            row
        };
        self.timed(both).await
    }

    /// Waits for the server, but not without end.
    async fn timed<T>(
        &self,
        response: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, ObserveError> {
        match timeout(QUERY_TIMEOUT, response).await {
            Ok(result) => result.map_err(|error| self.failed(&error)),
            Err(_) => Err(ObserveError::silent(&self.place, QUERY_TIMEOUT)),
        }
    }

    fn failed(&self, error: &tokio_postgres::Error) -> ObserveError {
        let (place, reason) = (self.place.clone(), self.session.describe(error));
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return ObserveError::Locked { place, reason, wait: None };
        }
        ObserveError::Query { place, reason }
    }

    /// Executes a query that returns one JSON document, and deserializes it.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        query: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<T, ObserveError> {
        // OFFSET, because PostgreSQL would otherwise compute the document twice.
        let limited = format!(
            "SELECT CASE WHEN octet_length(r.document) <= {MAX_RESULT} THEN r.document END \
             FROM (\n{query}\nOFFSET 0) r(document)"
        );
        let started = Instant::now();
        let row = self.row(&limited, parameters).await?;
        let text: Option<RawText> = row.try_get(0).map_err(|error| self.failed(&error))?;
        let text = text.ok_or_else(|| ObserveError::TooLarge {
            place: self.place.clone(),
            excess: format!("has catalogs of more than {} MB", MAX_RESULT >> 20),
        })?;
        // Parameters and results are not logged: a result can contain verifiers.
        tracing::debug!(
            "read {} bytes from {} in {} ms: {}",
            text.0.len(),
            self.place,
            started.elapsed().as_millis(),
            title(query)
        );
        serde_json::from_str(&text.decode())
            .map_err(|source| ObserveError::Shape { place: self.place.clone(), source })
    }

    /// Executes a query that returns one text.
    pub(crate) async fn query_text(
        &self,
        query: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<String, ObserveError> {
        let row = self.row(query, parameters).await?;
        row.try_get(0).map_err(|error| self.failed(&error))
    }

    /// Returns what the current database is. Fails if it contains so many objects that its catalogs are not
    /// read. Of large objects, only those of some owners are, which are given by their OIDs. `owner` is the declared
    /// owner.
    pub(crate) async fn check_size(
        &self,
        large_object_owners: &[u32],
        owner: Option<&RoleName>,
    ) -> Result<Size, ObserveError> {
        let owner = owner.map(RoleName::as_str);
        let parameters: [&dyn Parameter; 4] =
            [&MAX_OBJECTS, &MAX_RELATIONS, &large_object_owners, &owner];
        let size: Size = self.query(SIZE, &parameters).await?;
        let Some(kind) = size.excess.first() else { return Ok(size) };
        let excess = format!("contains too many {kind} to be read");
        Err(ObserveError::TooLarge { place: self.place.clone(), excess })
    }

    pub(crate) async fn close(self) -> Result<(), ObserveError> {
        let sent = self.session.client.simple_query_raw("COMMIT").await;
        sent.map(|_| ()).map_err(|error| self.failed(&error))
    }
}

/// Returns the line of a query that says what it returns. The first file of a query ends the line of a part before it.
fn title(query: &str) -> &str {
    let title = query.lines().find_map(|line| {
        let (_, comment) = line.split_once("-- ")?;
        comment.starts_with("Returns").then_some(comment)
    });
    title.unwrap_or("a query")
}

/// The bytes of a text, which can be in any encoding.
///
/// All databases share the names and comments of roles and databases. PostgreSQL stores them in the
/// encoding of the database in which they were written, and does not convert them.
pub(super) struct RawText<'a>(&'a [u8]);

impl<'a> RawText<'a> {
    /// Decodes a JSON document. Each byte that is not valid UTF-8 becomes [`UNDECODABLE`]: such
    /// bytes are in JSON strings only.
    pub(super) fn decode(&self) -> Cow<'a, str> {
        let Self(bytes) = *self;
        if let Ok(text) = std::str::from_utf8(bytes) {
            return text.into();
        }
        let escape = format!("\\u{:04x}", u32::from(UNDECODABLE));
        let mut text = String::with_capacity(bytes.len() + escape.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| escape.as_str()));
        }
        text.into()
    }
}

impl<'a> FromSql<'a> for RawText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_it_returns() {
        let title_of = |query: &str| title(query).to_owned();
        assert_eq!(title_of("-- Some rows\n-- Returns a list\nSELECT 1"), "Returns a list");
        assert_eq!(title_of("WITH a AS (SELECT 1), -- Returns a list\nb"), "Returns a list");
    }

    #[test]
    fn bytes_in_another_encoding_are_replaced() {
        let decoded =
            |bytes: &[u8]| serde_json::from_str::<String>(&RawText(bytes).decode()).unwrap();
        assert_eq!(decoded(b"\"donn\xe9es\xff\""), "donn\u{1a}es\u{1a}");
        assert_eq!(decoded("\"données\"".as_bytes()), "données");
    }
}
