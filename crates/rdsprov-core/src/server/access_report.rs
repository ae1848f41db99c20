//! Who can do what: one query of what all databases share, and one of each managed database.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

use super::connect::Endpoint;
use super::observe::{CONNECTIONS, ObserveError, Snapshot, shared};
use super::provisioner::{AdminConnection, RunError};
use crate::access_report::{AccessReport, DatabaseAccess};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};

const ACCESS_REPORT: &str = include_str!("queries/access_report.sql");

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct AccessQuery {
    /// This database; all that are managed, where none is named.
    pub database: Option<DatabaseName>,
    /// This role; all that hold something, where none is named.
    pub role: Option<RoleName>,
}

impl AdminConnection {
    /// Who can do what in the managed databases. Nothing is written, and no lock is taken.
    ///
    /// # Errors
    /// Where the server cannot be looked at. A single database that is out of reach is told of in the answer.
    pub async fn access_report(
        &self,
        desired: &Desired,
        query: &AccessQuery,
    ) -> Result<AccessReport, RunError> {
        let observed = shared(&self.admin_session, &[]).await?;
        let databases = AccessReport::managed_databases(desired, &observed)
            .into_iter()
            .filter(|name| query.database.as_ref().is_none_or(|one| one == name));
        let observed_databases: Vec<(DatabaseName, Result<DatabaseAccess, ObserveError>)> =
            stream::iter(databases)
                .map(async |name| {
                    let access = database_access(&self.admin, &name, query.role.as_ref()).await;
                    (name, access)
                })
                .buffered(CONNECTIONS)
                .collect()
                .await;
        let mut access = BTreeMap::new();
        for (name, one) in observed_databases {
            let one = match one {
                Ok(one) => Ok(one),
                Err(ObserveError::Connect(error)) => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            access.insert(name, one);
        }
        Ok(AccessReport::new(desired, &observed, self.server(), access))
    }
}

async fn database_access(
    admin: &Endpoint,
    name: &DatabaseName,
    role: Option<&RoleName>,
) -> Result<DatabaseAccess, ObserveError> {
    let session = admin.connect(name).await?;
    let snapshot = Snapshot::open(&session, format!("database {name}")).await?;
    let access = snapshot.ask(ACCESS_REPORT, &[&role.map(RoleName::as_str)]).await?;
    snapshot.close().await?;
    Ok(access)
}
