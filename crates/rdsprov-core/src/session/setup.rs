//! Validates the inputs of an operation: definitions, configuration, the
//! environment and its policy.
//!
//! This module contacts neither AWS nor a server.

use std::path::PathBuf;

use super::error::Error;
use super::files::{DefinitionOptions, read_within, rules, site_policy};
use super::record_files::ConfiguredFiles;
use super::unreadable::Unreadable;
use super::usage_error::UsageError;
use crate::config::Config;
use crate::definitions::{self, Auth, DefinitionErrors, Definitions, SourceText};
use crate::desired::{Adoption, Backup, Credential};
use crate::input_file::{self, Input};
use crate::name::RoleName;
use crate::plan::{RetirementOptions, SavedPlan};
use crate::policy::Policy;
use crate::run_setting::{RunSetting, RunSettingName, ValueSource};
use crate::secret_id::{RecoveryWindow, SecretId};
use crate::site_policy::SitePolicy;
use crate::text::os_reason;

/// The options of `rdsprov delegate`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delegation {
    /// The name of the delegate.
    pub role: String,
    /// How the delegate authenticates.
    pub auth: Auth,
    /// The id of the secret with its password. The secret is created if it does not exist. `None` with
    /// [`Auth::Iam`].
    pub secret: Option<String>,
    /// Whether an existing role that is not managed is adopted as the delegate.
    pub adopt: bool,
}

impl Delegation {
    /// Creates the options for a role that logs in with a password, without a secret and without
    /// adopting an existing role.
    #[must_use]
    pub fn new(role: impl Into<String>) -> Self {
        Self { role: role.into(), auth: Auth::Password, secret: None, adopt: false }
    }

    /// Returns how the delegate authenticates.
    fn credential(&self) -> Result<Credential, UsageError> {
        match (self.auth, &self.secret) {
            (Auth::Password, Some(secret)) => Ok(Credential::Password(SecretId(secret.clone()))),
            (Auth::Password, None) => Err(UsageError::DelegateWithoutSecret),
            (Auth::Iam, None) => Ok(Credential::Iam),
            (Auth::Iam, Some(_)) => Err(UsageError::SecretOfIamDelegate),
        }
    }
}

/// The options of `rdsprov retire` and `rdsprov teardown`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Retirement {
    /// The applications: each has the access level `none`, or the definitions do not declare it any
    /// more.
    pub applications: Vec<String>,
    /// Whether the sessions of their roles are ended.
    pub end_sessions: bool,
    /// Whether their roles are dropped.
    pub drop_role: bool,
    /// Whether the databases that their roles own are dropped. It requires `backup`.
    pub drop_database: bool,
    /// What is left of the data of dropped databases.
    pub backup: Option<Backup>,
    /// The names of the databases to drop, as a confirmation.
    pub confirm: Vec<String>,
    /// Whether the deletion of the secrets of their roles is scheduled, and how long they can be restored.
    pub delete_secrets: Option<RecoveryWindow>,
    /// The build that is torn down; `None` for `retire`.
    pub(super) build: Option<String>,
}

impl Retirement {
    /// Creates the options for these applications, without ending sessions.
    #[must_use]
    pub fn new(applications: impl IntoIterator<Item = String>) -> Self {
        Self { applications: applications.into_iter().collect(), ..Self::default() }
    }

    /// Returns the options with which a saved plan retires applications.
    pub(super) fn of_saved(
        saved: &RetirementOptions,
        applications: Vec<String>,
        confirm: Vec<String>,
    ) -> Self {
        Self {
            applications,
            end_sessions: saved.ends_sessions,
            drop_role: saved.drops_roles,
            drop_database: saved.drops_databases.is_some(),
            backup: saved.drops_databases.clone(),
            confirm,
            delete_secrets: saved.deletes_secrets,
            build: None,
        }
    }

    /// Adds what makes a teardown of them: the build, whose roles and databases are dropped.
    pub(super) fn of_build(self, build: Option<&str>) -> Result<Self, UsageError> {
        let build = build.filter(|build| !build.is_empty()).ok_or(UsageError::NoBuild)?;
        Ok(Self { drop_role: true, drop_database: true, build: Some(build.to_owned()), ..self })
    }

