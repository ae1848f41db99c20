//! Does the same in many databases, each over a connection of its own.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio_postgres::error::SqlState;

use super::snapshot::{CONNECTIONS, ObserveError};
use crate::name::DatabaseName;

/// The number of attempts in a database that has no connection left, after all others are closed.
const ATTEMPTS: u32 = 4;

/// The pause before each further attempt: the server ends a closed session a moment later.
const PAUSE: Duration = Duration::from_millis(200);

/// Does something in each database, several at the same time, and returns the results in order.
///
/// The administrator or the server may allow fewer connections (`CONNECTION LIMIT`,
/// `max_connections`). Databases without a connection are tried again, one after another.
pub(crate) async fn in_each<T>(
    databases: impl IntoIterator<Item = DatabaseName>,
    work: impl AsyncFn(&DatabaseName) -> Result<T, ObserveError>,
) -> Vec<(DatabaseName, Result<T, ObserveError>)> {
    let work = &work;
    let mut results: Vec<_> = stream::iter(databases)
        .map(async |name| {
            let result = work(&name).await;
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
            *result = work(name).await;
        }
    }
    results
}

fn is_out_of_connections(error: &ObserveError) -> bool {
    matches!(error, ObserveError::Connect(error)
        if error.sqlstate() == Some(SqlState::TOO_MANY_CONNECTIONS.code()))
}
