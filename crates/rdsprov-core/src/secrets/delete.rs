//! Schedules the deletion of secrets in Secrets Manager.

use super::{SecretError, SecretSource};
use crate::secret_id::{RecoveryWindow, SecretId};

impl SecretSource {
    /// Returns whether a secret exists, and its deletion is not scheduled yet.
    ///
    /// # Errors
    /// Returns an error if this is not known.
    pub(crate) async fn exists(&self, id: &SecretId) -> Result<bool, SecretError> {
        match self {
            Self::Aws(manager) => manager.exists(id).await,
            Self::Files(_) | Self::Own(_) => Err(not_in_secrets_manager(id)),
        }
    }

    /// Schedules the deletion of a secret. It succeeds if the secret does not exist, or if its deletion is
    /// scheduled already.
    ///
    /// # Errors
    /// Returns an error if Secrets Manager does not delete it.
    pub(crate) async fn schedule_deletion(
        &self,
        id: &SecretId,
        window: RecoveryWindow,
    ) -> Result<(), SecretError> {
        match self {
            Self::Aws(manager) => manager.schedule_deletion(id, window).await,
            Self::Files(_) | Self::Own(_) => Err(not_in_secrets_manager(id)),
        }
    }
}

fn not_in_secrets_manager(id: &SecretId) -> SecretError {
    let reason = "it is not in Secrets Manager".to_owned();
    SecretError::Unchangeable { id: id.clone(), reason }
}
