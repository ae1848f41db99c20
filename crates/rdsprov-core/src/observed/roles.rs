//! The roles of the server, and their memberships.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::marker::Marker;
use crate::name::{DatabaseName, RoleName};

/// The role as which rdsprov connects to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administrator {
    /// The name of the role (`current_user`).
    pub name: RoleName,
    /// Whether the role has the attribute `SUPERUSER`, which Amazon RDS does not grant.
    pub superuser: bool,
    /// Whether the role has the attribute `CREATEROLE`.
    pub create_role: bool,
    /// Whether the role has the attribute `CREATEDB`.
    pub create_database: bool,
    /// Whether the role is a member of `rds_superuser`, to which Amazon RDS allows statements that
    /// PostgreSQL allows to superusers only.
    pub rds_superuser: bool,
    /// Whether the role is a member of `rds_extension`, to which Amazon RDS allows the extensions in
    /// [`super::Observed::delegated_extensions`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rds_extension: bool,
}

/// One membership of a role in another role: a row of the catalog `pg_auth_members`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The role that was granted.
    pub role: RoleName,
    /// The role that granted the membership.
    pub grantor: RoleName,
    /// `ADMIN OPTION`: whether the member may grant the role to others and revoke it.
    #[serde(default)]
    pub admin: bool,
    /// `INHERIT OPTION`: whether the member has the privileges of the role without `SET
    /// ROLE`. Before PostgreSQL 16, the attribute `INHERIT` of the member decides this,
    /// and this is `true`.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// `SET OPTION`: whether the member may `SET ROLE` to the role. Before PostgreSQL
    /// 16, each member may.
    #[serde(default = "yes")]
    pub set: bool,
}

impl Membership {
    /// Returns whether the membership grants `ADMIN OPTION` only, and none of the privileges of the
    /// role. Before PostgreSQL 16, such a membership does not exist.
    ///
    /// PostgreSQL 16 grants such a membership to a role with `CREATEROLE` on each
    /// role that it creates.
    #[must_use]
    pub fn is_admin_only(&self) -> bool {
        self.admin && !self.inherit && !self.set
    }
}

/// A membership that a role granted to another role as its grantor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrantedMembership {
    /// The role that was granted.
    pub role: RoleName,
    /// The role that became a member.
    pub member: RoleName,
}

/// A role of the server: its attributes, comment and memberships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The OID of the role; `None` for a state that was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// Whether the role has the attribute `SUPERUSER`.
    pub superuser: bool,
    /// Whether the role has the attribute `LOGIN`.
    pub login: bool,
    /// Whether the role has the attribute `INHERIT`, the default for its memberships.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// Whether the role has the attribute `CREATEROLE`.
    pub create_role: bool,
    /// Whether the role has the attribute `CREATEDB`.
    pub create_database: bool,
    /// Whether the role has the attribute `REPLICATION`.
    pub replication: bool,
    /// Whether the role has the attribute `BYPASSRLS`.
    pub bypass_rls: bool,
    /// The `CONNECTION LIMIT` of the role; -1 means no limit.
    pub connection_limit: i32,
    /// The time of `VALID UNTIL` in the format of RFC 3339, or `-infinity`; `None` if the password
    /// does not expire.
    pub valid_until: Option<String>,
    /// Whether `VALID UNTIL` is in the past. The server then rejects each password with 28P01.
    #[serde(default)]
    pub expired: bool,
    /// The comment of the role (`COMMENT ON ROLE`), which can contain a marker. That of a role that is not
    /// declared is observed only if it has at most 4 kB.
    pub comment: Option<String>,
    /// Whether the role has a comment that is longer than 64 kB. It is not read, so that `comment` is
    /// `None`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub comment_too_long: bool,
    /// Up to three roles, other than administrators, that have created this role, or through whose `ADMIN
    /// OPTION` a role with `CREATEROLE` can alter it and write its comment. Before PostgreSQL 16, each role with `CREATEROLE` is an
    /// administrator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<RoleName>,
    /// Whether an administrator has `ADMIN OPTION` on the role, and not from one of the `controllers`.
    /// Without it, the role that wrote the comment may have been dropped since. Always `true` before
    /// PostgreSQL 16, if the administrator is a superuser, and for undeclared roles without a comment.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub administered: bool,
    /// The roles that the role is a direct member of.
    pub memberships: Vec<Membership>,
    /// The memberships that the role granted. Since PostgreSQL 16 they depend
    /// on its `ADMIN OPTION`.
    #[serde(default)]
    pub granted: Vec<GrantedMembership>,
    /// Whether the administrator has `ADMIN OPTION` on the role, directly or by inheritance.
    pub administrator_has_admin_option: bool,
    /// Whether the role is a member of the administrator. PostgreSQL rejects circular memberships,
    /// so the administrator cannot then become a member of the role.
    #[serde(default)]
    pub is_member_of_administrator: bool,
}

