//! The site policy: what the owners of a site require of each run, whatever `rdsprov.toml` and the
//! options say.
//!
//! `rdsprov.toml` is usually in the repository of the definitions, so that everyone who may edit
//! definitions may edit it. The site policy is outside of it. This module does not read files.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

pub use self::error::SitePolicyError;
use crate::audit_table::AuditTableName;
use crate::config::{CaFile, ConfigError, NewSecrets, SecretTags, SettingOrigin, TlsMode, reason};
use crate::name::{RoleName, matches_pattern};
use crate::plan::Hazard;
use crate::policy::{ApprovalPolicy, Policy, UndeclaredAccess};
use crate::predefined_role::is_grantable;
use crate::secret_id::SecretId;

/// The key of `[environments]` for each environment without a table of its own.
const ANY: &str = "*";

/// What all policy files of a site require. Without a file, it requires nothing.
///
/// ```
/// use rdsprov_core::policy::{ApprovalPolicy, Policy};
/// use rdsprov_core::site_policy::SitePolicy;
///
/// let policy = SitePolicy::from_toml("policy.toml", "[environments.dev]\napproval = \"required\"")?;
/// let dev = policy.tighten(Policy::built_in("dev").unwrap());
/// assert_eq!(dev.approval(), ApprovalPolicy::Required);
/// # Ok::<(), rdsprov_core::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SitePolicy {
    /// The files, with their paths. Each of them must allow a run.
    files: Vec<(String, File)>,
}

/// The content of a policy file; each key is optional, and unknown keys are errors.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    maximum_file_sizes: FileSizes,
    tls: TlsTable,
    audit: AuditTable,
    secrets: SecretsTable,
    environments: BTreeMap<String, Environment>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsTable {
    /// The weakest mode of a run.
    mode: Option<TlsMode>,
    /// The only CA file that a run may use.
    ca_file: Option<CaFile>,
}

/// The maximum sizes of input files in bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileSizes {
    /// Of each definitions file.
    definitions: Option<u64>,
    /// Of `rdsprov.toml`.
    configuration: Option<u64>,
    /// Of a saved plan.
    plan: Option<u64>,
}

/// The maximum size of an input file that the site requires. The built-in maximum applies as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeLimit {
    /// The maximum size in bytes.
    pub bytes: u64,
    /// The path of the policy file that sets it.
    pub policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AuditTable {
    /// Whether a run needs a ledger, and which one.
    ledger: RequiredLedger,
    /// Whether a run needs an audit table, and which one.
    table: RequiredTable,
}

/// The audit table that a run needs: none, any, or a certain one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum RequiredTable {
    #[default]
    None,
    Any,
    Named(AuditTableName),
}

/// The ledger that a run needs: none, any, or a certain one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum RequiredLedger {
    #[default]
    None,
    Any,
    Named(PathBuf),
}

/// A boolean, or the name of something.
enum Named {
    Any(bool),
    One(String),
}

/// Reads a boolean or a name; `what` says what it names.
fn named<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
) -> Result<Named, D::Error> {
    struct Value(&'static str);

    impl Visitor<'_> for Value {
        type Value = Named;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "true, false or {}", self.0)
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Named, E> {
            Ok(Named::Any(value))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Named, E> {
            Ok(Named::One(value.to_owned()))
        }
    }

    deserializer.deserialize_any(Value(what))
}

impl<'de> Deserialize<'de> for RequiredTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match named(deserializer, "the name of a table")? {
            Named::Any(true) => Self::Any,
            Named::Any(false) => Self::None,
            Named::One(name) => Self::Named(name.parse().map_err(de::Error::custom)?),
        })
    }
}

impl<'de> Deserialize<'de> for RequiredLedger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match named(deserializer, "the path of a ledger")? {
            Named::Any(true) => Self::Any,
            Named::Any(false) => Self::None,
            Named::One(path) if path.is_empty() => {
                return Err(de::Error::custom("the path of the ledger is empty"));
            }
            Named::One(path) => Self::Named(path.into()),
        })
    }
}

