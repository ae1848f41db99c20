//! The access report: the privileges of each role in the managed databases, for auditors.
//!
//! The privileges are the results of the functions `has_…_privilege` of PostgreSQL. They include
//! ownership, grants to the role, grants to roles whose privileges it inherits, and grants to
//! PUBLIC. Privileges that a role has only after `SET ROLE` are not included: the report lists the
//! roles that it may become instead. Next to the privileges, the report shows the declared access.
//!
//! This module does not know connections: `server` executes the query.

mod csv;
mod diff;
mod html;
mod render;
mod source;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{Grantee, Observed, RDS_SUPERUSER};
use crate::plan::{Recorded, has_believed_marker};
use crate::predefined_role::is_of_server;
use crate::privilege::{AccessLevel, ObjectKind, Privilege};
use crate::text::pretty_json;

pub use diff::{AccessChange, AccessDiff, ChangeKind, Extent, NotCompared, Way};
pub use render::ShownRoles;
pub use source::{Grant, Source};

/// The value of `format_version` in the JSON form; it increases with each incompatible change.
pub const FORMAT_VERSION: u32 = 2;

/// The privileges of a role on those objects of one kind on which it has the same privileges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectAccess {
    /// The kind of the objects: table, sequence or routine.
    pub kind: ObjectKind,
    /// The privileges on each whole object, in the order of the PostgreSQL manual.
    pub privileges: Vec<Privilege>,
    /// The privileges on at least one column but not on the whole object.
    pub on_columns: Vec<Privilege>,
    /// The number of these objects.
    pub count: u64,
    /// For each of these privileges, the SHA-256 of the names of all objects of this kind in the schema, or of all
    /// columns, on which the role has it, also of those on which it has other privileges. Empty in a report of an
    /// older version. Two reports with other objects or columns have other digests.
    #[serde(default)]
    pub digests: BTreeMap<Privilege, String>,
    /// Where these privileges come from, on at least one of these objects.
    #[serde(default)]
    pub through: Vec<Source>,
}

/// The privileges of a role on one schema and on the objects in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaAccess {
    /// Whether the role owns the schema.
    pub owner: bool,
    /// The privileges on the schema. Without `USAGE`, the role cannot use the objects in it.
    pub privileges: Vec<Privilege>,
    /// Where the privileges on the schema come from.
    #[serde(default)]
    pub through: Vec<Source>,
    /// The privileges on the objects in the schema.
    pub objects: Vec<ObjectAccess>,
}

/// The privileges of one role in one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleAccess {
    /// The role; `null` in JSON is PUBLIC.
    pub role: Grantee,
    /// Whether the role has the attribute `LOGIN`.
    pub login: bool,
    /// The roles whose privileges the role inherits.
    pub inherits: Vec<RoleName>,
    /// The roles whose privileges it does not inherit, and that it may become: with `SET ROLE`, or after it
    /// has granted them to itself with `ADMIN OPTION`.
    pub may_become: Vec<RoleName>,
    /// The attributes and predefined roles, of the role and of those that it may become, that give access
    /// without privileges in the database: `BYPASSRLS`, `pg_write_server_files`.
    pub powers: Vec<String>,
    /// The privileges on the database. Without `CONNECT`, the role cannot use the objects in it.
    pub database: Vec<Privilege>,
    /// Where the privileges on the database come from.
    #[serde(default)]
    pub database_through: Vec<Source>,
    /// The privileges by schema. Schemas in which the role has no privileges are omitted.
    pub schemas: BTreeMap<SchemaName, SchemaAccess>,
}

/// The result of the query on one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseAccess {
    /// The privileges of each role in alphabetical order, and of PUBLIC last.
    pub roles: Vec<RoleAccess>,
    /// The number of objects of each kind, by schema.
    pub objects: BTreeMap<SchemaName, BTreeMap<ObjectKind, u64>>,
    /// What each role and PUBLIC have by themselves on the database and its schemas.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

