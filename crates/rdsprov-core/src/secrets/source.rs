//! The sources of secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::SecretsManager;
use super::error::{SecretError, SourceError};
use super::files;
use super::secret::Secret;
use super::secret_owner::{DatabaseEndpoint, UnknownEndpoint};
use crate::secret_id::{SecretId, Stage};

/// The source from which a run fetches its secrets.
#[derive(Clone)]
#[non_exhaustive]
pub enum SecretSource {
    /// A directory of JSON files, with the file `<id>.json` for each secret.
    Files(PathBuf),
    /// AWS Secrets Manager in one region.
    Aws(SecretsManager),
    /// A source that the embedding program implements.
    Own(Arc<dyn SecretProvider>),
}

/// A source of secrets that the embedding program implements.
///
/// [`SecretSource::fetch`] requests one secret after the other, in the task that awaits it.
///
/// ```
/// use rdsprov_core::secrets::{Secret, SecretError, SecretProvider, SourceError};
/// use rdsprov_core::secret_id::SecretId;
///
/// struct Fixed;
///
/// impl SecretProvider for Fixed {
///     fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError> {
///         Ok(Secret::parse(id, r#"{"password": "s3cr3t-enough"}"#))
///     }
/// }
///
/// assert!(Fixed.secret(&SecretId("shop".to_owned())).unwrap().is_ok());
/// ```
pub trait SecretProvider: Send + Sync {
    /// Returns a secret, or the error that concerns only this secret.
    ///
    /// # Errors
    /// Returns an error if the whole source fails; then no other secret is requested.
    fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError>;
}

impl SecretSource {
    /// Returns the endpoint of the DB instance or cluster to which a secret belongs that RDS manages.
    ///
    /// # Errors
    /// Returns what is known of it if the source or the API of RDS does not return the endpoint.
    pub(crate) async fn endpoint(
        &self,
        id: &SecretId,
    ) -> Result<DatabaseEndpoint, UnknownEndpoint> {
        match self {
            Self::Aws(manager) => manager.endpoint(id).await,
            Self::Files(_) | Self::Own(_) => Err(UnknownEndpoint { owner: None, reason: None }),
        }
    }

    /// Fetches the secrets, each in the version with the given stage. Returns the secret or the
    /// error for each id.
    ///
    /// # Errors
    /// Returns an error if the whole source fails, for example without AWS credentials.
    pub async fn fetch(
        &self,
        wanted: &BTreeMap<SecretId, Stage>,
    ) -> Result<BTreeMap<SecretId, Result<Secret, SecretError>>, SourceError> {
        match self {
            Self::Files(directory) => Ok(wanted
                .iter()
                .map(|(id, stage)| (id.clone(), files::read(directory, id, *stage)))
                .collect()),
            Self::Aws(manager) => manager.fetch(wanted).await,
            Self::Own(provider) => wanted
                .iter()
                .map(|(id, stage)| {
                    let secret = match stage {
                        Stage::Current => provider.secret(id)?,
                        Stage::Pending => Err(SecretError::NoStages { id: id.clone() }),
                    };
                    Ok((id.clone(), secret))
                })
                .collect(),
        }
    }
}
