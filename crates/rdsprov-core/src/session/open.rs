//! Combines the options for server and secrets, fetches the secrets, and connects.
//!
//! The precedence is: option, environment variable, definitions, `rdsprov.toml`,
//! and the administrator's secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;
use tokio::sync::OnceCell;

use super::credential_sources;
use super::files::leaves;
use super::record_files::ConfiguredFiles;
use super::setup::{Declared, Retirement, Setup};
use super::system_certificates;
use super::usage_error::{BUILD_ID, UsageError, check_length};
use crate::access_report::AccessReport;
use crate::audit::{AuditError, LedgerWriter, TableReport, last_applied};
use crate::audit_table::AuditTableName;
use crate::config::{
    AssumeRole, CaFile, Config, NewSecrets, Passwords, SettingOrigin, TlsMode, TlsSection,
    TlsSettings, VerifyPasswords,
};
use crate::definitions::Definitions;
use crate::desired::{Credential, Desired, LastApplied};
use crate::export::{Export, ExportContext, ExportScope};
use crate::hint::Opt;
use crate::name::{DatabaseName, RoleName};
use crate::operations::{
    AccessQuery, AdminConnection, AdminCredentials, ConnectionOverrides, ExportError, Provisioner,
};
use crate::plan::{Finding, Hazard};
use crate::policy::UndeclaredAccess;
use crate::run_setting::{RunSetting, RunSettingName, ValueSource};
use crate::secret_id::{SecretId, Stage, Templates};
use crate::secrets::{SecretProvider, SecretSource, SecretsManager, TokenSource, aws};
use crate::server::Tls;
use crate::site_policy::SitePolicy;
use crate::text::os_reason;

/// How the administrator authenticates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminAuth {
    /// The administrator has the password in its secret.
    #[default]
    Password,
    /// The administrator uses IAM tokens, and no secret of the administrator is read. It
    /// requires the feature `aws`.
    Iam,
}

/// The source of the secrets.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Secrets {
    /// AWS Secrets Manager in the configured region. It requires the feature `aws`.
    #[default]
    Aws,
    /// A directory that contains a JSON file for each secret.
    Files(PathBuf),
    /// A source that the embedding program implements.
    Own(Arc<dyn SecretProvider>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws => f.write_str("aws"),
            Self::Files(directory) => write!(f, "file:{}", directory.display()),
            Self::Own(_) => f.write_str("own"),
        }
    }
}

impl FromStr for Secrets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "aws" => Ok(Self::Aws),
            Some(("file", directory)) if Path::new(directory).is_dir() => {
                Ok(Self::Files(PathBuf::from(directory)))
            }
            Some(("file", directory)) => {
                Err(format!("the directory of secrets, {directory}, does not exist"))
            }
            _ => Err("the sources of secrets are `aws` and `file:DIR`".to_owned()),
        }
    }
}

