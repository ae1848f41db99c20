//! IAM tokens, which Amazon RDS accepts instead of a password.
//!
//! The AWS SDK signs them in [`super::signer`]. Without the feature `aws`, no [`TokenSource`] can be
//! created.

use super::aws::SdkConfig;
use super::signer::Signer;
use super::{Password, region_hint};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};

/// Creates IAM tokens with the AWS credentials of a configuration.
#[derive(Debug, Clone)]
pub struct TokenSource(Signer);

/// An IAM token cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The signature of a token contains the region, and none is known.
    #[error("the AWS region is not known, and an IAM token requires it")]
    NoRegion,
    /// The AWS SDK found no credentials, or their source failed.
    #[error("no AWS credentials for an IAM token: {0}")]
    NoCredentials(String),
    /// The program contains no AWS SDK.
    #[error("this program was built without support for AWS, and an IAM token requires it")]
    AwsNotSupported,
    /// The AWS SDK cannot sign the request.
    #[error("an IAM token cannot be signed: {0}")]
    Signing(String),
}

impl TokenError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoRegion => ErrorCode::NoAwsRegion,
            Self::NoCredentials(_) => ErrorCode::NoAwsCredentials,
            Self::AwsNotSupported | Self::Signing(_) => ErrorCode::TokenSigningFailed,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::NoRegion => region_hint(),
            Self::AwsNotSupported => {
                hint!["build the program with AWS, or use ", (Opt::AdminAuth, "password")]
            }
            Self::NoCredentials(_) | Self::Signing(_) => {
                "check the environment variables, the AWS profile or the IAM role that provides \
                 the credentials"
                    .into()
            }
        }]
    }
}

impl TokenSource {
    /// Takes the region and the credentials provider from a configuration.
    ///
    /// # Errors
    /// Returns an error if the configuration has no region or no credentials provider, or without
    /// the feature `aws`.
    pub(crate) fn new(config: &SdkConfig) -> Result<Self, TokenError> {
        Signer::new(config).map(Self)
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
