//! Does the same in many databases, each over a connection of its own and in limited time.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;

use super::connect::Session;
use super::connect_error::{ConnectError, RejectionCause};
use super::snapshot::{CONNECTIONS, OBSERVATION_TIMEOUT, ObserveError};
use super::wait::catalog_lock;
use crate::name::DatabaseName;

/// The number of attempts in a database that has no connection left, after all others are closed.
const ATTEMPTS: u32 = 4;

/// The pause before each further attempt: the server ends a closed session a moment later.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the databases may take together on which only notes depend.
pub(crate) const UNDECLARED_TIMEOUT: Duration = Duration::from_secs(30);

/// Does something in each database, several at the same time, and returns the results in order.
///
/// The administrator or the server may allow fewer connections (`CONNECTION LIMIT`,
/// `max_connections`). Databases without a connection are tried again, one after another.
///
/// The owner of a database decides how long its login and its queries take. So each database has limited
/// time, and all those that are not `needed` end before a common deadline: a role with `CREATEDB` can have
/// any number of them. They come last.
pub(crate) async fn in_each<T>(
    admin_session: &Session,
    databases: impl IntoIterator<Item = DatabaseName>,
    is_needed: impl Fn(&DatabaseName) -> bool,
    work: impl AsyncFn(&DatabaseName) -> Result<T, ObserveError>,
) -> Vec<(DatabaseName, Result<T, ObserveError>)> {
    let started = Instant::now();
    let limited = async |name: &DatabaseName| {
        let (deadline, limit) = if is_needed(name) {
            (Instant::now() + OBSERVATION_TIMEOUT, OBSERVATION_TIMEOUT)
        } else {
            (started + UNDECLARED_TIMEOUT, UNDECLARED_TIMEOUT)
        };
        let result = timeout_at(deadline, work(name)).await;
        result.unwrap_or_else(|_| Err(ObserveError::silent(format!("database {name}"), limit)))
    };
    let limited = &limited;
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        databases.into_iter().partition(|name| is_needed(name));
    ordered.extend(others);
    let mut results: Vec<_> = stream::iter(ordered)
        .map(async |name| {
            let result = limited(&name).await;
            (name, result)
        })
        .buffered(CONNECTIONS)
        .collect()
        .await;
    for (name, result) in &mut results {
        for attempt in 0..ATTEMPTS {
            if !matches!(result, Err(error) if is_out_of_connections(error)) {
                break;
            }
            tokio::time::sleep(PAUSE * attempt).await;
            *result = limited(name).await;
        }
        if let Err(error) = result {
            name_holders(admin_session, name, error).await;
        }
    }
    results
}

/// Adds the sessions that lock a catalog of a database to an error that they have caused.
async fn name_holders(admin_session: &Session, name: &DatabaseName, error: &mut ObserveError) {
    match error {
        ObserveError::Locked { wait, .. } => *wait = catalog_lock(admin_session, Some(name)).await,
        // A login reads catalogs, too, and before it the server has no `lock_timeout`.
        ObserveError::Connect(ConnectError::Rejected {
            cause: Some(RejectionCause::NoResponse),
            reason,
            ..
        }) => {
            if let Some(wait) = catalog_lock(admin_session, Some(name)).await {
                *reason = format!("{reason}, waiting for {wait}");
            }
        }
        _ => {}
    }
}

fn is_out_of_connections(error: &ObserveError) -> bool {
    matches!(error, ObserveError::Connect(error)
        if error.sqlstate() == Some(SqlState::TOO_MANY_CONNECTIONS.code()))
}
