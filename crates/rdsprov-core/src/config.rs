//! The configuration file `rdsprov.toml`: defaults for options, secret templates, and
//! settings for each environment.
//!
//! This module must not know the server, and does not open files: `session` reads the text.

mod assume_role;
mod connect_to;
mod lock_timeout;
mod max_connections;
mod new_secrets;
mod timeouts;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use assume_role::AssumeRole;
pub use connect_to::ConnectTo;
pub use lock_timeout::LockTimeout;
pub use max_connections::MaxConnections;
pub use new_secrets::{KmsKey, NewSecrets, SecretTag, SecretTags};
pub use timeouts::{ConnectTimeout, ObservationTimeout, StatementTimeout};
pub use tls::{
    CaFile, ClientCertificate, SettingOrigin, TlsMode, TlsSection, TlsSettings, TlsSettingsError,
};

use crate::audit_table::AuditTableName;
use crate::definitions::{Defaults, Mode, RoleFiles, Rules};
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::name::{check_environment, check_scope};
use crate::named_enum::named_enum;
use crate::policy::{ApprovalPolicy, Policy, UndeclaredAccess};
use crate::secret_id::Templates;

named_enum! {
    /// How a run finds out whether a role has the password of its secret.
    #[derive(Default, strum::EnumString)]
    "kebab-case" pub enum VerifyPasswords {
        /// It logs in as the role, and sets the password only if the server
        /// rejects it (SQLSTATE 28P01).
        #[default]
        Login,
        /// It does not check, and sets the passwords of new roles only.
        Never,
        /// It does not check, and sets the password of every role in every run.
        AlwaysSet,
    }
}

/// The table `[passwords]`: rules for the passwords in secrets.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Passwords {
    /// How passwords are verified; `None` means [`VerifyPasswords::Login`].
    pub verify: Option<VerifyPasswords>,
    /// The minimum length of a password in characters; 0 means no minimum.
    pub minimum_length: usize,
}

/// The content of `rdsprov.toml`; each key is optional, and unknown keys are errors.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The AWS region, if neither an option nor `AWS_REGION` nor the definitions set it.
    pub aws_region: Option<String>,
    /// How long a run waits for the lock of another run, such as `10m`.
    #[schemars(with = "Option<String>")]
    pub lock_timeout: Option<LockTimeout>,
    /// The address to which connections go instead of the host, such as `127.0.0.1:15432`.
    #[schemars(with = "Option<String>")]
    pub connect_to: Option<ConnectTo>,
    /// How long a connection may take, such as `60s`.
    #[schemars(with = "Option<String>")]
    pub connect_timeout: Option<ConnectTimeout>,
    /// How long a statement may take, such as `1h`.
    #[schemars(with = "Option<String>")]
    pub statement_timeout: Option<StatementTimeout>,
    /// How long the observation of one database may take, such as `2m`.
    #[schemars(with = "Option<String>")]
    pub observation_timeout: Option<ObservationTimeout>,
    /// How many connections a run has at the same time, at most, such as `11`.
    #[schemars(with = "Option<u32>")]
    pub max_connections: Option<MaxConnections>,
    /// `[secrets]`: the names of secrets.
    pub secrets: SecretsSection,
    /// `[passwords]`: rules for the passwords in secrets.
    pub passwords: Passwords,
    /// `[definitions]`: how definitions files are read.
    pub definitions: DefinitionsSection,
    /// `[defaults]`: the values of keys that an application does not set.
    pub defaults: Defaults,
    /// `[tls]`: encryption and certificates.
    pub tls: TlsSection,
    /// `[environments.NAME]`: additional environments, and changes to the built-in ones.
    pub environments: BTreeMap<String, EnvironmentSection>,
    /// `[access]`: what a plan does with access that is not declared.
    pub access: AccessSection,
    /// `[audit]`: the files for records.
    pub audit: AuditSection,
    /// The directory of the file, which contains all files that it names. `None` if the caller has
    /// set them.
    #[serde(skip)]
    pub(crate) directory: Option<PathBuf>,
    /// The path of the file; `None` if the caller has set its content.
    #[serde(skip)]
    pub(crate) path: Option<String>,
}

