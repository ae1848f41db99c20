//! Reads definitions and configuration, and determines the environment and its policy.
//!
//! This module reads files only. It contacts neither AWS nor a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Unreadable, UsageError};
use crate::config::{AuditSection, Config};
use crate::definitions::{
    self, DefinitionError, DefinitionErrors, Definitions, Mode, Rules, SourceText, Syntax,
};
use crate::name::RoleName;
use crate::operations::Provisioner;
use crate::plan::{Origin, SavedPlan};
use crate::policy::Policy;

/// The options for the definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefinitionOptions {
    /// The environment. If the definitions also contain one, both must be equal.
    pub environment: Option<String>,
    /// The mode, which is required if the definitions contain both modes.
    pub mode: Option<Mode>,
    /// The keys of the applications that adopt existing roles and databases.
    pub adopt: Vec<String>,
}

/// The options of `rdsprov delegate`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delegation {
    /// The name of the delegate.
    pub role: String,
    /// The id of the secret with its password. The secret is created if it does not exist.
    pub secret: String,
    /// Whether an existing role that is not managed is adopted as the delegate.
    pub adopt: bool,
}

impl Delegation {
    /// Creates the options for a role and the id of its secret, without adopting an existing role.
    #[must_use]
    pub fn new(role: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { role: role.into(), secret: secret.into(), adopt: false }
    }
}

/// The validated inputs of an operation: configuration, definitions and environment.
///
/// [`Setup::builder`] validates them once, and they cannot be changed afterwards.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(super) config: Config,
    pub(super) definitions: Definitions,
    /// The SHA-256 value of the definitions files, `sha256:…`.
    pub(super) definitions_sha256: String,
    pub(super) policy: Policy,
    /// The delegate, if the operation is `rdsprov delegate`. The definitions are then empty.
    pub(super) delegation: Option<(RoleName, Delegation)>,
}

/// The definitions of a [`SetupBuilder`].
#[derive(Debug, Clone)]
enum DefinitionSource {
    /// Files to read; without any, those that the configuration names.
    Files(Vec<PathBuf>),
    Texts(Vec<SourceText>),
    Parsed {
        definitions: Box<Definitions>,
        sha256: String,
    },
}

/// Collects the inputs of a [`Setup`]. It reads nothing before [`SetupBuilder::build`].
#[derive(Debug, Clone)]
pub struct SetupBuilder {
    config: Config,
    options: DefinitionOptions,
    source: DefinitionSource,
}

