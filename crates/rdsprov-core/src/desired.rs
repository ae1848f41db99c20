//! Desired state: what the definitions ask for, by role and by database instead of by application.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::definitions::{AccessLevel, Auth, Definitions};
use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, RoleName, SchemaName,
};
use crate::secrets::{SecretId, Stage, TemplateError, Templates};
use crate::setting::Parameter;

/// How a role proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// With the password that the secret holds.
    Password(SecretId),
    /// With a token of IAM: it has no password, and is a member of `rds_iam`.
    Iam,
}

/// A role that shall exist and log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The first application that names it.
    pub application: ApplicationName,
    /// How it proves who it is.
    pub credential: Credential,
    /// Its `CREATEDB`.
    pub create_database: bool,
    /// Its `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i32,
    /// Whether an unmanaged role of this name may be taken over.
    pub adopt: bool,
    /// The other secrets that its applications read: they have to hold the same password.
    pub other_secrets: BTreeMap<SecretId, ApplicationName>,
    /// Its databases that nobody declares and that are closed to PUBLIC all the same.
    pub plugin_databases: BTreeSet<DatabasePattern>,
    /// Whether it is to administer, in the master's place, what is managed: see [`Desired::delegation`].
    pub administers: bool,
}

impl Role {
    /// The secret of its password, where it has one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretId> {
        match &self.credential {
            Credential::Password(secret) => Some(secret),
            Credential::Iam => None,
        }
    }
}

/// One role's access to one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The application that asks for it.
    pub application: ApplicationName,
    /// How much.
    pub level: AccessLevel,
    /// In which schemas.
    pub schemas: BTreeSet<SchemaName>,
    /// The role's settings in the database.
    pub settings: BTreeMap<Parameter, String>,
}

/// A database that shall exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    /// The owner's application; where no entry declares the owner, the first that names the database.
    pub application: ApplicationName,
    /// The owner, where an entry declares one.
    pub owner: Option<RoleName>,
    /// Whether an unmanaged database of this name may be taken over.
    pub adopt: bool,
    /// Every declared role's access, the owner's included.
    pub access: BTreeMap<RoleName, Access>,
    /// The extensions it shall have.
    pub extensions: BTreeSet<ExtensionName>,
    /// The roles beside the owner whose future objects are granted as the owner's are.
    pub creators: BTreeSet<RoleName>,
}

impl Database {
    /// The schemas that any entry covers.
    #[must_use]
    pub fn covered_schemas(&self) -> BTreeSet<&SchemaName> {
        self.access.values().flat_map(|access| &access.schemas).collect()
    }

    /// The schemas that the owner's entry declares: they are made where missing.
    #[must_use]
    pub fn owner_schemas(&self) -> Option<&BTreeSet<SchemaName>> {
        self.access.get(self.owner.as_ref()?).map(|access| &access.schemas)
    }
}

/// All that shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The environment.
    pub environment: String,
    /// The roles.
    pub roles: BTreeMap<RoleName, Role>,
    /// The databases.
    pub databases: BTreeMap<DatabaseName, Database>,
    /// The applications, in order.
    pub applications: Vec<ApplicationName>,
    /// Whether a database may get another owner: somebody allowed the hazard `changes_owner`.
    pub may_change_owners: bool,
    /// Which version of the applications' secrets counts.
    pub secret_stage: Stage,
}

impl Desired {
    /// Turns definitions round.
    ///
    /// # Errors
    /// Where a secret's template names a placeholder that is not known.
    pub fn new(
        definitions: &Definitions,
        environment: &str,
        templates: &Templates,
        build_id: Option<&str>,
    ) -> Result<Self, TemplateError> {
        let mut roles = BTreeMap::new();
        let mut databases: BTreeMap<DatabaseName, Database> = BTreeMap::new();
        for app in definitions.applications.values() {
            let credential = match (app.auth, &app.secret) {
                (Auth::Iam, _) => Credential::Iam,
                (Auth::Password, Some(id)) => Credential::Password(SecretId(id.clone())),
                (Auth::Password, None) => Credential::Password(templates.application_secret(
                    environment,
                    app.application.as_str(),
                    app.database_name.as_str(),
                    app.username.as_str(),
                    build_id,
                )?),
            };
            let role = roles.entry(app.username.clone()).or_insert_with(|| Role {
                application: app.application.clone(),
                credential: credential.clone(),
                create_database: app.createdb,
                connection_limit: app.connection_limit,
                adopt: false,
                other_secrets: BTreeMap::new(),
                plugin_databases: BTreeSet::new(),
                administers: false,
            });
            role.adopt |= app.adopt;
            role.plugin_databases.extend(app.plugin_databases.iter().cloned());
            if let Credential::Password(id) = &credential {
                role.other_secrets.entry(id.clone()).or_insert_with(|| app.application.clone());
            }
            if app.secret.is_some() {
                role.credential = credential;
            }
            let database = databases.entry(app.database_name.clone()).or_insert_with(|| Database {
                application: app.application.clone(),
                owner: None,
                adopt: false,
                access: BTreeMap::new(),
                extensions: BTreeSet::new(),
                creators: BTreeSet::new(),
            });
            database.adopt |= app.adopt;
            database.extensions.extend(app.extensions.iter().cloned());
            database.creators.extend(app.creators.iter().cloned());
            if app.access_level == AccessLevel::Owner {
                database.owner = Some(app.username.clone());
                database.application = app.application.clone();
            }
            database.access.insert(
                app.username.clone(),
                Access {
                    application: app.application.clone(),
                    level: app.access_level,
                    schemas: app.schemas.iter().cloned().collect(),
                    settings: app.settings.clone(),
                },
            );
        }
        for role in roles.values_mut() {
            // A secret that one entry names holds for the role, also where another leaves it out.
            let named = definitions.applications.values().any(|app| {
                app.secret.is_some()
                    && app.secret.as_deref() == role.secret().map(|id| id.0.as_str())
            });
            let own = role.secret().cloned();
            role.other_secrets.retain(|id, _| !named && Some(id) != own.as_ref());
        }
        let applications = definitions.applications.keys().cloned().collect();
        Ok(Self {
            environment: environment.to_owned(),
            roles,
            databases,
            applications,
            may_change_owners: false,
            secret_stage: Stage::default(),
        })
    }

    /// A role that administers what an environment manages already, so that the master's secret can stay
    /// where it is: `LOGIN CREATEDB CREATEROLE`, and no more than it needs on managed roles and databases.
    /// Applications are none of its business.
    #[must_use]
    pub fn delegation(environment: &str, role: RoleName, secret: SecretId, adopt: bool) -> Self {
        let administrator = Role {
            application: ApplicationName::for_administrators(),
            credential: Credential::Password(secret),
            create_database: true,
            connection_limit: -1,
            adopt,
            other_secrets: BTreeMap::new(),
            plugin_databases: BTreeSet::new(),
            administers: true,
        };
        Self {
            environment: environment.to_owned(),
            roles: BTreeMap::from([(role, administrator)]),
            databases: BTreeMap::new(),
            applications: Vec::new(),
            may_change_owners: false,
            secret_stage: Stage::default(),
        }
    }

    /// The role that is to administer, where that is what is asked for.
    #[must_use]
    pub fn delegate(&self) -> Option<(&RoleName, &Role)> {
        self.roles.iter().find(|(_, role)| role.administers)
    }

    /// Some of the roles, with what concerns them.
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

    /// The secrets of the roles that have one.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&SecretId> {
        let others = self.roles.values().flat_map(|role| role.other_secrets.keys());
        self.roles.values().filter_map(Role::secret).chain(others).collect()
    }
}
