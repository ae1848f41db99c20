//! Statements for manual fixes only: the plan prints them, and the administrator
//! does not execute them.

use super::ownership::change_named_owner;
use super::statement::one_line;
use super::{
    GrantTarget, RevokeScope, Statement, grant_usage, grant_with_grant_option, revoke, revoke_usage,
};
use crate::marker::Marker;
use crate::name::{DatabaseName, RoleName, SchemaName, literal, quote};
use crate::observed::{Grantee, OwnedObject};
use crate::plan::Executor;
use crate::privilege::{ObjectKind, Privilege, Privileges};

/// The query for the code among the objects that a role has received. `WITH received AS (…)` precedes it.
const RECEIVED_CODE: &str = include_str!("received_code.sql");

/// Executes statements that give objects to a role, unless the role would receive code with them that its
/// sessions execute, such as a trigger or a function with `SECURITY DEFINER`: then nothing is changed.
///
/// The old owner can write code until the statement locks its objects, after the user has read the hint. So
/// the check follows the transfer, in one statement. It compares with what the role owned before, because
/// `xmin` is that of a subtransaction if the client uses savepoints (`ON_ERROR_ROLLBACK`). A database can set
/// the `search_path` of the session.
pub fn give_without_code(statements: &[Statement], to: &RoleName) -> Statement {
    let owned = "s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = new_owner AND s.deptype = 'o'";
    let statements: Vec<String> = statements.iter().map(Statement::redacted).collect();
    let body = format!(
        "DECLARE new_owner oid; owned text[]; code text; BEGIN SET LOCAL search_path = pg_catalog, pg_temp; \
         new_owner := (SELECT oid FROM pg_roles WHERE rolname = {to}); \
         owned := ARRAY(SELECT format('%s %s', s.classid::oid, s.objid) FROM pg_shdepend s WHERE {owned}); \
         {statements}; \
         code := (WITH received AS MATERIALIZED (SELECT s.classid, s.objid FROM pg_shdepend s WHERE {owned} \
         AND format('%s %s', s.classid::oid, s.objid) NOT IN (SELECT unnest(owned))) {query}); \
         IF code IS NOT NULL THEN RAISE EXCEPTION USING \
         MESSAGE = format('role %s would receive code that its sessions execute, or that other roles can change: %s', {to}, code), \
         HINT = 'Nothing is changed. Review this code, and drop it or give it to the role yourself.'; END IF; END",
        to = literal(to.as_str()),
        statements = statements.join("; "),
        query = one_line(RECEIVED_CODE),
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Removes the marker from a comment, and keeps the other text.
pub fn remove_marker(object: MarkedObject<'_>, comment: Option<&str>) -> Statement {
    let object = match object {
        MarkedObject::Role(name) => format!("ROLE {}", name.quoted()),
        MarkedObject::Database(name) => format!("DATABASE {}", name.quoted()),
    };
    let rest = comment.and_then(Marker::removed_from);
    let rest = rest.map_or_else(|| "NULL".to_owned(), |text| literal(&text));
    Statement::plain(format!("COMMENT ON {object} IS {rest}"))
}

/// A role or database whose comment contains a marker.
#[derive(Debug, Clone, Copy)]
pub enum MarkedObject<'a> {
    Role(&'a RoleName),
    Database(&'a DatabaseName),
}

/// Transfers one object to the role that executes the statement.
pub fn take_ownership(object: &OwnedObject) -> Statement {
    taking(object.kind.keywords(), &object.identity.sql())
}

/// Transfers a subscription to the role that executes the statement.
pub fn take_subscription(name: &str) -> Statement {
    taking("SUBSCRIPTION", &quote(name))
}

fn taking(kind: &'static str, name: &str) -> Statement {
    Statement::plain(format!("ALTER {kind} {name} OWNER TO CURRENT_USER"))
}

pub fn rename_role(from: &RoleName, to: &RoleName) -> Statement {
    Statement::plain(format!("ALTER ROLE {} RENAME TO {}", from.quoted(), to.quoted()))
}

pub fn rename_database(from: &DatabaseName, to: &DatabaseName) -> Statement {
    Statement::plain(format!("ALTER DATABASE {} RENAME TO {}", from.quoted(), to.quoted()))
}

/// Returns one statement for each relation: `ALTER TABLE` accepts every kind.
pub fn change_owner_of_relations(target: &GrantTarget, owner: &RoleName) -> Option<Vec<Statement>> {
    let GrantTarget::Relations { schema, names, .. } = target else { return None };
    let one = |name: &String| {
        let relation = format!("{}.{}", schema.quoted(), quote(name));
        change_named_owner("TABLE", &relation, owner)
    };
    Some(names.iter().map(one).collect())
}

pub fn create_schema_for(schema: &SchemaName, owner: &RoleName) -> Statement {
    Statement::plain(format!("CREATE SCHEMA {} AUTHORIZATION {}", schema.quoted(), owner.quoted()))
}

/// Returns statements with which a superuser revokes privileges as a grantor that has lost its
/// grant option. Afterwards the grantor has what it `held` before: nothing, the privilege alone, or
/// the privilege with the option.
pub fn with_grant_option(
    role: &RoleName,
    privileges: &Privileges,
    held: impl Fn(Privilege) -> Option<bool>,
    target: &GrantTarget,
    revocation: Statement,
) -> Vec<Statement> {
    let itself = Grantee::Role(role.clone());
    let held_as = |before| -> Privileges {
        privileges.iter().copied().filter(|privilege| held(*privilege) == before).collect()
    };
    let not_grantable: Privileges = held_as(None).union(&held_as(Some(false))).copied().collect();
    let mut statements = vec![grant_with_grant_option(&not_grantable, target, &itself)];
    statements.extend(as_role(&Executor::Superuser, role, revocation));
    for (scope, privileges) in
        [(RevokeScope::Privilege, held_as(None)), (RevokeScope::GrantOption, held_as(Some(false)))]
    {
        if !privileges.is_empty() {
            statements.push(revoke(scope, &privileges, target, &itself));
        }
    }
    statements
}

/// Revokes all privileges on the relations of one kind in schemas.
pub fn revoke_all_on_relations(
    kind: ObjectKind,
    schemas: &[&SchemaName],
    role: &RoleName,
) -> Statement {
    let schemas = schemas.iter().map(|schema| schema.quoted()).collect::<Vec<_>>().join(", ");
    let (kind, role) = (kind.keyword(), role.quoted());
    Statement::plain(format!("REVOKE ALL ON ALL {kind}S IN SCHEMA {schemas} FROM {role}"))
}

/// Returns statements with which an executor executes another statement as a role.
pub fn as_role(executor: &Executor, role: &RoleName, statement: Statement) -> Vec<Statement> {
    if *executor == Executor::Role(role.clone()) {
        return vec![statement];
    }
    let set_role = Statement::plain(format!("SET ROLE {}", role.quoted()));
    vec![set_role, statement, Statement::plain("RESET ROLE".to_owned())]
}

/// Returns statements with which a superuser grants `USAGE` on schemas, executes other
/// statements, and revokes it.
pub fn with_schema_usage(
    role: &RoleName,
    schemas: &[SchemaName],
    statements: Vec<Statement>,
) -> Vec<Statement> {
    let granted = schemas.iter().map(|schema| grant_usage(schema, role));
    let revoked = schemas.iter().map(|schema| revoke_usage(schema, role));
    granted.chain(statements).chain(revoked).collect()
}