/// What the secrets that a run creates have at least.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SecretsTable {
    /// Patterns for the KMS key.
    kms_keys: Option<Vec<String>>,
    /// Tags with their values.
    tags: SecretTags,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Environment {
    approval: Option<ApprovalPolicy>,
    /// Patterns for the id of the administrator's secret; `{environment}` is the environment.
    admin_secrets: Option<Vec<String>>,
    /// The hazards that a run may allow.
    allow: Option<BTreeSet<Hazard>>,
    /// The roles that `memberships` may name in addition to the predefined ones.
    memberships: Option<BTreeSet<RoleName>>,
    /// The least that a plan does with access that is not declared.
    undeclared_access: Option<UndeclaredAccess>,
    /// Whether what a build has created may be torn down.
    ephemeral: bool,
}

impl File {
    /// Returns the table of an environment, or that of all environments.
    fn of(&self, environment: &str) -> Option<&Environment> {
        self.environments.get(environment).or_else(|| self.environments.get(ANY))
    }
}

impl SitePolicy {
    /// Parses the text of a policy file. `path` is used in messages, and a relative `ca_file` or
    /// ledger is relative to its directory.
    ///
    /// # Errors
    /// Returns an error if the text is not TOML, contains an unknown key or an invalid value, or
    /// names a CA file with a mode that does not verify the server.
    pub fn from_toml(path: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError { path: path.to_owned(), reason };
        let mut file: File = toml::from_str(text).map_err(|error| wrong(reason(text, &error)))?;
        if let Some(ca_file) = &mut file.tls.ca_file {
            if file.tls.mode.is_some_and(|mode| mode != TlsMode::VerifyFull) {
                let reason = "`ca_file` in `[tls]` requires the mode verify-full";
                return Err(wrong(reason.to_owned()));
            }
            file.tls.mode = Some(TlsMode::VerifyFull);
            if let CaFile::Path(ca_file) = ca_file {
                *ca_file = Path::new(path).parent().unwrap_or(Path::new("")).join(&*ca_file);
            }
        }
        if let RequiredLedger::Named(ledger) = &mut file.audit.ledger {
            *ledger = Path::new(path).parent().unwrap_or(Path::new("")).join(&*ledger);
        }
        Ok(Self { files: vec![(path.to_owned(), file)] })
    }

