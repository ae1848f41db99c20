//! The observed state: what the catalogs of the server show, in
//! the vocabulary of [`crate::desired`].
//!
//! Each query in `server/queries` returns JSON that deserializes to these types. A test or another
//! program can therefore write an observed state by hand and plan without a server. This module
//! does not know connections.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::blue_green::DeploymentNode;
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::probe::ProbeResults;
use crate::rotation_clone::{CurrentUser, RotationClone};
use crate::run_setting::RunSetting;
use crate::secret_id::SecretId;
use crate::setting::Parameter;

/// The grantee of a privilege; `null` in JSON is PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Option<RoleName>", into = "Option<RoleName>")]
pub enum Grantee {
    /// All roles, including those that are created later.
    Public,
    /// The role with this name.
    Role(RoleName),
}

impl Grantee {
    /// Returns the role; `None` for PUBLIC.
    #[must_use]
    pub fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Public => None,
            Self::Role(name) => Some(name),
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("PUBLIC"),
            Self::Role(name) => name.fmt(f),
        }
    }
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

/// One privilege in an ACL: a row that the PostgreSQL function `aclexplode` returns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclItem {
    /// The role that has the privilege; `null` in JSON is PUBLIC.
    pub grantee: Grantee,
    /// The role that granted the privilege. `REVOKE` must be executed as this role.
    pub grantor: RoleName,
    /// The privilege itself, such as `SELECT`.
    pub privilege: Privilege,
    /// Whether the privilege was granted `WITH GRANT OPTION`.
    pub grantable: bool,
}

/// An ACL in which the built-in default privileges are listed explicitly (`acldefault`).
pub type Acl = Vec<AclItem>;

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
    /// [`Observed::delegated_extensions`].
    #[serde(default, skip_serializing_if = "is_false")]
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
    #[serde(default, skip_serializing_if = "is_false")]
    pub comment_too_long: bool,
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

fn yes() -> bool {
    true
}

fn no_limit() -> i32 {
    -1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The character in place of each byte of a name or comment that is not valid UTF-8. A declared name
/// cannot contain it.
pub const UNDECODABLE: char = '\u{1a}';

/// Reads settings as a map, or as the list of `name=value` that the catalog contains.
fn settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<RoleName, BTreeMap<Parameter, String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Settings {
        Map(BTreeMap<Parameter, String>),
        List(Vec<String>),
    }
    let by_role: BTreeMap<RoleName, Settings> = BTreeMap::deserialize(deserializer)?;
    let parsed = by_role.into_iter().map(|(role, settings)| {
        let settings = match settings {
            Settings::Map(map) => map,
            Settings::List(list) => list
                .iter()
                .filter_map(|setting| setting.split_once('='))
                .map(|(name, value)| (Parameter::from_catalog(name), value.to_owned()))
                .collect(),
        };
        (role, settings)
    });
    Ok(parsed.collect())
}

/// A group of relations in one schema that have the same owner, kind and ACL.
///
/// A database can contain many relations with few different ACLs, so the query returns groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relations {
    /// The number of the group in the query result, by which the names are queried.
    #[serde(default, skip_serializing)]
    pub number: i64,
    /// The owner of each relation of the group.
    pub owner: RoleName,
    /// [`ObjectKind::Table`] or [`ObjectKind::Sequence`].
    pub kind: ObjectKind,
    /// The ACL of each relation, limited to the roles that the query is about.
    pub acl: Acl,
    /// Whether the relations belong to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// The privileges that the script of the extension granted to PUBLIC.
    #[serde(default)]
    pub initial_privileges_of_public: Privileges,
    /// The number of relations in the group.
    pub count: u64,
    /// The names in alphabetical order; empty unless a statement of the plan needs them.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Columns of one relation that have the same column ACL (`pg_attribute.attacl`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The name of the relation, without its schema.
    pub relation: String,
    /// The owner of the relation.
    pub owner: RoleName,
    /// Whether the relation belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// The privileges on the columns that the script of the extension granted to PUBLIC.
    #[serde(default)]
    pub initial_privileges_of_public: Privileges,
    /// The names of the columns, in the order of the relation.
    pub names: Vec<String>,
    /// The column ACL, which applies in addition to the ACL of the relation.
    pub acl: Acl,
}