/// The options for server and secrets.
///
/// For an option that is `None`, environment variables, `rdsprov.toml`, the administrator's secret
/// or a default decide.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The source of the secrets.
    pub secrets: Secrets,
    /// The id of the administrator's secret; by default from the secret template.
    pub admin_secret: Option<String>,
    /// How the administrator authenticates.
    pub admin_auth: AdminAuth,
    /// The role of the administrator, which is required with IAM tokens.
    pub admin_user: Option<String>,
    /// The version stage of the applications' secrets; by default `AWSCURRENT`.
    pub secret_stage: Option<Stage>,
    /// The KMS key and the tags of secrets that the run creates; `[secrets]` of `rdsprov.toml` adds to
    /// them.
    pub new_secrets: NewSecrets,
    /// The AWS region of Secrets Manager and of IAM tokens.
    pub region: Option<String>,
    /// The IAM role whose credentials are used instead of those of the environment.
    pub assume_role: Option<AssumeRole>,
    /// The host, port and database, if they differ from the administrator's secret, and the limits of
    /// the connections.
    pub overrides: ConnectionOverrides,
    /// The TLS mode, the CA file and the client certificate.
    pub tls: TlsSection,
    /// Whether and how passwords are checked.
    pub verify_passwords: Option<VerifyPasswords>,
    /// The build id for markers and records.
    pub build_id: Option<String>,
    /// The hazards that the plan may contain.
    pub allow: Vec<Hazard>,
    /// The environment whose roles and databases are taken over: the server was restored from one of
    /// its snapshots.
    pub adopt_from: Option<String>,
    /// Whether a role that is not declared and has access to a declared database is a difference.
    pub strict: bool,
    /// The findings on which [`Plan::passes_check`](crate::plan::Plan::passes_check) also fails.
    pub fail_on: Vec<Finding>,
    /// The applications to which a plan is restricted; empty means all. See [`Desired::select`].
    pub only: Vec<String>,
    /// Whether a plan contains additions only: what takes access away is pending.
    pub additive: bool,
    /// The ledger that says which definitions were applied last; by default the one in `rdsprov.toml`.
    pub audit_ledger: Option<PathBuf>,
    /// The audit table; by default the one in `rdsprov.toml`.
    pub audit_table: Option<AuditTableName>,
    /// The applications that the run retires, and how; see [`Desired::retire`].
    pub(super) retirement: Retirement,
    /// The options whose values come from environment variables, with the names of the variables.
    pub variables: BTreeMap<Opt, String>,
    /// The options whose values come from a fleet file, with its path.
    pub(super) of_fleet_file: BTreeMap<Opt, String>,
}

/// The AWS configuration of a run, loaded when it is first needed. The secrets and the IAM tokens of
/// a run share it, so that the credentials are loaded once.
#[derive(Default)]
pub(super) struct RunAws(OnceCell<aws::AwsConfig>);

impl ServerOptions {
    /// Returns the options with which a plan retires applications, as [`retire`](super::retire) does.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if databases are dropped, and what is left of their data is not named, and if
    /// it is named although none are dropped.
    pub fn retiring(mut self, retirement: Retirement) -> Result<Self, Error> {
        retirement.check_backup()?;
        self.retirement = retirement;
        Ok(self)
    }

    /// Returns the place that sets the value of an option.
    pub(super) fn source(&self, option: Opt) -> ValueSource {
        match (self.variables.get(&option), self.of_fleet_file.get(&option)) {
            (_, Some(path)) => ValueSource::ConfigFile(path.clone()),
            (Some(variable), None) => ValueSource::Variable(variable.clone()),
            (None, None) => ValueSource::Option(option),
        }
    }

    /// Returns the place that sets the IAM role: a fleet file, or the embedding program.
    fn assume_role_source(&self) -> ValueSource {
        let path = self.of_fleet_file.values().next();
        path.map_or(ValueSource::AwsSdk, |path| ValueSource::ConfigFile(path.clone()))
    }
}

impl Setup {
    /// Returns the desired state of the definitions, restricted to the applications in `only`, or
    /// that of the delegation.
    ///
    /// # Errors
    /// Returns [`Error::Template`] if a secret template contains an unknown placeholder,
    /// [`Error::SitePolicy`] if the site policy does not let a run allow one of the hazards or does not
    /// allow a membership, and [`Error::UnknownApplication`] if an application in `only` is not declared.
    pub fn desired(
        &self,
        build_id: Option<&str>,
        allow: &[Hazard],
        only: &[String],
    ) -> Result<Desired, Error> {
        check_length(BUILD_ID, build_id)?;
        self.site.check_allowed(self.environment(), allow)?;
        let definitions = match &self.declared {
            Declared::Definitions(definitions) => definitions,
            Declared::Delegate { role, credential, adoption } => {
                let (role, credential) = (role.clone(), credential.clone());
                let mut desired =
                    Desired::delegation(self.environment(), role, credential, *adoption);
                desired.may_degrade_blue_green = allow.contains(&Hazard::DegradesBlueGreen);
                desired.allowed_hazards = allow.iter().map(|hazard| hazard.name()).collect();
                self.protect(&mut desired);
                return Ok(desired);
            }
        };
        let templates = self.templates();
        let mut desired = Desired::new(definitions, self.environment(), &templates, build_id)?;
        for (name, role) in &desired.roles {
            for group in &role.memberships {
                self.site.check_membership(self.environment(), name, group)?;
            }
        }
        desired.may_change_owners = allow.contains(&Hazard::ChangesOwner);
        desired.may_degrade_blue_green = allow.contains(&Hazard::DegradesBlueGreen);
        desired.allowed_hazards = allow.iter().map(|hazard| hazard.name()).collect();
        desired.undeclared_access = self.undeclared_access();
        desired.definitions = Some(self.definitions_sha256.clone());
        self.protect(&mut desired);
        desired.select(only)?;
        Ok(desired)
    }

