//! The statements that create the audit table, verify it, and write its rows.

use super::Statement;
use super::audit_row::AuditRow;
use super::statement::one_line;
use crate::audit_table::{AuditTableName, COLUMNS, NULLABLE};
use crate::name::literal;

/// The query for the differences from the documented definition. The observation executes the same file.
const DEFECTS: &str = include_str!("audit_table.sql");

/// Returns the columns with their types, as a `CREATE TABLE` statement contains them.
pub(crate) fn expected_columns() -> String {
    let columns = COLUMNS.map(|(name, kind)| {
        let not_null = if name == NULLABLE { "" } else { " NOT NULL" };
        format!("{name} {kind}{not_null}")
    });
    columns.join(", ")
}

/// Creates the schema and the table if they do not exist. The administrator is their owner, and no other role
/// has privileges on them.
pub(super) fn create_audit_table(table: &AuditTableName) -> Statement {
    let (schema, name) = (literal(table.schema().as_str()), literal(table.table().as_str()));
    let body = format!(
        "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = {schema}) THEN CREATE SCHEMA {schema_name}; END IF; \
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname = {name}) \
         THEN CREATE TABLE {table_name} ({columns}); END IF; END",
        schema_name = table.schema().quoted(),
        table_name = table.quoted(),
        columns = expected_columns(),
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Fails (55000) if the table differs from its definition. The plan has refused such a table, but a script or
/// a saved plan is executed later.
pub(super) fn verify_audit_table(table: &AuditTableName) -> Statement {
    let (schema, name) = (literal(table.schema().as_str()), literal(table.table().as_str()));
    let body = format!(
        "DECLARE defects text; BEGIN WITH named(schema_name, table_name, columns, owner) AS (VALUES ({schema}::text, {name}::text, {columns}::text, current_user)), {query} \
         SELECT string_agg(words, '; ') INTO defects FROM defect; \
         IF defects IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('the audit table %s in database %s is not as documented: %s', {shown}, current_database(), defects); END IF; END",
        columns = literal(&expected_columns()),
        query = one_line(DEFECTS),
        shown = literal(&table.to_string()),
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Returns the statement that writes rows. The time is that of the server.
pub(super) fn write_audit_rows(table: &AuditTableName, rows: Vec<AuditRow>) -> Statement {
    Statement::audit_rows(table.quoted(), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_contains_the_definition() {
        let reference = include_str!("../../../../../docs/reference.md");
        let columns = expected_columns().replace(", ", ",\n    ");
        let table: AuditTableName = "rdsprov_audit.changes".parse().unwrap();
        let definition = format!(
            "CREATE SCHEMA {};\nCREATE TABLE {table} (\n    {columns}\n);\n",
            table.schema()
        );
        assert!(reference.contains(&definition), "{definition}");
    }
}
