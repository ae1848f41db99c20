//! The desired state: the roles, databases and privileges that follow from the definitions.
//!
//! The definitions are keyed by application. The desired state is keyed by role and by
//! database, because several applications can use the same role or database. This module does
//! not know files or connections.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit_table::AuditTableName;
use crate::definitions::{Application, Auth, Definitions, UnknownApplication};
use crate::marker::Marker;
use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, NameError, RoleName, SchemaName,
};
use crate::policy::UndeclaredAccess;
use crate::privilege::{self, AccessLevel, Privileges};
use crate::run_setting::RunSetting;
use crate::secret_id::{RecoveryWindow, SecretId, Stage, TemplateError, Templates};
use crate::setting::Parameter;
use crate::valid_until::ValidUntil;

/// How a role authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// The role has the password that the secret contains.
    Password(SecretId),
    /// The role uses IAM tokens: it has no password and is a member of `rds_iam`.
    Iam,
    /// The role is retired: it cannot log in, and is a member of no role.
    Retired,
}

/// What a plan does with an existing role or database that is not managed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// It refuses the role or database.
    #[default]
    Refused,
    /// It adopts the role or database.
    Allowed,
}

impl Adoption {
    /// Returns what the key `adopt` of an application means.
    fn from_key(adopt: bool) -> Self {
        if adopt { Self::Allowed } else { Self::Refused }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// A declared role, which can log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The application whose entry is the home of the role.
    pub application: ApplicationName,
    /// Whether the entry says so with `role_owner = true`.
    #[serde(skip_serializing_if = "is_false")]
    pub is_home_chosen: bool,
    /// How the role authenticates.
    pub credential: Credential,
    /// The id of the secret as the marker of the role contains it: with the placeholder `{build_id}`
    /// where the template has it, so that each build has the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_secret: Option<SecretId>,
    /// Whether the role has the attribute `CREATEDB`.
    pub create_database: bool,
    /// Whether the role has the attribute `CREATEROLE`: only a delegate has.
    pub create_role: bool,
    /// The `CONNECTION LIMIT` of the role; -1 means no limit.
    pub connection_limit: i32,
    /// The time at which the password of the role expires; `None` means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<ValidUntil>,
    /// Whether an existing role of this name that is not managed is adopted.
    pub adoption: Adoption,
    /// The other secrets that the applications of this role read. They must
    /// contain the same password.
    pub other_secrets: BTreeMap<SecretId, ApplicationName>,
    /// The predefined roles of which the role is a member, besides `rds_iam`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub memberships: BTreeSet<RoleName>,
    /// The names of databases that the role creates itself. The privileges of PUBLIC
    /// on them are revoked.
    pub plugin_databases: BTreeSet<DatabasePattern>,
}

impl Role {
    /// Returns the secret with the password of the role, or `None` if it uses IAM tokens.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretId> {
        match &self.credential {
            Credential::Password(secret) => Some(secret),
            Credential::Iam | Credential::Retired => None,
        }
    }

    /// Returns whether the role is retired: no entry gives it access.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.credential == Credential::Retired
    }

    /// Returns a retired role, which keeps nothing but its marker.
    fn retired(application: &ApplicationName) -> Self {
        Self {
            application: application.clone(),
            is_home_chosen: false,
            credential: Credential::Retired,
            recorded_secret: None,
            create_database: false,
            create_role: false,
            connection_limit: -1,
            valid_until: None,
            adoption: Adoption::Refused,
            other_secrets: BTreeMap::new(),
            memberships: BTreeSet::new(),
            plugin_databases: BTreeSet::new(),
        }
    }
}

/// The declared access of one role to one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The application that declares the access.
    pub application: ApplicationName,
    /// The access level, which determines the privileges.
    pub level: AccessLevel,
    /// The covered schemas, in which the access level applies.
    pub schemas: BTreeSet<SchemaName>,
    /// The extensions that the role uses.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub extensions: BTreeSet<ExtensionName>,
    /// The settings of the role in the database (`ALTER ROLE … IN DATABASE … SET`).
    pub settings: BTreeMap<Parameter, String>,
    /// Whether another entry, the home of the role, says how the role logs in, and this entry alone would
    /// give it another secret.
    #[serde(skip_serializing_if = "is_false")]
    pub inherits_credential: bool,
}

