//! IAM tokens, which Amazon RDS accepts instead of a password.
//!
//! The AWS SDK signs them in [`super::signer`]. Without the feature `aws`, no
//! [`TokenSource`] can be created.

use super::aws::AwsConfig;
use super::signer::Signer;
use super::{Password, TokenError};

/// Creates IAM tokens with the AWS credentials of a configuration.
#[derive(Debug, Clone)]
pub struct TokenSource(Signer);

impl TokenSource {
    /// Takes the region and the credentials provider from a configuration.
    ///
    /// # Errors
    /// Returns an error if the configuration has no region or no credentials provider, or
    /// without the feature `aws`.
    pub(crate) fn new(config: &AwsConfig) -> Result<Self, TokenError> {
        Signer::new(config).map(Self)
    }

    /// Loads the AWS credentials, which all tokens share.
    ///
    /// # Errors
    /// Returns an error if their source does not provide them in time.
    pub(crate) async fn load(&self) -> Result<(), TokenError> {
        self.0.load().await
    }

    /// Returns a token for one role on one server; it is valid for 15 minutes.
    ///
    /// # Errors
    /// Returns an error if the credentials are not available, or if the request cannot be signed.
    pub(crate) async fn token(
        &self,
        host: &str,
        port: u16,
        role: &str,
    ) -> Result<Password, TokenError> {
        self.0.token(host, port, role).await
    }
}