/// A schema and the relations in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The owner of the schema.
    pub owner: RoleName,
    /// The ACL of the schema itself.
    pub acl: Acl,
    /// Whether the schema belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// The extension whose script created the schema, whatever its owner is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<ExtensionName>,
    /// The relations in the schema, in groups.
    pub relations: Vec<Relations>,
    /// The columns whose ACL contains a declared role, an orphan or PUBLIC.
    #[serde(default)]
    pub columns: Vec<Columns>,
}

/// An object that is not a relation of a user schema, and whose ACL contains a declared role or an
/// orphan that does not own it.
///
/// Large objects, foreign servers and foreign-data wrappers are included also if their ACL contains
/// PUBLIC, because they grant PUBLIC nothing by default. Routines of extensions are included also if
/// PUBLIC may not execute them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The kind, by which `GRANT` names the object.
    pub kind: ObjectKind,
    /// The name as SQL text, with its schema and the types of its arguments.
    pub identity: String,
    /// The schemas in `identity`: the schema of the object, and those of its argument types.
    #[serde(default)]
    pub schemas: BTreeSet<SchemaName>,
    /// The owner of the object.
    pub owner: RoleName,
    /// Whether the object belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// The extension that the object belongs to, whatever its owner is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<ExtensionName>,
    /// The ACL of the object (`aclexplode` of its catalog row).
    pub acl: Acl,
}

impl Object {
    /// Returns whether the object is a function or a procedure.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        matches!(self.kind, ObjectKind::Function | ObjectKind::Procedure)
    }
}

/// The objects that a role owns in a database of another owner: their number and one example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The owner of the objects.
    pub role: RoleName,
    /// The number of objects.
    pub count: u64,
    /// The kind of the example, as `pg_identify_object` returns it.
    pub kind: String,
    /// The name of the example as SQL text.
    pub identity: String,
}

/// An object that a role owns, as the `ALTER … OWNER TO` statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedObject {
    /// The keywords after `ALTER`, such as `FOREIGN TABLE`.
    pub kind: String,
    /// The name as SQL text, with the schema.
    pub identity: String,
}

/// The objects in the template of one role that is not an administrator.
///
/// Large objects and default privileges are not contained: each role that can connect can create
/// them, and they contain nothing that another role executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsOfRole {
    /// The owner of the objects.
    pub role: RoleName,
    /// The number of objects.
    pub count: u64,
    /// The first objects, functions first, as `DROP` names them.
    pub first: Vec<OwnedObject>,
    /// The owners of the schemas of the objects, who can drop them, and the role itself if one of
    /// them has no schema.
    pub dropped_by: BTreeSet<RoleName>,
}

/// The reason why an object cannot be transferred to the new owner of its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The new owner does not have `CREATE` on the schema of the object.
    Schema(SchemaName),
    /// The new owner does not have `USAGE` on the foreign-data wrapper of the foreign server.
    Wrapper,
    /// PostgreSQL requires that a superuser owns the object.
    Superuser,
}

/// An object that cannot be transferred to the new owner of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untransferable {
    /// The object, as `ALTER … OWNER TO` names it.
    #[serde(flatten)]
    pub object: OwnedObject,
    /// The reason why it cannot be transferred.
    pub obstacle: Obstacle,
}

/// A function, an object with an expression that calls one, which PostgreSQL executes later, or a
/// privilege of an undeclared role to add such code later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Code {
    /// The kind of object, in the words of PostgreSQL: `function`, `trigger`, `table constraint`; or
    /// `privilege`.
    pub kind: String,
    /// The schema of the object, or of its table; `null` if it has none.
    pub schema: Option<String>,
    /// The object as SQL identifies it: `public.total(integer)`, `audit on public.orders`; or a privilege
    /// with its role: `TRIGGER of role ada on public.orders and 2 more`.
    pub name: String,
}

