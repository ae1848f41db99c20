//! Reads definitions files, and reports every error in them with its file, line and column.
//!
//! One parser for each syntax (`hcl`, `json`, `toml`) turns the text into the same kind of tree
//! (`tree`). `model` reads the trees into [`Definitions`]: `entry` checks one application, and
//! `cross_checks` compares the applications with each other.
//!
//! This module must not know secrets, plans or the server. Whether a declared role or database
//! exists is decided by [`crate::plan`].

mod cross_checks;
mod defaults;
mod delimiters;
mod entry;
mod file;
mod hcl;
mod heredoc;
mod json;
mod model;
mod terraform_compat;
mod toml;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::string::FromUtf8Error;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::diagnostic;
use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::hint::{Hint, Neutral};
use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, RoleName, SchemaName,
};

use crate::setting::Parameter;
pub use defaults::Defaults;
pub use entry::KEYS;
use file::File;

/// The syntax of a definitions file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// HCL, as in `*.tfvars` of Terraform.
    Hcl,
    /// JSON: `*.tfvars.json` and `*.json`.
    Json,
    /// TOML: `*.toml`.
    Toml,
}

impl Syntax {
    /// Returns the syntax that belongs to the extension of `path`, or `None` if it is not known.
    ///
    /// ```
    /// use rdsprov_core::definitions::Syntax;
    /// assert_eq!(Syntax::from_path("dev.tfvars"), Some(Syntax::Hcl));
    /// assert_eq!(Syntax::from_path("dev.yaml"), None);
    /// ```
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "tfvars" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hcl => "hcl",
            Self::Json => "json",
            Self::Toml => "toml",
        })
    }
}

impl FromStr for Syntax {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Hcl, Self::Json, Self::Toml]
            .into_iter()
            .find(|syntax| syntax.to_string() == text)
            .ok_or_else(|| "the syntaxes are hcl, json and toml".to_owned())
    }
}

/// The text of one definitions file.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The path of the file, as error messages print it.
    pub path: String,
    /// The whole content of the file; it may start with a byte order mark.
    pub text: String,
    /// The syntax as which the text is parsed.
    pub syntax: Syntax,
}

/// Returns the SHA-256 of the files in the given order, as `sha256:…`.
///
/// For one file, the digits are those that `sha256sum FILE` prints. For several files, they are
/// those that `cat FILE… | sha256sum` prints.
///
/// ```
/// use rdsprov_core::definitions::{SourceText, Syntax, sha256};
/// let source = SourceText { path: "a.toml".into(), text: String::new(), syntax: Syntax::Toml };
/// assert!(sha256(&[source]).starts_with("sha256:e3b0c442"));
/// ```
#[must_use]
pub fn sha256(sources: &[SourceText]) -> String {
    let texts: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
    crate::digest::sha256(texts.concat().as_bytes())
}

/// The settings for reading definitions files, from `rdsprov.toml` and the options.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Where to look for `application_databases`; `None` looks in both places, and rejects a
    /// file that uses both.
    pub mode: Option<Mode>,
    /// Keys of an application, and variables of a file, that only Terraform uses: they are ignored
    /// instead of being reported as unknown or misspelt.
    pub ignore_keys: Vec<String>,
    /// A regular expression that each name of a role or database must match from start to end;
    /// `None` means [`DEFAULT_NAMING_PATTERN`].
    pub naming_pattern: Option<String>,
    /// The environment that an option names: its defaults apply, and not those of the environment
    /// that the files name.
    pub environment: Option<String>,
    /// The values of keys that an application does not set, in every environment.
    pub defaults: Defaults,
    /// The values of keys that an application does not set, for each environment. They take
    /// precedence over [`Rules::defaults`].
    pub environment_defaults: BTreeMap<String, Defaults>,
}

impl Rules {
    fn defaults_for(&self, environment: Option<&str>) -> Defaults {
        environment
            .and_then(|name| self.environment_defaults.get(name))
            .cloned()
            .unwrap_or_default()
            .or(&self.defaults)
    }
}

/// The naming pattern for roles and databases if `rdsprov.toml` does not set one.
pub const DEFAULT_NAMING_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_-]*$";

/// The place of `application_databases` in a definitions file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// At the top level of the file.
    Standalone,
    /// Inside the variable `rds_config`.
    Coupled,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Coupled => "coupled",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Standalone, Self::Coupled]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| "the modes are standalone and coupled".to_owned())
    }
}

/// How the role of an application authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// With the password in its secret.
    Password,
    /// With an IAM token: the role has no password and is a member of `rds_iam`.
    Iam,
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::Iam => "iam",
        })
    }
}

