//! The settings of a run, each with its value and the place that sets it.
//!
//! Contacts neither AWS nor a server: what only they know has no value here.

use std::path::PathBuf;

use super::error::Error;
use super::files::{DefinitionOptions, MACHINE_POLICY, POLICY_VARIABLE};
use super::open::{AdminAuth, Secrets, ServerOptions, tls_settings, tls_source};
use super::run_options::RunOptions;
use super::setup::{NO_ENVIRONMENT, Setup, SetupBuilder};
use crate::audit::Attribution;
use crate::config::{
    ConnectTimeout, LockTimeout, MaxConnections, ObservationTimeout, StatementTimeout,
    VerifyPasswords,
};
use crate::hint::Opt;
use crate::operations::AdminCredentials;
use crate::policy::UndeclaredAccess;
use crate::run_setting::{
    RunSetting, RunSettingName, SettingInForce, SettingName, SettingsInForce, ValueSource,
};
use crate::secret_id::{Stage, Templates};

/// The key of `rdsprov.toml` for access that is not declared.
const UNDECLARED: &str = "access.undeclared";

impl SetupBuilder {
    /// Returns the settings that a run with these options would have, without starting it.
    ///
    /// Definitions are not required. `names_config` says whether the caller has named the configuration file.
    /// Without a known environment, a run would fail: the settings are returned all the same, with this error.
    ///
    /// # Errors
    /// Returns the errors of [`Self::build`] except [`Error::NoDefinitions`], and those of settings that
    /// contradict each other or the site policy.
    pub fn settings_in_force(
        self,
        options: &RunOptions,
        names_config: bool,
    ) -> Result<(SettingsInForce, Option<Error>), Error> {
        let (files, given) = (self.named_files(), self.options.clone());
        let (builder, built) = match self.clone().build() {
            Err(Error::NoDefinitions) => {
                let builder = self.without_definitions();
                (builder.clone(), builder.build())
            }
            built => (self, built),
        };
        let (setup, unknown) = match built {
            Err(error @ (Error::NoEnvironment { .. } | Error::UnknownEnvironment { .. })) => {
                (builder.build_without_environment()?, Some(error))
            }
            setup => (setup?, None),
        };
        let mut list = List { setup: &setup, server: &options.server, settings: Vec::new() };
        list.files(names_config);
        list.definitions(&given, files);
        list.connection()?;
        list.secrets()?;
        if unknown.is_none() {
            setup.site.check_allowed(setup.environment(), &options.server.allow)?;
        }
        list.run(options);
        Ok((SettingsInForce::new(list.settings), unknown))
    }
}

/// Collects the settings of a run.
struct List<'a> {
    setup: &'a Setup,
    server: &'a ServerOptions,
    settings: Vec<SettingInForce>,
}

