//! Observed state: the same vocabulary as [`crate::desired`], as the catalogs tell it.
//!
//! The queries of `server/queries` answer with JSON of just this shape, so that a test or another
//! program can write a state by hand and plan without a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::{Privilege, RelationKind};
use crate::mark::Mark;
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::setting::Parameter;

/// Who a privilege is granted to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<RoleName>", into = "Option<RoleName>")]
pub enum Grantee {
    /// Everybody.
    Public,
    /// One role.
    Role(RoleName),
}

impl From<Option<RoleName>> for Grantee {
    fn from(name: Option<RoleName>) -> Self {
        name.map_or(Self::Public, Self::Role)
    }
}

impl From<Grantee> for Option<RoleName> {
    fn from(grantee: Grantee) -> Self {
        match grantee {
            Grantee::Public => None,
            Grantee::Role(name) => Some(name),
        }
    }
}

/// One privilege in an access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclItem {
    /// Who holds it; `null` in JSON is PUBLIC.
    pub grantee: Grantee,
    /// Who granted it.
    pub grantor: RoleName,
    /// What.
    pub privilege: Privilege,
    /// Whether the holder may grant it on.
    pub grantable: bool,
}

/// An access control list, the built-in default written out.
pub type Acl = Vec<AclItem>;

/// The role that the program connects as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administrator {
    /// Its name.
    pub name: RoleName,
    /// `SUPERUSER`: on a self-managed server only.
    pub superuser: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `CREATEDB`.
    pub create_database: bool,
    /// Whether it is a member of `rds_superuser`, to which RDS may allow more than a stock server.
    pub rds_superuser: bool,
}

/// One membership of a role in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role it is a member of.
    pub role: RoleName,
    /// Who granted that.
    pub grantor: RoleName,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `LOGIN`.
    pub login: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `CREATEDB`.
    pub create_database: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `BYPASSRLS`.
    pub bypass_rls: bool,
    /// `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i32,
    /// `VALID UNTIL`, where it is a finite time.
    pub valid_until: Option<String>,
    /// Whether `VALID UNTIL` is past: the server then takes no password, right or wrong.
    #[serde(default)]
    pub expired: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// What it is a member of.
    pub memberships: Vec<Membership>,
    /// Whether the administrator holds `ADMIN OPTION` on it.
    pub administrable: bool,
    /// Whether the administrator may `SET ROLE` to it as things are.
    pub assumable: bool,
}

/// A group of relations in one schema that are alike: one owner, one kind, one ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relations {
    /// Who owns them.
    pub owner: RoleName,
    /// What they are.
    pub kind: RelationKind,
    /// Their ACL.
    pub acl: Acl,
    /// Whether they belong to an extension, which decides about them.
    #[serde(default)]
    pub of_extension: bool,
    /// Their names, in order.
    pub names: Vec<String>,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Who owns it.
    pub owner: RoleName,
    /// Its ACL.
    pub acl: Acl,
    /// Its relations.
    pub relations: Vec<Relations>,
}

/// Default privileges: what objects that `role` creates will be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPrivileges {
    /// The creating role.
    pub role: RoleName,
    /// The schema, or all of them.
    pub schema: Option<SchemaName>,
    /// The kind of object.
    pub kind: RelationKind,
    /// What is added.
    pub acl: Acl,
}

/// What is inside a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its schemas, the system's left out.
    pub schemas: BTreeMap<SchemaName, Schema>,
    /// Its default privileges for tables and sequences.
    pub default_privileges: Vec<DefaultPrivileges>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Who owns it.
    pub owner: RoleName,
    /// Whether anybody may connect.
    pub allow_connections: bool,
    /// Whether the administrator may connect as things are.
    pub enterable: bool,
    /// Its ACL.
    pub acl: Acl,
    /// Its comment.
    pub comment: Option<String>,
    /// The settings that roles have in it.
    #[serde(default)]
    pub settings: BTreeMap<RoleName, BTreeMap<Parameter, String>>,
    /// What is inside, where somebody looked.
    #[serde(default)]
    pub contents: Option<Contents>,
}

/// What a login with the password of the secret came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// The server took the password.
    Accepted,
    /// The server said that the password is wrong (28P01).
    WrongPassword,
    /// The server said something else, from which nothing follows about the password.
    Inconclusive(String),
}

/// What the server said to a statement that was tried and undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// It was let.
    Allowed,
    /// It was not, and why.
    Refused(String),
}

/// All that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// `server_version_num`.
    pub server_version: u32,
    /// The database that the administrator connects to.
    pub home: DatabaseName,
    /// The administrator.
    pub administrator: Administrator,
    /// Schema `public` of the administrator's database, as which a new database's will be.
    #[serde(default)]
    pub template_public: Option<Schema>,
    /// The declared roles that exist, and all managed ones.
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Role>,
    /// The declared databases that exist, and all managed ones.
    #[serde(default)]
    pub databases: BTreeMap<DatabaseName, Database>,
    /// What logging in came to, for each declared role that exists.
    #[serde(default)]
    pub logins: BTreeMap<RoleName, Login>,
    /// Statements that were tried and undone, and what the server said to the administrator: only
    /// where the catalogs leave it open, see [`crate::plan::Plan::open_questions`].
    #[serde(default)]
    pub trials: BTreeMap<String, Trial>,
}

impl Observed {
    /// The major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server_version / 10_000
    }
}

impl Role {
    /// Its mark, if it is managed.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        Mark::find(self.comment.as_deref()?)
    }
}

impl Database {
    /// Its mark, if it is managed.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        Mark::find(self.comment.as_deref()?)
    }
}
