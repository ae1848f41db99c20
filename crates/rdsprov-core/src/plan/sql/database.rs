//! Statements on databases, schemas and extensions.

use std::collections::BTreeSet;

use super::{Statement, grant_membership};
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName, literal};
use crate::plan::MembershipOption;

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

/// Drops a schema, which must be empty.
pub fn drop_schema(schema: &SchemaName) -> Statement {
    Statement::plain(format!("DROP SCHEMA {}", schema.quoted()))
}

/// Restores the comment that PostgreSQL gives to schema `public`.
pub fn comment_on_public(schema: &SchemaName) -> Statement {
    Statement::plain(format!("COMMENT ON SCHEMA {} IS 'standard public schema'", schema.quoted()))
}

/// Fails if a schema contains an object of a role that is neither a superuser, nor the current role,
/// nor a member of `rds_superuser`: the script of an extension could execute it.
pub fn assert_no_objects_of_others(schemas: &BTreeSet<&SchemaName>) -> Statement {
    let names: Vec<String> = schemas.iter().map(|one| literal(one.as_str())).collect();
    let body = format!(
        "DECLARE one record; BEGIN SELECT i.type, i.identity, r.rolname INTO one FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, 0) i WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o' AND i.schema IN (SELECT quote_ident(name) FROM unnest(ARRAY[{names}]::text[]) name) AND NOT r.rolsuper AND r.rolname NOT IN (current_user, 'rds_superuser') AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname = 'rds_superuser') LIMIT 1; IF FOUND THEN RAISE EXCEPTION 'the script of an extension could execute the % % of role %: it is in the same schema', one.type, one.identity, one.rolname; END IF; END",
        names = names.join(", ")
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Returns statements for a role that is a member of another role during them.
pub fn with_membership(
    role: &RoleName,
    server_major: u32,
    statements: Vec<Statement>,
) -> Vec<Statement> {
    let grant = grant_membership(role, MembershipOption::Inherit, server_major);
    let revoke = format!("REVOKE {} FROM CURRENT_USER", role.quoted());
    std::iter::once(Statement::plain(grant))
        .chain(statements)
        .chain([Statement::plain(revoke)])
        .collect()
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
