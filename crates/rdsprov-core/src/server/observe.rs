//! Looking at a server: one query for what all databases share, one for each managed database, and
//! one login for each declared role that exists.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::error::SqlState;

use super::connect::{ConnectError, Session, Target, said};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Contents, Login, Observed, Trial};
use crate::secrets::{Secret, SecretId};

const CLUSTER: &str = include_str!("queries/cluster.sql");
const DATABASE: &str = include_str!("queries/database.sql");

/// How many connections are open at once.
const CONNECTIONS: usize = 8;

/// Why a server could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A query failed.
    #[error("looking at {place} failed: {reason}")]
    Query {
        /// Where.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// The answer is not of the shape expected: a defect.
    #[error("what {place} tells of itself is not understood: {source}; please report this")]
    Shape {
        /// Where.
        place: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

async fn ask<T: serde::de::DeserializeOwned>(
    session: &Session,
    query: &str,
    place: &str,
) -> Result<T, ObserveError> {
    let failed = |error: tokio_postgres::Error| ObserveError::Query {
        place: place.to_owned(),
        reason: said(&error),
    };
    session
        .client
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL search_path TO pg_catalog",
        )
        .await
        .map_err(failed)?;
    let row = session.client.query_one(query, &[]).await.map_err(failed)?;
    session.client.batch_execute("COMMIT").await.map_err(failed)?;
    let text: &str = row.try_get(0).map_err(failed)?;
    serde_json::from_str(text)
        .map_err(|source| ObserveError::Shape { place: place.to_owned(), source })
}

/// Looks at all that the desired state concerns.
///
/// # Errors
/// See [`ObserveError`].
pub async fn observe(
    admin: &Target,
    home: &Session,
    desired: &Desired,
    secrets: &BTreeMap<SecretId, Secret>,
) -> Result<Observed, ObserveError> {
    let mut observed: Observed = ask(home, CLUSTER, "the server").await?;

    let enterable: Vec<DatabaseName> = desired
        .databases
        .keys()
        .filter(|name| {
            observed.databases.get(name).is_some_and(|d| d.enterable) && **name != observed.home
        })
        .cloned()
        .collect();
    let contents: Vec<(DatabaseName, Contents)> = stream::iter(enterable)
        .map(|name| async move {
            let session = admin.connect(&name).await?;
            let contents = ask(&session, DATABASE, &format!("database {name}")).await?;
            Ok::<_, ObserveError>((name, contents))
        })
        .buffered(CONNECTIONS)
        .try_collect()
        .await?;
    for (name, contents) in contents {
        if let Some(database) = observed.databases.get_mut(&name) {
            database.contents = Some(contents);
        }
    }

    let probes: Vec<(RoleName, DatabaseName, Target)> = desired
        .roles
        .iter()
        .filter(|(name, _)| {
            observed.roles.get(name).is_some_and(|role| role.login && !role.expired)
        })
        .filter_map(|(name, role)| {
            let secret = secrets.get(&role.secret)?;
            let database = desired
                .databases
                .iter()
                .find(|(database, entry)| {
                    entry.access.contains_key(name)
                        && observed.databases.get(database).is_some_and(|d| d.allow_connections)
                })
                .map_or(&observed.home, |(database, _)| database);
            Some((
                name.clone(),
                database.clone(),
                admin.as_role(name.clone(), secret.password.clone()),
            ))
        })
        .collect();
    observed.logins = stream::iter(probes)
        .map(|(name, database, target)| async move {
            let login = match target.connect(&database).await {
                Ok(_) => Login::Accepted,
                Err(ConnectError::Refused { code: Some(code), .. })
                    if code == SqlState::INVALID_PASSWORD =>
                {
                    Login::WrongPassword
                }
                // PostgreSQL asks for the password first: what it says of the database comes after.
                Err(ConnectError::Refused { code: Some(code), .. })
                    if code == SqlState::INSUFFICIENT_PRIVILEGE
                        || code == SqlState::INVALID_CATALOG_NAME =>
                {
                    Login::Accepted
                }
                Err(error) => Login::Inconclusive(error.to_string()),
            };
            (name, login)
        })
        .buffered(CONNECTIONS)
        .collect()
        .await;
    Ok(observed)
}

/// Whether the server allows the administrator a statement: tried, and undone whatever comes of it.
pub(super) async fn try_out(session: &Session, statement: &str) -> Result<Trial, ObserveError> {
    let failed = |error: tokio_postgres::Error| ObserveError::Query {
        place: "what the server allows".to_owned(),
        reason: said(&error),
    };
    session.client.batch_execute("BEGIN").await.map_err(failed)?;
    let tried = session.client.batch_execute(statement).await;
    session.client.batch_execute("ROLLBACK").await.map_err(failed)?;
    match tried {
        Ok(()) => Ok(Trial::Allowed),
        Err(error) if error.as_db_error().is_some() => Ok(Trial::Refused(said(&error))),
        Err(error) => Err(failed(error)),
    }
}
