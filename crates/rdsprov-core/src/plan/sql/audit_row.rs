//! The rows of the audit table as a statement, with the values that each row of a run contains.

use crate::audit_table::{AuditedRun, COLUMNS};
use crate::name::{literal, quote};

/// A row of the audit table, without the values of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub database: String,
    pub username: String,
    pub action: String,
    /// `success`, or `error` for a change that the run has reverted.
    pub status: &'static str,
    pub message: String,
}

/// Returns the text of the statement that writes rows of a run.
pub(super) fn insert(table: &str, rows: &[AuditRow], run: &AuditedRun<'_>) -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, _)| quote(name)).collect();
    let values = rows.iter().map(|row| {
        let AuditRow { database, username, action, status, message } = row;
        let texts = [database, username, action, *status, message].map(literal);
        format!("({})", texts.join(", "))
    });
    let [environment, build_id, run_id, plan, actor] =
        [run.environment, run.build_id, run.run_id, run.plan, run.actor].map(literal);
    format!(
        "INSERT INTO {table} ({}) SELECT clock_timestamp(), {environment}, {build_id}, {run_id}, r.database, r.username, r.action, \
         r.status, NULL, r.message, {plan}, {actor} FROM (VALUES {}) r(database, username, action, status, message)",
        columns.join(", "),
        values.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_table::AuditTableName;

    #[test]
    fn values_are_literals() {
        let row = AuditRow {
            database: "a'b".to_owned(),
            username: "c\\d".to_owned(),
            action: "grant".to_owned(),
            status: "success",
            message: "e\n'); DROP TABLE x; --".to_owned(),
        };
        let table: AuditTableName = "s\"x.t".parse().unwrap();
        let run = AuditedRun {
            environment: "dev",
            build_id: "7'x",
            run_id: "1",
            plan: "sha256:0",
            actor: "ada\u{202e}",
        };
        let text = insert(&table.quoted(), &[row.clone(), row], &run);
        let values = r"('a''b', E'c\\d', 'grant', 'success', E'e\n''); DROP TABLE x; --')";
        let expected = format!(
            "INSERT INTO \"s\"\"x\".\"t\" ({}) SELECT clock_timestamp(), 'dev', '7''x', '1', r.database, \
             r.username, r.action, r.status, NULL, r.message, 'sha256:0', E'ada\\u202E' \
             FROM (VALUES {values}, {values}) r(database, username, action, status, message)",
            COLUMNS.map(|(name, _)| quote(name)).join(", ")
        );
        assert_eq!(text, expected);
    }
}