impl Role {
    /// Returns whether the role logs in with IAM tokens, because it is a member of `rds_iam`.
    ///
    /// A membership with `ADMIN OPTION` only, such as that of the master user, does not count.
    #[must_use]
    pub fn uses_iam_auth(&self) -> bool {
        let counts = |membership: &Membership| {
            membership.role.as_str() == RDS_IAM && !membership.is_admin_only()
        };
        self.memberships.iter().any(counts)
    }

    /// Returns the marker in the comment of the role; `None` if the role is not managed. A comment that
    /// others than administrators can write, or could have written, contains no marker.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        self.reported().filter(|_| self.controllers.is_empty())
    }

    /// Returns the marker as far as it concerns the report of access, also if others than administrators have
    /// been given power over the role.
    #[must_use]
    pub fn reported(&self) -> Option<Marker> {
        self.claimed().filter(|_| self.administered)
    }

    /// Returns the marker in the comment, also if another role can have written it. It is reported, and it prevents
    /// changes, but it allows none.
    #[must_use]
    pub fn claimed(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }

    /// Returns whether the comment contains a marker that does not count, because no administrator has
    /// `ADMIN OPTION` on the role.
    #[must_use]
    pub fn has_unproven_marker(&self) -> bool {
        !self.administered && self.claimed().is_some()
    }
}

pub(super) fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// The role whose members log in to Amazon RDS with IAM tokens and not with passwords.
pub const RDS_IAM: &str = "rds_iam";

/// The role whose members log in to Amazon RDS with Kerberos and not with passwords.
pub const RDS_AD: &str = "rds_ad";

/// The role whose members are the administrators on Amazon RDS.
pub const RDS_SUPERUSER: &str = "rds_superuser";

/// The role whose members may create the extensions in `rds.allowed_delegated_extensions` on Amazon RDS.
pub const RDS_EXTENSION: &str = "rds_extension";

/// What PostgreSQL records as depending on a role (`pg_shdepend`), so that the role cannot be dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoleDependency {
    /// The database that contains the objects, or the database itself; `None` for other objects that
    /// all databases share.
    pub database: Option<DatabaseName>,
    /// Whether the database itself depends on the role, and not the objects in it.
    pub is_database: bool,
    /// What the role is for the objects.
    pub kind: DependencyKind,
    /// What the objects are.
    #[serde(default)]
    pub class: DependencyClass,
    /// The number of objects.
    pub count: u64,
    /// Up to three roles that own the objects, if the role does not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<RoleName>,
}

impl RoleDependency {
    /// Returns whether other roles can have made the objects depend on the role: they can grant it privileges,
    /// name it in policies and user mappings, and definitions can set default privileges for what it creates.
    #[must_use]
    pub fn is_made_by_others(&self) -> bool {
        self.kind != DependencyKind::Owner
            || matches!(
                self.class,
                DependencyClass::DefaultPrivileges | DependencyClass::UserMapping
            )
    }
}

/// What the objects are that depend on a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyClass {
    /// Entries of `pg_default_acl`.
    DefaultPrivileges,
    /// Large objects.
    LargeObject,
    /// User mappings of foreign servers.
    UserMapping,
    /// Objects of any other kind.
    #[default]
    Object,
}

/// What a role is for an object that depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyKind {
    /// The owner of an object, or the role of default privileges.
    Owner,
    /// The grantee or the grantor of privileges.
    Privileges,
    /// A role in the initial privileges of an object of an extension, since PostgreSQL 17. Only the end of the
    /// extension or `DROP OWNED` removes them, and not `REVOKE`.
    InitialPrivileges,
    /// The role of a policy, for example.
    Other,
}