    /// Sets what an approval is for, in addition to the changes.
    fn protect(&self, desired: &mut Desired) {
        desired.approval = Some(self.approval.clone());
        desired.minimum_password_length = self.config.passwords.minimum_length;
        desired.configured_ledger = self.config.as_written(self.config.audit.ledger.as_deref());
        desired.configured_csv = self.config.as_written(self.config.audit.output.as_deref());
    }

    /// Sets the environment whose roles and databases a desired state takes over: the server was
    /// restored from one of its snapshots.
    ///
    /// # Errors
    /// Returns [`UsageError::AdoptFromItself`] if it is the environment of the definitions.
    pub fn take_over(&self, desired: &mut Desired, from: Option<String>) -> Result<(), Error> {
        if from.as_deref() == Some(self.environment()) {
            let environment = self.environment().to_owned();
            return Err(UsageError::AdoptFromItself { environment }.into());
        }
        desired.adopt_from = from;
        Ok(())
    }

    /// Fetches the administrator's secret only, and connects. The desired state says which databases
    /// belong to applications: the administrator connects to none of them by default.
    ///
    /// # Errors
    /// Returns an [`Error`] if an option is invalid, the secret cannot be read,
    /// or the connection fails.
    pub async fn open_admin_connection(
        &self,
        options: &ServerOptions,
        desired: &Desired,
    ) -> Result<AdminConnection, Error> {
        let overrides = self.overrides(options)?;
        let aws = RunAws::default();
        let source = self.secret_source(options, &aws).await?;
        let login = self.login(options, &aws).await?;
        let (tls, _) = tls(&self.config, &self.site, options)?;
        Ok(AdminConnection::open(desired, &source, login, overrides, tls).await?)
    }

    /// Connects and returns the access report.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchDatabase`] if the query names a database that is not managed, and
    /// other variants as [`Self::open_admin_connection`] does.
    pub async fn access(
        &self,
        options: &ServerOptions,
        query: &AccessQuery,
    ) -> Result<AccessReport, Error> {
        let desired = self.desired(options.build_id.as_deref(), &options.allow, &[])?;
        let connection = self.open_admin_connection(options, &desired).await?;
        let access_report = connection.access_report(&desired, query).await?;
        match &query.database {
            Some(database) if access_report.databases.is_empty() => Err(Error::NoSuchDatabase {
                database: database.clone(),
                environment: self.environment().to_owned(),
            }),
            _ => Ok(access_report),
        }
    }

    /// Connects and returns the rows of the audit tables of the server, for the environment. Writes nothing.
    /// `others` are databases whose tables are read in addition to those of managed databases, such as
    /// [`audited_databases`](crate::audit::audited_databases) of a ledger.
    ///
    /// # Errors
    /// Returns [`UsageError::NoAuditTable`] if neither the options, `rdsprov.toml` nor a site policy name the table, and other
    /// variants as [`Self::open_admin_connection`] does.
    pub async fn audit_tables(
        &self,
        options: &ServerOptions,
        others: &BTreeSet<DatabaseName>,
    ) -> Result<TableReport, Error> {
        let table = self.audit_table(options).ok_or(UsageError::NoAuditTable)?;
        let templates = self.templates();
        let nothing = Desired::new(&Definitions::none(), self.environment(), &templates, None)?;
        let connection = self.open_admin_connection(options, &nothing).await?;
        Ok(connection.audit_tables(&nothing, table, others).await?)
    }