impl Access {
    /// Returns no access: what the role has in the database is revoked.
    fn none(application: &ApplicationName) -> Self {
        Self {
            application: application.clone(),
            level: AccessLevel::None,
            schemas: BTreeSet::new(),
            extensions: BTreeSet::new(),
            settings: BTreeMap::new(),
            inherits_credential: false,
        }
    }
}

/// A declared database with the access of each role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    /// The application of the owner entry. Without an owner entry, it is the first application
    /// that uses the database; the first selected one, if there is one.
    pub application: ApplicationName,
    /// The role of the owner entry; `None` if the database has no owner entry.
    pub owner: Option<RoleName>,
    /// Whether an existing database of this name that is not managed is adopted.
    pub adoption: Adoption,
    /// The access of each declared role, including the owner.
    pub access: BTreeMap<RoleName, Access>,
    /// The extensions of the owner entry, which are created if they do not exist.
    pub extensions: BTreeSet<ExtensionName>,
    /// The roles, in addition to the owner, whose future objects get the same grants as
    /// those of the owner.
    pub creators: BTreeSet<RoleName>,
}

impl Database {
    /// Returns the privileges of each declared role on the database itself.
    #[must_use]
    pub fn privileges(&self) -> BTreeMap<RoleName, Privileges> {
        let access = self.access.iter();
        access.map(|(role, one)| (role.clone(), privilege::on_database(one.level))).collect()
    }

    /// Returns a database of which no entry is known yet.
    fn of(application: &ApplicationName) -> Self {
        Self {
            application: application.clone(),
            owner: None,
            adoption: Adoption::Refused,
            access: BTreeMap::new(),
            extensions: BTreeSet::new(),
            creators: BTreeSet::new(),
        }
    }

    /// Returns whether no entry gives access to the database: it is not created, and its roles lose
    /// what they have in it.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.access.values().all(|access| access.level == AccessLevel::None)
    }

    /// Returns the schemas that at least one entry covers.
    #[must_use]
    pub fn covered_schemas(&self) -> BTreeSet<&SchemaName> {
        self.access.values().flat_map(|access| &access.schemas).collect()
    }

    /// Returns whether at least one entry covers a schema.
    #[must_use]
    pub fn covers(&self, schema: &SchemaName) -> bool {
        self.access.values().any(|access| access.schemas.contains(schema))
    }

    /// Returns the schemas of the owner entry, which are created if they do not exist.
    #[must_use]
    pub fn owner_schemas(&self) -> Option<&BTreeSet<SchemaName>> {
        self.access.get(self.owner.as_ref()?).map(|access| &access.schemas)
    }

    /// Returns the roles whose objects are expected while objects get another owner: the
    /// current and the declared owner of the database, the administrator and the creators.
    pub(crate) fn insiders<'a>(
        &'a self,
        current: &'a RoleName,
        administrator: &'a RoleName,
    ) -> BTreeSet<&'a RoleName> {
        [current, administrator].into_iter().chain(&self.owner).chain(&self.creators).collect()
    }
}

/// What is left of the data of a dropped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backup {
    /// The file with this path, which the user has named.
    File(String),
    /// Nothing, as the user has said.
    Nothing,
    /// The user has not said it yet: such a plan is shown, and not applied if it drops a database.
    NotNamed,
}

/// The last complete `apply` on a server: afterwards, the server was as its definitions say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastApplied {
    /// The server, as `host:port`.
    pub server: Option<String>,
    /// The system identifier of the server.
    pub system_identifier: Option<String>,
    /// The build id of the run; empty without one.
    pub build_id: String,
    /// The day of the run, in UTC: `2026-11-20`.
    pub date: String,
    /// The short digests of the definition of each application, as the definitions return them.
    pub definitions: BTreeMap<String, String>,
}

