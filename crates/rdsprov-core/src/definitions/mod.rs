//! What teams wrote: one model, several syntaxes, every error with its place.
//!
//! A reader for each syntax (`hcl`, `json`, `toml`) turns text into one tree with spans (`tree`); one
//! reader of the model (`model`, and `entry` for what one application says) goes over the trees and
//! collects every error of every file.

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

use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, RoleName, SchemaName,
};

use crate::setting::Parameter;
pub use defaults::Defaults;
pub use entry::KEYS;
use file::File;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Terraform's `*.tfvars`.
    Hcl,
    /// `*.tfvars.json` and `*.json`.
    Json,
    /// `*.toml`.
    Toml,
}

impl Syntax {
    /// The syntax that a file's name says.
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

/// A file's text.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// Its path, as people shall read it.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// How it is written.
    pub syntax: Syntax,
}

/// `sha256:…` of the files as they are: of one what `sha256sum` says of it, of several what it says of
/// them one after the other (`cat FILE… | sha256sum`).
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

/// What a site may set about reading.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Which mode counts where both are present.
    pub mode: Option<Mode>,
    /// Keys of an application that are Terraform's own.
    pub ignore_keys: Vec<String>,
    /// A regular expression for names of roles and databases; by default
    /// [`DEFAULT_NAMING_PATTERN`].
    pub naming_pattern: Option<String>,
    /// The environment, where it is known from elsewhere than the files.
    pub environment: Option<String>,
    /// What holds where an application leaves a key out.
    pub defaults: Defaults,
    /// The same for one environment; counts before [`Rules::defaults`].
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

/// What names of roles and databases look like where a site says nothing else.
pub const DEFAULT_NAMING_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_-]*$";

/// Where the applications stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// At the top.
    Standalone,
    /// Inside `rds_config`.
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

/// How much access an application asks for; what that means stands in [`crate::privilege`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLevel {
    /// Owns the database.
    Owner,
    /// Reads and writes rows.
    Editor,
    /// Reads rows.
    Reader,
}

impl fmt::Display for AccessLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Reader => "reader",
        })
    }
}

/// How an application proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// With the password of its secret.
    Password,
    /// With a token of IAM: a member of `rds_iam`, without a password.
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

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One application's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Application {
    /// Its key.
    pub application: ApplicationName,
    /// The database.
    pub database_name: DatabaseName,
    /// The role.
    pub username: RoleName,
    /// How much access.
    pub access_level: AccessLevel,
    /// The schemas covered.
    pub schemas: Vec<SchemaName>,
    /// The extensions of the database.
    pub extensions: Vec<ExtensionName>,
    /// How the application proves who it is.
    pub auth: Auth,
    /// The secret's id, where the entry names one.
    pub secret: Option<String>,
    /// The role's `CREATEDB`.
    pub createdb: bool,
    /// The role's `CONNECTION LIMIT`; -1 is none.
    pub connection_limit: i32,
    /// The role's settings in the database.
    pub settings: BTreeMap<Parameter, String>,
    /// Roles beside the owner whose future objects in the database are granted as the owner's are.
    pub creators: Vec<RoleName>,
    /// The databases of the role that nobody declares and that are closed to PUBLIC all the same.
    pub plugin_databases: Vec<DatabasePattern>,
    /// Whether an unmanaged role or database may be taken over.
    pub adopt: bool,
    /// Where it stands.
    #[serde(skip)]
    pub location: Location,
}

/// All that the files say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Definitions {
    /// `environment`, where a file has it.
    pub environment: Option<String>,
    /// `aws_region`, where a file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
    /// The mode found.
    pub mode: Mode,
    /// The applications by their keys.
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
    /// Reads the files together.
    ///
    /// # Errors
    /// All errors of all files at once.
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

    /// Lets one application take over what it names, as `adopt = true` in its entry would.
    ///
    /// # Errors
    /// Where no application has that key.
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

/// No application has that key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no application {name:?} is declared; the declared ones are {}", .known.join(", "))]
pub struct UnknownApplication {
    /// The key asked for.
    pub name: String,
    /// The keys there are.
    pub known: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// Where.
    pub location: Location,
    /// The line itself.
    pub line_text: String,
    /// What.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl DefinitionError {
    /// Of a file that is not UTF-8: the place of the first byte that is not.
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
        file.error_at(location, "this is not UTF-8".into(), "save the file as UTF-8".into())
    }
}

/// All that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionErrors(pub Vec<DefinitionError>);

impl DefinitionErrors {
    /// All that is wrong with some files, where others could not be read: not what only all of them
    /// together can lack.
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

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            let line = error.location.line.to_string();
            let margin = " ".repeat(line.len());
            let indent = " ".repeat(error.location.column.saturating_sub(1));
            write!(
                f,
                "{}\n{margin}--> {}\n{line} | {}\n{margin} | {indent}^\n{margin} = help: {}",
                error.message,
                error.location,
                error.line_text.replace(char::is_control, " "),
                error.help
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionErrors {}
