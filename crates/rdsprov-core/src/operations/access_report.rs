//! Queries the server for the access report: the shared catalogs once, then each managed database.
//!
//! All queries are read-only, and each database is read in one snapshot.

use std::collections::BTreeMap;

use super::connection::AdminConnection;
use super::error::RunError;
use crate::access_report::{AccessReport, DatabaseAccess};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::server::connect::Endpoint;
use crate::server::databases::in_each;
use crate::server::observe::observe_shared;
use crate::server::snapshot::{ObserveError, Snapshot};

const ACCESS_REPORT: &str = include_str!("../server/queries/access_report.sql");

/// The part of the access report that the caller wants.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AccessQuery {
    /// The only database of the report; `None` means all managed databases.
    pub database: Option<DatabaseName>,
    /// The only role of the report; `None` means all roles with privileges.
    pub role: Option<RoleName>,
}

impl AdminConnection {
    /// Returns the access report. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// Returns a [`RunError`] if a query fails. If the connection to one database fails, the report
    /// contains this error instead, see [`AccessReport::is_complete`].
    pub async fn access_report(
        &self,
        desired: &Desired,
        query: &AccessQuery,
    ) -> Result<AccessReport, RunError> {
        let observed = observe_shared(&self.admin_session, &[]).await?;
        let databases = AccessReport::managed_databases(desired, &observed)
            .into_iter()
            .filter(|name| query.database.as_ref().is_none_or(|wanted| wanted == name));
        let role = query.role.as_ref();
        let read = async |name: &DatabaseName| database_access(&self.admin, name, role).await;
        let mut access = BTreeMap::new();
        for (name, result) in in_each(databases, read).await {
            let result = match result {
                Ok(database) => Ok(database),
                Err(ObserveError::Connect(error)) => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            access.insert(name, result);
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
    let access = snapshot.query(ACCESS_REPORT, &[&role.map(RoleName::as_str)]).await?;
    snapshot.close().await?;
    Ok(access)
}