    /// Connects and returns definitions of what the server has. The definitions of the setup are ignored:
    /// [`SetupBuilder::without_definitions`](super::SetupBuilder::without_definitions) makes one that
    /// reads none.
    ///
    /// # Errors
    /// Returns an [`Error`] as [`Self::open_admin_connection`] does, or if the shared catalogs cannot be
    /// read.
    pub async fn export(
        &self,
        options: &ServerOptions,
        scope: &ExportScope,
    ) -> Result<Export, Error> {
        let templates = self.templates();
        let build_id = options.build_id.as_deref();
        check_length(BUILD_ID, build_id)?;
        let nothing = Desired::new(&Definitions::none(), self.environment(), &templates, build_id)?;
        let connection = self.open_admin_connection(options, &nothing).await?;
        let context = ExportContext {
            environment: self.environment(),
            templates: &templates,
            rules: &self.config.rules(),
            build_id,
            scope,
            undeclared_access: self.undeclared_access(),
        };
        connection.export(&nothing, &context).await.map_err(|error| match error {
            ExportError::Run(error) => Error::from(error),
            ExportError::Template(error) => Error::from(error),
            ExportError::NothingMatches { databases } => Error::NothingMatches { databases },
        })
    }

    /// Returns whether access that is not declared is refused.
    fn undeclared_access(&self) -> UndeclaredAccess {
        let configured = self.config.access.undeclared.unwrap_or_default();
        self.site.undeclared_access(self.environment(), configured)
    }

    /// Returns how the administrator logs in, with the place that sets it.
    pub(super) fn login_setting(
        &self,
        options: &ServerOptions,
        login: &AdminCredentials,
    ) -> RunSetting {
        match login {
            AdminCredentials::Secret(id) => {
                let source = match (&options.admin_secret, &self.config.secrets.admin) {
                    (Some(_), _) => options.source(Opt::AdminSecret),
                    (None, Some(_)) => ValueSource::ConfigFile(self.config.file_name()),
                    (None, None) => ValueSource::Default,
                };
                RunSetting::new(RunSettingName::AdminSecret, id.0.clone(), source)
            }
            AdminCredentials::Token { user, .. } => {
                let source = options.source(Opt::AdminUser);
                RunSetting::new(RunSettingName::AdminUser, user.as_str(), source)
            }
        }
    }

    /// Returns the desired state of a run with these options.
    pub(super) fn desired_for(&self, options: &ServerOptions) -> Result<Desired, Error> {
        let ServerOptions { build_id, allow, only, .. } = options;
        let mut desired = self.desired(build_id.as_deref(), allow, only)?;
        desired.secret_stage = options.secret_stage.unwrap_or_default();
        desired.strict = options.strict;
        desired.fail_on = options.fail_on.iter().map(|one| one.name()).collect();
        desired.additive = options.additive;
        desired.audit_table = self.audit_table(options).cloned();
        self.take_over(&mut desired, options.adopt_from.clone())?;
        desired.retire(&options.retirement.applications).map_err(UsageError::from)?;
        let Retirement {
            end_sessions,
            drop_role,
            drop_database,
            backup,
            delete_secrets,
            build,
            ..
        } = &options.retirement;
        desired.ends_sessions = *end_sessions;
        desired.drops_roles = *drop_role;
        desired.drops_databases = backup.clone().filter(|_| *drop_database);
        desired.deletes_secrets = *delete_secrets;
        if build.is_none() && options.retirement.applications.is_empty() {
            desired.last_applied = self.last_applied(options.audit_ledger.as_ref())?;
        }
        if build.is_some() {
            desired.torn_down_build.clone_from(build);
            // Without definitions, all access is undeclared.
            desired.undeclared_access = UndeclaredAccess::Allow;
        }
        Ok(desired)
    }