/// The objects of the current owner in a database that gets another owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnershipTransfer {
    /// The objects that cannot be transferred to the new owner.
    pub untransferable: Vec<Untransferable>,
    /// The objects of the administrator, if it is the current owner. They are
    /// transferred one by one, because `REASSIGN OWNED` would also transfer objects that
    /// must stay with the administrator.
    pub administrator_objects: Vec<OwnedObject>,
    /// The fingerprint of all code in these objects: a hash of their catalog rows, which differ between
    /// servers. `None` for a state that was written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The code in these objects that is executed with the privileges of the new owner. If the
    /// current owner is the administrator, only code that calls functions of other roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<Code>,
}

impl OwnershipTransfer {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Default privileges: the grants that PostgreSQL adds to objects that `role` creates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPrivileges {
    /// The role that creates the objects (`FOR ROLE`).
    pub role: RoleName,
    /// The schema of the objects (`IN SCHEMA`); `None` means all schemas.
    pub schema: Option<SchemaName>,
    /// The kind of objects that the default privileges apply to.
    pub kind: ObjectKind,
    /// The ACL of `pg_default_acl`.
    pub acl: Acl,
}

/// The contents of one database, observed in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The schemas, except those of the system (`pg_*` and `information_schema`).
    pub schemas: BTreeMap<SchemaName, Schema>,
    /// The routines, types and other objects whose ACL contains a declared role or an orphan.
    #[serde(default)]
    pub objects: Vec<Object>,
    /// All default privileges of the database.
    pub default_privileges: Vec<DefaultPrivileges>,
    /// The installed extensions with their owners.
    #[serde(default)]
    pub extensions: BTreeMap<ExtensionName, RoleName>,
    /// The schemas of the installed extensions, without those in `pg_catalog`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extension_schemas: BTreeMap<ExtensionName, SchemaName>,
    /// The extensions that each installed extension requires.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extension_requirements: BTreeMap<ExtensionName, BTreeSet<ExtensionName>>,
    /// The objects of declared roles, orphans and the administrator that do not own the database.
    #[serde(default)]
    pub owned: Vec<Owned>,
    /// The objects of the administrator in the schemas of the owner entry, if another role owns the
    /// database and the administrator is not one of its creators.
    #[serde(default, skip_serializing_if = "OwnershipTransfer::is_empty")]
    pub objects_of_administrator: OwnershipTransfer,
    /// Those of these roles that own large objects, which are not counted in `owned`: PUBLIC may
    /// create large objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub large_object_owners: BTreeSet<RoleName>,
    /// The roles among those of `owned` whose objects only a superuser can give to the owner of the
    /// database: it lacks a privilege on a schema or on a foreign-data wrapper.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners_only_superusers_replace: BTreeSet<RoleName>,
    /// The objects of the current owner; empty unless the database gets another owner.
    #[serde(default)]
    pub ownership_transfer: OwnershipTransfer,
    /// The objects of roles that are not administrators; empty unless these are the contents of the
    /// template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects_of_others: Vec<ObjectsOfRole>,
}

/// An extension that is available on the server (`pg_available_extension_versions`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailableExtension {
    /// Whether only a superuser may create the extension, unless it is trusted.
    pub superuser: bool,
    /// Whether each role with `CREATE` on the database may create the extension.
    pub trusted: bool,
    /// The only schema that the extension can be installed in; `None` if it can be in any schema.
    #[serde(default)]
    pub schema: Option<SchemaName>,
    /// The extensions that must be installed first.
    #[serde(default)]
    pub requires: BTreeSet<ExtensionName>,
    /// Whether the parameter `rds.allowed_extensions` allows the extension. `true`
    /// where it is unset.
    #[serde(default = "yes")]
    pub allowed: bool,
}

impl AvailableExtension {
    /// Returns whether the owner of a database may create the extension in it.
    #[must_use]
    pub fn may_be_created_by_owner(&self) -> bool {
        self.trusted || !self.superuser
    }
}