/// An application cannot be retired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// An entry gives it access, so that the next run would restore the access.
    #[error("application `{application}` cannot be retired: the definitions declare it as {level}")]
    Declared {
        /// The application.
        application: ApplicationName,
        /// The access level of its first entry with access.
        level: AccessLevel,
    },
    /// The name is not that of an application.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The desired state of one environment on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The name of the environment, which markers contain.
    pub environment: String,
    /// The scope of the definitions, which markers contain: other definitions of the environment have others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The declared roles; no other role is created or changed.
    pub roles: BTreeMap<RoleName, Role>,
    /// The delegate among the roles, if this is the desired state of [`Desired::delegation`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<RoleName>,
    /// The declared databases; no other database is created or changed, except plugin databases.
    pub databases: BTreeMap<DatabaseName, Database>,
    /// The applications of the definitions, in alphabetical order.
    pub applications: Vec<ApplicationName>,
    /// The selected applications, whose roles and databases a plan covers; empty means all. The
    /// other applications are declared as well: what they declare is neither changed nor revoked.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<ApplicationName>,
    /// Whether a plan contains additions only: what takes access away is pending.
    #[serde(skip_serializing_if = "is_false")]
    pub additive: bool,
    /// The applications that are not declared and whose roles are retired, see [`Desired::retire`].
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub orphans: BTreeSet<ApplicationName>,
    /// Whether applications are retired, see [`Desired::retire`].
    #[serde(skip_serializing_if = "is_false")]
    pub retires: bool,
    /// The build whose roles and databases are dropped, see `rdsprov teardown`. The desired state then
    /// declares nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_down_build: Option<String>,
    /// Whether the sessions of retired roles are ended.
    #[serde(skip_serializing_if = "is_false")]
    pub ends_sessions: bool,
    /// Whether retired roles are dropped.
    #[serde(skip_serializing_if = "is_false")]
    pub drops_roles: bool,
    /// Whether the databases that retired roles own are dropped, and what is left of their data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops_databases: Option<Backup>,
    /// Whether the deletion of the secrets of retired roles is scheduled, and how long they can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletes_secrets: Option<RecoveryWindow>,
    /// The audit table into which each transaction writes a row for each of its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_table: Option<AuditTableName>,
    /// Whether a database may get another owner, because the hazard `changes_owner` is allowed.
    pub may_change_owners: bool,
    /// The environment whose roles and databases are taken over, because the server was restored from
    /// one of its snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt_from: Option<String>,
    /// Whether a plan may change a server in a blue/green deployment, because the hazard
    /// `degrades_blue_green` is allowed.
    pub may_degrade_blue_green: bool,
    /// The names of the hazards that the run allows, which the text of a plan need not ask for.
    #[serde(skip)]
    pub allowed_hazards: BTreeSet<&'static str>,
    /// The names of the findings on which a check also fails.
    #[serde(skip)]
    pub fail_on: BTreeSet<&'static str>,
    /// What a plan does with roles that are not declared and have access to a declared database.
    pub undeclared_access: UndeclaredAccess,
    /// Whether such a role is a difference: the server is then not as declared.
    #[serde(skip_serializing_if = "is_false")]
    pub strict: bool,
    /// The version stage from which the secrets of the applications are read.
    pub secret_stage: Stage,
    /// `sha256:…` of the definitions files, concatenated; `None` without files.
    pub definitions: Option<String>,
    /// The approval policy of the environment, with the place that sets it; `None` for a state that
    /// was not made for a run.
    pub approval: Option<RunSetting>,
    /// The minimum length of a password, in characters; 0 without one.
    #[serde(skip)]
    pub minimum_password_length: usize,
    /// The ledger that the configuration file names, as it is written there.
    #[serde(skip)]
    pub configured_ledger: Option<String>,
    /// The CSV file that the configuration file names, as it is written there.
    #[serde(skip)]
    pub configured_csv: Option<String>,
    /// The short digest of the definition of each application.
    #[serde(skip)]
    pub definition_digests: BTreeMap<String, String>,
    /// The last complete `apply` of this environment and scope on each server that a ledger names.
    #[serde(skip)]
    pub last_applied: Vec<LastApplied>,
    /// The databases of the definitions, also those that [`Desired::retain_roles`] leaves out.
    #[serde(skip)]
    databases_of_definitions: BTreeSet<DatabaseName>,
}