    /// Returns the options after [`Self::check_backup`]. A dry run shows what is dropped before the user says
    /// what is left of its data. Whether a teardown drops any database is known from its plan only.
    pub(super) fn checked(self, is_dry_run: bool) -> Result<Self, UsageError> {
        let is_planned_first = is_dry_run || self.build.is_some();
        if is_planned_first && self.drop_database && self.backup.is_none() {
            return Ok(Self { backup: Some(Backup::NotNamed), ..self });
        }
        self.check_backup()?;
        Ok(self)
    }

    /// Checks what is left of the data of dropped databases.
    pub(super) fn check_backup(&self) -> Result<(), UsageError> {
        let path = match &self.backup {
            None if !self.drop_database => return Ok(()),
            Some(backup) if !self.drop_database => {
                return Err(UsageError::BackupWithoutDrop { backup: backup.clone() });
            }
            None | Some(Backup::NotNamed) => return Err(UsageError::NoBackup),
            Some(Backup::Nothing) => return Ok(()),
            Some(Backup::File(path)) => path,
        };
        let reason = match std::fs::metadata(path) {
            Ok(file) if !file.is_file() => "it is not a regular file".to_owned(),
            Ok(file) if file.len() == 0 => "it is empty".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => os_reason(&error),
        };
        Err(UsageError::BackupUnusable { path: path.clone(), reason })
    }
}

/// The validated inputs of an operation: configuration, definitions and environment.
///
/// [`Setup::builder`] validates them once, and they cannot be changed afterwards.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(super) config: Config,
    pub(super) policy: Policy,
    /// The approval policy, with the place that sets it.
    pub(super) approval: RunSetting,
    pub(super) site: SitePolicy,
    pub(super) declared: Declared,
    /// The SHA-256 value of the definitions files, `sha256:…`.
    pub(super) definitions_sha256: String,
}

/// What an operation declares.
#[derive(Debug, Clone)]
pub(super) enum Declared {
    Definitions(Definitions),
    /// The delegate of `rdsprov delegate`, which reads no definitions.
    Delegate {
        role: RoleName,
        credential: Credential,
        adoption: Adoption,
    },
}

/// The definitions of a [`SetupBuilder`].
#[derive(Debug, Clone)]
enum DefinitionSource {
    /// Files to read; without any, those that the configuration names.
    Files(Vec<PathBuf>),
    /// Files that another file names, and that must be below its directory.
    FilesBelow {
        files: Vec<PathBuf>,
        directory: PathBuf,
    },
    Texts(Vec<SourceText>),
    Parsed {
        definitions: Box<Definitions>,
        sha256: String,
    },
}

/// The environment of a setup without one, which is also the placeholder of the environment in templates.
pub(super) const NO_ENVIRONMENT: &str = "{environment}";

/// The inputs of a [`Setup`], before its environment is known.
struct Inputs {
    config: Config,
    site: SitePolicy,
    options: DefinitionOptions,
    definitions: Definitions,
    sha256: String,
    reads_definitions: bool,
}

/// Collects the inputs of a [`Setup`]. It reads nothing before [`SetupBuilder::build`].
#[derive(Debug, Clone)]
pub struct SetupBuilder {
    config: Config,
    site: SitePolicy,
    pub(super) options: DefinitionOptions,
    source: DefinitionSource,
}

impl SetupBuilder {
    /// Sets the content of `rdsprov.toml`. Without it, all keys have their default values.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds requirements to those of the site policy, which [`Self::build`] reads: see
    /// [`site_policy`].
    #[must_use]
    pub fn site_policy(mut self, policy: SitePolicy) -> Self {
        self.site = self.site.and(policy);
        self
    }

