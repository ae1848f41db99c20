//! Statements that transfer objects to another owner.

use std::collections::BTreeSet;

use super::{CHANGED_SINCE_PLAN, Statement, change_owner, create_plain_role, grant_membership};
use crate::name::{DatabaseName, RoleName, literal, quote};
use crate::observed::OwnedObject;
use crate::plan::MembershipOption;

/// Transfers the objects of a role in the current database, and all databases and
/// tablespaces of the role.
pub fn reassign_owned(from: &RoleName, to: &RoleName) -> Statement {
    Statement::plain(format!("REASSIGN OWNED BY {} TO {}", from.quoted(), to.quoted()))
}

/// An object with an owner that all databases share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedObject<'a> {
    Database(&'a DatabaseName),
    Tablespace(&'a str),
}

impl SharedObject<'_> {
    pub fn change_owner(self, owner: &RoleName) -> Statement {
        match self {
            Self::Database(name) => change_owner(name, owner),
            Self::Tablespace(name) => change_named_owner("TABLESPACE", &quote(name), owner),
        }
    }

    /// Returns the object in words: `database shop`.
    fn words(self) -> String {
        match self {
            Self::Database(name) => format!("database {name}"),
            Self::Tablespace(name) => format!("tablespace {name}"),
        }
    }
}

/// Fails if a role owns other shared objects than these, except the current database and its
/// subscriptions: `REASSIGN OWNED` would transfer them.
pub fn assert_owns_only(role: &RoleName, shared: &BTreeSet<SharedObject<'_>>) -> Statement {
    let words: BTreeSet<String> = shared.iter().map(|one| one.words()).collect();
    let words: Vec<String> = words.iter().map(|one| literal(one)).collect();
    let body = format!(
        "DECLARE who oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {name}); BEGIN IF ARRAY(SELECT what FROM (SELECT 'database ' || datname FROM pg_catalog.pg_database WHERE datdba = who AND datname <> current_database() UNION ALL SELECT 'tablespace ' || spcname FROM pg_catalog.pg_tablespace WHERE spcowner = who UNION ALL SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE subowner = who AND datname <> current_database()) owned(what) ORDER BY what COLLATE \"C\") IS DISTINCT FROM ARRAY[{shared}]::text[] THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED_SINCE_PLAN}', MESSAGE = format('role %s owns other databases, tablespaces or subscriptions than in the plan', {name}); END IF; END",
        name = literal(role.as_str()),
        shared = words.join(", ")
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Transfers the objects of a role in the current database, and the database, with
/// [`reassign_owned`]. Its other shared
/// objects are parked with a temporary owner that has no privileges, so that `REASSIGN OWNED`
/// cannot merge two ACL entries.
pub fn reassign_database_only(
    from: &RoleName,
    reassign: Statement,
    temporary_owner: &RoleName,
    shared: &BTreeSet<SharedObject<'_>>,
) -> Vec<Statement> {
    let mut statements: Vec<Statement> =
        shared.iter().map(|one| one.change_owner(temporary_owner)).collect();
    statements.push(reassign);
    statements.extend(shared.iter().map(|one| one.change_owner(from)));
    statements
}

/// Creates the temporary owner and makes the administrator a member of it.
pub fn create_temporary_owner(temporary_owner: &RoleName, server_major: u32) -> [Statement; 2] {
    let membership = grant_membership(temporary_owner, MembershipOption::Inherit, server_major);
    [create_plain_role(temporary_owner), Statement::plain(membership)]
}

/// Transfers one object.
pub fn change_object_owner(object: &OwnedObject, owner: &RoleName) -> Statement {
    change_named_owner(object.kind.keywords(), &object.identity.sql(), owner)
}

/// Transfers a subscription.
pub fn change_subscription_owner(name: &str, owner: &RoleName) -> Statement {
    change_named_owner("SUBSCRIPTION", &quote(name), owner)
}

/// Transfers one object, given its kind and its name as SQL.
pub(super) fn change_named_owner(kind: &'static str, name: &str, owner: &RoleName) -> Statement {
    Statement::plain(format!("ALTER {kind} {name} OWNER TO {}", owner.quoted()))
}
