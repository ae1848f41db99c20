//! The site policy: what the owners of a site require of each run, whatever `rdsprov.toml` and the
//! options say.
//!
//! `rdsprov.toml` is usually in the repository of the definitions, so that everyone who may edit
//! definitions may edit it. The site policy is outside of it. This module does not read files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::{CaFile, ConfigError, SettingOrigin, TlsMode, reason};
use crate::error_code::ErrorCode;
use crate::hint::{Hint, Opt};
use crate::name::{RoleName, matches_pattern};
use crate::plan::Hazard;
use crate::policy::{ApprovalPolicy, Policy, UndeclaredAccess};
use crate::predefined_role::is_grantable;
use crate::secret_id::SecretId;
use crate::{hint, text};

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
    /// Whether a run needs a ledger.
    ledger: bool,
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
}

/// The site policy does not allow a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SitePolicyError {
    /// The administrator's secret is not one of the environment.
    #[error(
        "{policy} does not allow the administrator's secret {} in environment `{environment}`",
        text::visible(&.secret.0)
    )]
    AdminSecret {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
        /// The id of the secret.
        secret: SecretId,
        /// The patterns of the allowed ids.
        allowed: Vec<String>,
    },
    /// The secret of an application names a master secret that is the administrator's secret of no
    /// environment.
    #[error("{policy} does not allow the administrator's secret {} in any environment", text::visible(&.secret.0))]
    MasterSecret {
        /// The path of the policy file.
        policy: String,
        /// The id of the secret.
        secret: SecretId,
    },
    /// The file has rules for environments, and none for this one.
    #[error("{policy} does not list environment `{environment}`")]
    Environment {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
    },
    /// The administrator would use an IAM token, which is of no secret.
    #[error(
        "{policy} allows certain secrets of the administrator only in environment `{environment}`, \
         and this run uses an IAM token"
    )]
    IamToken {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
    },
    /// The run allows a hazard that the site does not.
    #[error("{policy} does not let a run allow the hazard {hazard} in environment `{environment}`")]
    Hazard {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
        /// The hazard.
        hazard: Hazard,
    },
    /// The definitions name a role in `memberships` that the site does not allow.
    #[error(
        "{policy} does not allow {group} in `memberships` of role {role} in environment `{environment}`"
    )]
    Membership {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
        /// The declared role.
        role: RoleName,
        /// The role of which it would be a member.
        group: RoleName,
    },
    /// The TLS mode is weaker than the one that the site requires.
    #[error("{policy} requires the TLS mode {required}, and this run uses {mode}")]
    Tls {
        /// The path of the policy file.
        policy: String,
        /// The mode that the file requires.
        required: TlsMode,
        /// The mode of the run.
        mode: TlsMode,
    },
    /// The run would trust certificates that the site does not.
    #[error("{policy} does not allow the CA file {}", text::visible(&.file.to_string_lossy()))]
    CaFile {
        /// The path of the policy file.
        policy: String,
        /// The CA file of the run.
        file: PathBuf,
        /// Where the CA file is given.
        origin: SettingOrigin,
        /// The CA file that the policy allows, if it allows one.
        allowed: Option<CaFile>,
    },
    /// The run has no ledger.
    #[error("{policy} requires a ledger")]
    NoLedger {
        /// The path of the policy file.
        policy: String,
    },
}

impl SitePolicyError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::SitePolicyViolated
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::AdminSecret { allowed, .. } if allowed.is_empty() => {
                "ask the owners of the policy: it allows no secret in this environment".into()
            }
            Self::AdminSecret { allowed, .. } => hint![
                format!("the policy allows {}: check ", allowed.join(", ")),
                Opt::Env,
                " and ",
                Opt::AdminSecret
            ],
            Self::MasterSecret { .. } => {
                "correct `masterarn` in the secret of the application, or ask the owners of the policy \
                 for `admin_secrets` in its table of the environment"
                    .into()
            }
            Self::Environment { .. } => {
                hint!["check ", Opt::Env, ", or ask the owners of the policy"]
            }
            Self::IamToken { .. } => hint!["use ", Opt::AdminSecret],
            Self::Hazard { hazard, .. } => hint![
                "change the definitions so that the plan has no such step, and remove ",
                (Opt::Allow, hazard)
            ],
            Self::Membership { group, .. } => hint![format!(
                "remove {group} from `memberships`, or ask the owners of the policy for `memberships` in its table of the environment"
            )],
            Self::Tls { required, .. } => hint!["use ", (Opt::Tls, required)],
            Self::CaFile { origin, allowed: Some(CaFile::Path(allowed)), .. } => hint![
                "remove ",
                origin.setting(Opt::CaFile),
                format!(": the policy names {}", allowed.display())
            ],
            Self::CaFile { origin, .. } => hint![
                "remove ",
                origin.setting(Opt::CaFile),
                ", or ask the owners of the policy for `ca_file` in its `[tls]`"
            ],
            Self::NoLedger { .. } => hint!["name one with ", Opt::AuditLedger],
        }]
    }
}