    /// Returns the audit table of a run with these options.
    pub(super) fn audit_table<'a>(
        &'a self,
        options: &'a ServerOptions,
    ) -> Option<&'a AuditTableName> {
        let configured = options.audit_table.as_ref().or(self.config.audit.table.as_ref());
        configured.or_else(|| self.site.audit_table().map(|(_, table)| table))
    }

    /// Returns the audit table of a run with these options, and the place that names it.
    pub(super) fn audit_table_setting(&self, options: &ServerOptions) -> Option<RunSetting> {
        let table = self.audit_table(options)?.to_string();
        let source = match (&options.audit_table, &self.config.audit.table) {
            (Some(_), _) => options.source(Opt::AuditTable),
            (None, Some(_)) => ValueSource::ConfigFile(self.config.file_name()),
            (None, None) => {
                let (path, _) = self.site.audit_table()?;
                ValueSource::SitePolicy(path.to_owned())
            }
        };
        Some(RunSetting::new(RunSettingName::AuditTable, table, source))
    }

    /// Returns the last complete `apply` on each server, as the ledger of a run records it.
    fn last_applied(&self, named: Option<&PathBuf>) -> Result<Vec<LastApplied>, Error> {
        let files = ConfiguredFiles::new(&self.config);
        // A run that writes records reports a file that it cannot use.
        let (_, ledger, _) = files.destinations(None, named);
        let Some(ledger) = ledger else { return Ok(Vec::new()) };
        let path = ledger.path();
        let unreadable = |error: io::Error| UsageError::LedgerUnreadable {
            path: path.display().to_string(),
            reason: os_reason(&error),
        };
        let file = LedgerWriter::open_to_read(path).map_err(|error| match error {
            AuditError::Io { source, .. } => Error::from(unreadable(source)),
            error => error.into(),
        })?;
        let Some(file) = file else {
            tracing::info!("ledger {} does not exist yet", path.display());
            return Ok(Vec::new());
        };
        let read = last_applied(BufReader::new(file), self.environment(), self.scope());
        Ok(read.map_err(unreadable)?)
    }

    /// Returns the rules for passwords of a run with these options.
    pub(super) fn passwords(&self, options: &ServerOptions) -> Passwords {
        let mut passwords = self.config.passwords.clone();
        passwords.verify = options.verify_passwords.or(passwords.verify);
        passwords
    }

    /// Fetches the secrets of the definitions and connects.
    ///
    /// # Errors
    /// Returns an [`Error`] if an option is invalid, the administrator's secret cannot be read,
    /// or the connection fails.
    pub async fn open(&self, options: &ServerOptions) -> Result<Provisioner, Error> {
        let desired = self.desired_for(options)?;
        let aws = RunAws::default();
        let source = self.secret_source(options, &aws).await?;
        let login = self.login(options, &aws).await?;
        self.open_for(options, desired, &source, login).await
    }

    /// Fetches the secrets of a desired state and connects.
    pub(super) async fn open_for(
        &self,
        options: &ServerOptions,
        desired: Desired,
        source: &SecretSource,
        login: AdminCredentials,
    ) -> Result<Provisioner, Error> {
        let overrides = self.overrides(options)?;
        let (tls, of_tls) = tls(&self.config, &self.site, options)?;
        let mut settings = vec![self.login_setting(options, &login)];
        settings.extend(of_tls);
        settings.extend(self.aws_settings(options, source, &login));
        let passwords = self.passwords(options);
        if let Some(verify) = passwords.verify.filter(|one| *one != VerifyPasswords::default()) {
            let place = self.verify_passwords_source(options);
            settings.push(RunSetting::new(RunSettingName::VerifyPasswords, verify.name(), place));
        }
        settings.extend(self.audit_table_setting(options));
        let mut run = Provisioner::open(desired, source, login, overrides, tls, &passwords).await?;
        let named = |source: &ValueSource| match source {
            ValueSource::Option(option) => options.source(*option),
            source => source.clone(),
        };
        let (host, port) = run.address();
        let of_address = [(RunSettingName::Host, host), (RunSettingName::Port, port)]
            .map(|(name, (value, source))| RunSetting::new(name, value, named(source)));
        let connect_to = run.connect_to().map(|(value, source)| {
            RunSetting::new(RunSettingName::ConnectTo, value, named(source))
        });
        settings.splice(0..0, of_address.into_iter().chain(connect_to));
        run.set_run_settings(settings);
        Ok(run)
    }

    /// Returns which secrets of AWS the run uses, and what Secrets Manager stores with a new one.
    fn aws_settings(
        &self,
        options: &ServerOptions,
        source: &SecretSource,
        login: &AdminCredentials,
    ) -> Vec<RunSetting> {
        let is_of_aws = matches!(source, SecretSource::Aws(_));
        let mut settings = Vec::new();
        if let SecretSource::Aws(manager) = source {
            let (_, place) = self.region(options);
            settings.push(RunSetting::new(RunSettingName::AwsRegion, manager.region(), place));
        }
        if let Some(role) = &options.assume_role
            && (is_of_aws || matches!(login, AdminCredentials::Token { .. }))
        {
            settings.push(RunSetting::new(
                RunSettingName::AssumeRole,
                role.arn(),
                options.assume_role_source(),
            ));
        }
        if is_of_aws && matches!(self.declared, Declared::Delegate { .. }) {
            let NewSecrets { kms_key, tags } = self.new_secrets(options);
            let of = |option, is_given: bool| match is_given {
                true => options.source(option),
                false => ValueSource::ConfigFile(self.config.file_name()),
            };
            settings.extend(kms_key.map(|key| {
                let place = of(Opt::SecretKmsKey, options.new_secrets.kms_key.is_some());
                RunSetting::new(RunSettingName::SecretKmsKey, key.as_str(), place)
            }));
            settings.extend(tags.iter().map(|(key, value)| {
                let is_given = options.new_secrets.tags.iter().any(|(given, _)| given == key);
                let place = of(Opt::SecretTags, is_given);
                RunSetting::new(RunSettingName::SecretTag, format!("{key}={value}"), place)
            }));
        }
        settings
    }

    /// Returns the KMS key and the tags of secrets that a run with these options creates.
    pub(super) fn new_secrets(&self, options: &ServerOptions) -> NewSecrets {
        let section = &self.config.secrets;
        let mut configured = NewSecrets::default();
        configured.kms_key.clone_from(&section.kms_key);
        configured.tags.clone_from(&section.tags);
        options.new_secrets.or(&configured)
    }

    /// Returns the place that sets how passwords are verified.
    fn verify_passwords_source(&self, options: &ServerOptions) -> ValueSource {
        match options.verify_passwords {
            Some(_) => options.source(Opt::VerifyPasswords),
            None => ValueSource::ConfigFile(self.config.file_name()),
        }
    }

    fn templates(&self) -> Templates {
        self.config.templates()
    }

    /// Returns the AWS region with the place that sets it; no region if only the AWS SDK can find one.
    pub(super) fn region(&self, options: &ServerOptions) -> (Option<String>, ValueSource) {
        const VARIABLE: &str = "AWS_REGION";
        let variable = || std::env::var(VARIABLE).ok().filter(|region| !region.is_empty());
        let definitions = || self.definitions().and_then(|one| one.aws_region.clone());
        if let Some(region) = &options.region {
            (Some(region.clone()), options.source(Opt::Region))
        } else if let Some(region) = variable() {
            (Some(region), ValueSource::Variable(VARIABLE.to_owned()))
        } else if let Some(region) = definitions() {
            (Some(region), ValueSource::Definitions)
        } else if let Some(region) = &self.config.aws_region {
            (Some(region.clone()), ValueSource::ConfigFile(self.config.file_name()))
        } else {
            (None, ValueSource::AwsSdk)
        }
    }

    async fn aws<'a>(&self, options: &ServerOptions, run: &'a RunAws) -> &'a aws::AwsConfig {
        let (region, _) = self.region(options);
        let limit = options.overrides.connect_timeout.or(self.config.connect_timeout);
        let role = options.assume_role.clone();
        let sources = credential_sources::detect();
        let load = || aws::configuration(region, sources, role, limit.unwrap_or_default());
        run.0.get_or_init(load).await
    }

    pub(super) async fn secret_source(
        &self,
        options: &ServerOptions,
        aws: &RunAws,
    ) -> Result<SecretSource, Error> {
        let is_iam_delegate =
            matches!(self.declared, Declared::Delegate { credential: Credential::Iam, .. });
        if is_iam_delegate && !options.new_secrets.is_empty() {
            return Err(UsageError::SecretOfIamDelegate.into());
        }
        if !matches!(options.secrets, Secrets::Aws) && !options.new_secrets.is_empty() {
            return Err(UsageError::NewSecretsWithoutAws.into());
        }
        let deletes_secrets = options.retirement.delete_secrets.is_some();
        if !matches!(options.secrets, Secrets::Aws) && deletes_secrets {
            return Err(UsageError::DeletionWithoutAws.into());
        }
        // The AWS SDK also loads the certificates of the system.
        system_certificates::check(|name| std::env::var_os(name))?;
        Ok(match &options.secrets {
            Secrets::Aws => {
                let new_secrets = self.new_secrets(options);
                if matches!(self.declared, Declared::Delegate { .. }) && !is_iam_delegate {
                    self.site.check_new_secrets(&new_secrets)?;
                }
                SecretSource::Aws(SecretsManager::new(self.aws(options, aws).await, new_secrets)?)
            }
            Secrets::Files(directory) => SecretSource::Files(directory.clone()),
            Secrets::Own(provider) => SecretSource::Own(provider.clone()),
        })
    }

    pub(super) fn login_with_secret(
        &self,
        options: &ServerOptions,
    ) -> Result<AdminCredentials, Error> {
        match (&options.admin_user, &options.admin_secret) {
            (None, Some(id)) => Ok(AdminCredentials::Secret(SecretId(id.clone()))),
            (None, None) => {
                let id = self
                    .templates()
                    .admin_secret(self.environment(), options.build_id.as_deref())?;
                Ok(AdminCredentials::Secret(id))
            }
            (Some(_), _) => Err(UsageError::AdminUserWithPassword.into()),
        }
    }

    pub(super) async fn login(
        &self,
        options: &ServerOptions,
        aws: &RunAws,
    ) -> Result<AdminCredentials, Error> {
        match (options.admin_auth, &options.admin_user, &options.admin_secret) {
            (AdminAuth::Password, _, _) => {
                let login = self.login_with_secret(options)?;
                if let AdminCredentials::Secret(id) = &login {
                    self.site.check_admin_secret(self.environment(), Some(id))?;
                }
                Ok(login)
            }
            (AdminAuth::Iam, Some(user), None) => {
                self.site.check_admin_secret(self.environment(), None)?;
                let source = TokenSource::new(self.aws(options, aws).await)?;
                Ok(AdminCredentials::Token { user: RoleName::new_unchecked(user.clone()), source })
            }
            (AdminAuth::Iam, _, _) => Err(UsageError::IncompleteIamLogin.into()),
        }
    }
}