/// The table `[secrets]`: the secret templates, and what AWS stores with a new secret.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SecretsSection {
    /// The secret template for the administrator.
    pub admin: Option<String>,
    /// The secret template for applications.
    pub application: Option<String>,
    /// The KMS key of the secrets that a run creates.
    #[schemars(with = "Option<String>")]
    pub kms_key: Option<KmsKey>,
    /// The tags of the secrets that a run creates.
    #[schemars(with = "BTreeMap<String, String>")]
    pub tags: SecretTags,
}

/// The table `[definitions]`: how definitions files are read.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DefinitionsSection {
    /// The definitions files to read if no option names any.
    pub files: Vec<String>,
    /// The scope of the definitions: other definitions of the environment on the same server have others.
    pub scope: Option<String>,
    /// Keys and variables that only Terraform uses: see [`Rules::ignore_keys`].
    pub ignore_keys: Vec<String>,
    /// A regular expression for the names of roles and databases: see [`Rules::naming_pattern`].
    pub naming_pattern: Option<String>,
    /// Where to look for `application_databases`: see [`Rules::mode`].
    pub mode: Option<Mode>,
    /// The roles that `memberships` of an application can name: see [`Rules::memberships`].
    pub memberships: Vec<String>,
    /// Whether all entries of a role must be in one file.
    pub one_role_one_file: bool,
}

/// A table `[environments.NAME]`: the settings of one environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EnvironmentSection {
    /// The approval policy; `None` means that of the built-in environment of
    /// this name, otherwise [`ApprovalPolicy::Required`].
    pub approval: Option<ApprovalPolicy>,
    /// Whether `rdsprov teardown` may drop what a build has created in the environment.
    pub ephemeral: bool,
    /// The values of keys that an application does not set. They take precedence over
    /// [`Config::defaults`].
    pub defaults: Defaults,
}

/// The table `[access]`: what a plan does with access that is not declared.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AccessSection {
    /// What a plan does with a role that is not declared and has access to a declared database; `None`
    /// means [`UndeclaredAccess::Report`].
    pub undeclared: Option<UndeclaredAccess>,
}

/// The table `[audit]`: the files for records.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditSection {
    /// The CSV file to which a run appends its records.
    pub output: Option<PathBuf>,
    /// The ledger to which a run appends its records.
    pub ledger: Option<PathBuf>,
    /// The audit table, `SCHEMA.TABLE`, into which the transactions of a run write rows.
    pub table: Option<AuditTableName>,
}

/// The configuration file is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not valid: {reason}")]
pub struct ConfigError {
    /// The path of the file.
    pub path: String,
    /// The error of the TOML parser, with line and column.
    pub reason: String,
}

impl ConfigError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidConfig
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec!["correct the file (docs/reference.md lists all sections and keys)".into()]
    }
}