    /// Sets the environment. If the definitions also contain one, both must be equal.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.options.environment = Some(environment.into());
        self
    }

    /// Replaces all options for the definitions, including the environment. Of these options, only
    /// the environment counts for [`Self::parsed`] definitions.
    #[must_use]
    pub fn options(mut self, options: DefinitionOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the definitions files to read. Without any file, those that the
    /// configuration names are read.
    #[must_use]
    pub fn files<P: Into<PathBuf>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.source = DefinitionSource::Files(files.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the definitions files that another file names: they must be below its directory.
    pub(super) fn files_below(mut self, files: Vec<PathBuf>, directory: PathBuf) -> Self {
        self.source = DefinitionSource::FilesBelow { files, directory };
        self
    }

    /// Sets the texts of the definitions, instead of files.
    #[must_use]
    pub fn texts(mut self, texts: impl IntoIterator<Item = SourceText>) -> Self {
        self.source = DefinitionSource::Texts(texts.into_iter().collect());
        self
    }

    /// Sets definitions that [`parse_definitions`] has returned for these texts, so that they
    /// are not parsed again.
    #[must_use]
    pub fn parsed(mut self, definitions: Definitions, texts: &[SourceText]) -> Self {
        let sha256 = definitions::sha256(texts);
        self.source = DefinitionSource::Parsed { definitions: Box::new(definitions), sha256 };
        self
    }

    /// Returns the definitions files that the caller names; none if others name them.
    pub(super) fn named_files(&self) -> Vec<String> {
        match &self.source {
            DefinitionSource::Files(files) | DefinitionSource::FilesBelow { files, .. } => {
                files.iter().map(|path| path.display().to_string()).collect()
            }
            DefinitionSource::Texts(texts) => texts.iter().map(|one| one.path.clone()).collect(),
            DefinitionSource::Parsed { .. } => Vec::new(),
        }
    }

    /// Sets definitions without applications, for an operation that reads none.
    #[must_use]
    pub fn without_definitions(self) -> Self {
        self.parsed(Definitions::none(), &[])
    }

    /// Returns the files for records that the configuration names.
    pub(super) fn configured_files(&self) -> ConfiguredFiles {
        ConfiguredFiles::new(&self.config)
    }

    /// Returns a setup for the settings that do not depend on an environment: [`NO_ENVIRONMENT`] is in its place.
    ///
    /// # Errors
    /// Returns the errors of [`Self::build`] except those of the environment.
    pub(super) fn build_without_environment(mut self) -> Result<Setup, Error> {
        self.options.environment = None;
        let Inputs { config, site, options: _, definitions, sha256, .. } = self.read()?;
        let policy = Policy::declared(NO_ENVIRONMENT, None);
        let (policy, approval) = tighten(&config, &site, policy);
        let declared = Declared::Definitions(definitions);
        Ok(Setup { config, policy, approval, site, declared, definitions_sha256: sha256 })
    }

    /// Reads and validates the inputs.
    ///
    /// # Errors
    /// Returns the errors of [`read`](super::read), [`parse_definitions`] and [`site_policy`], and
    /// [`Error::NoEnvironment`] or [`Error::UnknownEnvironment`].
    pub fn build(self) -> Result<Setup, Error> {
        let Inputs { config, site, options, definitions, sha256, reads_definitions } =
            self.read()?;
        let environment = options.environment.as_ref().or(definitions.environment.as_ref());
        let policy =
            policy(&config, environment.ok_or(Error::NoEnvironment { reads_definitions })?)?;
        site.check_environment(policy.environment())?;
        let (policy, approval) = tighten(&config, &site, policy);
        let declared = Declared::Definitions(definitions);
        Ok(Setup { config, policy, approval, site, declared, definitions_sha256: sha256 })
    }

    fn read(self) -> Result<Inputs, Error> {
        let Self { config, site, options, source } = self;
        let site = site_policy()?.and(site);
        let parse = |texts: &[SourceText]| {
            Ok::<_, Error>((
                parse_definitions(&config, texts, &options)?,
                definitions::sha256(texts),
            ))
        };
        let reads_definitions = match &source {
            DefinitionSource::Parsed { sha256, .. } => *sha256 != definitions::sha256(&[]),
            _ => true,
        };
        let (definitions, sha256) = match source {
            DefinitionSource::Files(files) => {
                parse(&read_within(&files, None, &config, &options, &site)?)?
            }
            DefinitionSource::FilesBelow { files, directory } => {
                parse(&read_within(&files, Some(&directory), &config, &options, &site)?)?
            }
            DefinitionSource::Texts(texts) => parse(&texts)?,
            DefinitionSource::Parsed { mut definitions, sha256 } => {
                check_environment(&config, &options, &definitions)?;
                if !reads_definitions {
                    definitions.scope.clone_from(&config.definitions.scope);
                }
                (*definitions, sha256)
            }
        };
        Ok(Inputs { config, site, options, definitions, sha256, reads_definitions })
    }
}

/// Parses definitions with the rules of the configuration.
///
/// # Errors
/// Returns [`Error::Definitions`] with all errors of all sources, or another variant if an
/// option contradicts the definitions.
pub fn parse_definitions(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    check_sizes(sources)?;
    // The option for definitions accepts several files, so it also takes a saved plan after them.
    if let Some(plan) = sources.iter().find(|source| SavedPlan::from_json(&source.text).is_ok()) {
        return Err(Error::PlanAmongDefinitions { path: plan.path.clone() });
    }
    let mut definitions = Definitions::parse(sources, &rules(config, options))?;
    for name in &options.adopt {
        definitions.adopt(name)?;
    }
    check_environment(config, options, &definitions)?;
    Ok(definitions)
}

/// Checks texts that do not come from files: these have the same limits.
fn check_sizes(sources: &[SourceText]) -> Result<(), Error> {
    let site = site_policy()?;
    let limit = site.definitions_limit();
    let mut files = Vec::new();
    for source in sources {
        if let Err(error) = input_file::check_size(&source.text, Input::Definitions, limit.as_ref())
        {
            let path = source.path.clone();
            files.push(Unreadable::System { path, reason: os_reason(&error), similar: None });
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    Err(Error::Unreadable { files, others: DefinitionErrors::new(Vec::new(), 0) })
}

fn check_environment(
    config: &Config,
    options: &DefinitionOptions,
    definitions: &Definitions,
) -> Result<(), Error> {
    // For a misspelt environment, the error says that it is unknown, not that it is another one.
    if let Some(requested) = &options.environment {
        policy(config, requested)?;
    }
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

/// Parses definitions as [`parse_definitions`] does, and sets their environment to that of the options.
///
/// Definitions without any environment are valid.
///
/// # Errors
/// Returns the errors of [`parse_definitions`], and [`Error::UnknownEnvironment`] if the configuration does
/// not declare the environment.
pub fn parse_for_environment(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    let mut definitions = parse_definitions(config, sources, options)?;
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

/// Returns the policy of an environment with what the site requires, and the place that sets its
/// approval policy.
fn tighten(config: &Config, site: &SitePolicy, policy: Policy) -> (Policy, RunSetting) {
    let of_environment = config.environments.get(policy.environment());
    let source = match site.approval_source(&policy) {
        Some(path) => ValueSource::SitePolicy(path.to_owned()),
        None if of_environment.is_some_and(|one| one.approval.is_some()) => {
            ValueSource::ConfigFile(config.file_name())
        }
        None => ValueSource::Default,
    };
    let policy = site.tighten(policy);
    let name = policy.approval().name();
    (policy, RunSetting::new(RunSettingName::Approval, name, source))
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
            site: SitePolicy::default(),
            options: DefinitionOptions::default(),
            source: DefinitionSource::Files(Vec::new()),
        }
    }

    /// Returns the content of `rdsprov.toml`.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the definitions; `None` for `rdsprov delegate`.
    #[must_use]
    pub fn definitions(&self) -> Option<&Definitions> {
        match &self.declared {
            Declared::Definitions(definitions) => Some(definitions),
            Declared::Delegate { .. } => None,
        }
    }

    /// Returns the name of the environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        self.policy.environment()
    }

    /// Returns the scope of the definitions, if they have one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.definitions()?.scope.as_deref()
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
        let credential = delegation.credential()?;
        let role = RoleName::new(delegation.role).map_err(UsageError::DelegateName)?;
        let site = site_policy()?;
        let policy =
            policy(&config, environment.ok_or(Error::NoEnvironment { reads_definitions: false })?)?;
        site.check_environment(policy.environment())?;
        let (policy, approval) = tighten(&config, &site, policy);
        let adoption = if delegation.adopt { Adoption::Allowed } else { Adoption::Refused };
        let declared = Declared::Delegate { role, credential, adoption };
        let definitions_sha256 = definitions::sha256(&[]);
        Ok(Self { config, policy, approval, site, declared, definitions_sha256 })
    }
}
