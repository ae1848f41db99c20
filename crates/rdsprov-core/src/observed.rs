//! Observed state: the same vocabulary as [`crate::desired`], as the catalogs tell it.
//!
//! The queries of `server/queries` answer with JSON of just this shape, so that a test or another
//! program can write a state by hand and plan without a server.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::setting::Parameter;

/// Who a privilege is granted to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The role it is a member of.
    pub role: RoleName,
    /// Who granted that.
    pub grantor: RoleName,
    /// `ADMIN OPTION`: whether it may grant the membership on.
    #[serde(default)]
    pub admin: bool,
    /// `INHERIT`: whether it has the role's privileges; always, up to 15.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// `SET`: whether it may become the role; always, up to 15.
    #[serde(default = "yes")]
    pub set: bool,
}

impl Membership {
    /// Whether it is power over the role, and nothing of what that may do; from 16 on.
    #[must_use]
    pub fn is_admin_only(&self) -> bool {
        self.admin && !self.inherit && !self.set
    }
}

/// A membership that a role granted to another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrantedMembership {
    /// The role granted.
    pub role: RoleName,
    /// Who became a member.
    pub member: RoleName,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `LOGIN`.
    pub login: bool,
    /// `INHERIT`.
    #[serde(default = "yes")]
    pub inherit: bool,
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
    /// `VALID UNTIL`, where it comes to an end.
    pub valid_until: Option<String>,
    /// Whether `VALID UNTIL` is past: the server then takes no password, right or wrong.
    #[serde(default)]
    pub expired: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// What it is a member of.
    pub memberships: Vec<Membership>,
    /// The memberships that it granted; on 16 and later they hang on its `ADMIN OPTION`.
    #[serde(default)]
    pub granted: Vec<GrantedMembership>,
    /// Whether the administrator holds `ADMIN OPTION` on it.
    pub administrator_has_admin_option: bool,
    /// Whether it is a member of the administrator, which then cannot become a member of it.
    #[serde(default)]
    pub is_member_of_administrator: bool,
}

fn yes() -> bool {
    true
}

fn no_limit() -> i32 {
    -1
}

/// A group of relations in one schema that are alike: one owner, one kind, one ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relations {
    /// Which group of the server's answer it is; the names are asked for by this.
    #[serde(default, skip_serializing)]
    pub number: i64,
    /// Who owns them.
    pub owner: RoleName,
    /// What they are.
    pub kind: ObjectKind,
    /// Their ACL.
    pub acl: Acl,
    /// Whether they belong to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// What that gave PUBLIC.
    #[serde(default)]
    pub given_to_public: Privileges,
    /// How many they are.
    pub count: u64,
    /// Their names, in order; only where the plan has something to say about them.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Columns of one relation with one ACL of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The relation.
    pub relation: String,
    /// Who owns it.
    pub owner: RoleName,
    /// Whether it belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// What that gave PUBLIC of the columns.
    #[serde(default)]
    pub given_to_public: Privileges,
    /// The columns' names, in order.
    pub names: Vec<String>,
    /// Their ACL, beside that of the relation.
    pub acl: Acl,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Who owns it.
    pub owner: RoleName,
    /// Its ACL.
    pub acl: Acl,
    /// Whether it belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// Its relations.
    pub relations: Vec<Relations>,
    /// The columns with an ACL that concerns a declared role or PUBLIC.
    #[serde(default)]
    pub columns: Vec<Columns>,
}

/// An object that is no relation of the database's own, whose ACL names a declared role that does not own it; of what
/// PUBLIC gets only where somebody says so, also one whose ACL names PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name as SQL text, with its schema and the types of its arguments.
    pub identity: String,
    /// The schemas that its name says: the one it is in, and those of the types of its arguments.
    #[serde(default)]
    pub schemas: BTreeSet<SchemaName>,
    /// Who owns it.
    pub owner: RoleName,
    /// Whether it belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// Its ACL.
    pub acl: Acl,
}

/// What a role owns in a database that is another's: how much, and one object of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Who.
    pub role: RoleName,
    /// How many objects.
    pub count: u64,
    /// What one of them is.
    pub kind: String,
    /// Its name as SQL text.
    pub identity: String,
}

/// An object that somebody owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedObject {
    /// What it is, as `ALTER … OWNER TO` says it.
    pub kind: String,
    /// Its name as SQL text.
    pub identity: String,
}

/// Why an object may not go to who gets its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The new owner may not create in its schema.
    Schema(SchemaName),
    /// The new owner may not use the foreign server's wrapper.
    Wrapper,
    /// Only a superuser may have it.
    Superuser,
}

/// An object that may not go to who gets its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untransferable {
    /// What.
    #[serde(flatten)]
    pub object: OwnedObject,
    /// Why not.
    pub obstacle: Obstacle,
}

/// What a database holds of the owner that it is to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnershipTransfer {
    /// What may not go to the new one.
    pub untransferable: Vec<Untransferable>,
    /// What the administrator owns: only where it is the old one, whose objects go one by one.
    pub administrator_objects: Vec<OwnedObject>,
}

/// Default privileges: what objects that `role` creates will be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPrivileges {
    /// The creating role.
    pub role: RoleName,
    /// The schema, or all of them.
    pub schema: Option<SchemaName>,
    /// The kind of object.
    pub kind: ObjectKind,
    /// What is added.
    pub acl: Acl,
}