impl Setup {
    /// Returns the values that take precedence over those of the administrator's secret.
    pub(super) fn overrides(
        &self,
        options: &ServerOptions,
    ) -> Result<ConnectionOverrides, UsageError> {
        let mut overrides = options.overrides.clone();
        overrides.configured_connect_to =
            self.config.connect_to.clone().map(|to| (to, self.config.file_name()));
        overrides.connect_timeout = overrides.connect_timeout.or(self.config.connect_timeout);
        overrides.statement_timeout = overrides.statement_timeout.or(self.config.statement_timeout);
        overrides.observation_timeout =
            overrides.observation_timeout.or(self.config.observation_timeout);
        overrides.max_connections = overrides.max_connections.or(self.config.max_connections);
        // An IPv6 address contains several colons.
        let is_host =
            |host: &String| !host.contains(['/', '@', '?']) && host.matches(':').count() != 1;
        match &overrides.host {
            Some(host) if !is_host(host) => Err(UsageError::not_a_host(host)),
            _ => Ok(overrides),
        }
    }
}

/// Returns the protection of the connections, with the settings that it comes from.
pub(super) fn tls(
    config: &Config,
    site: &SitePolicy,
    options: &ServerOptions,
) -> Result<(Tls, Vec<RunSetting>), Error> {
    let (settings, of_run) = tls_settings(config, site, options)?;
    Ok((Tls::new(&settings)?, of_run))
}

