//! Who can do what in managed databases now, as PostgreSQL says: for auditors, beside what is declared.
//!
//! What a role holds is what the server's `has_…_privilege` functions say of it: by ownership, by grants to it,
//! through roles whose privileges it inherits, and as PUBLIC. What it could do after `SET ROLE` is told as the
//! roles that it may become.

mod render;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::definitions::AccessLevel;
use crate::desired::Desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{Grantee, Observed};
use crate::privilege::{ObjectKind, Privilege};

/// The version of the JSON form.
pub const FORMAT_VERSION: u32 = 2;

/// What a role holds on objects of one kind that are alike in that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectAccess {
    /// What they are.
    pub kind: ObjectKind,
    /// What it may do with them, in PostgreSQL's order.
    pub privileges: Vec<Privilege>,
    /// What it may do with some of their columns only.
    pub on_columns: Vec<Privilege>,
    /// How many they are.
    pub count: u64,
}

/// What a role holds in one schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaAccess {
    /// Whether it owns the schema.
    pub owner: bool,
    /// What it may do with the schema. Without `USAGE` it reaches nothing in it.
    pub privileges: Vec<Privilege>,
    /// What it may do with what is in it.
    pub objects: Vec<ObjectAccess>,
}

/// What a role holds in one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleAccess {
    /// The role; `null` in JSON is PUBLIC.
    pub role: Grantee,
    /// Whether it may log in.
    pub login: bool,
    /// The roles whose privileges it has as a member.
    pub inherits: Vec<RoleName>,
    /// The roles that it may become, whose privileges it does not have before.
    pub may_become: Vec<RoleName>,
    /// What it may do with the database. Without `CONNECT` it reaches nothing in it.
    pub database: Vec<Privilege>,
    /// What it holds in schemas; those in which it holds nothing are left out.
    pub schemas: BTreeMap<SchemaName, SchemaAccess>,
}

/// What is held in one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseAccess {
    /// By whom; PUBLIC last.
    pub roles: Vec<RoleAccess>,
    /// How many objects there are of each kind, by schema.
    pub objects: BTreeMap<SchemaName, BTreeMap<ObjectKind, u64>>,
}

/// What a role is to this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RoleStatus {
    /// Its access to this database is declared.
    Declared {
        /// By which application.
        application: ApplicationName,
        /// How much.
        access_level: AccessLevel,
        /// In which schemas.
        declared_schemas: BTreeSet<SchemaName>,
    },
    /// It is managed, and no access to this database is declared for it.
    NotDeclaredHere {
        /// The application that made it.
        application: String,
    },
    /// It is the administrator.
    Administrator,
    /// It is not managed.
    Unmanaged,
    /// It is everybody.
    Public,
}

/// A role and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoleReport {
    /// What it is.
    #[serde(flatten)]
    pub status: RoleStatus,
    /// What it holds.
    #[serde(flatten)]
    pub access: RoleAccess,
}

/// A managed database and who can do what in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DatabaseReport {
    /// Its name.
    pub database: DatabaseName,
    /// Who owns it.
    pub owner: RoleName,
    /// The application that declares it, or made it.
    pub application: String,
    /// Whether it is declared still.
    pub declared: bool,
    /// Why nobody could look inside; then nothing else is known.
    pub unreachable: Option<String>,
    /// Who can do what; PUBLIC last.
    pub roles: Vec<RoleReport>,
    /// How many objects there are of each kind, by schema.
    pub objects: BTreeMap<SchemaName, BTreeMap<ObjectKind, u64>>,
}

/// Who can do what in the managed databases of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccessReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment.
    pub environment: String,
    /// The server, as `host:port`.
    pub server: String,
    /// The roles that may do anything, anywhere.
    pub superusers: Vec<RoleName>,
    /// The databases.
    pub databases: Vec<DatabaseReport>,
}

impl AccessReport {
    /// Which databases are looked at: those that are managed in the environment of the definitions, and those
    /// that are declared and there.
    #[must_use]
    pub fn managed_databases(desired: &Desired, observed: &Observed) -> BTreeSet<DatabaseName> {
        let is_meant = |(name, seen): &(&DatabaseName, &crate::observed::Database)| {
            desired.databases.contains_key(*name)
                || seen.marker().is_some_and(|marker| marker.environment == desired.environment)
        };
        observed.databases.iter().filter(is_meant).map(|(name, _)| name.clone()).collect()
    }

    /// What was held in each database, with what the definitions and marks say of it. `access` is what was seen,
    /// or why it could not be.
    #[must_use]
    pub fn new(
        desired: &Desired,
        observed: &Observed,
        server: String,
        access: BTreeMap<DatabaseName, Result<DatabaseAccess, String>>,
    ) -> Self {
        let superusers = observed.roles.iter().filter(|(_, role)| role.superuser);
        let databases = access.into_iter().filter_map(|(name, access)| {
            let seen = observed.databases.get(&name)?;
            let entry = desired.databases.get(&name);
            let marked = seen.marker().map(|marker| marker.application);
            let (access, unreachable) = match access {
                Ok(access) => (access, None),
                Err(reason) => {
                    (DatabaseAccess { roles: Vec::new(), objects: BTreeMap::new() }, Some(reason))
                }
            };
            let roles = access.roles.into_iter().map(|access| RoleReport {
                status: status(desired, observed, &name, &access.role),
                access,
            });
            Some(DatabaseReport {
                owner: seen.owner.clone(),
                application: entry
                    .map(|entry| entry.application.to_string())
                    .or(marked)
                    .unwrap_or_default(),
                declared: entry.is_some(),
                unreachable,
                roles: roles.collect(),
                objects: access.objects,
                database: name,
            })
        });
        Self {
            format_version: FORMAT_VERSION,
            environment: desired.environment.clone(),
            server,
            superusers: superusers.map(|(name, _)| name.clone()).collect(),
            databases: databases.collect(),
        }
    }

    /// Whether all databases could be looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.databases.iter().all(|database| database.unreachable.is_none())
    }

    /// The JSON form.
    ///
    /// # Errors
    /// None in practice: it is plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

fn status(
    desired: &Desired,
    observed: &Observed,
    database: &DatabaseName,
    role: &Grantee,
) -> RoleStatus {
    let Grantee::Role(name) = role else { return RoleStatus::Public };
    let access = desired.databases.get(database).and_then(|entry| entry.access.get(name));
    let marker = observed.roles.get(name).and_then(crate::observed::Role::marker);
    match (access, marker) {
        (Some(access), _) => RoleStatus::Declared {
            application: access.application.clone(),
            access_level: access.level,
            declared_schemas: access.schemas.clone(),
        },
        _ if *name == observed.administrator.name => RoleStatus::Administrator,
        (None, Some(marker)) if marker.environment == desired.environment => {
            RoleStatus::NotDeclaredHere { application: marker.application }
        }
        (None, _) => RoleStatus::Unmanaged,
    }
}