/// The status of a role in the definitions and on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RoleStatus {
    /// An application declares the access of the role to this database.
    Declared {
        /// The application that declares the access.
        application: ApplicationName,
        /// The declared access level.
        access_level: AccessLevel,
        /// The covered schemas of the entry that declares the access.
        declared_schemas: BTreeSet<SchemaName>,
    },
    /// The role is managed, and no application declares access to this database for it.
    NotDeclaredHere {
        /// The application in the marker of the role.
        application: String,
    },
    /// The role is the administrator, as which rdsprov connects.
    Administrator,
    /// The role is neither managed nor the administrator.
    Unmanaged,
    /// PUBLIC, which stands for all roles.
    Public,
}

/// A role with its status and its privileges in one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleReport {
    /// The status of the role.
    #[serde(flatten)]
    pub status: RoleStatus,
    /// The privileges of the role.
    #[serde(flatten)]
    pub access: RoleAccess,
}

/// The report for one managed database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseReport {
    /// The name of the database.
    pub database: DatabaseName,
    /// The owner of the database.
    pub owner: RoleName,
    /// The application that declares the database, or else the application in its marker or in that of its
    /// owner.
    pub application: String,
    /// Whether the definitions declare the database.
    pub declared: bool,
    /// The error that prevented the query. `roles` and `objects` are then empty.
    pub unreachable: Option<String>,
    /// The privileges of each role in alphabetical order, and of PUBLIC last.
    pub roles: Vec<RoleReport>,
    /// The number of objects of each kind, by schema.
    pub objects: BTreeMap<SchemaName, BTreeMap<ObjectKind, u64>>,
}

/// When, where, by which program and for whom an access report was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportOrigin {
    /// The time before the first query, in UTC and in the format of RFC 3339.
    pub timestamp_utc: String,
    /// The server, as `host:port`.
    pub server: String,
    /// The version of the server, such as `15.4`.
    pub server_version: String,
    /// The role as which rdsprov was connected.
    pub administrator: RoleName,
    /// The version of rdsprov.
    pub rdsprov_version: String,
    /// The user that has requested the report, as given; by default the operating-system user.
    pub actor: String,
    /// The name of the operating-system user.
    pub os_user: String,
    /// The name of the machine that ran rdsprov.
    pub host: String,
}

/// The privileges of each role in the managed databases of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessReport {
    /// The version of the JSON form, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The environment of the definitions.
    pub environment: String,
    /// When, where, by which program and for whom the report was made.
    #[serde(flatten)]
    pub origin: ReportOrigin,
    /// The superusers, which have all privileges and are not listed by database.
    pub superusers: Vec<RoleName>,
    /// The managed databases in alphabetical order.
    pub databases: Vec<DatabaseReport>,
}

impl AccessReport {
    /// Returns the databases that the report covers: those with a believed marker of the environment, those of
    /// managed owners, which can remove this marker, and the declared databases that exist.
    #[must_use]
    pub fn managed_databases(desired: &Desired, observed: &Observed) -> BTreeSet<DatabaseName> {
        let recorded = Recorded::new(desired, observed);
        let is_covered = |(name, seen): &(&DatabaseName, &crate::observed::Database)| {
            desired.databases.contains_key(*name)
                || has_believed_marker(desired, observed, &recorded, name, seen)
                || !is_plugin_database(desired, name, seen)
                    && desired.manages(owner_marker(observed, seen).as_ref())
        };
        observed.databases.iter().filter(is_covered).map(|(name, _)| name.clone()).collect()
    }