impl Config {
    /// Parses the text of the file; `path` is used in messages and plans only.
    ///
    /// # Errors
    /// Returns an error if the text is not TOML, or contains an unknown key or an invalid value.
    ///
    /// ```
    /// use rdsprov_core::config::Config;
    /// use rdsprov_core::policy::ApprovalPolicy;
    ///
    /// let config = Config::from_toml("rdsprov.toml", "[environments.qa]\napproval = \"plan\"\n").unwrap();
    /// assert_eq!(config.policy("qa").unwrap().approval(), ApprovalPolicy::Plan);
    /// assert_eq!(config.policy("prod").unwrap().approval(), ApprovalPolicy::Required);
    /// assert_eq!(config.policy("prd"), None);
    /// assert!(Config::from_toml("rdsprov.toml", "[tsl]\n").is_err());
    /// ```
    pub fn from_toml(path: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError { path: path.to_owned(), reason };
        let mut config: Self = toml::from_str(text).map_err(|error| wrong(reason(text, &error)))?;
        for name in config.environments.keys() {
            check_environment(name).map_err(|error| wrong(error.to_string()))?;
        }
        if let Some(scope) = &config.definitions.scope {
            check_scope(scope).map_err(|error| wrong(error.to_string()))?;
        }
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// Returns the policy of an environment, or `None` if the environment is not known.
    #[must_use]
    pub fn policy(&self, environment: &str) -> Option<Policy> {
        match self.environments.get(environment) {
            Some(declared) => {
                let policy = Policy::declared(environment, declared.approval);
                Some(policy.ephemeral(declared.ephemeral))
            }
            None => Policy::built_in(environment),
        }
    }

    /// Resolves all relative paths in the file against the directory that contains the file.
    #[must_use]
    pub fn relative_to(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        for file in &mut self.definitions.files {
            *file = directory.join(&*file).display().to_string();
        }
        self.tls.relative_to(directory);
        for path in [&mut self.audit.output, &mut self.audit.ledger].into_iter().flatten() {
            *path = directory.join(&*path);
        }
        self
    }

    /// Returns a path as the file contains it: the directory of the file can differ between machines.
    pub(crate) fn as_written(&self, path: Option<&Path>) -> Option<String> {
        let path = path?;
        let written = self.directory.as_deref().and_then(|one| path.strip_prefix(one).ok());
        Some(written.unwrap_or(path).display().to_string())
    }

    /// Returns the rules for reading definitions files that this file sets.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let defaults_of = |(name, environment): (&String, &EnvironmentSection)| {
            (name.clone(), environment.defaults.clone())
        };
        Rules {
            mode: self.definitions.mode,
            ignore_keys: self.definitions.ignore_keys.clone(),
            naming_pattern: self.definitions.naming_pattern.clone(),
            memberships: self.definitions.memberships.clone(),
            role_files: if self.definitions.one_role_one_file {
                RoleFiles::One
            } else {
                RoleFiles::Any
            },
            one_declaration: false,
            environment: None,
            scope: self.definitions.scope.clone(),
            config_file: self.path.clone(),
            templates: self.templates(),
            defaults: self.defaults.clone(),
            environment_defaults: self.environments.iter().map(defaults_of).collect(),
        }
    }

    /// Returns the templates for the ids of secrets: those of the file, or else the usual ones.
    pub(crate) fn templates(&self) -> Templates {
        let default = Templates::default();
        Templates {
            admin: self.secrets.admin.clone().unwrap_or(default.admin),
            application: self.secrets.application.clone().unwrap_or(default.application),
        }
    }

    /// Returns the path of the file, for messages.
    pub(crate) fn file_name(&self) -> String {
        self.path.clone().unwrap_or_else(|| "rdsprov.toml".to_owned())
    }

    /// Returns the names of all known environments: the built-in ones and those in the file.
    #[must_use]
    pub fn environments_known(&self) -> Vec<String> {
        let built_in = || Policy::built_in_environments();
        let others = self.environments.keys().filter(|name| built_in().all(|known| known != *name));
        built_in().map(str::to_owned).chain(others.cloned()).collect()
    }
}

/// Returns the error of the parser with its position. It leaves out the line itself, because a file
/// that is not a configuration file can contain a secret.
pub(crate) fn reason(text: &str, error: &toml::de::Error) -> String {
    let message = without_values(error.message());
    let Some(span) = error.span() else { return message };
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {message}")
}

/// Removes the values of strings that `serde` quotes: ``invalid type: string "…", expected …``.
fn without_values(message: &str) -> String {
    match message.split_once("string \"") {
        Some((before, rest)) => match rest.rsplit_once("\", expected") {
            Some((_, after)) => format!("{before}string, expected{after}"),
            None => format!("{before}string"),
        },
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the reference is valid, and sets each key.
    #[test]
    fn reference_example_sets_each_key() {
        let reference = include_str!("../../../docs/reference.md");
        let section = reference.split("## `rdsprov.toml`\n\n```toml\n").nth(1).unwrap();
        let example = section.split("```").next().unwrap();
        let Config {
            aws_region,
            lock_timeout,
            connect_to,
            connect_timeout,
            statement_timeout,
            observation_timeout,
            max_connections,
            secrets,
            passwords,
            definitions,
            defaults: _,
            tls,
            environments,
            access,
            audit,
            directory: _,
            path: _,
        } = Config::from_toml("rdsprov.toml", example).unwrap();
        let text = format!(
            "{aws_region:?} {lock_timeout:?} {connect_to:?} {connect_timeout:?} {statement_timeout:?} {observation_timeout:?} {max_connections:?} {secrets:?} {passwords:?} {definitions:?} {tls:?} {access:?} {audit:?}"
        );
        for unset in ["None", "[]", "{}"] {
            assert!(!text.contains(unset), "{text}");
        }
        assert!(definitions.one_role_one_file);
        assert!(environments.values().any(|environment| environment.approval.is_some()));
        assert!(environments.values().any(|environment| environment.ephemeral));
    }
}
