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

/// Fails unless only administrators can create objects in each of the schemas, and all objects in them
/// belong to administrators: the script of an extension could execute others.
///
/// Administrators are superusers, the current role, and `rds_superuser` with its members. The plan has
/// refused other schemas, but the owner of a database can replace it after it was observed.
pub fn assert_only_administrators_create(schemas: &BTreeSet<&SchemaName>) -> Statement {
    let names: Vec<String> = schemas.iter().map(|one| literal(one.as_str())).collect();
    let body = format!(
        "DECLARE administrators oid[] := ARRAY(SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname IN (current_user, 'rds_superuser') OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname = 'rds_superuser')); schemas text[] := ARRAY[{names}]; one record; \
         BEGIN SELECT s.name INTO one FROM unnest(schemas) s(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name WHERE (n.nspowner = ANY (administrators)) IS NOT TRUE OR EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.privilege_type = 'CREATE' AND x.grantee <> ALL (administrators)); IF FOUND THEN RAISE EXCEPTION 'schema % does not exist, or other roles can create objects in it, which the script of an extension could execute', one.name; END IF; \
         SELECT i.type, i.identity, pg_catalog.pg_get_userbyid(s.refobjid) AS owner INTO one FROM pg_catalog.pg_shdepend s CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, 0) i WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o' AND i.schema IN (SELECT quote_ident(name) FROM unnest(schemas) name) AND s.refobjid <> ALL (administrators) LIMIT 1; IF FOUND THEN RAISE EXCEPTION 'the script of an extension could execute the % % of role %: it is in the same schema', one.type, one.identity, one.owner; END IF; END",
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
