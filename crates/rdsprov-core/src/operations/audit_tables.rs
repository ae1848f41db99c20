//! Reads the audit tables of a server.
//!
//! All queries are read-only. A table that is not as documented is not read: a view, for example, could execute
//! functions of its owner as the administrator.

use std::collections::BTreeSet;

use super::connection::AdminConnection;
use super::error::RunError;
use crate::audit::{TableReport, TableRow, TableState};
use crate::audit_table::AuditTableName;
use crate::desired::Desired;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName, literal};
use crate::observed::AuditTable;
use crate::server::connect::Session;
use crate::server::databases::in_each;
use crate::server::observe::{observe_audit_table, observe_shared};
use crate::server::snapshot::{ObserveError, Snapshot};

/// The number of blocks of a table that are read at the same time: about 10,000 rows.
const PAGE: usize = 256;

impl AdminConnection {
    /// Returns the rows of an environment in the audit tables: those of database `postgres`, of the databases with
    /// a marker of the environment, and of `others`. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the shared catalogs cannot be read. If a table cannot be read, the report
    /// contains the reason.
    pub async fn audit_tables(
        &self,
        desired: &Desired,
        table: &AuditTableName,
        others: &BTreeSet<DatabaseName>,
    ) -> Result<TableReport, RunError> {
        let observed = observe_shared(&self.admin_session, desired, &[], &[], &[]).await?;
        let (environment, administrator) = (&desired.environment, &observed.administrator.name);
        let shared = DatabaseName::new_unchecked(LOCK_DATABASE);
        let is_read = |(name, seen): &(&DatabaseName, &crate::observed::Database)| {
            let marker = seen.marker();
            let is_managed = marker.is_some_and(|marker| marker.environment == *environment);
            seen.connectable && (is_managed || others.contains(*name) || **name == shared)
        };
        let databases = observed.databases.iter().filter(is_read).map(|(name, _)| name.clone());
        let read = async |session: &Session, name: &DatabaseName| {
            table_rows(session, name, table, administrator, environment).await
        };
        let is_needed = |_: &DatabaseName| true;
        let results = in_each(&self.admin, &self.admin_session, databases, is_needed, read).await;
        let mut report = TableReport {
            server: self.server(),
            environment: environment.clone(),
            table: table.clone(),
            tables: Vec::new(),
            rows: Vec::new(),
            differences: None,
            compared_records: 0,
            system_identifier: observed.connection.system_identifier.clone(),
            databases: observed.databases.keys().cloned().collect(),
        };
        for (database, result) in results {
            let (found, rows, error) = match result {
                Ok((found, rows)) => (found, rows, None),
                Err(error) => (AuditTable::default(), Vec::new(), Some(error.to_string())),
            };
            let AuditTable { exists, defects, .. } = found;
            report.tables.push(TableState { database, exists, rows: rows.len(), defects, error });
            report.rows.extend(rows);
        }
        report.tables.sort_by(|one, other| one.database.cmp(&other.database));
        // The order of the rows of one transaction remains.
        report.rows.sort_by(|one, other| one.timestamp_utc.cmp(&other.timestamp_utc));
        Ok(report)
    }
}

/// Returns the audit table of a database and its rows of an environment, in one snapshot.
async fn table_rows(
    session: &Session,
    name: &DatabaseName,
    table: &AuditTableName,
    administrator: &RoleName,
    environment: &str,
) -> Result<(AuditTable, Vec<TableRow>), ObserveError> {
    let snapshot = Snapshot::open(session, format!("database {name}")).await?;
    let found = observe_audit_table(&snapshot, table, administrator).await?;
    let mut rows: Vec<TableRow> = Vec::new();
    if !found.exists || !found.defects.is_empty() {
        snapshot.close().await?;
        return Ok((found, rows));
    }
    let size = format!(
        "-- Returns the number of blocks of the audit table.\n\
         SELECT (pg_relation_size({}::regclass) / current_setting('block_size')::bigint)::text",
        literal(&table.quoted())
    );
    let blocks: usize = snapshot.query(&size, &[]).await?;
    // Each block is read once, so that the time is linear. The caller puts the rows in order.
    for begin in (0..blocks).step_by(PAGE) {
        let end = begin + PAGE;
        let query = format!(
            "-- Returns rows of the audit table.\n\
             SELECT coalesce(json_agg(json_build_object(\
             'timestamp_utc', to_char(r.timestamp_utc AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
             'environment', r.environment, 'build_id', r.build_id, 'run_id', r.run_id, 'database', r.database, \
             'username', r.username, 'action', r.action, 'status', r.status, 'message', r.message, \
             'plan', r.plan, 'actor', r.actor) ORDER BY r.ctid), '[]')::text \
             FROM {} r WHERE r.environment = $1 AND r.ctid >= '({begin},0)' AND r.ctid < '({end},0)'",
            table.quoted()
        );
        let page: Vec<TableRow> = snapshot.query(&query, &[&environment]).await?;
        rows.extend(page.into_iter().map(|row| TableRow { table_database: name.clone(), ..row }));
    }
    snapshot.close().await?;
    Ok((found, rows))
}
