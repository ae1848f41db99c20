//! The reasons why a site policy does not allow a run, each with its hint.

use std::path::PathBuf;

use crate::audit_table::AuditTableName;
use crate::config::{CaFile, SettingOrigin, TlsMode};
use crate::error_code::ErrorCode;
use crate::hint::{Hint, Opt};
use crate::name::RoleName;
use crate::plan::Hazard;
use crate::secret_id::SecretId;
use crate::{hint, text};

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
    /// The run would create a secret with another KMS key.
    #[error("{policy} does not allow {} for a new secret", match key {
        Some(key) => format!("the KMS key {key}"),
        None => "the KMS key `aws/secretsmanager`".to_owned(),
    })]
    KmsKey {
        /// The path of the policy file.
        policy: String,
        /// The key; `None` means that of AWS.
        key: Option<String>,
        /// The patterns of the allowed keys.
        allowed: Vec<String>,
    },
    /// The run would create a secret without a tag.
    #[error("{policy} requires the tag {tag} for a new secret")]
    SecretTag {
        /// The path of the policy file.
        policy: String,
        /// The tag.
        tag: String,
    },
    /// The site does not allow a teardown.
    #[error(
        "{policy} does not declare environment `{environment}` as ephemeral, so that nothing in it is torn down"
    )]
    NotEphemeral {
        /// The path of the policy file.
        policy: String,
        /// The name of the environment.
        environment: String,
    },
    /// The run has no ledger.
    #[error("{policy} requires a ledger")]
    NoLedger {
        /// The path of the policy file.
        policy: String,
        /// The ledger that the policy names, if it names one.
        required: Option<PathBuf>,
    },
    /// The run has another ledger.
    #[error(
        "{policy} requires the ledger {}, and this run uses {}",
        text::visible(&.required.to_string_lossy()), text::visible(&.used.to_string_lossy())
    )]
    OtherLedger {
        /// The path of the policy file.
        policy: String,
        /// The ledger of the policy.
        required: PathBuf,
        /// The ledger of the run.
        used: PathBuf,
    },
    /// The run writes audit rows into another table.
    #[error("{policy} requires the audit table {required}, and this run uses {used}")]
    OtherAuditTable {
        /// The path of the policy file.
        policy: String,
        /// The table of the policy.
        required: AuditTableName,
        /// The table of the run.
        used: AuditTableName,
    },
    /// The run writes no audit rows.
    #[error("{policy} requires an audit table")]
    NoAuditTable {
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
            Self::KmsKey { allowed, .. } => hint![
                format!("the policy allows {}: use ", allowed.join(", ")),
                Opt::SecretKmsKey
            ],
            Self::SecretTag { tag, .. } => hint!["use ", (Opt::SecretTags, tag)],
            Self::NotEphemeral { environment, .. } => hint![
                "check ",
                Opt::Env,
                format!(
                    ", or ask the owners of the policy for `ephemeral = true` below `[environments.{environment}]`"
                )
            ],
            Self::NoLedger { required: None, .. } => hint!["name one with ", Opt::AuditLedger],
            Self::NoLedger { required: Some(required), .. } | Self::OtherLedger { required, .. } => {
                hint!["use ", (Opt::AuditLedger, required.display())]
            }
            Self::OtherAuditTable { required, .. } => {
                hint!["remove the other table, or use ", (Opt::AuditTable, required)]
            }
            Self::NoAuditTable { .. } => {
                hint!["name one with ", Opt::AuditTable, ", such as rdsprov_audit.changes"]
            }
        }]
    }
}