impl Desired {
    /// Builds the desired state from definitions, keyed by role and database.
    ///
    /// # Errors
    /// Returns a [`TemplateError`] if a secret template contains an unknown placeholder.
    pub fn new(
        definitions: &Definitions,
        environment: &str,
        templates: &Templates,
        build_id: Option<&str>,
    ) -> Result<Self, TemplateError> {
        let mut roles: BTreeMap<RoleName, Role> = BTreeMap::new();
        let mut databases: BTreeMap<DatabaseName, Database> = BTreeMap::new();
        let secret_of = |app: &Application, build_id| match (app.auth, &app.secret) {
            (Auth::Iam, _) => Ok(None),
            (Auth::Password, Some(id)) => Ok(Some(SecretId(id.clone()))),
            (Auth::Password, None) => {
                let (application, database) =
                    (app.application.as_str(), app.database_name.as_str());
                let role = app.username.as_str();
                templates
                    .application_secret(environment, application, database, role, build_id)
                    .map(Some)
            }
        };
        let with_access: BTreeSet<&RoleName> = definitions
            .applications
            .values()
            .filter(|app| app.access_level != AccessLevel::None)
            .map(|app| &app.username)
            .collect();
        let homes = definitions.applications.values().filter(|app| app.role_owner);
        for app in homes.chain(definitions.applications.values()) {
            if roles.contains_key(&app.username) {
                continue;
            }
            if !with_access.contains(&app.username) {
                roles.insert(app.username.clone(), Role::retired(&app.application));
                continue;
            }
            let secret = secret_of(app, build_id)?;
            let role = Role {
                application: app.application.clone(),
                is_home_chosen: app.says_role_owner,
                credential: secret.map_or(Credential::Iam, Credential::Password),
                recorded_secret: secret_of(app, Some("{build_id}"))?,
                create_database: app.createdb,
                create_role: false,
                connection_limit: app.connection_limit,
                valid_until: app.valid_until,
                adoption: Adoption::from_key(app.adopt),
                other_secrets: BTreeMap::new(),
                memberships: app.memberships.iter().cloned().collect(),
                plugin_databases: app.plugin_databases.iter().cloned().collect(),
            };
            roles.insert(app.username.clone(), role);
        }
        for app in definitions.applications.values() {
            let database = || Database::of(&app.application);
            let database = databases.entry(app.database_name.clone()).or_insert_with(database);
            if app.access_level == AccessLevel::None {
                let access = Access::none(&app.application);
                database.access.insert(app.username.clone(), access);
                continue;
            }
            let secret = secret_of(app, build_id)?;
            let of_role = roles.get(&app.username).and_then(Role::secret);
            let inherits_credential =
                app.inherits_credential && (secret.is_none() || secret.as_ref() != of_role);
            if let (Some(role), Some(id)) = (roles.get_mut(&app.username), secret) {
                role.other_secrets.entry(id).or_insert_with(|| app.application.clone());
            }
            // The owner entry decides whether its database is adopted.
            let owns = app.access_level == AccessLevel::Owner;
            if owns {
                database.adoption = Adoption::from_key(app.adopt);
            } else if app.adopt && database.owner.is_none() {
                database.adoption = Adoption::Allowed;
            }
            database.creators.extend(app.creators.iter().cloned());
            if owns {
                database.extensions.extend(app.extensions.iter().cloned());
                database.owner = Some(app.username.clone());
                database.application = app.application.clone();
            }
            database.access.insert(
                app.username.clone(),
                Access {
                    application: app.application.clone(),
                    level: app.access_level,
                    schemas: app.schemas.iter().cloned().collect(),
                    extensions: app.extensions.iter().cloned().collect(),
                    settings: app.settings.clone(),
                    inherits_credential,
                },
            );
        }
        let named_secrets: BTreeSet<&str> =
            definitions.applications.values().filter_map(|app| app.secret.as_deref()).collect();
        for role in roles.values_mut() {
            // If one entry of the role sets `secret`, this secret is used for all its entries.
            let named = role.secret().is_some_and(|id| named_secrets.contains(id.0.as_str()));
            let own = role.secret().cloned();
            role.other_secrets.retain(|id, _| !named && Some(id) != own.as_ref());
        }
        let applications = definitions.applications.keys().cloned().collect();
        let databases_of_definitions = databases.keys().cloned().collect();
        Ok(Self {
            environment: environment.to_owned(),
            scope: definitions.scope.clone(),
            roles,
            delegate: None,
            databases,
            applications,
            only: BTreeSet::new(),
            additive: false,
            orphans: BTreeSet::new(),
            retires: false,
            torn_down_build: None,
            ends_sessions: false,
            drops_roles: false,
            drops_databases: None,
            deletes_secrets: None,
            audit_table: None,
            may_change_owners: false,
            adopt_from: None,
            may_degrade_blue_green: false,
            allowed_hazards: BTreeSet::new(),
            fail_on: BTreeSet::new(),
            undeclared_access: UndeclaredAccess::default(),
            minimum_password_length: 0,
            configured_ledger: None,
            configured_csv: None,
            strict: false,
            secret_stage: Stage::default(),
            definitions: None,
            approval: None,
            definition_digests: definitions.digests(),
            last_applied: Vec::new(),
            databases_of_definitions,
        })
    }

