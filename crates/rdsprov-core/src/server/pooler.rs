//! Recognizes a proxy or connection pooler between the run and its server.
//!
//! A run needs a session of the server for itself: its lock, its settings and its roles belong to
//! the session. PostgreSQL sends the process id of the session in the key for cancel requests. RDS
//! Proxy sends no key, and PgBouncer and others send a key of their own. Only then is a second
//! connection opened, to learn whether the pooler keeps sessions apart.

use std::time::Duration;

use tokio::time::timeout;

use super::connect::{Endpoint, PROCESS, Session};
use super::connect_error::{ConnectError, Pooler};
use crate::name::{DatabaseName, TEMPLATE};

/// The number of times that two connections are compared. A pooler can choose another free session
/// of the server for each transaction.
const ROUNDS: u32 = 3;

/// How long the second connection waits for a session of the server. A pooler of transactions that has
/// none serves connections in the order of their statements.
const FREE_SESSION: Duration = Duration::from_secs(2);

/// What PgBouncer says about a transaction in the mode `statement`.
const STATEMENT_MODE: &str = "statement pooling mode";

impl Endpoint {
    /// Checks that a pooler keeps the sessions of the server apart, without any effect on them.
    ///
    /// Two connections exist at the same time. Each keeps its own process of the server, or else the
    /// pooler shares processes between transactions. If the pooler has no free session for the second
    /// one, it waits, and the first one is served meanwhile, although it asks later: it has a session
    /// for itself. The second one is returned: it begins when the first one ends.
    ///
    /// # Errors
    /// Returns [`ConnectError::Pooled`] if it shares them, and other variants if a connection fails.
    pub(super) async fn check_pooler(
        &self,
        session: &Session,
        database: &DatabaseName,
    ) -> Result<Option<Session>, ConnectError> {
        let mut other = self.log_in(database).await?;
        other.is_pooled = true;
        let ask = async |asked: &Session, query: &str| {
            asked.ask(query).await.map_err(|error| self.failed(asked, database, &error))
        };
        let first = ask(session, PROCESS).await?;
        for _ in 0..ROUNDS {
            let begin = format!("BEGIN; {PROCESS}");
            let begun = timeout(FREE_SESSION, ask(&other, &begin)).await;
            let of_other = match begun {
                Err(_) => {
                    let is_kept = ask(session, PROCESS).await? == first;
                    return is_kept
                        .then_some(Some(other))
                        .ok_or_else(|| self.pooled(Pooler::Transactions));
                }
                Ok(Err(ConnectError::Rejected { reason, .. }))
                    if reason.contains(STATEMENT_MODE) =>
                {
                    return Err(self.pooled(Pooler::Transactions));
                }
                Ok(result) => result?,
            };
            // Without another session of the server, the first connection would wait.
            if of_other == first || ask(session, PROCESS).await? != first {
                return Err(self.pooled(Pooler::Transactions));
            }
            ask(&other, "COMMIT").await?;
        }
        if database.as_str() == TEMPLATE {
            other.leave_pool().await;
        }
        other.end().await;
        Ok(None)
    }
}

/// The name of a database that does not exist.
const NO_DATABASE: &str = "rdsprov_probe";

/// Returns why no database can be created through the pooler of a session: PgBouncer may know only
/// the databases in its configuration. `None` if it asks the server, or there is no pooler.
pub(super) async fn without_new_databases(admin: &Endpoint, session: &Session) -> Option<String> {
    if !session.is_pooled {
        return None;
    }
    let error = admin.log_in(&DatabaseName::new_unchecked(NO_DATABASE)).await.err()?;
    // The message of PostgreSQL. PgBouncer has another one.
    let is_of_server = matches!(&error, ConnectError::Rejected { reason, .. }
        if reason.starts_with(&format!("database \"{NO_DATABASE}\" does not exist")));
    (!is_of_server).then(|| {
        format!(
            "no database can be created, because the connection pooler does not pass connections \
             to new databases on: {error}"
        )
    })
}