impl SitePolicy {
    /// Parses the text of a policy file. `path` is used in messages, and a relative `ca_file` is
    /// relative to its directory.
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
        self.files.iter().filter_map(move |(path, file)| {
            let own = file.environments.get(environment);
            Some((path.as_str(), own.or_else(|| file.environments.get(ANY))?))
        })
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

    /// Returns an error if a file requires a ledger, for a run without one.
    pub(crate) fn check_without_ledger(&self) -> Result<(), SitePolicyError> {
        match self.files.iter().find(|(_, file)| file.audit.ledger) {
            None => Ok(()),
            Some((path, _)) => Err(SitePolicyError::NoLedger { policy: path.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> SitePolicy {
        SitePolicy::from_toml("policy.toml", text).unwrap()
    }

    #[test]
    fn approval_is_never_weaker_than_either() {
        use ApprovalPolicy::{None as Free, Plan, Required};
        let approvals = [Free, Required, Plan];
        for configured in approvals {
            for (required, text) in approvals.iter().zip(["none", "required", "plan"]) {
                let policy = policy(&format!("[environments.\"*\"]\napproval = \"{text}\""));
                let tightened = policy.tighten(Policy::declared("qa", Some(configured)));
                assert_eq!(tightened.approval(), configured.max(*required));
            }
        }
    }

    #[test]
    fn own_table_replaces_the_general_one() {
        let policy = policy(
            "[environments.\"*\"]\napproval = \"plan\"\nadmin_secrets = [\"x/{environment}/*\"]\n\
             [environments.dev]\n",
        );
        let dev = policy.tighten(Policy::built_in("dev").unwrap());
        assert!(dev.allows_all_hazards());
        let prod = policy.tighten(Policy::built_in("prod").unwrap());
        assert_eq!(prod.approval(), ApprovalPolicy::Plan);
        let secret = |id: &str| SecretId(id.to_owned());
        let check = |id: &str| policy.check_admin_secret("prod", Some(&secret(id)));
        assert_eq!(check("x/prod/rds"), Ok(()));
        assert!(check("x/dev/rds").is_err() && check("y/x/prod/rds").is_err());
        assert!(policy.check_admin_secret("prod", None).is_err());
        assert_eq!(policy.check_admin_secret("dev", None), Ok(()));
    }

    #[test]
    fn master_secret_is_that_of_an_environment() {
        let policy = policy(
            "[environments.\"*\"]\nadmin_secrets = [\"x/{environment}/rds\"]\n[environments.dev]\n\
             [environments.qa]\nadmin_secrets = [\"qa\", \"arn:aws:secretsmanager:eu-west-2:1:secret:own-*\"]",
        );
        let arn = |account: &str, name: &str| {
            format!("arn:aws:secretsmanager:eu-west-2:{account}:secret:{name}-AbCdEf")
        };
        let allows = |id: &str| {
            let (id, rotated) = (SecretId(id.to_owned()), SecretId(arn("1", "shop")));
            policy.check_master_secret(&id, &rotated).is_ok()
        };
        assert!(allows("x/prod/rds") && allows("qa") && !allows("shop"));
        assert!(
            allows(&arn("1", "x/prod/rds")) && allows(&arn("1", "qa")) && allows(&arn("1", "own"))
        );
        assert!(!allows(&arn("2", "x/prod/rds")) && !allows(&arn("2", "own")));
        let (id, rotated) = (SecretId("shop".to_owned()), SecretId("shop".to_owned()));
        assert!(SitePolicy::default().check_master_secret(&id, &rotated).is_ok());
    }

    #[test]
    fn every_file_must_allow_a_run() {
        let one = policy("[tls]\nmode = \"require\"");
        let two = policy("[tls]\nmode = \"verify-full\"\n[audit]\nledger = true");
        assert_eq!(one.check_tls(TlsMode::Require), Ok(()));
        assert!(one.check_tls(TlsMode::Disable).is_err());
        let both = one.and(two);
        assert!(both.check_tls(TlsMode::Require).is_err());
        assert_eq!(both.check_tls(TlsMode::VerifyFull), Ok(()));
        assert!(both.check_without_ledger().is_err());
        assert_eq!(SitePolicy::default().check_without_ledger(), Ok(()));
    }

    #[test]
    fn undeclared_access_is_never_treated_less_strictly() {
        use UndeclaredAccess::{Allow, Refuse, Report};
        let report = policy("[environments.prod]\nundeclared_access = \"report\"");
        let stricter = policy("[environments.\"*\"]\nundeclared_access = \"refuse\"");
        for (environment, configured, expected) in
            [("prod", Allow, Report), ("prod", Refuse, Refuse), ("qa", Allow, Allow)]
        {
            assert_eq!(report.undeclared_access(environment, configured), expected);
        }
        assert_eq!(report.and(stricter).undeclared_access("prod", Allow), Refuse);
    }

    #[test]
    fn only_the_ca_file_of_the_site_is_trusted() {
        let path = |text: &str| CaFile::Path(text.into());
        let options = SettingOrigin::Options;
        let check = |policy: &SitePolicy, given: Option<&CaFile>| {
            let used = policy.check_ca_file(given.map(|one| (one, options)));
            used.map(|used| used.map(|(_, one)| one.clone())).map_err(|error| error.to_string())
        };
        let (site, other) = (path("/etc/rdsprov/ca.pem"), path("repository/ca.pem"));
        let file = |text: &str| SitePolicy::from_toml("/etc/rdsprov/policy.toml", text).unwrap();
        for (text, own, others) in [
            // Requires nothing.
            ("", None, true),
            ("[tls]\nmode = \"require\"", None, true),
            ("[tls]\nmode = \"verify-full\"", None, false),
            ("[tls]\nca_file = \"ca.pem\"", Some(&site), false),
            (
                "[tls]\nmode = \"verify-full\"\nca_file = \"/etc/rdsprov/ca.pem\"",
                Some(&site),
                false,
            ),
            ("[tls]\nca_file = \"system\"", Some(&CaFile::System), false),
        ] {
            let policy = file(text);
            assert_eq!(check(&policy, None), Ok(own.cloned()), "{text}");
            assert_eq!(check(&policy, Some(&other)).is_ok(), others, "{text}");
            let allows_site = others || own == Some(&site);
            assert_eq!(check(&policy, Some(&site)).is_ok(), allows_site, "{text}");
            assert_eq!(check(&policy, Some(&CaFile::System)), Ok(None), "{text}");
        }
        // A CA file implies the verification.
        let policy = file("[tls]\nca_file = \"ca.pem\"");
        assert!(policy.check_tls(TlsMode::Require).is_err());
        let weaker = "[tls]\nmode = \"require\"\nca_file = \"ca.pem\"";
        assert!(SitePolicy::from_toml("policy.toml", weaker).is_err());
        // Each file must allow the CA file of the other.
        let strict = || file("[tls]\nmode = \"verify-full\"");
        assert!(check(&strict().and(policy.clone()), None).is_err());
        assert!(check(&policy.clone().and(strict()), None).is_err());
        let system = || file("[tls]\nca_file = \"system\"");
        for both in [policy.clone().and(system()), system().and(policy)] {
            assert_eq!(check(&both, None), Ok(Some(CaFile::System)));
        }
    }

    #[test]
    fn lowest_maximum_size_counts() {
        let one = policy("[maximum_file_sizes]\ndefinitions = 1000\nplan = 10");
        let two = policy("[maximum_file_sizes]\ndefinitions = 500");
        let both = one.and(two);
        assert_eq!(both.definitions_limit().map(|limit| limit.bytes), Some(500));
        assert_eq!(both.plan_limit().map(|limit| limit.bytes), Some(10));
        assert_eq!(both.configuration_limit(), None);
    }

    #[test]
    fn only_listed_hazards_may_be_allowed() {
        let policy = policy("[environments.prod]\nallow = [\"revokes_access\"]");
        assert_eq!(policy.check_allowed("prod", &[Hazard::RevokesAccess]), Ok(()));
        assert!(policy.check_allowed("prod", &[Hazard::ChangesOwner]).is_err());
        assert_eq!(policy.check_allowed("dev", &[Hazard::ChangesOwner]), Ok(()));
        // What a run need not allow by name, the site could not limit.
        let dev = SitePolicy::from_toml("policy.toml", "[environments.dev]\nallow = []").unwrap();
        assert!(!dev.tighten(Policy::built_in("dev").unwrap()).allows_all_hazards());
    }

    #[test]
    fn environment_without_rules_is_refused() {
        let prod = policy("[environments.prod]\napproval = \"plan\"");
        assert_eq!(prod.check_environment("prod"), Ok(()));
        assert!(prod.check_environment("prod2").is_err());
        assert_eq!(policy("[environments.\"*\"]").check_environment("prod2"), Ok(()));
        assert_eq!(policy("[audit]\nledger = true").check_environment("prod2"), Ok(()));
    }

    /// The example in the reference is valid, and sets each key.
    #[test]
    fn reference_example_sets_each_key() {
        let reference = include_str!("../../../docs/reference.md");
        let section = reference.split("## Site policy\n").nth(1).unwrap();
        let example = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let policy = policy(example);
        let [(_, File { maximum_file_sizes, tls, audit, environments })] = policy.files.as_slice()
        else {
            panic!()
        };
        let FileSizes { definitions, configuration, plan } = maximum_file_sizes;
        assert!(definitions.is_some() && configuration.is_some() && plan.is_some());
        assert!(tls.mode.is_some() && tls.ca_file.is_some() && audit.ledger);
        let prod = &environments["prod"];
        assert!(prod.approval.is_some() && prod.admin_secrets.is_some() && prod.allow.is_some());
        assert!(prod.memberships.is_some() && prod.undeclared_access.is_some());
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in [
            "[environment.prod]",
            "[environments.prod]\naproval = \"plan\"",
            "[tsl]",
            "[maximum_file_sizes]\nplans = 1",
        ] {
            assert!(SitePolicy::from_toml("policy.toml", text).is_err(), "{text}");
        }
    }
}
