//! Statements on roles, their memberships and their settings.

use std::fmt;

use super::Statement;
use super::hidden_password::alter_password;
use crate::marker::Marker;
use crate::name::{DatabaseName, RoleName, literal};
use crate::plan::MembershipOption;
use crate::probe::{MembershipRevocation, RevocationScope};
use crate::secret_id::SecretId;
use crate::setting::Parameter;
use crate::valid_until::ValidUntil;

/// An attribute of a role, as `CREATE ROLE` and `ALTER ROLE` set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleAttribute {
    Login,
    NoLogin,
    Inherit,
    CreateDatabase(bool),
    CreateRole(bool),
    ConnectionLimit(i32),
    /// `None` means never.
    ValidUntil(Option<ValidUntil>),
    NoSuperuser,
    NoReplication,
    NoBypassRls,
}

impl fmt::Display for RoleAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "LOGIN",
            Self::NoLogin => "NOLOGIN",
            Self::Inherit => "INHERIT",
            Self::CreateDatabase(true) => "CREATEDB",
            Self::CreateDatabase(false) => "NOCREATEDB",
            Self::CreateRole(true) => "CREATEROLE",
            Self::CreateRole(false) => "NOCREATEROLE",
            Self::ConnectionLimit(limit) => return write!(f, "CONNECTION LIMIT {limit}"),
            Self::ValidUntil(None) => "VALID UNTIL 'infinity'",
            Self::ValidUntil(Some(time)) => return write!(f, "VALID UNTIL '{time}'"),
            Self::NoSuperuser => "NOSUPERUSER",
            Self::NoReplication => "NOREPLICATION",
            Self::NoBypassRls => "NOBYPASSRLS",
        })
    }
}

/// Returns attributes as SQL: `LOGIN CREATEDB`.
pub fn attributes_sql(attributes: &[RoleAttribute]) -> String {
    attributes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Creates a role with the password of a secret, or without a password.
pub fn create_role(
    role: &RoleName,
    secret: Option<&SecretId>,
    attributes: &[RoleAttribute],
) -> Statement {
    let create = format!("CREATE ROLE {} {}", role.quoted(), attributes_sql(attributes));
    match secret {
        Some(secret) => Statement::with_password(format!("{create} PASSWORD"), role, secret),
        None => Statement::plain(create),
    }
}

pub fn create_plain_role(role: &RoleName) -> Statement {
    Statement::plain(format!("CREATE ROLE {}", role.quoted()))
}

pub fn set_role_marker(role: &RoleName, comment: Option<String>, marker: Marker) -> Statement {
    Statement::set_marker(format!("ROLE {}", role.quoted()), comment, marker)
}

pub fn alter_role(role: &RoleName, attributes: &[RoleAttribute]) -> Statement {
    Statement::plain(format!("ALTER ROLE {} {}", role.quoted(), attributes_sql(attributes)))
}

pub fn drop_role(role: &RoleName) -> Statement {
    Statement::plain(format!("DROP ROLE {}", role.quoted()))
}

/// Ends the sessions of the current role, and fails (55006) if one of them does not end within 10
/// seconds. A role may always end its own sessions.
pub fn end_own_sessions() -> Statement {
    let body = "DECLARE own CONSTANT name := current_user; BEGIN \
         PERFORM pg_catalog.pg_terminate_backend(s.pid, 10000) FROM pg_catalog.pg_stat_activity s WHERE s.usename = own AND s.pid <> pg_catalog.pg_backend_pid(); \
         PERFORM pg_catalog.pg_stat_clear_snapshot(); \
         IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity s WHERE s.usename = own AND s.pid <> pg_catalog.pg_backend_pid()) THEN RAISE EXCEPTION USING ERRCODE = '55006', MESSAGE = format('a session of role %s has not ended', own); END IF; END";
    Statement::plain(format!("DO {}", literal(body)))
}

pub fn set_password(role: &RoleName, secret: &SecretId) -> Statement {
    Statement::with_password(alter_password(role), role, secret)
}

pub fn clear_password(role: &RoleName) -> Statement {
    Statement::plain(format!("{} NULL", alter_password(role)))
}

pub fn grant_role(group: &RoleName, member: &RoleName) -> Statement {
    Statement::plain(format!("GRANT {} TO {}", group.quoted(), member.quoted()))
}

/// Grants a role, so that the member has its privileges without `SET ROLE`, from PostgreSQL 16 on.
pub fn grant_role_with_inherit(group: &RoleName, member: &RoleName) -> Statement {
    Statement::plain(format!("GRANT {} TO {} WITH INHERIT TRUE", group.quoted(), member.quoted()))
}

/// Grants `ADMIN OPTION` on a role without its privileges, from PostgreSQL 16 on.
pub fn grant_administration(role: &RoleName, administrator: &RoleName) -> Statement {
    Statement::plain(format!(
        "GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        role.quoted(),
        administrator.quoted()
    ))
}

/// Makes a role a member of another one with `ADMIN OPTION`, from PostgreSQL 16 on. It gets the
/// privileges even if the same grantor had granted `ADMIN OPTION` only.
pub fn grant_role_with_admin(group: &RoleName, member: &RoleName) -> Statement {
    Statement::plain(format!(
        "GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE",
        group.quoted(),
        member.quoted()
    ))
}

/// Makes the administrator a member of a role.
pub(super) fn grant_membership(
    role: &RoleName,
    option: MembershipOption,
    server_major: u32,
) -> String {
    let options = match option {
        _ if server_major < 16 => "",
        MembershipOption::Set => " WITH INHERIT FALSE, SET TRUE",
        MembershipOption::Inherit => " WITH INHERIT TRUE, SET TRUE",
    };
    format!("GRANT {} TO CURRENT_USER{options}", role.quoted())
}

/// Ends [`set_local_role`].
///
/// `RESET ROLE` would return to the role that is stored for the database or the role.
pub(super) const RESET_ROLE: &str = "SET LOCAL ROLE NONE";

/// Lets the administrator act as a role until the end of the transaction.
pub(super) fn set_local_role(role: &RoleName) -> String {
    format!("SET LOCAL ROLE {}", role.quoted())
}

/// What becomes of the memberships that a member granted with the `ADMIN OPTION` of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// They are kept: the revocation fails if there are any.
    Kept,
    /// They are revoked.
    Revoked,
}

