//! Reads the audit tables of a server.
//!
//! All queries are read-only. A table that is not as documented is not read: a view, for example, could execute
//! functions of its owner as the administrator.
//!
//! The owner of a database cannot hide its table: the marker of its role decides whether the database is managed, and
//! a database to which the administrator cannot connect is reported.

use std::collections::{BTreeSet, HashSet};

use super::connection::AdminConnection;
use super::error::RunError;
use crate::access_report::AccessReport;
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
    /// Returns the rows of an environment in the audit tables: those of database `postgres`, of the databases that the
    /// access report covers, and of `others`. Writes nothing and takes no lock.
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
        let managed = AccessReport::managed_databases(desired, &observed);
        let known = observed.databases.iter();
        let (connectable, closed): (Vec<_>, Vec<_>) = known
            .filter(|(name, _)| {
                managed.contains(*name) || others.contains(*name) || **name == shared
            })
            .partition(|(_, seen)| seen.connectable);
        let databases = connectable.into_iter().map(|(name, _)| name.clone());
        let read = async |session: &Session, name: &DatabaseName| {
            table_rows(session, name, table, administrator, environment).await
        };
        let is_needed = |_: &DatabaseName| true;
        let results = in_each(&self.admin, &self.admin_session, databases, is_needed, read).await;
        let mut report = TableReport::new(self.server(), environment.clone(), table.clone());
        report.system_identifier.clone_from(&observed.connection.system_identifier);
        report.databases.extend(observed.databases.keys().cloned());
        for (database, result) in results {
            let (found, rows, error) = match result {
                Ok((found, rows)) => (found, rows, None),
                Err(error) => (AuditTable::default(), Vec::new(), Some(error.to_string())),
            };
            let AuditTable { exists, defects, .. } = found;
            report.tables.push(TableState { database, exists, rows: rows.len(), defects, error });
            report.rows.extend(rows);
        }
        for (database, seen) in closed {
            let reason = match seen.allow_connections {
                true => "the administrator may not connect to the database",
                false => "the database allows no connections",
            };
            report.tables.push(TableState {
                database: database.clone(),
                exists: false,
                rows: 0,
                defects: Vec::new(),
                error: Some(reason.to_owned()),
            });
            // Its rows are not lost, but not read.
            report.databases.remove(database);
        }
        remove_copies(&mut report.rows);
        report.tables.sort_by(|one, other| one.database.cmp(&other.database));
        // The order of the rows of one transaction remains.
        report.rows.sort_by(|one, other| one.timestamp_utc.cmp(&other.timestamp_utc));
        Ok(report)
    }
}

/// Removes the rows that a role with `CREATEDB` has copied together with its database. A transaction writes no rows
/// about another database than its own, except in the database of the administrator.
///
/// A copy is a row that the database which it names has, too. Otherwise, the owner could hide its rows: it renames
/// its database, and creates another one with the old name.
fn remove_copies(rows: &mut Vec<TableRow>) {
    let is_original = |row: &TableRow| row.database == row.table_database.as_str();
    let originals: HashSet<TableRow> =
        rows.iter().filter(|row| is_original(row)).cloned().collect();
    let is_copy = |row: &TableRow| {
        row.table_database.as_str() != LOCK_DATABASE && !is_original(row) && {
            let table_database = DatabaseName::new_unchecked(row.database.clone());
            originals.contains(&TableRow { table_database, ..row.clone() })
        }
    };
    rows.retain(|row| !is_copy(row));
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