impl SetupBuilder {
    /// Sets the content of `rdsprov.toml`. Without it, all keys have their default values.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the environment. If the definitions also contain one, both must be equal.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.options.environment = Some(environment.into());
        self
    }

    /// Replaces all options for the definitions, with the environment.
    #[must_use]
    pub fn options(mut self, options: DefinitionOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the definitions files to read. Without any file, those that the configuration names are
    /// read.
    #[must_use]
    pub fn files<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.source = DefinitionSource::Files(files.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the texts of the definitions, instead of files.
    #[must_use]
    pub fn texts(mut self, texts: impl IntoIterator<Item = SourceText>) -> Self {
        self.source = DefinitionSource::Texts(texts.into_iter().collect());
        self
    }

    /// Sets definitions that [`declared`] has returned for these texts, so that they are not parsed
    /// again.
    #[must_use]
    pub fn parsed(mut self, definitions: Definitions, texts: &[SourceText]) -> Self {
        let sha256 = definitions::sha256(texts);
        self.source = DefinitionSource::Parsed { definitions: Box::new(definitions), sha256 };
        self
    }

    /// Returns the files for records that the configuration names.
    pub(super) fn audit(&self) -> &AuditSection {
        &self.config.audit
    }

    /// Reads and validates the inputs.
    ///
    /// # Errors
    /// Returns the errors of [`read`] and [`declared`], and [`Error::NoEnvironment`] or
    /// [`Error::UnknownEnvironment`].
    pub fn build(self) -> Result<Setup, Error> {
        let Self { config, options, source } = self;
        let parse = |texts: &[SourceText]| {
            Ok::<_, Error>((declared(&config, texts, &options)?, definitions::sha256(texts)))
        };
        let (definitions, sha256) = match source {
            DefinitionSource::Files(files) => parse(&read(&files, &config, &options)?)?,
            DefinitionSource::Texts(texts) => parse(&texts)?,
            DefinitionSource::Parsed { definitions, sha256 } => {
                check_environment(&options, &definitions)?;
                (*definitions, sha256)
            }
        };
        Setup::new(config, definitions, sha256, options.environment.as_deref())
    }
}

/// Returns the rules for definitions: options take precedence over `rdsprov.toml`.
fn rules(config: &Config, options: &DefinitionOptions) -> Rules {
    let rules = config.rules();
    Rules { mode: options.mode.or(rules.mode), environment: options.environment.clone(), ..rules }
}

/// Parses definitions with the rules of the configuration.
///
/// # Errors
/// Returns [`Error::Definitions`] with all errors of all sources, or another variant if an
/// option contradicts the definitions.
pub fn declared(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    // The option for definitions accepts several files, so it also takes a saved plan after them.
    if let Some(plan) = sources.iter().find(|source| SavedPlan::from_json(&source.text).is_ok()) {
        return Err(Error::PlanAmongDefinitions { path: plan.path.clone() });
    }
    let mut definitions = Definitions::parse(sources, &rules(config, options))?;
    for name in &options.adopt {
        definitions.adopt(name)?;
    }
    check_environment(options, &definitions)?;
    Ok(definitions)
}

fn check_environment(options: &DefinitionOptions, definitions: &Definitions) -> Result<(), Error> {
    match (&options.environment, &definitions.environment) {
        (Some(requested), Some(declared)) if requested != declared => {
            Err(Error::OtherEnvironment {
                requested: requested.clone(),
                declared: declared.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Parses definitions as [`declared`] does, and sets their environment to that of the options.
///
/// Definitions without any environment are valid.
///
/// # Errors
/// Returns the errors of [`declared`], and [`Error::UnknownEnvironment`] if the configuration does
/// not declare the environment.
pub fn validated(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    let mut definitions = declared(config, sources, options)?;
    definitions.environment = options.environment.clone().or(definitions.environment);
    if let Some(environment) = &definitions.environment {
        policy(config, environment)?;
    }
    Ok(definitions)
}

/// Returns the policy of a known environment.
fn policy(config: &Config, environment: &str) -> Result<Policy, Error> {
    config.policy(environment).ok_or_else(|| Error::UnknownEnvironment {
        environment: environment.to_owned(),
        known: config.environments_known(),
    })
}

impl Setup {
    /// Returns a builder without definitions, with the default configuration.
    ///
    /// ```
    /// use rdsprov_core::definitions::{SourceText, Syntax};
    /// use rdsprov_core::session::Setup;
    ///
    /// let text = SourceText {
    ///     path: "shop.toml".to_owned(),
    ///     text: "[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_user\""
    ///         .to_owned(),
    ///     syntax: Syntax::Toml,
    /// };
    /// let setup = Setup::builder().environment("dev").texts([text]).build()?;
    /// assert_eq!(setup.environment(), "dev");
    /// # Ok::<(), rdsprov_core::session::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> SetupBuilder {
        SetupBuilder {
            config: Config::default(),
            options: DefinitionOptions::default(),
            source: DefinitionSource::Files(Vec::new()),
        }
    }

    fn new(
        config: Config,
        definitions: Definitions,
        definitions_sha256: String,
        environment: Option<&str>,
    ) -> Result<Self, Error> {
        let environment =
            environment.or(definitions.environment.as_deref()).ok_or(Error::NoEnvironment)?;
        let policy = policy(&config, environment)?;
        Ok(Self { config, definitions, definitions_sha256, policy, delegation: None })
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the definitions, which are empty for `rdsprov delegate`.
    #[must_use]
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Returns the name of the environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        self.policy.environment()
    }

    /// Returns what the environment requires before a plan is applied.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Creates a setup for `rdsprov delegate`, which needs no definitions.
    ///
    /// # Errors
    /// Returns [`Error::NoEnvironment`] or [`Error::UnknownEnvironment`], and [`Error::Usage`] if
    /// the name of the role is invalid.
    pub(super) fn delegating(
        config: Config,
        environment: Option<&str>,
        delegation: Delegation,
    ) -> Result<Self, Error> {
        let role = RoleName::new(delegation.role.clone()).map_err(UsageError::DelegateName)?;
        let empty = Definitions {
            environment: None,
            aws_region: None,
            mode: Mode::Standalone,
            applications: BTreeMap::new(),
        };
        let setup = Self::new(config, empty, definitions::sha256(&[]), environment)?;
        Ok(Self { delegation: Some((role, delegation)), ..setup })
    }

    /// Returns the inputs that a saved plan of a run records.
    #[must_use]
    pub fn origin(&self, run: &Provisioner) -> Origin {
        self.origin_for(run.server())
    }

    /// Returns the inputs that a saved plan records, for a server given as `host:port`.
    #[must_use]
    pub fn origin_for(&self, server: String) -> Origin {
        Origin { server, definitions: self.definitions_sha256.clone() }
    }
}

/// A configuration file that is read but not parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    /// The path of the file. Paths in the file are relative to its directory.
    pub path: PathBuf,
    /// The content of the file.
    pub text: String,
}

impl ConfigText {
    /// Reads the given file, or else `rdsprov.toml` in the working directory if it exists.
    ///
    /// # Errors
    /// Returns [`Error::ConfigUnreadable`] if the file cannot be read.
    pub fn read(path: Option<&Path>) -> Result<Option<Self>, Error> {
        let default = Path::new("rdsprov.toml");
        let path = match path {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::ConfigUnreadable { path: path.to_owned(), source })?;
        Ok(Some(Self { path: path.to_owned(), text }))
    }

    /// Parses the content, and makes its paths relative to the directory of the file.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the content is invalid.
    pub fn parse(&self) -> Result<Config, Error> {
        let config = Config::from_toml(&self.path.display().to_string(), &self.text)?;
        Ok(config.relative_to(self.path.parent().unwrap_or(Path::new(""))))
    }
}

/// Reads and parses the configuration: the given file, or else `rdsprov.toml` in the working
/// directory if it exists.
///
/// # Errors
/// Returns [`Error::ConfigUnreadable`] or [`Error::Config`].
pub fn config(path: Option<&Path>) -> Result<Config, Error> {
    ConfigText::read(path)?.map_or_else(|| Ok(Config::default()), |text| text.parse())
}

/// Reads the definitions files: the given ones, or else those in `rdsprov.toml`.
///
/// # Errors
/// Returns [`Error::NoDefinitions`] if no file is given. If a file cannot be read, returns
/// [`Error::Unreadable`], which also contains all errors of the other files.
pub fn read(
    files: &[PathBuf],
    config: &Config,
    options: &DefinitionOptions,
) -> Result<Vec<SourceText>, Error> {
    let configured: Vec<PathBuf> = config.definitions.files.iter().map(PathBuf::from).collect();
    let files = if files.is_empty() { &configured } else { files };
    if files.is_empty() {
        return Err(Error::NoDefinitions);
    }
    let mut sources: Vec<SourceText> = Vec::new();
    let mut unreadable = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        let path = file.display().to_string();
        let Some(syntax) = Syntax::from_path(&path) else {
            unreadable.push(Unreadable::Syntax { path });
            continue;
        };
        if sources.iter().any(|source| source.path == path) {
            unreadable.push(Unreadable::Twice { path });
            continue;
        }
        match std::fs::read(file).map(String::from_utf8) {
            Ok(Ok(text)) => sources.push(SourceText { path, text, syntax }),
            Ok(Err(error)) => errors.push(DefinitionError::not_utf8(&path, &error)),
            Err(error) => unreadable.push(Unreadable::System { path, reason: error.to_string() }),
        }
    }
    if unreadable.is_empty() && errors.is_empty() {
        return Ok(sources);
    }
    errors.extend(DefinitionErrors::partial(&sources, &rules(config, options)).0);
    let others = DefinitionErrors(errors);
    Err(if unreadable.is_empty() {
        others.into()
    } else {
        Error::Unreadable { files: unreadable, others }
    })
}
