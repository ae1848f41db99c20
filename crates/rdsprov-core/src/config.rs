//! `rdsprov.toml`: what one does not want to repeat.

mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

pub use tls::{CaFile, ClientCertificate, TlsMode, TlsSection, TlsSettings, TlsSettingsError};

use crate::definitions::{Defaults, Mode, Rules};
use crate::name::check_environment;

/// What an environment asks for before a plan may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// Nothing.
    None,
    /// That somebody says yes.
    Required,
    /// That somebody says yes to one plan.
    Plan,
}

/// How it is found out whether a role's password is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyPasswords {
    /// By logging in as the role.
    #[default]
    Login,
    /// Not at all: only new roles get their password.
    Never,
    /// Not at all: every role's password is set, in every run.
    AlwaysSet,
}

impl FromStr for VerifyPasswords {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "login" => Ok(Self::Login),
            "never" => Ok(Self::Never),
            "always-set" => Ok(Self::AlwaysSet),
            _ => Err(()),
        }
    }
}

/// `[passwords]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// How they are verified.
    pub verify: Option<VerifyPasswords>,
    /// How many characters one must have at least.
    pub minimum_length: usize,
}

/// The file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The region, where nothing else says it.
    pub aws_region: Option<String>,
    /// How secrets are named.
    pub secrets: SecretsSection,
    /// What is asked of passwords.
    pub passwords: Passwords,
    /// How definitions are read.
    pub definitions: DefinitionsSection,
    /// What holds where an application leaves a key out.
    pub defaults: Defaults,
    /// How connections are protected.
    pub tls: TlsSection,
    /// The environments beside the known ones, or in their place.
    pub environments: BTreeMap<String, EnvironmentSection>,
    /// Where records go.
    pub audit: AuditSection,
}

/// `[secrets]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsSection {
    /// The template of the administrator's secret.
    pub admin: Option<String>,
    /// The template of an application's secret.
    pub application: Option<String>,
}

/// `[definitions]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefinitionsSection {
    /// The files.
    pub files: Vec<String>,
    /// Keys of an application that are Terraform's own.
    pub ignore_keys: Vec<String>,
    /// What names of roles and databases look like.
    pub naming_pattern: Option<String>,
    /// Which mode counts.
    pub mode: Option<Mode>,
}

/// `[environments.NAME]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentSection {
    /// What it asks for; a known environment's own where nothing is said, else `required`.
    pub approval: Option<ApprovalPolicy>,
    /// What holds where an application leaves a key out, before [`Config::defaults`].
    pub defaults: Defaults,
}

/// `[audit]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSection {
    /// The CSV file.
    pub output: Option<PathBuf>,
    /// The ledger.
    pub ledger: Option<PathBuf>,
}

/// The file is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not understood: {reason}")]
pub struct ConfigError {
    /// The file.
    pub path: String,
    /// What is wrong, with line and column.
    pub reason: String,
}

/// The environments known without a file; only `dev` runs without approval.
const KNOWN: [(&str, ApprovalPolicy); 4] = [
    ("dev", ApprovalPolicy::None),
    ("test", ApprovalPolicy::Required),
    ("staging", ApprovalPolicy::Required),
    ("prod", ApprovalPolicy::Required),
];

impl Config {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Where it is no TOML, or says something unknown.
    ///
    /// ```
    /// use rdsprov_core::config::{ApprovalPolicy, Config};
    /// let config = Config::from_toml("rdsprov.toml", "[environments.qa]\napproval = \"plan\"\n").unwrap();
    /// assert_eq!(config.approval_policy("qa"), Some(ApprovalPolicy::Plan));
    /// assert_eq!(config.approval_policy("prod"), Some(ApprovalPolicy::Required));
    /// assert_eq!(config.approval_policy("prd"), None);
    /// assert!(Config::from_toml("rdsprov.toml", "[tsl]\n").is_err());
    /// ```
    pub fn from_toml(path: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError { path: path.to_owned(), reason };
        let config: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for name in config.environments.keys() {
            check_environment(name).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(config)
    }

    /// What an environment asks for; nothing where it is not known.
    #[must_use]
    pub fn approval_policy(&self, environment: &str) -> Option<ApprovalPolicy> {
        let known = KNOWN.iter().find(|(name, _)| *name == environment).map(|known| known.1);
        match self.environments.get(environment) {
            Some(declared) => declared.approval.or(known).or(Some(ApprovalPolicy::Required)),
            None => known,
        }
    }

    /// Reads what paths are relative to the file's own folder from there.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        for file in &mut self.definitions.files {
            *file = folder.join(&*file).display().to_string();
        }
        self.tls.relative_to(folder);
        for path in [&mut self.audit.output, &mut self.audit.ledger].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self
    }

    /// The rules that definitions are read by, as the file says them.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let of_environment = |(name, environment): (&String, &EnvironmentSection)| {
            (name.clone(), environment.defaults.clone())
        };
        Rules {
            mode: self.definitions.mode,
            ignore_keys: self.definitions.ignore_keys.clone(),
            naming_pattern: self.definitions.naming_pattern.clone(),
            environment: None,
            defaults: self.defaults.clone(),
            environment_defaults: self.environments.iter().map(of_environment).collect(),
        }
    }

    /// The environments that are known.
    #[must_use]
    pub fn environments_known(&self) -> Vec<String> {
        let mut names: Vec<String> = KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.extend(
            self.environments.keys().filter(|name| !KNOWN.iter().any(|(k, _)| k == name)).cloned(),
        );
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference shows as an example is understood, and says something of everything.
    #[test]
    fn the_reference_leaves_nothing_out() {
        let reference = include_str!("../../../docs/reference.md");
        let section = reference.split("## `rdsprov.toml`\n\n```toml\n").nth(1).unwrap();
        let example = section.split("```").next().unwrap();
        let Config {
            aws_region,
            secrets,
            passwords,
            definitions,
            defaults: _,
            tls,
            environments,
            audit,
        } = Config::from_toml("rdsprov.toml", example).unwrap();
        let said =
            format!("{aws_region:?} {secrets:?} {passwords:?} {definitions:?} {tls:?} {audit:?}");
        assert!(!said.contains("None") && !said.contains("[]"), "{said}");
        assert!(environments.values().any(|environment| environment.approval.is_some()));
    }
}