/// Revokes a membership that the administrator has granted before.
pub fn revoke_granted(role: &RoleName, member: &RoleName, dependents: Dependents) -> Statement {
    revoke_membership(&MembershipRevocation {
        role: role.clone(),
        member: member.clone(),
        grantor: None,
        scope: RevocationScope::Membership,
        cascade: dependents == Dependents::Revoked,
    })
}

/// Revokes a membership, or only its `ADMIN OPTION`.
pub fn revoke_membership(revocation: &MembershipRevocation) -> Statement {
    Statement::plain(membership_revocation(revocation))
}

pub(super) fn membership_revocation(revocation: &MembershipRevocation) -> String {
    let MembershipRevocation { role, member, grantor, scope, cascade } = revocation;
    let scope = match scope {
        RevocationScope::Membership => "",
        RevocationScope::AdminOption => "ADMIN OPTION FOR ",
    };
    let grantor = grantor.as_ref().map(|role| format!(" GRANTED BY {}", role.quoted()));
    let grantor = grantor.unwrap_or_default();
    let cascade = if *cascade { " CASCADE" } else { "" };
    let (role, member) = (role.quoted(), member.quoted());
    format!("REVOKE {scope}{role} FROM {member}{grantor}{cascade}")
}

/// Sets a parameter of a role in a database, or resets it without a value.
pub fn set_parameter(
    role: &RoleName,
    database: &DatabaseName,
    parameter: &Parameter,
    value: Option<&String>,
) -> Statement {
    Statement::plain(parameter_change(&role.quoted(), database, parameter, value))
}

/// Resets all settings of a role in a database, or those of the database itself.
pub fn reset_settings(role: Option<&RoleName>, database: &DatabaseName) -> Statement {
    let database = format!("DATABASE {}", database.quoted());
    Statement::plain(match role {
        Some(role) => format!("ALTER ROLE {} IN {database} RESET ALL", role.quoted()),
        None => format!("ALTER {database} RESET ALL"),
    })
}

/// Returns the text of [`set_parameter`]. `role` is SQL: a quoted name or `CURRENT_USER`.
pub(super) fn parameter_change(
    role: &str,
    database: &DatabaseName,
    parameter: &Parameter,
    value: Option<&String>,
) -> String {
    let change = match value {
        Some(value) => format!("SET {} = {}", parameter.quoted(), parameter.value(value)),
        None => format!("RESET {}", parameter.quoted()),
    };
    format!("ALTER ROLE {role} IN DATABASE {} {change}", database.quoted())
}