/// A database of the server, with its contents if they were observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The OID of the database; `None` for a state that was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// The owner of the database.
    pub owner: RoleName,
    /// Whether the database allows connections (`ALLOW_CONNECTIONS`).
    pub allow_connections: bool,
    /// The `CONNECTION LIMIT` of the database; -1 means no limit.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// Whether the database allows connections and the administrator has `CONNECT` on it.
    pub connectable: bool,
    /// The ACL of the database itself.
    pub acl: Acl,
    /// The comment of the database (`COMMENT ON DATABASE`), which can contain a marker. That of a database
    /// that is not declared is observed only if it has at most 4 kB.
    pub comment: Option<String>,
    /// Whether the database has a comment that is longer than 64 kB. It is not read, so that `comment`
    /// is `None`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub comment_too_long: bool,
    /// The settings of declared roles in the database, if it is declared (`ALTER ROLE … IN DATABASE … SET`).
    #[serde(default, deserialize_with = "settings")]
    pub settings: BTreeMap<RoleName, BTreeMap<Parameter, String>>,
    /// The declared roles whose settings in the database have more than 8 kB; `null` in JSON stands for the
    /// settings of the database itself (`ALTER DATABASE … SET`). These settings are not read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settings_too_long: BTreeSet<Option<RoleName>>,
    /// Whether transactions in the database are read-only by default: `ALTER DATABASE … SET
    /// default_transaction_read_only = on`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// The roles other than administrators that own objects in a database of the administrator that
    /// does not allow connections: its creation was interrupted, and the template contained them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects_of_others: BTreeSet<RoleName>,
    /// The error that prevented the observation of the contents, although `connectable` is true.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// What the database contains too much of to be read: `contains too many schemas to be read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<String>,
    /// The contents; `None` if the database is not relevant for the run or cannot be read.
    #[serde(default)]
    pub contents: Option<Contents>,
}

/// Why the contents of a database that the administrator can connect to are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreadableContents {
    /// It contains too much: `contains too many schemas to be read`.
    TooLarge(String),
    /// A catalog query failed with this error.
    Failed(String),
}

/// The result of checking whether the password of the secret is that of the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordCheck {
    /// The server accepted the password.
    Accepted,
    /// The server rejected the password (28P01).
    WrongPassword,
    /// The password was not checked, because the options say `never`.
    NotChecked,
    /// The password was not checked, because the options say that it is always set.
    ToBeSet,
    /// The login failed for another reason, so whether the password is correct is
    /// unknown. Contains this reason.
    Inconclusive(String),
}

/// A subscription of logical replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The name of the subscription, unique in its database.
    pub name: String,
    /// The database that the subscription belongs to.
    pub database: DatabaseName,
    /// The owner of the subscription.
    pub owner: RoleName,
    /// Whether a role that is not a superuser may own the subscription (`password_required`).
    /// Before PostgreSQL 16, only superusers may.
    pub movable: bool,
}

/// The parameters and memberships that influence how passwords are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRules {
    /// The parameter `password_encryption`: how the server hashes a cleartext password.
    pub encryption: String,
    /// The parameter `scram_iterations`; `None` before PostgreSQL 16.
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

/// The connection over which a state was observed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connection {
    /// The server, as `host:port`; `None` for a state that was written by hand.
    pub server: Option<String>,
    /// The system identifier in the control file of the server, which `initdb` chose; `None` if
    /// the administrator may not read it. A physical copy of a server has the same one.
    pub system_identifier: Option<String>,
    /// The id of the administrator's secret; `None` if the administrator uses IAM tokens.
    pub admin_secret: Option<SecretId>,
    /// How the run reached the server, with the place that sets each value. Empty for a state that
    /// was written by hand.
    pub settings: Vec<RunSetting>,
    /// Whether the server is in recovery: a reader or a standby, on which no probe is executed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_recovery: bool,
}