    /// Adds the requirements of another policy.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self
    }

    /// Returns the paths of the files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str())
    }

    /// Checks that each file with environments lists the environment of a run, or all of them.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file has neither: the author of `rdsprov.toml` chooses the
    /// name of the environment, and must not choose its rules with it.
    pub fn check_environment(&self, environment: &str) -> Result<(), SitePolicyError> {
        let is_missing = |(_, file): &&(String, File)| {
            !file.environments.is_empty()
                && !file.environments.contains_key(environment)
                && !file.environments.contains_key(ANY)
        };
        match self.files.iter().find(is_missing) {
            None => Ok(()),
            Some((path, _)) => Err(SitePolicyError::Environment {
                policy: path.clone(),
                environment: environment.to_owned(),
            }),
        }
    }

    /// Returns what each file requires of an environment.
    fn of(&self, environment: &str) -> impl Iterator<Item = (&str, &Environment)> {
        let files = self.files.iter();
        files.filter_map(move |(path, file)| Some((path.as_str(), file.of(environment)?)))
    }

    /// Checks that what a build has created in an environment may be torn down.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file does not say that the environment is ephemeral: other keys
    /// require nothing where they are not set, and this one forbids.
    pub fn check_ephemeral(&self, environment: &str) -> Result<(), SitePolicyError> {
        let is_ephemeral = |file: &File| file.of(environment).is_some_and(|one| one.ephemeral);
        match self.files.iter().find(|(_, file)| !is_ephemeral(file)) {
            None => Ok(()),
            Some((path, _)) => Err(SitePolicyError::NotEphemeral {
                policy: path.clone(),
                environment: environment.to_owned(),
            }),
        }
    }

    /// Returns the policy of an environment with at least the approval that the site requires. If the
    /// site limits the hazards that a run may allow, each hazard must be allowed by name.
    #[must_use]
    pub fn tighten(&self, policy: Policy) -> Policy {
        let required = self.of(policy.environment()).filter_map(|(_, one)| one.approval).max();
        let limits_hazards = self.of(policy.environment()).any(|(_, one)| one.allow.is_some());
        let policy = match required {
            Some(required) => policy.with_at_least(required),
            None => policy,
        };
        if limits_hazards { policy.without_free_hazards() } else { policy }
    }

    /// Returns what a plan does with access that is not declared: at least what the site requires.
    #[must_use]
    pub fn undeclared_access(
        &self,
        environment: &str,
        configured: UndeclaredAccess,
    ) -> UndeclaredAccess {
        let required = self.of(environment).filter_map(|(_, one)| one.undeclared_access);
        required.fold(configured, UndeclaredAccess::max)
    }

    /// Returns the path of the file that requires more than `rdsprov.toml` about access that is not declared,
    /// and what it requires.
    pub(crate) fn undeclared_access_source(
        &self,
        environment: &str,
        configured: Option<UndeclaredAccess>,
    ) -> Option<(&str, UndeclaredAccess)> {
        let configured = configured.unwrap_or_default();
        let required = self.of(environment).filter_map(|(path, one)| {
            one.undeclared_access.filter(|one| *one > configured).map(|one| (path, one))
        });
        required.max_by_key(|(_, required)| *required)
    }

    /// Returns the path of the file that requires more approval than an environment has without the
    /// site policy.
    pub(crate) fn approval_source(&self, configured: &Policy) -> Option<&str> {
        let required = self.of(configured.environment()).filter_map(|(path, one)| {
            one.approval.filter(|required| *required > configured.approval()).map(|one| (path, one))
        });
        required.max_by_key(|(_, required)| *required).map(|(path, _)| path)
    }

    /// Checks the id of the administrator's secret; `None` means that it uses an IAM token.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file does not allow it.
    pub fn check_admin_secret(
        &self,
        environment: &str,
        secret: Option<&SecretId>,
    ) -> Result<(), SitePolicyError> {
        for (path, one) in self.of(environment) {
            let Some(patterns) = &one.admin_secrets else { continue };
            let (policy, environment) = (path.to_owned(), environment.to_owned());
            let Some(secret) = secret else {
                return Err(SitePolicyError::IamToken { policy, environment });
            };
            let allowed: Vec<String> = patterns
                .iter()
                .map(|pattern| pattern.replace("{environment}", &environment))
                .collect();
            if !allowed.iter().any(|pattern| matches_pattern(pattern, &secret.0)) {
                let secret = secret.clone();
                return Err(SitePolicyError::AdminSecret { policy, environment, secret, allowed });
            }
        }
        Ok(())
    }

    /// Checks the master secret that the secret of an application names. A rotation function has no
    /// environment, so that the secret must be that of any one. An ARN stands for its name if it is of the
    /// account and the region of the secret `rotated`.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file limits the secrets of administrators, and does not allow it.
    #[cfg(any(test, feature = "aws"))]
    pub(crate) fn check_master_secret(
        &self,
        secret: &SecretId,
        rotated: &SecretId,
    ) -> Result<(), SitePolicyError> {
        let names: Vec<&str> = secret.possible_names().collect();
        let names = if secret.is_beside(rotated) { names.as_slice() } else { &[] };
        for (path, file) in &self.files {
            let limits = || {
                let tables = file.environments.iter();
                tables.filter_map(|(name, one)| Some((name, one.admin_secrets.as_ref()?)))
            };
            let allows = |(environment, patterns): (&String, &Vec<String>)| {
                patterns.iter().any(|pattern| {
                    let pattern = pattern.replace("{environment}", environment);
                    let ids = names.iter().copied().chain([secret.0.as_str()]);
                    ids.into_iter().any(|id| matches_pattern(&pattern, id))
                })
            };
            if limits().next().is_some() && !limits().any(allows) {
                let (policy, secret) = (path.clone(), secret.clone());
                return Err(SitePolicyError::MasterSecret { policy, secret });
            }
        }
        Ok(())
    }

    /// Checks the hazards that a run allows by name.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file does not let a run allow one of them.
    pub fn check_allowed(
        &self,
        environment: &str,
        allow: &[Hazard],
    ) -> Result<(), SitePolicyError> {
        for (path, one) in self.of(environment) {
            let Some(may) = &one.allow else { continue };
            if let Some(hazard) = allow.iter().find(|hazard| !may.contains(hazard)) {
                return Err(SitePolicyError::Hazard {
                    policy: path.to_owned(),
                    environment: environment.to_owned(),
                    hazard: *hazard,
                });
            }
        }
        Ok(())
    }

    /// Checks the role `group` that `memberships` of a declared role names.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if it is not a predefined role that definitions can always name,
    /// and a file does not allow it.
    pub fn check_membership(
        &self,
        environment: &str,
        role: &RoleName,
        group: &RoleName,
    ) -> Result<(), SitePolicyError> {
        if is_grantable(group.as_str()) {
            return Ok(());
        }
        let refuses = |one: &Environment| {
            one.memberships.as_ref().is_some_and(|allowed| !allowed.contains(group))
        };
        match self.of(environment).find(|(_, one)| refuses(one)) {
            None => Ok(()),
            Some((path, _)) => Err(SitePolicyError::Membership {
                policy: path.to_owned(),
                environment: environment.to_owned(),
                role: role.clone(),
                group: group.clone(),
            }),
        }
    }

    /// Checks the KMS key and the tags of a secret that a run creates.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file does not allow the key, or requires another tag.
    pub fn check_new_secrets(&self, secrets: &NewSecrets) -> Result<(), SitePolicyError> {
        let key = secrets.kms_key.as_ref().map(|key| key.as_str());
        for (path, file) in &self.files {
            let allows = |pattern: &String| key.is_some_and(|key| matches_pattern(pattern, key));
            if let Some(allowed) = &file.secrets.kms_keys
                && !allowed.iter().any(allows)
            {
                let (policy, allowed) = (path.clone(), allowed.clone());
                return Err(SitePolicyError::KmsKey {
                    policy,
                    key: key.map(str::to_owned),
                    allowed,
                });
            }
            let mut required = file.secrets.tags.iter();
            if let Some((key, value)) =
                required.find(|required| !secrets.tags.iter().any(|tag| tag == *required))
            {
                let tag = format!("{key}={value}");
                return Err(SitePolicyError::SecretTag { policy: path.clone(), tag });
            }
        }
        Ok(())
    }

    /// Checks the TLS mode of a run.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file requires a stronger one.
    pub fn check_tls(&self, mode: TlsMode) -> Result<(), SitePolicyError> {
        let mut required =
            self.files.iter().filter_map(|(path, file)| Some((path, file.tls.mode?)));
        match required.find(|(_, required)| mode.is_weaker_than(*required)) {
            None => Ok(()),
            Some((path, required)) => {
                Err(SitePolicyError::Tls { policy: path.clone(), required, mode })
            }
        }
    }

    /// Checks the CA file of a run. Returns the one that the run must use if it names none, with the
    /// path of the policy file.
    ///
    /// A file that requires [`TlsMode::VerifyFull`] allows the CA file that it names, and no other
    /// one. [`CaFile::System`] is always allowed, because it trusts fewer certificates.
    ///
    /// # Errors
    /// Returns a [`SitePolicyError`] if a file does not allow the CA file.
    pub fn check_ca_file(
        &self,
        given: Option<(&CaFile, SettingOrigin)>,
    ) -> Result<Option<(&str, &CaFile)>, SitePolicyError> {
        let named = || {
            self.files
                .iter()
                .filter_map(|(path, file)| Some((path.as_str(), file.tls.ca_file.as_ref()?)))
        };
        // Of several, the strictest one.
        let of_site = named().find(|(_, one)| **one == CaFile::System).or_else(|| named().next());
        let (used, origin) = match (given, of_site) {
            (Some(given), _) => given,
            (None, Some((_, one))) => (one, SettingOrigin::SitePolicy),
            (None, None) => return Ok(None),
        };
        let CaFile::Path(path) = used else { return Ok(of_site.filter(|_| given.is_none())) };
        let refuses = |(_, file): &&(String, File)| {
            file.tls.mode == Some(TlsMode::VerifyFull) && file.tls.ca_file.as_ref() != Some(used)
        };
        match self.files.iter().find(refuses) {
            None => Ok(of_site.filter(|_| given.is_none())),
            Some((policy, file)) => Err(SitePolicyError::CaFile {
                policy: policy.clone(),
                file: path.clone(),
                origin,
                allowed: file.tls.ca_file.clone(),
            }),
        }
    }

    /// Returns the maximum size of a definitions file.
    pub(crate) fn definitions_limit(&self) -> Option<SizeLimit> {
        self.size_limit(|sizes| sizes.definitions)
    }

    /// Returns the maximum size of `rdsprov.toml`.
    pub(crate) fn configuration_limit(&self) -> Option<SizeLimit> {
        self.size_limit(|sizes| sizes.configuration)
    }

    /// Returns the maximum size of a saved plan.
    pub(crate) fn plan_limit(&self) -> Option<SizeLimit> {
        self.size_limit(|sizes| sizes.plan)
    }

    /// Returns the lowest maximum size of all files.
    fn size_limit(&self, of: impl Fn(&FileSizes) -> Option<u64>) -> Option<SizeLimit> {
        let limit = |(path, file): &(String, File)| {
            let bytes = of(&file.maximum_file_sizes)?;
            Some(SizeLimit { bytes, policy: path.clone() })
        };
        self.files.iter().filter_map(limit).min_by_key(|limit| limit.bytes)
    }

    /// Returns an error if a file requires a ledger, and the run has none or another one. `is_same` returns
    /// whether two paths lead to the same file.
    pub(crate) fn check_ledger(
        &self,
        used: Option<&Path>,
        is_same: impl Fn(&Path, &Path) -> bool,
    ) -> Result<(), SitePolicyError> {
        for (policy, file) in &self.files {
            let policy = policy.clone();
            match (&file.audit.ledger, used) {
                (RequiredLedger::None, _) | (RequiredLedger::Any, Some(_)) => {}
                (RequiredLedger::Named(required), Some(used)) if is_same(required, used) => {}
                (RequiredLedger::Any, None) => {
                    return Err(SitePolicyError::NoLedger { policy, required: None });
                }
                (RequiredLedger::Named(required), None) => {
                    let required = Some(required.clone());
                    return Err(SitePolicyError::NoLedger { policy, required });
                }
                (RequiredLedger::Named(required), Some(used)) => {
                    let (required, used) = (required.clone(), used.to_owned());
                    return Err(SitePolicyError::OtherLedger { policy, required, used });
                }
            }
        }
        Ok(())
    }

    /// Returns the audit table that the first file names, with the path of the file.
    pub(crate) fn audit_table(&self) -> Option<(&str, &AuditTableName)> {
        self.files.iter().find_map(|(path, file)| match &file.audit.table {
            RequiredTable::Named(table) => Some((path.as_str(), table)),
            RequiredTable::Any | RequiredTable::None => None,
        })
    }

    /// Returns an error if a file requires an audit table, and the run has none or another one.
    pub(crate) fn check_audit_table(
        &self,
        used: Option<&AuditTableName>,
    ) -> Result<(), SitePolicyError> {
        for (policy, file) in &self.files {
            let policy = policy.clone();
            match (&file.audit.table, used) {
                (RequiredTable::None, _) | (RequiredTable::Any, Some(_)) => {}
                (RequiredTable::Named(required), Some(used)) if required == used => {}
                (RequiredTable::Named(required), Some(used)) => {
                    let (required, used) = (required.clone(), used.clone());
                    return Err(SitePolicyError::OtherAuditTable { policy, required, used });
                }
                (_, None) => return Err(SitePolicyError::NoAuditTable { policy }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