/// A position in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The path of the file, equal to [`SourceText::path`].
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1, in characters and not in bytes.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

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
    /// The extensions that the database must have; only the owner entry can list them.
    pub extensions: Vec<ExtensionName>,
    /// How the role authenticates.
    pub auth: Auth,
    /// The id of the secret, if the entry sets it; otherwise the secret template gives the id.
    pub secret: Option<String>,
    /// Whether the role has the attribute `CREATEDB`.
    pub createdb: bool,
    /// The `CONNECTION LIMIT` of the role; -1 means no limit.
    pub connection_limit: i32,
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

/// The content of all definitions files of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Definitions {
    /// The variable `environment`, if a file sets it.
    pub environment: Option<String>,
    /// The variable `aws_region`, if a file sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
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
    /// Parses the files and combines their applications.
    ///
    /// # Errors
    /// Returns the errors of all files together, in the order of the files and lines.
    ///
    /// ```
    /// use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
    /// let source = SourceText {
    ///     path: "dev.tfvars".into(),
    ///     text: r#"application_databases = { shop = { database_name = "shop", username = "shop_user" } }"#.into(),
    ///     syntax: Syntax::Hcl,
    /// };
    /// let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    /// assert_eq!(definitions.applications.len(), 1);
    /// ```
    pub fn parse(sources: &[SourceText], rules: &Rules) -> Result<Self, DefinitionErrors> {
        model::read(sources, rules)
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
            None => Err(UnknownApplication {
                name: application.to_owned(),
                known: self.applications.keys().map(ToString::to_string).collect(),
            }),
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
    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        if self.known.is_empty() {
            return vec!["declare the application in the definitions".into()];
        }
        vec![format!("use one of the declared applications: {}", self.known.join(", ")).into()]
    }
}

/// One error in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// The position of the error.
    pub location: Location,
    /// The text of the line at this position.
    pub line_text: String,
    /// The stable code, such as `wrong-type`.
    pub code: ErrorCode,
    /// The fact: what is wrong, without a full stop.
    pub message: String,
    /// The hint: what to change.
    pub hint: Hint,
}

impl DefinitionError {
    /// Returns the error for a file that is not valid UTF-8, at its first invalid byte.
    ///
    /// ```
    /// use rdsprov_core::definitions::DefinitionError;
    /// let error = DefinitionError::not_utf8("dev.tfvars", &String::from_utf8(b"a\nb\xe9".into()).unwrap_err());
    /// assert_eq!(error.location.to_string(), "dev.tfvars:2:2");
    /// ```
    #[must_use]
    pub fn not_utf8(path: &str, error: &FromUtf8Error) -> Self {
        let bad = error.utf8_error().valid_up_to();
        let mut text = String::from_utf8_lossy(&error.as_bytes()[..bad]).into_owned();
        text.push(char::REPLACEMENT_CHARACTER);
        let source = SourceText { path: path.to_owned(), text, syntax: Syntax::Hcl };
        let file = File::new(&source);
        let end = file.text.len();
        let location = file.location(&(end - char::REPLACEMENT_CHARACTER.len_utf8()..end));
        file.error_at(
            location,
            ErrorCode::NotUtf8,
            "the file is not encoded in UTF-8".into(),
            "save the file as UTF-8".into(),
        )
    }
}

/// All errors that were found in the definitions files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionErrors(pub Vec<DefinitionError>);

impl DefinitionErrors {
    /// Returns the errors of some files while others could not be read.
    ///
    /// It leaves out the error that no file declares applications, because the missing
    /// files may declare them.
    ///
    /// ```
    /// use rdsprov_core::definitions::{DefinitionErrors, Rules, SourceText, Syntax};
    /// let text = "environment = \"dev\"".to_owned();
    /// let source = SourceText { path: "common.tfvars".into(), text, syntax: Syntax::Hcl };
    /// assert!(DefinitionErrors::partial(&[source], &Rules::default()).0.is_empty());
    /// ```
    #[must_use]
    pub fn partial(sources: &[SourceText], rules: &Rules) -> Self {
        Self(model::errors(sources, rules))
    }
}

impl DefinitionErrors {
    /// Returns each error as a front end prints it, with its position and line.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        self.0.iter().map(DefinitionError::diagnostic)
    }
}

impl DefinitionError {
    fn diagnostic(&self) -> Diagnostic {
        let line = self.location.line.to_string();
        let margin = " ".repeat(line.len());
        let indent = " ".repeat(self.location.column.saturating_sub(1));
        let excerpt = format!(
            "{margin}--> {}\n{line} | {}\n{margin} | {indent}^",
            self.location,
            self.line_text.replace(char::is_control, " "),
        );
        let mut diagnostic = Diagnostic::new(self.code, &self.message, vec![self.hint.clone()]);
        diagnostic.excerpt = Some(excerpt);
        diagnostic.margin = margin + " = ";
        diagnostic
    }
}

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&diagnostic::labelled(&self.diagnostics().collect::<Vec<_>>(), &Neutral))
    }
}

impl std::error::Error for DefinitionErrors {}