/// Combines the settings for TLS, and returns those that a plan shows with their sources.
pub(super) fn tls_settings(
    config: &Config,
    site: &SitePolicy,
    options: &ServerOptions,
) -> Result<(TlsSettings, Vec<RunSetting>), Error> {
    system_certificates::check(|name| std::env::var_os(name))?;
    let libpq = TlsSection::from_libpq(|name| std::env::var_os(name));
    let mut settings = TlsSettings::new(options.tls.clone(), libpq, config.tls.clone())?;
    site.check_tls(settings.mode)?;
    let given = settings.ca_file.as_ref().zip(settings.ca_file_origin);
    let of_site = site.check_ca_file(given)?;
    if let Some((_, ca_file)) = of_site {
        settings.ca_file = Some(ca_file.clone());
        settings.ca_file_origin = Some(SettingOrigin::SitePolicy);
    }
    check_configured_certificates(config, &settings)?;
    let mode = tls_source(config, options, settings.mode_origin, Opt::Tls);
    let mut of_run = vec![RunSetting::new(RunSettingName::TlsMode, settings.mode.name(), mode)];
    if settings.mode == TlsMode::VerifyFull
        && let Some(ca_file) = &settings.ca_file
    {
        let file = match ca_file {
            CaFile::System => "system".to_owned(),
            CaFile::Path(path) => path.display().to_string(),
        };
        let source = match of_site {
            Some((path, _)) => ValueSource::SitePolicy(path.to_owned()),
            None => tls_source(config, options, settings.ca_file_origin, Opt::CaFile),
        };
        of_run.push(RunSetting::new(RunSettingName::CaFile, file, source));
    }
    Ok((settings, of_run))
}

