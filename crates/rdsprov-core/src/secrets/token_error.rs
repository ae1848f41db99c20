//! Why an IAM token cannot be created.

use super::{SourceError, region_hint};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};

/// An IAM token cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The signature of a token contains the region, and none is known.
    #[error("the AWS region is not known, and an IAM token requires it")]
    NoRegion,
    /// The AWS SDK found no credentials, or their source failed.
    #[error("an IAM token cannot be signed: {0}")]
    NoCredentials(#[source] SourceError),
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
            Self::NoCredentials(error) => {
                // The second hint for missing credentials concerns secrets.
                return error.hints().into_iter().take(1).collect();
            }
            Self::NoRegion => region_hint(),
            Self::AwsNotSupported => {
                hint!["build the program with AWS, or use ", (Opt::AdminAuth, "password")]
            }
            Self::Signing(_) => {
                "check the environment variables, the AWS profile or the IAM role that provides \
                 the credentials"
                    .into()
            }
        }]
    }
}