impl List<'_> {
    fn push(&mut self, name: SettingName, value: Option<String>, source: ValueSource) {
        self.settings.push(SettingInForce { name, value, source });
    }

    fn of_config(&self) -> ValueSource {
        ValueSource::ConfigFile(self.setup.config.file_name())
    }

    /// Adds a setting that an option sets, or else `rdsprov.toml`, or else has a default value.
    fn option<T: ToString>(
        &mut self,
        option: Opt,
        given: Option<T>,
        configured: Option<T>,
        default: Option<T>,
    ) {
        let (value, source) = match (given, configured) {
            (Some(given), _) => (Some(given), self.server.source(option)),
            (None, Some(configured)) => (Some(configured), self.of_config()),
            (None, None) => (default, ValueSource::Default),
        };
        self.push(SettingName::Option(option), value.map(|value| value.to_string()), source);
    }

    /// Adds a setting that only `rdsprov.toml` sets.
    fn key<T: ToString>(
        &mut self,
        key: impl Into<String>,
        configured: Option<T>,
        default: Option<T>,
    ) {
        let source = if configured.is_some() { self.of_config() } else { ValueSource::Default };
        let value = configured.or(default).map(|value| value.to_string());
        self.push(SettingName::Key(key.into()), value, source);
    }

    /// Adds a setting that is part of each plan, too.
    fn of_run(&mut self, option: Opt, setting: &RunSetting) {
        self.push(SettingName::Option(option), Some(setting.value.clone()), setting.source.clone());
    }

    fn files(&mut self, names_config: bool) {
        let config = self.setup.config.path.clone();
        let source =
            if names_config { self.server.source(Opt::Config) } else { ValueSource::Default };
        self.push(SettingName::Option(Opt::Config), config, source);
        for path in self.setup.site.paths() {
            let source = if path == MACHINE_POLICY {
                ValueSource::Default
            } else {
                ValueSource::Variable(POLICY_VARIABLE.to_owned())
            };
            self.push(SettingName::Key("site policy".to_owned()), Some(path.to_owned()), source);
        }
    }

    fn definitions(&mut self, given: &DefinitionOptions, files: Vec<String>) {
        let declared = self.setup.definitions().and_then(|all| all.environment.clone());
        let (environment, source) = match (&given.environment, declared) {
            (Some(given), _) => (Some(given.clone()), self.server.source(Opt::Env)),
            (None, Some(declared)) => (Some(declared), ValueSource::Definitions),
            (None, None) => (None, ValueSource::Default),
        };
        self.push(SettingName::Option(Opt::Env), environment, source);
        let configured = &self.setup.config.definitions;
        let scope = self.setup.scope().map(str::to_owned);
        let source = match (&scope, &configured.scope) {
            (_, Some(_)) => self.of_config(),
            (Some(_), None) => ValueSource::Definitions,
            (None, None) => ValueSource::Default,
        };
        self.push(SettingName::Key("definitions.scope".to_owned()), scope, source);
        let [files, of_config] = [files, configured.files.clone()].map(|files| list(&files));
        let (mode, patterns) = (configured.mode, configured.naming_pattern.clone());
        let (ignored, memberships) = (list(&configured.ignore_keys), list(&configured.memberships));
        let one_file = configured.one_role_one_file.then_some(true);
        let (files, found) = if given.found { (None, files) } else { (files, None) };
        self.option(Opt::Definitions, files, of_config, found);
        self.option(Opt::Mode, given.mode, mode, None);
        self.key("definitions.ignore_keys", ignored, None);
        self.key("definitions.naming_pattern", patterns, None);
        self.key("definitions.memberships", memberships, None);
        self.key("definitions.one_role_one_file", one_file, Some(false));
        self.defaults();
    }

    /// Adds the values of keys that an application does not set, as far as `rdsprov.toml` has them.
    fn defaults(&mut self) {
        let (config, environment) = (&self.setup.config, self.setup.environment());
        let section = config.environments.get(environment);
        let own = section.map(|section| section.defaults.in_words()).unwrap_or_default();
        for (key, value) in config.defaults.in_words() {
            if own.iter().all(|(one, _)| *one != key) {
                self.key(format!("defaults.{key}"), Some(value), None);
            }
        }
        for (key, value) in own {
            let key = format!("environments.{environment}.defaults.{key}");
            self.key(key, Some(value), None);
        }
    }

    fn connection(&mut self) -> Result<(), Error> {
        let (setup, server) = (self.setup, self.server);
        let (config, overrides) = (&setup.config, &server.overrides);
        // The administrator's secret has the values that no option sets.
        let of_secret = match setup.login_with_secret(server) {
            Ok(AdminCredentials::Secret(id)) if server.admin_auth == AdminAuth::Password => {
                Some(ValueSource::Secret(id))
            }
            _ => None,
        };
        let address = [
            (Opt::Host, overrides.host.clone()),
            (Opt::Port, overrides.port.map(|port| port.to_string())),
            (Opt::Dbname, overrides.database.clone()),
        ];
        for (option, given) in address {
            let source = match (&given, &of_secret) {
                (None, Some(secret)) => secret.clone(),
                (None, None) => ValueSource::Default,
                (Some(_), _) => server.source(option),
            };
            self.push(SettingName::Option(option), given, source);
        }
        self.option(Opt::ConnectTo, overrides.connect_to.clone(), config.connect_to.clone(), None);
        let (tls, of_run) = tls_settings(config, &setup.site, server)?;
        for setting in &of_run {
            let is_mode = setting.name == RunSettingName::TlsMode;
            self.of_run(if is_mode { Opt::Tls } else { Opt::CaFile }, setting);
        }
        if !of_run.iter().any(|setting| setting.name == RunSettingName::CaFile) {
            self.option::<String>(Opt::CaFile, None, None, None);
        }
        let client = tls.client.as_ref().map(|client| [&client.certificate, &client.key]);
        for (number, option) in [Opt::ClientCert, Opt::ClientKey].into_iter().enumerate() {
            let path = client.map(|files| files[number].display().to_string());
            let source = match path {
                Some(_) => tls_source(config, server, tls.client_origin, option),
                None => ValueSource::Default,
            };
            self.push(SettingName::Option(option), path, source);
        }
        let default = Some(ConnectTimeout::default());
        self.option(
            Opt::ConnectTimeout,
            overrides.connect_timeout,
            config.connect_timeout,
            default,
        );
        let (given, configured) = (overrides.statement_timeout, config.statement_timeout);
        self.option(Opt::StatementTimeout, given, configured, Some(StatementTimeout::default()));
        let (given, configured) = (overrides.observation_timeout, config.observation_timeout);
        self.option(
            Opt::ObservationTimeout,
            given,
            configured,
            Some(ObservationTimeout::default()),
        );
        let (given, configured) = (overrides.max_connections, config.max_connections);
        self.option(Opt::MaxConnections, given, configured, Some(MaxConnections::default()));
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), Error> {
        let (setup, server) = (self.setup, self.server);
        let section = &setup.config.secrets;
        let (source, of_source) = match &server.secrets {
            Secrets::Aws => ("aws".to_owned(), ValueSource::Default),
            other => (format!("{other:?}"), server.source(Opt::Secrets)),
        };
        self.push(SettingName::Option(Opt::Secrets), Some(source), of_source);
        let (method, of_method) = match server.admin_auth {
            AdminAuth::Password => ("password", ValueSource::Default),
            AdminAuth::Iam => ("iam", server.source(Opt::AdminAuth)),
        };
        self.push(SettingName::Option(Opt::AdminAuth), Some(method.to_owned()), of_method);
        match server.admin_auth {
            AdminAuth::Password => {
                let login = setup.login_with_secret(server)?;
                if let AdminCredentials::Secret(id) = &login
                    && self.has_environment()
                {
                    setup.site.check_admin_secret(setup.environment(), Some(id))?;
                }
                self.of_run(Opt::AdminSecret, &setup.login_setting(server, &login));
            }
            AdminAuth::Iam => {
                if self.has_environment() {
                    setup.site.check_admin_secret(setup.environment(), None)?;
                }
                self.option(Opt::AdminUser, server.admin_user.clone(), None, None);
            }
        }
        let templates = Templates::default();
        self.key("secrets.application", section.application.clone(), Some(templates.application));
        let (region, source) = setup.region(server);
        if matches!(server.secrets, Secrets::Aws) {
            self.push(SettingName::Option(Opt::Region), region, source);
            self.option(Opt::SecretStage, server.secret_stage, None, Some(Stage::default()));
            let given = &server.new_secrets;
            let [key, configured] = [&given.kms_key, &section.kms_key]
                .map(|key| key.as_ref().map(|key| key.as_str().to_owned()));
            self.option(Opt::SecretKmsKey, key, configured, None);
            let all = setup.new_secrets(server).tags;
            for (key, value) in all.iter() {
                let source = match given.tags.iter().any(|(given, _)| given == key) {
                    true => server.source(Opt::SecretTags),
                    false => self.of_config(),
                };
                let name = SettingName::Option(Opt::SecretTags);
                self.push(name, Some(format!("{key}={value}")), source);
            }
            if all.iter().next().is_none() {
                self.option::<String>(Opt::SecretTags, None, None, None);
            }
        }
        let passwords = &setup.config.passwords;
        let default = Some(VerifyPasswords::default());
        self.option(Opt::VerifyPasswords, server.verify_passwords, passwords.verify, default);
        let minimum = Some(passwords.minimum_length).filter(|length| *length > 0);
        self.key("passwords.minimum_length", minimum, Some(0));
        Ok(())
    }

    /// Returns whether the environment is known. Otherwise, its settings have no values.
    fn has_environment(&self) -> bool {
        self.setup.environment() != NO_ENVIRONMENT
    }

    fn run(&mut self, options: &RunOptions) {
        let (setup, server) = (self.setup, self.server);
        let key = format!("environments.{}.approval", setup.environment());
        let approval = self.has_environment().then_some(&setup.approval);
        let value = approval.map(|approval| approval.value.clone());
        let source = approval.map_or(ValueSource::Default, |approval| approval.source.clone());
        self.push(SettingName::Key(key), value, source);
        let key = format!("environments.{}.ephemeral", setup.environment());
        let section = setup.config.environments.get(setup.environment());
        let ephemeral = section.map(|section| section.ephemeral).filter(|ephemeral| *ephemeral);
        self.key(key, ephemeral, self.has_environment().then_some(false));
        let configured = setup.config.access.undeclared;
        match setup.site.undeclared_access_source(setup.environment(), configured) {
            Some((path, required)) => {
                let source = ValueSource::SitePolicy(path.to_owned());
                self.push(SettingName::Key(UNDECLARED.into()), Some(required.to_string()), source);
            }
            None => self.key(UNDECLARED, configured, Some(UndeclaredAccess::default())),
        }
        self.option(Opt::Allow, list(&server.allow), None, None);
        self.option(Opt::BuildId, server.build_id.clone(), None, None);
        self.option(Opt::RunId, options.run_id.clone(), None, None);
        let os_user = Attribution::detect(None, None, None).actor;
        self.option(Opt::Actor, options.actor.clone(), None, Some(os_user));
        self.option(Opt::Approver, options.approver.clone(), None, None);
        self.option(Opt::RequestId, options.request_id.clone(), None, None);
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let audit = &setup.config.audit;
        self.option(Opt::AuditOutput, path(&options.audit_output), path(&audit.output), None);
        self.option(Opt::AuditLedger, path(&options.audit_ledger), path(&audit.ledger), None);
        match setup.audit_table_setting(server) {
            Some(table) => self.of_run(Opt::AuditTable, &table),
            None => self.option(Opt::AuditTable, None::<String>, None, None),
        }
        let default = Some(LockTimeout::default());
        self.option(Opt::LockTimeout, options.lock_timeout, setup.config.lock_timeout, default);
    }
}

/// Returns the items as one value, or nothing if there are none.
fn list<T: ToString>(items: &[T]) -> Option<String> {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    (!items.is_empty()).then(|| items.join(", "))
}