/// Returns the place that sets a setting for TLS, unless the site policy sets it.
pub(super) fn tls_source(
    config: &Config,
    options: &ServerOptions,
    origin: Option<SettingOrigin>,
    option: Opt,
) -> ValueSource {
    let variable = match option {
        Opt::ClientCert => "PGSSLCERT",
        Opt::ClientKey => "PGSSLKEY",
        _ => "PGSSLROOTCERT",
    };
    match origin {
        None | Some(SettingOrigin::SitePolicy) => ValueSource::Default,
        Some(SettingOrigin::Options) => options.source(option),
        Some(SettingOrigin::Libpq) => ValueSource::Variable(variable.to_owned()),
        Some(SettingOrigin::ConfigFile) => ValueSource::ConfigFile(config.file_name()),
    }
}

/// Checks that the files for TLS that `rdsprov.toml` names are below its directory.
fn check_configured_certificates(config: &Config, settings: &TlsSettings) -> Result<(), Error> {
    let configured = Some(SettingOrigin::ConfigFile);
    let ca_file = match &settings.ca_file {
        Some(CaFile::Path(path)) if settings.ca_file_origin == configured => Some(path),
        _ => None,
    };
    let client = settings.client.as_ref().filter(|_| settings.client_origin == configured);
    let files = [
        (ca_file, Opt::CaFile),
        (client.map(|client| &client.certificate), Opt::ClientCert),
        (client.map(|client| &client.key), Opt::ClientKey),
    ];
    let Some(directory) = &config.directory else { return Ok(()) };
    for (path, option) in files {
        if let Some(path) = path.filter(|path| leaves(path, directory)) {
            return Err(Error::Outside { path: path.clone(), option });
        }
    }
    Ok(())
}