    /// Builds the desired state for `rdsprov delegate`: one role that can be the administrator
    /// instead of the master user.
    ///
    /// The role gets `LOGIN CREATEDB CREATEROLE`, and on the managed roles and databases only the
    /// privileges that an administrator requires. The desired state contains no application.
    #[must_use]
    pub fn delegation(
        environment: &str,
        role: RoleName,
        credential: Credential,
        adoption: Adoption,
    ) -> Self {
        let recorded_secret = match &credential {
            Credential::Password(secret) => Some(secret.clone()),
            Credential::Iam | Credential::Retired => None,
        };
        let administrator = Role {
            application: ApplicationName::for_delegates(),
            is_home_chosen: false,
            credential,
            recorded_secret,
            create_database: true,
            create_role: true,
            connection_limit: -1,
            valid_until: None,
            adoption,
            other_secrets: BTreeMap::new(),
            memberships: BTreeSet::new(),
            plugin_databases: BTreeSet::new(),
        };
        Self {
            environment: environment.to_owned(),
            scope: None,
            roles: BTreeMap::from([(role.clone(), administrator)]),
            delegate: Some(role),
            databases: BTreeMap::new(),
            applications: Vec::new(),
            only: BTreeSet::new(),
            additive: false,
            orphans: BTreeSet::new(),
            retires: false,
            torn_down_build: None,
            ends_sessions: false,
            drops_roles: false,
            drops_databases: None,
            deletes_secrets: None,
            audit_table: None,
            may_change_owners: false,
            adopt_from: None,
            may_degrade_blue_green: false,
            allowed_hazards: BTreeSet::new(),
            fail_on: BTreeSet::new(),
            undeclared_access: UndeclaredAccess::default(),
            minimum_password_length: 0,
            configured_ledger: None,
            configured_csv: None,
            strict: false,
            secret_stage: Stage::default(),
            definitions: None,
            approval: None,
            definition_digests: BTreeMap::new(),
            last_applied: Vec::new(),
            databases_of_definitions: BTreeSet::new(),
        }
    }

    /// Returns whether a role is the delegate, which becomes the administrator instead
    /// of the master user.
    #[must_use]
    pub fn is_delegate(&self, role: &RoleName) -> bool {
        self.delegate.as_ref() == Some(role)
    }

    /// Returns whether a role or database with this marker is managed in the environment, or in the one
    /// whose roles and databases are taken over.
    #[must_use]
    pub fn manages(&self, marker: Option<&Marker>) -> bool {
        marker.is_some_and(|marker| {
            marker.environment == self.environment || self.takes_over(marker).is_some()
        })
    }

    /// Returns whether a scope in a marker is that of other definitions. A marker without a scope gets that
    /// of the definitions.
    #[must_use]
    pub fn is_other_scope(&self, scope: Option<&str>) -> bool {
        scope.is_some() && scope != self.scope.as_deref()
    }

