//! Statements on databases, schemas and extensions.

use super::Statement;
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName};

pub fn create_database(database: &DatabaseName) -> Statement {
    Statement::plain(format!(
        "CREATE DATABASE {} ALLOW_CONNECTIONS false CONNECTION LIMIT {UNFINISHED}",
        database.quoted()
    ))
}

pub fn set_database_marker(
    database: &DatabaseName,
    comment: Option<String>,
    marker: Marker,
) -> Statement {
    Statement::set_marker(format!("DATABASE {}", database.quoted()), comment, marker)
}

pub fn close_database(database: &DatabaseName) -> Statement {
    Statement::plain(format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", database.quoted()))
}

pub fn open_database(database: &DatabaseName) -> Statement {
    Statement::plain(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.quoted()))
}

/// Removes the default that makes transactions in a database read-only.
pub fn end_read_only(database: &DatabaseName) -> Statement {
    Statement::plain(format!(
        "ALTER DATABASE {} RESET default_transaction_read_only",
        database.quoted()
    ))
}

/// Returns the last statement of a new database: it allows connections.
pub fn finish_database(database: &DatabaseName) -> Statement {
    Statement::plain(format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT -1",
        database.quoted()
    ))
}

pub fn change_owner(database: &DatabaseName, owner: &RoleName) -> Statement {
    Statement::plain(format!("ALTER DATABASE {} OWNER TO {}", database.quoted(), owner.quoted()))
}

pub fn create_schema(schema: &SchemaName) -> Statement {
    Statement::plain(format!("CREATE SCHEMA {}", schema.quoted()))
}

pub fn change_schema_owner(schema: &SchemaName, owner: &RoleName) -> Statement {
    Statement::plain(format!("ALTER SCHEMA {} OWNER TO {}", schema.quoted(), owner.quoted()))
}

/// Creates an extension and those that it requires. Without a schema, PostgreSQL chooses it.
pub fn create_extension(extension: &ExtensionName, schema: Option<&SchemaName>) -> Statement {
    Statement::plain(extension_creation(extension, schema))
}

pub(super) fn extension_creation(extension: &ExtensionName, schema: Option<&SchemaName>) -> String {
    let schema = schema.map(|schema| format!(" SCHEMA {}", schema.quoted())).unwrap_or_default();
    format!("CREATE EXTENSION {}{schema} CASCADE", extension.quoted())
}