/// What is inside a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its schemas, the system's left out.
    pub schemas: BTreeMap<SchemaName, Schema>,
    /// Functions, types and other objects with privileges that somebody granted to a declared role.
    #[serde(default)]
    pub objects: Vec<Object>,
    /// Its default privileges.
    pub default_privileges: Vec<DefaultPrivileges>,
    /// Its extensions, and who owns each.
    #[serde(default)]
    pub extensions: BTreeMap<ExtensionName, RoleName>,
    /// What declared roles own in it that do not own it.
    #[serde(default)]
    pub owned: Vec<Owned>,
    /// What goes to another owner or may not; only where the database is to get one.
    #[serde(default)]
    pub ownership_transfer: OwnershipTransfer,
}

/// An extension that the server has at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailableExtension {
    /// Whether only a superuser may create it,
    pub superuser: bool,
    /// and all the same whoever may create in the database.
    pub trusted: bool,
    /// The schema that it has to be in, if there is one.
    #[serde(default)]
    pub schema: Option<SchemaName>,
    /// The extensions that have to be there before it.
    #[serde(default)]
    pub requires: BTreeSet<ExtensionName>,
    /// Whether `rds.allowed_extensions` lets anybody create it.
    #[serde(default = "yes")]
    pub allowed: bool,
}

impl AvailableExtension {
    /// Whether who owns a database may create it there.
    #[must_use]
    pub fn may_be_created_by_owner(&self) -> bool {
        self.trusted || !self.superuser
    }
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Who owns it.
    pub owner: RoleName,
    /// Whether anybody may connect.
    pub allow_connections: bool,
    /// Its `CONNECTION LIMIT`, -1 for none.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// Whether the administrator may connect as things are.
    pub enterable: bool,
    /// Its ACL.
    pub acl: Acl,
    /// Its comment.
    pub comment: Option<String>,
    /// The settings that roles have in it.
    #[serde(default)]
    pub settings: BTreeMap<RoleName, BTreeMap<Parameter, String>>,
    /// Why the administrator could not enter it, though it may.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// What is inside, where somebody looked.
    #[serde(default)]
    pub contents: Option<Contents>,
}

/// What a login with the password of the secret came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordCheck {
    /// The server took the password.
    Accepted,
    /// The server said that the password is wrong (28P01).
    WrongPassword,
    /// Nobody asked, as was wanted.
    NotChecked,
    /// Nobody asked, and it is to be set whatever it is.
    ToBeSet,
    /// The server said something else, from which nothing follows about the password.
    Inconclusive(String),
}

/// What the server said to a statement that was tried and undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// It was let.
    Allowed,
    /// It was not, and why.
    Denied(String),
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// The database that it is for.
    pub database: DatabaseName,
    /// Who owns it.
    pub owner: RoleName,
    /// Whether it may go to somebody who is no superuser.
    pub movable: bool,
}

/// What the server says about passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRules {
    /// `password_encryption`, by which the server hashes what comes in the clear.
    pub encryption: String,
    /// `scram_iterations`; from 16 on.
    pub scram_iterations: Option<u32>,
    /// Whether only members of `rds_password` may set passwords (`rds.restrict_password_commands`).
    pub restricted: bool,
    /// Whether the administrator is a member of `rds_password`.
    pub in_rds_password: bool,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            encryption: "scram-sha-256".to_owned(),
            scram_iterations: None,
            restricted: false,
            in_rds_password: false,
        }
    }
}

/// All that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// `server_version_num`.
    pub server_version: u32,
    /// The database that the administrator connects to.
    pub admin_database: DatabaseName,
    /// The administrator.
    pub administrator: Administrator,
    /// What it says about passwords.
    #[serde(default)]
    pub passwords: PasswordRules,
    /// Who owns `template0` and `template1`.
    #[serde(default)]
    pub templates: BTreeMap<DatabaseName, RoleName>,
    /// What is inside `template1`, as which a new database will be; only where one is to be created.
    #[serde(default)]
    pub template: Option<Contents>,
    /// The declared extensions that the server has, and those that they require.
    #[serde(default)]
    pub extensions: BTreeMap<ExtensionName, AvailableExtension>,
    /// The roles, PostgreSQL's own left out.
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Role>,
    /// The databases, templates left out.
    #[serde(default)]
    pub databases: BTreeMap<DatabaseName, Database>,
    /// The tablespaces that somebody owns who is no superuser, and who.
    #[serde(default)]
    pub tablespaces: BTreeMap<String, RoleName>,
    /// The subscriptions that somebody owns who is no superuser.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// What logging in came to, for each declared role that exists.
    #[serde(default)]
    pub password_checks: BTreeMap<RoleName, PasswordCheck>,
    /// Statements that were tried and undone, each in the database where it was, and what the server said to
    /// the administrator: only where the catalogs leave it open, see [`crate::plan::Plan::open_questions`].
    #[serde(default)]
    pub probe_results: BTreeMap<DatabaseName, BTreeMap<String, ProbeResult>>,
}

impl Observed {
    /// The major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server_version / 10_000
    }
}

/// The role whose members RDS lets in with a token of IAM, and without a password.
pub const RDS_IAM: &str = "rds_iam";

impl Role {
    /// Whether it is a member of `rds_iam`; who only may make others members, as the master may, is none.
    #[must_use]
    pub fn uses_iam_auth(&self) -> bool {
        let counts = |membership: &Membership| {
            membership.role.as_str() == RDS_IAM && !membership.is_admin_only()
        };
        self.memberships.iter().any(counts)
    }

    /// Its mark, if it is managed.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }
}

impl Database {
    /// Whether it is what a run leaves that was stopped between `CREATE DATABASE` and the transaction
    /// behind it.
    #[must_use]
    pub fn is_unfinished(&self, administrator: &RoleName) -> bool {
        self.owner == *administrator
            && !self.allow_connections
            && self.connection_limit == UNFINISHED
    }

    /// Its mark, if it is managed.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }
}
