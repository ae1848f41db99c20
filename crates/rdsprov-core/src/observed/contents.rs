//! The contents of one database: its schemas and objects, with their owners and ACLs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acl::Acl;
use crate::name::{ExtensionName, RoleName, SchemaName};
use crate::object_identity::{ObjectIdentity, OwnedKind};
use crate::privilege::{ObjectKind, Privileges};

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
    /// The privileges on the relation that a grantor of this ACL holds with the grant option, if the grantor is not the
    /// owner: it can use this option on the columns, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options_on_relation: BTreeMap<RoleName, Privileges>,
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
    /// The extension to which the schema belongs, if an administrator owns one of both.
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
    /// The name, with its schema and the types of its arguments.
    pub identity: ObjectIdentity,
    /// The schemas in `identity`: the schema of the object, and those of its argument types.
    #[serde(default)]
    pub schemas: BTreeSet<SchemaName>,
    /// The owner of the object.
    pub owner: RoleName,
    /// Whether the object belongs to an extension.
    #[serde(default)]
    pub of_extension: bool,
    /// The extension that the object belongs to, if an administrator owns one of both: the owner of an
    /// extension can add objects of its own to it.
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
    pub kind: OwnedKind,
    /// The name, with the schema.
    pub identity: ObjectIdentity,
}

impl fmt::Display for OwnedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.keywords().to_lowercase(), self.identity)
    }
}

/// The objects of one role that is not an administrator.
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
    /// The declared schemas that belong to other roles, if the run may give them to the owner of the database, with what
    /// other roles have in them: a schema is transferred without its objects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transferred_schemas: BTreeMap<SchemaName, OwnershipTransfer>,
    /// Those of these roles that own large objects, which are not counted in `owned`: PUBLIC may
    /// create large objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub large_object_owners: BTreeSet<RoleName>,
    /// The roles whose objects only a superuser can give to the declared owner of the database (without one, those
    /// of its owner to the administrator, and those of others to its owner): the new owner lacks a privilege on a
    /// schema, the database or a foreign-data wrapper, or must be a superuser.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners_only_superusers_replace: BTreeSet<RoleName>,
    /// The roles, other than administrators, that are neither declared nor orphans, and have privileges on
    /// relations: the schemas and kinds of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undeclared_grantees: BTreeMap<RoleName, BTreeMap<SchemaName, BTreeSet<ObjectKind>>>,
    /// The schemas with an audit table: a table of an administrator with its columns.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audit_schemas: BTreeSet<SchemaName>,
    /// The roles, other than administrators and the owner of the database, that are neither declared nor orphans, and
    /// own routines: the schemas of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undeclared_routine_owners: BTreeMap<RoleName, BTreeSet<SchemaName>>,
    /// The objects of the current owner; empty unless the database gets another owner.
    #[serde(default)]
    pub ownership_transfer: OwnershipTransfer,
    /// The objects of roles that are not administrators in the template; in other databases, those of
    /// the predefined roles of which declared roles are members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects_of_others: Vec<ObjectsOfRole>,
}
