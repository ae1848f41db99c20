//! The content of definitions files: the applications that they declare.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::auth::Auth;
use super::error::Location;
use super::rules::Mode;
use crate::definition_digest;
use crate::digest::sha256_json;
use crate::hint::Hint;
use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, RoleName, SchemaName, nearest,
};
use crate::privilege::AccessLevel;
use crate::setting::Parameter;
use crate::text::without_middle;
use crate::valid_until::ValidUntil;

/// The length of a short digest: `sha256:` and 16 digits. It identifies a definition, and proves nothing.
const SHORT_DIGEST: usize = 23;

/// One application: a role in one database, with its access level and its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Application {
    /// The key of the entry in `application_databases`.
    pub application: ApplicationName,
    /// The name of the database.
    pub database_name: DatabaseName,
    /// The name of the role.
    pub username: RoleName,
    /// The access level of the role in the database.
    pub access_level: AccessLevel,
    /// The covered schemas; those of an owner are created if they do not exist.
    pub schemas: Vec<SchemaName>,
    /// The extensions that the role uses. Those of the owner entry are created.
    pub extensions: Vec<ExtensionName>,
    /// How the role authenticates.
    pub auth: Auth,
    /// The id of the secret, if the entry sets it; otherwise the secret template gives the id.
    pub secret: Option<String>,
    /// Whether this entry is the home of its role: the only one that says what concerns the role
    /// itself. Exactly one entry of each role is, whether or not the file sets the key.
    pub role_owner: bool,
    /// Whether the file says `role_owner = true`.
    #[serde(skip)]
    pub says_role_owner: bool,
    /// Whether the role logs in otherwise than the entry alone would say: the home of the role sets `secret`
    /// or `auth`, and the entry does not.
    #[serde(skip)]
    pub inherits_credential: bool,
    /// Whether the role has the attribute `CREATEDB`.
    pub createdb: bool,
    /// The predefined roles of which the role is a member.
    pub memberships: Vec<RoleName>,
    /// The `CONNECTION LIMIT` of the role; -1 means no limit.
    pub connection_limit: i32,
    /// The time at which the password of the role expires; `None` means never.
    pub valid_until: Option<ValidUntil>,
    /// The values for `ALTER ROLE … IN DATABASE … SET`, by parameter.
    pub settings: BTreeMap<Parameter, String>,
    /// Roles, in addition to the owner, whose future objects in the database get the same grants.
    pub creators: Vec<RoleName>,
    /// Patterns for databases that the role creates itself; rdsprov only revokes the privileges
    /// that PUBLIC has on them.
    pub plugin_databases: Vec<DatabasePattern>,
    /// Whether an existing role or database that is not managed may be adopted.
    pub adopt: bool,
    /// The position of the key in its file.
    #[serde(skip)]
    pub location: Location,
}

impl Application {
    /// Returns the short digests of the definition with all defaults, and of its keys without those that concern
    /// only the database or only the role. What a run may adopt is not a part of them.
    fn digests(&self) -> String {
        let all = Self { adopt: false, ..self.clone() };
        let of_role = Self {
            schemas: Vec::new(),
            extensions: Vec::new(),
            settings: BTreeMap::new(),
            creators: Vec::new(),
            plugin_databases: Vec::new(),
            ..all.clone()
        };
        let of_database = Self {
            auth: Auth::Password,
            secret: None,
            role_owner: false,
            createdb: false,
            memberships: Vec::new(),
            connection_limit: -1,
            valid_until: None,
            ..all.clone()
        };
        let digest = |one: &Self| sha256_json(one).chars().take(SHORT_DIGEST).collect::<String>();
        definition_digest::joined(&digest(&all), &digest(&of_role), &digest(&of_database))
    }
}

/// The content of all definitions files of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Definitions {
    /// The variable `environment`, if a file sets it.
    pub environment: Option<String>,
    /// The variable `aws_region`, if a file sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
    /// The scope that a file or `rdsprov.toml` sets: other definitions of the environment have others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where the files declare their applications.
    pub mode: Mode,
    /// The applications, sorted by key.
    #[serde(serialize_with = "values")]
    #[schemars(with = "Vec<Application>")]
    pub applications: BTreeMap<ApplicationName, Application>,
}

fn values<S: Serializer>(
    applications: &BTreeMap<ApplicationName, Application>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(applications.values())
}

impl Definitions {
    /// Returns definitions that declare nothing.
    pub(crate) fn none() -> Self {
        Self {
            environment: None,
            aws_region: None,
            scope: None,
            mode: Mode::Standalone,
            applications: BTreeMap::new(),
        }
    }

    /// Returns the short digests of each application: see [`Application::digests`].
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        let applications = self.applications.iter();
        applications.map(|(name, one)| (name.to_string(), one.digests())).collect()
    }

    /// Allows one application to adopt its role and database, like `adopt = true` in its entry.
    ///
    /// # Errors
    /// Returns [`UnknownApplication`] if no application has this key.
    pub fn adopt(&mut self, application: &str) -> Result<(), UnknownApplication> {
        match self.applications.values_mut().find(|app| app.application.as_str() == application) {
            Some(app) => {
                app.adopt = true;
                Ok(())
            }
            None => {
                let known = self.applications.keys().map(ApplicationName::as_str);
                Err(UnknownApplication::new(application, known))
            }
        }
    }
}

/// The definitions do not declare an application of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("application `{name}` is not declared")]
pub struct UnknownApplication {
    /// The name that was given.
    pub name: String,
    /// The applications that the definitions declare.
    pub known: Vec<String>,
}

impl UnknownApplication {
    /// Creates the error for a name that is not among the declared applications.
    pub(crate) fn new<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self { name: name.to_owned(), known: known.map(str::to_owned).collect() }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        if self.known.is_empty() {
            return vec!["declare the application in the definitions".into()];
        }
        if let Some(nearest) = nearest(&self.name, self.known.iter().map(String::as_str)) {
            return vec![format!("use a declared application: is `{nearest}` meant?").into()];
        }
        let known = without_middle(self.known.join(", "));
        vec![format!("use one of the declared applications: {known}").into()]
    }
}
