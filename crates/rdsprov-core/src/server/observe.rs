//! Looking at a server: one query for what all databases share, one snapshot of each declared database,
//! and one login for each declared role that exists.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::connect::{ConnectError, Endpoint, Session, describe_error};
use super::password_check;
use crate::config::VerifyPasswords;
use crate::desired::Desired;
use crate::marker::Marker;
use crate::name::{DatabaseName, ExtensionName, RoleName, TEMPLATE};
use crate::observed::{Contents, Observed, ProbeResult};
use crate::plan;
use crate::secrets::{Secret, SecretId};

const CLUSTER: &str = include_str!("queries/cluster.sql");
const DATABASE: &str =
    concat!(include_str!("queries/relations.sql"), include_str!("queries/database.sql"));
const NAMES: &str =
    concat!(include_str!("queries/relations.sql"), include_str!("queries/names.sql"));
const OWNERSHIP_TRANSFER: &str = include_str!("queries/ownership_transfer.sql");

/// How many connections are open at once.
pub(super) const CONNECTIONS: usize = 8;

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

/// One database's own snapshot: what is asked in it is true at one moment.
pub(super) struct Snapshot<'a> {
    session: &'a Session,
    place: String,
}

impl<'a> Snapshot<'a> {
    pub(super) async fn open(
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

    pub(super) async fn ask<T: DeserializeOwned>(
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

    pub(super) async fn close(self) -> Result<(), ObserveError> {
        self.session.client.batch_execute("COMMIT").await.map_err(|error| self.failed(&error))
    }
}

/// Looks at all that the desired state concerns.
///
/// # Errors
/// See [`ObserveError`].
pub async fn observe(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &Desired,
    secrets: &BTreeMap<SecretId, Secret>,
    verify: VerifyPasswords,
) -> Result<Observed, ObserveError> {
    let extensions: BTreeSet<&str> = desired
        .databases
        .values()
        .flat_map(|database| database.extensions.iter().map(ExtensionName::as_str))
        .collect();
    let extensions: Vec<&str> = extensions.into_iter().collect();
    let mut observed = shared(admin_session, &extensions).await?;

    let is_there = |name: &DatabaseName| {
        observed
            .databases
            .get(name)
            .is_some_and(|seen| !seen.is_unfinished(&observed.administrator.name))
    };
    let template = DatabaseName::new_unchecked(TEMPLATE);
    let delegates = desired.delegate().is_some();
    let is_ours = |marker: Marker| marker.environment == desired.environment;
    let places = observed.databases.iter().filter(|(name, seen)| {
        let is_managed = seen.marker().is_some_and(is_ours);
        let concerns = desired.databases.contains_key(*name) || is_managed;
        concerns && seen.enterable && **name != observed.admin_database
    });
    let copies_template = delegates || desired.databases.keys().any(|name| !is_there(name));
    let places: Vec<DatabaseName> =
        places.map(|(name, _)| name.clone()).chain(copies_template.then_some(template)).collect();
    // The declared roles, and those that once were.
    let orphans = observed.roles.iter().filter(|(_, seen)| seen.marker().is_some_and(is_ours));
    let concerned: BTreeSet<&str> =
        orphans.map(|(name, _)| name).chain(desired.roles.keys()).map(RoleName::as_str).collect();
    let concerned: Vec<&str> = concerned.into_iter().collect();
    let observed_databases: Vec<(&DatabaseName, Result<Contents, ObserveError>)> =
        stream::iter(&places)
            .map(async |name| {
                (name, observe_database(admin, desired, &observed, &concerned, name).await)
            })
            .buffered(CONNECTIONS)
            .collect()
            .await;
    for (name, contents) in observed_databases {
        match (contents, observed.databases.get_mut(name)) {
            (Ok(contents), Some(database)) => database.contents = Some(contents),
            (Ok(contents), None) => observed.template = Some(contents),
            // One database that cannot be looked at does not keep the others from it.
            (Err(error @ ObserveError::Shape { .. }), _) => return Err(error),
            (Err(error), Some(database)) => database.unreachable = Some(error.to_string()),
            (Err(ObserveError::Connect(_)), None) => {}
            (Err(error), None) => return Err(error),
        }
    }

    observed.password_checks =
        password_check::check_passwords(admin, admin_session, desired, &observed, secrets, verify)
            .await?;
    Ok(observed)
}

/// What all databases share.
pub(super) async fn shared(
    admin_session: &Session,
    extensions: &[&str],
) -> Result<Observed, ObserveError> {
    let snapshot = Snapshot::open(admin_session, "the server").await?;
    let observed = snapshot.ask(CLUSTER, &[&extensions]).await?;
    snapshot.close().await?;
    Ok(observed)
}

/// What is inside one database, in one snapshot. Of relations that need nothing, only how many they are
/// comes over the wire: their names are asked for where the plan will need them.
async fn observe_database(
    admin: &Endpoint,
    desired: &Desired,
    observed: &Observed,
    concerned: &[&str],
    name: &DatabaseName,
) -> Result<Contents, ObserveError> {
    let session = admin.connect(name).await?;
    let snapshot = Snapshot::open(&session, format!("database {name}")).await?;
    let mut contents: Contents = snapshot.ask(DATABASE, &[&concerned]).await?;
    let needed = plan::required_relation_names(desired, observed, name, &contents);
    if !needed.is_empty() {
        let numbers: Vec<i64> = needed.into_iter().collect();
        let mut names: BTreeMap<i64, Vec<String>> =
            snapshot.ask(NAMES, &[&concerned, &numbers]).await?;
        for group in contents.schemas.values_mut().flat_map(|schema| &mut schema.relations) {
            group.names = names.remove(&group.number).unwrap_or_default();
        }
    }
    let wanted = desired.databases.get(name).and_then(|database| database.owner.as_ref());
    let present = observed.databases.get(name).map(|seen| &seen.owner);
    if let (Some(present), Some(wanted)) = (present, wanted)
        && present != wanted
    {
        let object_by_object = *present == observed.administrator.name;
        let parameters: [&(dyn ToSql + Sync); 3] =
            [&present.as_str(), &wanted.as_str(), &object_by_object];
        contents.ownership_transfer = snapshot.ask(OWNERSHIP_TRANSFER, &parameters).await?;
    }
    snapshot.close().await?;
    Ok(contents)
}

/// Whether the server allows the administrator a statement: tried, and undone whatever comes of it.
pub(super) async fn probe(session: &Session, statement: &str) -> Result<ProbeResult, ObserveError> {
    let failed = |error: tokio_postgres::Error| ObserveError::Query {
        place: "what the server allows".to_owned(),
        reason: describe_error(&error),
    };
    session
        .client
        .batch_execute("BEGIN READ WRITE; SET LOCAL lock_timeout = '3s'")
        .await
        .map_err(failed)?;
    let tried = session.client.batch_execute(statement).await;
    session.client.batch_execute("ROLLBACK").await.map_err(failed)?;
    match tried {
        Ok(()) => Ok(ProbeResult::Allowed),
        Err(error) if error.as_db_error().is_some() => {
            Ok(ProbeResult::Denied(describe_error(&error)))
        }
        Err(error) => Err(failed(error)),
    }
}