    /// Builds the report from the query results, the definitions and the markers.
    ///
    /// `access` contains the result for each database, or the error that prevented the query.
    #[must_use]
    pub fn new(
        desired: &Desired,
        observed: &Observed,
        origin: ReportOrigin,
        access: BTreeMap<DatabaseName, Result<DatabaseAccess, String>>,
    ) -> Self {
        let superusers = observed.roles.iter().filter(|(_, role)| role.superuser);
        let databases = access.into_iter().filter_map(|(name, access)| {
            let seen = observed.databases.get(&name)?;
            let entry = desired.databases.get(&name);
            let marked = seen.marker().or_else(|| owner_marker(observed, seen));
            let marked = marked.map(|marker| marker.application);
            let (mut access, unreachable) = match access {
                Ok(access) => (access, None),
                Err(reason) => (DatabaseAccess::default(), Some(reason)),
            };
            access.add_sources(&seen.owner);
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
            origin,
            superusers: superusers.map(|(name, _)| name.clone()).collect(),
            databases: databases.collect(),
        }
    }

    /// Returns whether the query succeeded for each database.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.databases.iter().all(|database| database.unreachable.is_none())
    }

    /// Reads a report from its JSON form.
    ///
    /// # Errors
    /// Returns the reason if the text is not a report of this version.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = serde_json::from_str(text).map_err(|error| {
            if error.is_data() { error.to_string() } else { format!("it is not JSON: {error}") }
        })?;
        if format_version != FORMAT_VERSION {
            return Err(format!(
                "it has `format_version` {format_version}, and this version reads {FORMAT_VERSION}"
            ));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Returns a copy that is limited to one database, or to one role and PUBLIC.
    #[must_use]
    pub fn limited_to(&self, database: Option<&DatabaseName>, role: Option<&RoleName>) -> Self {
        let mut limited = self.clone();
        limited.databases.retain(|one| database.is_none_or(|wanted| *wanted == one.database));
        for one in &mut limited.databases {
            one.roles.retain(|one| match one.access.role.role() {
                Some(name) => role.is_none_or(|wanted| wanted == name),
                None => true,
            });
        }
        limited
    }

    /// Returns whether a role is predefined, or an administrator: the role as which rdsprov was connected,
    /// or a member of `rds_superuser` or of this role.
    #[must_use]
    pub fn is_administrative(&self, role: &RoleReport) -> bool {
        let Some(name) = role.access.role.role() else { return false };
        let is_powerful = |group: &RoleName| {
            group.as_str() == RDS_SUPERUSER || *group == self.origin.administrator
        };
        role.status == RoleStatus::Administrator
            || is_of_server(name, role.access.login)
            || role.access.inherits.iter().chain(&role.access.may_become).any(is_powerful)
    }

    /// Returns the report as indented JSON, whose schema is
    /// [`Document::Access`](crate::schema::Document::Access).
    ///
    /// # Errors
    /// Never returns an error in practice, because the report contains plain data only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }
}

/// Returns whether the owner of a database declares it as its plugin database, which the plan closes.
fn is_plugin_database(
    desired: &Desired,
    name: &DatabaseName,
    database: &crate::observed::Database,
) -> bool {
    let owner = desired.roles.get(&database.owner);
    owner.is_some_and(|owner| owner.plugin_databases.iter().any(|one| one.matches(name)))
}

/// Returns the marker of the owner of a database, which only administrators can write.
fn owner_marker(observed: &Observed, database: &crate::observed::Database) -> Option<Marker> {
    observed.roles.get(&database.owner).and_then(crate::observed::Role::reported)
}

fn status(
    desired: &Desired,
    observed: &Observed,
    database: &DatabaseName,
    role: &Grantee,
) -> RoleStatus {
    let Grantee::Role(name) = role else { return RoleStatus::Public };
    let access = desired.databases.get(database).and_then(|entry| entry.access.get(name));
    let marker = observed.roles.get(name).and_then(crate::observed::Role::reported);
    match (access, marker) {
        (Some(access), _) => RoleStatus::Declared {
            application: access.application.clone(),
            access_level: access.level,
            declared_schemas: access.schemas.clone(),
        },
        _ if *name == observed.administrator.name => RoleStatus::Administrator,
        (None, Some(marker)) if desired.manages(Some(&marker)) => {
            RoleStatus::NotDeclaredHere { application: marker.application }
        }
        (None, _) => RoleStatus::Unmanaged,
    }
}