/// The observed state of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The parameter `server_version_num`, such as 150004 for 15.4.
    pub server_version: u32,
    /// The server, and how it was reached.
    #[serde(default)]
    pub connection: Connection,
    /// The administrator database, which the administrator connects to.
    pub admin_database: DatabaseName,
    /// The role as which rdsprov connects to the server.
    pub administrator: Administrator,
    /// How the server handles passwords.
    #[serde(default)]
    pub passwords: PasswordRules,
    /// The owners of `template0` and `template1`.
    #[serde(default)]
    pub templates: BTreeMap<DatabaseName, RoleName>,
    /// The contents of `template1`, which a new database inherits; `None` unless a
    /// database will be created.
    #[serde(default)]
    pub template: Option<Contents>,
    /// Why `template1` is not read although the administrator can connect to it: each role that can
    /// connect decides what it contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_unreadable: Option<UnreadableContents>,
    /// The declared extensions that are available, and the extensions that they require.
    #[serde(default)]
    pub extensions: BTreeMap<ExtensionName, AvailableExtension>,
    /// The extensions in the parameter `rds.allowed_delegated_extensions`, which members of
    /// `rds_extension` may create; `*` stands for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub delegated_extensions: BTreeSet<String>,
    /// The roles, except the predefined roles of PostgreSQL (`pg_*`).
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Role>,
    /// The databases, except the templates.
    #[serde(default)]
    pub databases: BTreeMap<DatabaseName, Database>,
    /// The tablespaces whose owners are not superusers, with their owners.
    #[serde(default)]
    pub tablespaces: BTreeMap<String, RoleName>,
    /// The subscriptions whose owners are not superusers.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// The clone of each declared role whose secret Secrets Manager rotates by alternating between both,
    /// whether the clone exists or not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clones: BTreeMap<RoleName, RotationClone>,
    /// The result of the password check for each declared role that has a password, as the role that
    /// its secret names: the role itself or its clone.
    #[serde(default)]
    pub password_checks: BTreeMap<RoleName, PasswordCheck>,
    /// The nodes of the blue/green deployment that the server belongs to; empty if it reports none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blue_green: Vec<DeploymentNode>,
    /// Why the server has not said whether it belongs to a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green_unknown: Option<String>,
    /// The results of probes; see [`crate::plan::Plan::probes`].
    #[serde(default)]
    pub probe_results: ProbeResults,
}

impl Observed {
    /// Returns the major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server_version / 10_000
    }

    /// Returns the clone of a declared role if the secret of the role contains its name and password.
    #[must_use]
    pub fn current_clone(&self, role: &RoleName) -> Option<&RoleName> {
        let clone = self.clones.get(role)?;
        (clone.current == CurrentUser::Clone).then_some(&clone.name)
    }

    /// Returns whether the administrator may create an extension that is not trusted as a member of
    /// `rds_extension`.
    #[must_use]
    pub fn is_delegated(&self, extension: &ExtensionName) -> bool {
        let names = &self.delegated_extensions;
        self.administrator.rds_extension
            && (names.contains("*") || names.contains(extension.as_str()))
    }

    /// Returns the statuses of the nodes of a blue/green deployment that is in progress; empty without
    /// such a deployment.
    #[must_use]
    pub fn blue_green_in_progress(&self) -> BTreeSet<&str> {
        let nodes = self.blue_green.iter().filter(|node| node.is_in_progress());
        nodes.map(|node| node.status.as_str()).collect()
    }
}

/// The role whose members log in to Amazon RDS with IAM tokens and not with passwords.
pub const RDS_IAM: &str = "rds_iam";

/// The role whose members log in to Amazon RDS with Kerberos and not with passwords.
pub const RDS_AD: &str = "rds_ad";

/// The role whose members are the administrators on Amazon RDS.
pub const RDS_SUPERUSER: &str = "rds_superuser";

/// The role whose members may create the extensions in `rds.allowed_delegated_extensions` on Amazon RDS.
pub const RDS_EXTENSION: &str = "rds_extension";

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

    /// Returns the marker in the comment of the role; `None` if the role is not managed.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }
}

impl Database {
    /// Returns whether the creation of the database was interrupted: between `CREATE DATABASE` and
    /// the commit of the transaction that follows.
    #[must_use]
    pub fn is_unfinished(&self, administrator: &RoleName) -> bool {
        self.owner == *administrator
            && !self.allow_connections
            && self.connection_limit == UNFINISHED
    }

    /// Returns the marker in the comment of the database; `None` if it is not managed.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }
}
