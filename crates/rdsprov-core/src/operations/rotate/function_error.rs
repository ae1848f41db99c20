//! Why a step of a rotation by Secrets Manager has failed.

use super::steps::StepFailure;
use crate::blue_green::in_progress_fact;
use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation};
use crate::name::RoleName;
use crate::secret_id::SecretId;
use crate::secrets::{SecretError, SourceError, VersionsError};
use crate::server::{ConnectError, FailureCause};
use crate::site_policy::SitePolicyError;

/// A step of a rotation by Secrets Manager has failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe them")]
#[non_exhaustive]
pub enum RotationStepError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    SitePolicy(#[from] SitePolicyError),
    #[error("automatic rotation of secret {id} is not enabled")]
    NotEnabled { id: SecretId },
    #[error("version {version} of secret {id} is not AWSPENDING")]
    NotPending { id: SecretId, version: String },
    #[error("the endpoint of secret {id} is not known: {reason}")]
    NoEndpoint { id: SecretId, reason: String },
    #[error("secret {id} has no key `{key}`")]
    Incomplete { id: SecretId, key: &'static str },
    #[error(
        "version {version} of secret {id} is for role {found}, but this rotation changes the password of role {expected}"
    )]
    OtherRole { id: SecretId, version: String, found: RoleName, expected: RoleName },
    #[error("secret {id} is for the server {found}, but secret {other} is for {expected}")]
    OtherServer { id: SecretId, other: SecretId, found: String, expected: String },
    #[error("the server accepts no password of secret {id} for role {role}")]
    NoPasswordAccepted { id: SecretId, role: RoleName },
    #[error(
        "role {role} of secret {id} can have no clone: the name of the clone would be too long"
    )]
    NoClone { id: SecretId, role: RoleName },
    #[error(
        "role {role} exists, and no administrator has made it a member of role {of}, whose clone it would be"
    )]
    NotAClone { role: RoleName, of: RoleName },
    #[error(
        "role {role} of secret {id} is an administrator, can become one, or has a reserved name"
    )]
    Administrator { id: SecretId, role: RoleName },
    #[error("role {role} does not exist")]
    NoRole { role: RoleName },
    #[error("{}", in_progress_fact(.statuses))]
    BlueGreenInProgress { statuses: Vec<String> },
    #[error("another run holds the lock of {server}")]
    Locked { server: String },
    #[error("{message}")]
    Failed { message: String, hint: Option<Hint>, code: ErrorCode },
}

impl From<VersionsError> for RotationStepError {
    fn from(error: VersionsError) -> Self {
        match error {
            VersionsError::Source(error) => Self::Source(error),
            VersionsError::Secret(error) => Self::Secret(error),
        }
    }
}

impl From<StepFailure> for RotationStepError {
    fn from(StepFailure { message, hint, cause, code, .. }: StepFailure) -> Self {
        let code = cause.map(FailureCause::code).or(code).unwrap_or(ErrorCode::StatementFailed);
        Self::Failed { message, hint, code }
    }
}

impl RotationStepError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::Secret(error) => error.code(),
            Self::Connect(error) => error.code(),
            Self::SitePolicy(error) => error.code(),
            Self::NotEnabled { .. } | Self::NotPending { .. } => ErrorCode::RotationNotStarted,
            Self::NoPasswordAccepted { .. } => ErrorCode::RotationLoginFailed,
            Self::NoEndpoint { .. } => ErrorCode::NoHost,
            Self::Incomplete { .. }
            | Self::OtherRole { .. }
            | Self::NoClone { .. }
            | Self::Administrator { .. } => ErrorCode::InvalidSecret,
            Self::OtherServer { .. } => ErrorCode::ServerMismatch,
            Self::NotAClone { .. } | Self::NoRole { .. } => ErrorCode::UnknownRole,
            Self::BlueGreenInProgress { .. } => ErrorCode::BlueGreenInProgress,
            Self::Locked { .. } => ErrorCode::LockTimeout,
            Self::Failed { code, .. } => *code,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Source(error) => return error.hints(),
            Self::Secret(error) => return error.hints(),
            Self::Connect(error) => return error.hints(),
            Self::SitePolicy(error) => return error.hints(),
            Self::NotEnabled { .. } => "enable it with `aws secretsmanager rotate-secret`".into(),
            Self::NotPending { .. } => {
                "have Secrets Manager invoke the function: `aws secretsmanager rotate-secret`"
                    .into()
            }
            Self::NoEndpoint { .. } => {
                "correct the reason, or add `host` and `port` to a secret of your own for the master user".into()
            }
            Self::Incomplete { key, .. } => format!("add `{key}` to the secret").into(),
            Self::OtherRole { .. } => {
                "cancel the rotation with `aws secretsmanager cancel-rotate-secret`, and start it \
                 again"
                    .into()
            }
            Self::OtherServer { .. } => "correct `host` and `port` in one of both secrets".into(),
            Self::NoPasswordAccepted { .. } => hint![
                "run ",
                Operation::Apply,
                " to set the password of the current version; Secrets Manager repeats the rotation"
            ],
            Self::NoClone { .. } => {
                "remove `masterarn` from the secret, or give the role a shorter name".into()
            }
            Self::NotAClone { role, of } => {
                format!("rename role {role}, or GRANT {} TO {}", of.quoted(), role.quoted()).into()
            }
            Self::Administrator { .. } => {
                "remove `masterarn` from the secret, so that the role sets its own password".into()
            }
            Self::NoRole { .. } => hint!["run ", Operation::Apply, " to create the declared role"],
            Self::BlueGreenInProgress { .. } => {
                "complete the switchover, or delete the deployment; Secrets Manager repeats the \
                 rotation"
                    .into()
            }
            Self::Locked { .. } => {
                "wait until it has ended; Secrets Manager repeats the step".into()
            }
            Self::Failed { hint, .. } => return hint.clone().into_iter().collect(),
        }]
    }

    /// Returns the error as a front end prints it.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::new(self.code(), self, self.hints())
    }
}
