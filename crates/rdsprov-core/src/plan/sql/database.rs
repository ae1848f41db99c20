//! Statements on databases, schemas and extensions.

use std::collections::BTreeSet;

use super::statement::one_line;
use super::{Statement, grant_membership};
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName, literal};
use crate::observed::OwnedObject;
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

/// Prevents new sessions in a database.
pub fn disallow_connections(database: &DatabaseName) -> Statement {
    Statement::plain(format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.quoted()))
}

/// Ends that each role with `CREATEDB` can copy a database.
pub fn end_template(database: &DatabaseName) -> Statement {
    Statement::plain(format!("ALTER DATABASE {} IS_TEMPLATE false", database.quoted()))
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

/// The administrators, for `r` from `pg_roles`: superusers, the current role, and `rds_superuser` with its
/// members.
const IS_ADMINISTRATOR: &str = "r.rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles a WHERE a.rolname IN (current_user, 'rds_superuser') AND pg_catalog.pg_has_role(r.oid, a.oid, 'MEMBER'))";

/// The objects of the current database: `object`, a part of a `WITH` clause.
const OBJECTS: &str = include_str!("objects.sql");

/// The OIDs of the administrators whose objects in the template are harmless: superusers, `rds_superuser`, the
/// current role, delegates, and the members of one of these.
///
/// Before PostgreSQL 16, each role with `CREATEROLE` is one: it can become a member of any role that is not
/// a superuser. Since then, it has power only over the roles on which it has `ADMIN OPTION`. A delegate has a
/// marker, which a role with `CREATEROLE` can write for the roles that it has created itself. So the current
/// role must have created the delegate: a superuser has granted the `ADMIN OPTION` on it.
const ADMINISTRATORS: &str = include_str!("administrators.sql");

/// Fails (55000) if a new database contains objects of other roles than [`ADMINISTRATORS`] and the owner of the
/// template, apart from large objects and default privileges. The plan has refused a template with
/// such objects, but a role can create them before `CREATE DATABASE`.
///
/// All databases share the catalog `pg_shdepend`, so this needs no connection to the new database, which
/// no session can enter yet. The catalog does not contain owners that are predefined roles.
pub fn assert_no_copied_objects(database: &DatabaseName) -> Statement {
    let body = format!(
        "DECLARE one record; BEGIN SELECT s.classid::regclass::text AS catalog, r.rolname AS owner INTO one FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = {name}) AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o' AND s.classid NOT IN ('pg_catalog.pg_largeobject'::regclass, 'pg_catalog.pg_default_acl'::regclass) AND r.oid NOT IN ({administrators}) AND r.oid <> (SELECT datdba FROM pg_catalog.pg_database WHERE datname = 'template1') ORDER BY s.classid <> 'pg_catalog.pg_proc'::regclass, r.rolname LIMIT 1; \
         IF FOUND THEN RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('the new database %s has copied %s of role %s from template1', {name}, CASE one.catalog WHEN 'pg_proc' THEN 'functions' WHEN 'pg_class' THEN 'relations' ELSE 'objects' END, one.owner); END IF; END",
        administrators = ADMINISTRATORS.trim_end(),
        name = literal(database.as_str())
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

pub fn drop_database(database: &DatabaseName) -> Statement {
    Statement::plain(format!("DROP DATABASE {}", database.quoted()))
}

/// Drops an object with what depends on it.
pub fn drop_object(object: &OwnedObject) -> Statement {
    let (kind, name) = (object.kind.keywords(), object.identity.sql());
    Statement::plain(format!("DROP {kind} IF EXISTS {name} CASCADE"))
}

/// Fails unless only administrators can create objects in each of the schemas, and all objects in them
/// belong to administrators: the script of an extension could execute others.
///
/// Administrators are superusers, the current role, and `rds_superuser` with its members. The plan has
/// refused other schemas, but the owner of a database can replace it after it was observed.
pub fn assert_only_administrators_create(schemas: &BTreeSet<&SchemaName>) -> Statement {
    let names: Vec<String> = schemas.iter().map(|one| literal(one.as_str())).collect();
    let body = format!(
        "DECLARE administrators oid[] := ARRAY(SELECT r.oid FROM pg_catalog.pg_roles r WHERE {IS_ADMINISTRATOR}); schemas text[] := ARRAY[{names}]; one record; \
         BEGIN SELECT s.name INTO one FROM unnest(schemas) s(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name WHERE (n.nspowner = ANY (administrators)) IS NOT TRUE OR EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.privilege_type = 'CREATE' AND x.grantee <> ALL (administrators)); IF FOUND THEN RAISE EXCEPTION 'schema % does not exist, or other roles can create objects in it, which the script of an extension could execute', one.name; END IF; \
         WITH {objects} SELECT i.type, i.identity, pg_catalog.pg_get_userbyid(o.owner) AS owner INTO one FROM object o JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.classid, o.objid, 0) i WHERE n.nspname = ANY (schemas) AND o.owner <> ALL (administrators) LIMIT 1; IF FOUND THEN RAISE EXCEPTION 'the script of an extension could execute the % % of role %: it is in the same schema', one.type, one.identity, one.owner; END IF; END",
        names = names.join(", "),
        objects = one_line(OBJECTS)
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
    Statement::plain(extension_creation(extension, schema, IfExists::Fail))
}

/// What `CREATE EXTENSION` does if the extension exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfExists {
    Fail,
    Skip,
}

pub(super) fn extension_creation(
    extension: &ExtensionName,
    schema: Option<&SchemaName>,
    if_exists: IfExists,
) -> String {
    let schema = schema.map(|schema| format!(" SCHEMA {}", schema.quoted())).unwrap_or_default();
    let condition = match if_exists {
        IfExists::Fail => "",
        IfExists::Skip => "IF NOT EXISTS ",
    };
    format!("CREATE EXTENSION {condition}{}{schema} CASCADE", extension.quoted())
}

/// Fails (42501) if the script of one of the extensions could execute objects of other roles than
/// administrators and the owner of the current database, the template: such a role can create objects, or has
/// some, in the schema of an installed extension that one of them requires, or in the only schema that a
/// control file allows.
pub(super) fn assert_scripts_meet_no_objects_of_others(extensions: &[ExtensionName]) -> Statement {
    let names: Vec<String> = extensions.iter().map(|one| literal(one.as_str())).collect();
    let body = format!(
        "DECLARE administrators oid[] := ARRAY(SELECT r.oid FROM pg_catalog.pg_roles r WHERE {IS_ADMINISTRATOR} OR r.rolname = 'pg_database_owner' OR r.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database())); name text; \
         BEGIN WITH RECURSIVE needed(name, schema, requires) AS (SELECT v.name, v.schema, v.requires FROM pg_catalog.pg_available_extensions e JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version WHERE e.name = ANY (ARRAY[{names}]) UNION SELECT v.name, v.schema, v.requires FROM needed n JOIN pg_catalog.pg_available_extension_versions v ON v.name = ANY (n.requires) JOIN pg_catalog.pg_available_extensions e ON e.name = v.name AND e.default_version = v.version) \
         SELECT n.nspname INTO name FROM pg_catalog.pg_namespace n WHERE n.nspname <> 'pg_catalog' AND (n.nspname IN (SELECT schema FROM needed) OR n.oid IN (SELECT x.extnamespace FROM pg_catalog.pg_extension x WHERE x.extname IN (SELECT needed.name FROM needed))) AND (n.nspowner <> ALL (administrators) OR EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.privilege_type = 'CREATE' AND x.grantee <> ALL (administrators)) OR EXISTS (WITH {objects} SELECT FROM object o WHERE o.namespace = n.oid AND o.owner <> ALL (administrators))) LIMIT 1; \
         IF FOUND THEN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('in %s, other roles have objects or may create them in schema %s, which the script of an extension would use', current_database(), name); END IF; END",
        names = names.join(", "),
        objects = one_line(OBJECTS)
    );
    Statement::plain(format!("DO {}", literal(&body)))
}
