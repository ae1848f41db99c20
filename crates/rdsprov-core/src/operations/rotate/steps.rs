//! The steps of a rotation that do not depend on how it was planned: `rotate` and the rotation function
//! of Secrets Manager share them.

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation};
use crate::name::RoleName;
use crate::observed::PasswordCheck;
use crate::secret_id::SecretId;
use crate::secrets::{Password, Secret, SecretError, SecretsManager, Version, VersionsError};
use crate::server::apply::ExecutionOutcome;
use crate::server::{FailedStep, FailureCause};

/// A step that failed.
pub(super) struct StepFailure {
    /// The message for the records.
    pub message: String,
    /// What to do about it, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
    /// The step, if its statement has failed.
    pub step: Option<FailedStep>,
    /// The cause, if it has a code of its own.
    pub cause: Option<FailureCause>,
    /// The code, if it is not that of the cause or of a statement that failed.
    pub code: Option<ErrorCode>,
    /// Whether the server may have committed the password nevertheless.
    pub may_be_committed: bool,
}

impl StepFailure {
    /// Returns the failure of an execution; `None` if it has succeeded.
    pub fn of(outcome: ExecutionOutcome) -> Option<Self> {
        Some(Self {
            message: outcome.error?,
            hint: outcome.hint,
            step: outcome.failed_step,
            cause: outcome.cause,
            code: None,
            may_be_committed: outcome.committed,
        })
    }
}

impl From<String> for StepFailure {
    fn from(message: String) -> Self {
        Self { message, hint: None, step: None, cause: None, code: None, may_be_committed: false }
    }
}

impl From<SecretError> for StepFailure {
    fn from(error: SecretError) -> Self {
        Self { code: Some(error.code()), ..error.to_string().into() }
    }
}

impl From<VersionsError> for StepFailure {
    fn from(error: VersionsError) -> Self {
        match error {
            VersionsError::Source(error) => {
                Self { code: Some(error.code()), ..error.to_string().into() }
            }
            VersionsError::Secret(error) => error.into(),
        }
    }
}

/// The id of the pending version, if Secrets Manager has chosen it, and the role that it is for, if that
/// is another one than in the current version.
pub(super) struct NewVersion<'a> {
    pub id: &'a str,
    pub username: Option<&'a RoleName>,
}

/// Creates the pending version: a copy of the current version with a new password.
pub(super) async fn create_pending(
    manager: &SecretsManager,
    current: &Version,
    minimum_length: usize,
    new: Option<NewVersion<'_>>,
) -> Result<Secret, StepFailure> {
    let password = Password::generate(minimum_length).map_err(|error| error.to_string())?;
    let username = new.as_ref().and_then(|new| new.username);
    let text = current.with_password(&password, username)?;
    let chosen = new.as_ref().map(|new| new.id);
    let version = manager.put_pending(&current.secret.id, chosen, text).await?;
    Ok(Secret { password, version: Some(version), ..current.secret.clone() })
}

/// Checks the result of a login with the new password.
pub(super) fn new_password_accepted(
    role: &RoleName,
    result: PasswordCheck,
) -> Result<(), StepFailure> {
    let message = match result {
        PasswordCheck::Accepted => return Ok(()),
        PasswordCheck::Inconclusive(reason) => {
            format!("role {role} cannot log in with the new password: {reason}")
        }
        PasswordCheck::WrongPassword | PasswordCheck::NotChecked | PasswordCheck::ToBeSet => {
            format!(
                "the server rejects the new password of role {role}: another program has set another password"
            )
        }
    };
    Err(StepFailure { code: Some(ErrorCode::RotationLoginFailed), ..message.into() })
}

/// Moves `AWSCURRENT` to the new version. After an error, queries whether it was moved nevertheless.
pub(super) async fn make_current(
    manager: &SecretsManager,
    id: &SecretId,
    current: &str,
    version: &str,
) -> Result<(), StepFailure> {
    let Err(error) = manager.make_current(id, current, version).await else {
        return Ok(());
    };
    match manager.stages(id).await {
        Ok(stages) if stages.current == *version => Ok(()),
        Ok(stages) if stages.current == *current => Err(error.into()),
        Ok(stages) => {
            let now = stages.current;
            let message = format!("{error}; secret {id} now has another current version ({now})");
            let hint = hint!["run ", Operation::Apply, " to set the current password"];
            Err(StepFailure { hint: Some(hint), ..message.into() })
        }
        Err(_) => {
            let message = format!("{error}; the current version of secret {id} is not known");
            let hint = hint![
                "run ",
                Operation::Apply,
                " when the secret can be read, to set the current password"
            ];
            Err(StepFailure { hint: Some(hint), ..message.into() })
        }
    }
}