    /// Returns the other environment of a marker, if its roles and databases are taken over.
    #[must_use]
    pub fn takes_over<'a>(&self, marker: &'a Marker) -> Option<&'a str> {
        let other = Some(marker.environment.as_str());
        other
            .filter(|other| *other != self.environment && self.adopt_from.as_deref() == Some(other))
    }

    /// Returns whether a database belongs to an application. The desired state of
    /// [`Desired::delegation`] contains no application.
    #[must_use]
    pub fn is_database_of_application(&self, name: &str) -> bool {
        self.databases_of_definitions.iter().any(|database| database.as_str() == name)
    }

    /// Returns the delegate, if this desired state is for `rdsprov delegate`.
    #[must_use]
    pub fn delegate(&self) -> Option<(&RoleName, &Role)> {
        self.roles.get_key_value(self.delegate.as_ref()?)
    }

    /// Returns a copy that contains the given roles only, and the databases to
    /// which they have access.
    #[must_use]
    pub fn retain_roles(&self, roles: &BTreeSet<&RoleName>) -> Self {
        let mut retained = self.clone();
        retained.roles.retain(|name, _| roles.contains(name));
        for database in retained.databases.values_mut() {
            database.access.retain(|name, _| roles.contains(name));
        }
        retained.databases.retain(|_, database| !database.access.is_empty());
        retained
    }

    /// Selects applications: a plan covers only the roles that have their homes there and their
    /// databases, and in these databases only the privileges of their entries. An empty list selects
    /// all applications.
    ///
    /// # Errors
    /// Returns [`UnknownApplication`] for the first name that the definitions do not declare.
    pub fn select(&mut self, applications: &[String]) -> Result<(), UnknownApplication> {
        let select = |name: &String| {
            let declared = self.applications.iter().find(|one| one.as_str() == name);
            declared.cloned().ok_or_else(|| {
                UnknownApplication::new(name, self.applications.iter().map(ApplicationName::as_str))
            })
        };
        self.only = applications.iter().map(select).collect::<Result<_, _>>()?;
        let only = &self.only;
        for database in self.databases.values_mut().filter(|database| database.owner.is_none()) {
            let entries = database.access.values().map(|entry| &entry.application);
            if let Some(first) = entries.filter(|one| only.contains(*one)).min() {
                database.application = first.clone();
            }
        }
        Ok(())
    }

    /// Selects applications to retire: those whose entries all have the access level `none`, and those
    /// that the definitions do not declare any more. The markers on the server name the roles of the
    /// latter.
    ///
    /// # Errors
    /// Returns [`RetireError`] for the first name that is not valid, and for the first application
    /// to which an entry still gives access.
    pub fn retire(&mut self, applications: &[String]) -> Result<(), RetireError> {
        for name in applications {
            let name = ApplicationName::new(name.clone())?;
            if self.applications.contains(&name) {
                let mut entries = self.databases.values().flat_map(|one| one.access.values());
                let given =
                    entries.find(|one| one.application == name && one.level != AccessLevel::None);
                if let Some(Access { level, .. }) = given {
                    return Err(RetireError::Declared { application: name, level: *level });
                }
            } else {
                self.orphans.insert(name.clone());
            }
            self.only.insert(name);
        }
        self.retires = !applications.is_empty();
        Ok(())
    }

    /// Returns a copy that also declares these roles as retired, in these databases. Each is given
    /// with its application.
    #[must_use]
    pub(crate) fn with_retired(
        &self,
        roles: &[(RoleName, ApplicationName)],
        databases: &[(DatabaseName, ApplicationName)],
    ) -> Self {
        let mut desired = self.clone();
        for (name, application) in roles {
            desired.roles.insert(name.clone(), Role::retired(application));
        }
        for (name, application) in databases {
            let database = || Database::of(application);
            let database = desired.databases.entry(name.clone()).or_insert_with(database);
            let access = roles.iter().map(|(role, of)| (role.clone(), Access::none(of)));
            database.access.extend(access);
        }
        desired
    }

    /// Returns whether an application is selected.
    #[must_use]
    pub fn is_selected(&self, application: &ApplicationName) -> bool {
        self.only.is_empty() || self.only.contains(application)
    }

    /// Returns whether the home of a role is an entry of a selected application.
    #[must_use]
    pub fn selects_role(&self, role: &RoleName) -> bool {
        self.roles.get(role).is_some_and(|role| self.is_selected(&role.application))
    }

    /// Returns whether a selected application uses a database.
    #[must_use]
    pub fn selects_database(&self, database: &DatabaseName) -> bool {
        let database = self.databases.get(database);
        database.is_some_and(|database| self.selected_entry(database).is_some())
    }

    /// Returns the first selected application, in the order of its roles, that uses a database.
    #[must_use]
    pub fn selected_entry<'a>(&self, database: &'a Database) -> Option<&'a ApplicationName> {
        database.access.values().map(|entry| &entry.application).find(|one| self.is_selected(one))
    }

    /// Returns the roles whose homes are entries of selected applications.
    pub fn selected_roles(&self) -> impl Iterator<Item = (&RoleName, &Role)> {
        self.roles.iter().filter(|(_, role)| self.is_selected(&role.application))
    }

    /// Returns the databases that selected applications use.
    pub fn selected_databases(&self) -> impl Iterator<Item = (&DatabaseName, &Database)> {
        self.databases.iter().filter(|(_, database)| self.selected_entry(database).is_some())
    }

    /// Returns the ids of all secrets that contain passwords of roles of selected applications.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&SecretId> {
        let roles = self.selected_roles().map(|(_, role)| role);
        roles.flat_map(|role| role.secret().into_iter().chain(role.other_secrets.keys())).collect()
    }
}
