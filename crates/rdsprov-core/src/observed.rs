//! The observed state: what the catalogs of the server show, in
//! the vocabulary of [`crate::desired`].
//!
//! Each query in `server/queries` returns JSON that deserializes to these types. A test or another
//! program can therefore write an observed state by hand and plan without a server. This module
//! does not know connections.

mod acl;
mod audit_table;
mod connection;
mod contents;
mod databases;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use acl::{Acl, AclItem, Grantee};
pub use audit_table::AuditTable;
pub use connection::{Connection, PasswordCheck, PasswordRules};
pub use contents::{
    Code, Columns, Contents, DefaultPrivileges, Object, ObjectsOfRole, Obstacle, Owned,
    OwnedObject, OwnershipTransfer, Relations, Schema, Untransferable,
};
pub use databases::{Database, DatabaseUse, StoredSettings, Subscription, UnreadableContents};
pub use roles::{
    Administrator, DependencyClass, DependencyKind, GrantedMembership, Membership, RDS_AD,
    RDS_EXTENSION, RDS_IAM, RDS_SUPERUSER, Role, RoleDependency,
};

use crate::blue_green::{self, DeploymentNode};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::probe::ProbeResults;
use crate::rotation_clone::{CurrentUser, RotationClone};

/// The character in place of each byte of a name or comment that is not valid UTF-8. A declared name
/// cannot contain it.
pub const UNDECODABLE: char = '\u{1a}';

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
    #[serde(default = "roles::yes")]
    pub allowed: bool,
}

impl AvailableExtension {
    /// Returns whether the owner of a database may create the extension in it.
    #[must_use]
    pub fn may_be_created_by_owner(&self) -> bool {
        self.trusted || !self.superuser
    }
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
    /// The OIDs of the roles with the power of an administrator, with that of the administrator; empty for a
    /// state that was written by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub administrators: Vec<u32>,
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
    /// The retired roles with sessions, if the run ends them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles_with_sessions: BTreeSet<RoleName>,
    /// What the retired roles and their clones have, if the run drops them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<RoleName, BTreeSet<RoleDependency>>,
    /// What prevents that a database is dropped, if the run drops databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub database_use: BTreeMap<DatabaseName, DatabaseUse>,
    /// The owners of prepared transactions in each database, if the run drops roles or databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prepared_transactions: BTreeMap<DatabaseName, BTreeSet<RoleName>>,
    /// The nodes of the blue/green deployment that the server belongs to; empty if it reports none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blue_green: Vec<DeploymentNode>,
    /// Why the server has not said whether it belongs to a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green_unknown: Option<String>,
    /// The audit tables of database `postgres` and of the databases whose contents are observed, if
    /// the run writes audit rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_tables: BTreeMap<DatabaseName, AuditTable>,
    /// The results of probes; see [`crate::plan::Plan::probes`].
    #[serde(default)]
    pub probe_results: ProbeResults,
}

impl Observed {
    /// Returns the OID of a role, if it exists.
    #[must_use]
    pub fn oid_of(&self, role: &RoleName) -> Option<u32> {
        self.roles.get(role)?.oid
    }

    /// Returns whether the secret of a declared role says that a role is its clone.
    #[must_use]
    pub fn has_name_of_clone(&self, role: &RoleName) -> bool {
        let clone = RotationClone::role_for(role).and_then(|of| self.clones.get(&of));
        clone.is_some_and(|clone| clone.name == *role)
    }

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
        blue_green::in_progress(&self.blue_green)
    }
}
