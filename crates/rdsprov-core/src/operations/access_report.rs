//! Queries the server for the access report: the shared catalogs once, then each managed database.
//!
//! All queries are read-only, and each database is read in one snapshot.

use std::collections::BTreeMap;

use super::connection::AdminConnection;
use super::error::RunError;
use crate::Timestamp;
use crate::access_report::{AccessReport, DatabaseAccess, ReportOrigin};
use crate::audit::Attribution;
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName, nearest};
use crate::server::connect::Session;
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
    /// The user that requests the report; by default the operating-system user.
    pub actor: Option<String>,
}

impl AdminConnection {
    /// Returns the access report. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// Returns [`RunError::NoSuchRole`] if the role of the query does not exist, and other variants
    /// if a query on the shared catalogs fails. If one database cannot be read, the report
    /// contains this error instead, see [`AccessReport::is_complete`].
    pub async fn access_report(
        &self,
        desired: &Desired,
        query: &AccessQuery,
    ) -> Result<AccessReport, RunError> {
        let timestamp_utc = format!("{:.0}", Timestamp::now());
        let observed = observe_shared(&self.admin_session, desired, &[], &[], &[]).await?;
        if let Some(role) = query.role.as_ref().filter(|role| !observed.roles.contains_key(*role)) {
            let known = observed.roles.keys().map(RoleName::as_str);
            let nearest = nearest(role.as_str(), known).map(str::to_owned);
            return Err(RunError::NoSuchRole { role: role.clone(), nearest });
        }
        let databases = AccessReport::managed_databases(desired, &observed)
            .into_iter()
            .filter(|name| query.database.as_ref().is_none_or(|wanted| wanted == name));
        let role = query.role.as_ref();
        let read = async |session: &Session, name: &DatabaseName| {
            database_access(session, name, role).await
        };
        // The owner of a database that is not declared may have forged its marker.
        let is_needed = |name: &DatabaseName| {
            desired.databases.contains_key(name) || query.database.as_ref() == Some(name)
        };
        let mut access = BTreeMap::new();
        for (name, result) in
            in_each(&self.admin, &self.admin_session, databases, is_needed, read).await
        {
            access.insert(name, result.map_err(|error| error.to_string()));
        }
        let Attribution { actor, os_user, host, .. } =
            Attribution::detect(query.actor.clone(), None, None);
        let version = observed.server_version;
        let origin = ReportOrigin {
            timestamp_utc,
            server: self.server(),
            server_version: format!("{}.{}", version / 10_000, version % 10_000),
            administrator: observed.administrator.name.clone(),
            rdsprov_version: env!("CARGO_PKG_VERSION").to_owned(),
            actor,
            os_user,
            host,
        };
        Ok(AccessReport::new(desired, &observed, origin, access))
    }
}

async fn database_access(
    session: &Session,
    name: &DatabaseName,
    role: Option<&RoleName>,
) -> Result<DatabaseAccess, ObserveError> {
    let snapshot = Snapshot::open(session, format!("database {name}")).await?;
    snapshot.check_size(&[], None).await?;
    let access = snapshot.query(ACCESS_REPORT, &[&role.map(RoleName::as_str)]).await?;
    snapshot.close().await?;
    Ok(access)
}
