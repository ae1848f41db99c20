//! Secrets: the sources that contain passwords, and the type [`Password`] that protects them.
//!
//! A password reaches the server either in a login or, in a statement, as a SCRAM verifier
//! (`scram`). This module must not know connections to PostgreSQL or front ends.

#[cfg(feature = "aws")]
pub(crate) mod aws;
#[cfg(feature = "postgres")]
mod create;
mod credential_source;
#[cfg(feature = "aws")]
mod credentials;
#[cfg(feature = "postgres")]
mod delete;
mod error;
#[cfg(feature = "postgres")]
mod files;
#[cfg(feature = "postgres")]
mod generate;
#[cfg(all(feature = "postgres", any(test, not(feature = "aws"))))]
pub(crate) mod no_aws;
#[cfg(feature = "postgres")]
mod object_uri;
#[cfg(feature = "aws")]
mod objects;
mod parse;
mod password;
#[cfg(feature = "aws")]
mod rds_api;
#[cfg(feature = "postgres")]
pub mod scram;
mod secret;
mod secret_owner;
#[cfg(feature = "aws")]
mod signed_query;
#[cfg(feature = "aws")]
mod signed_request;
#[cfg(feature = "aws")]
mod signer;
#[cfg(feature = "postgres")]
mod source;
#[cfg(feature = "postgres")]
mod token;
#[cfg(feature = "postgres")]
mod token_error;
#[cfg(feature = "postgres")]
pub(crate) mod validate;
#[cfg(feature = "aws")]
mod versions;

#[cfg(feature = "postgres")]
pub use aws::SecretsManager;
pub use credential_source::{CredentialSource, CredentialSources};
#[cfg(feature = "postgres")]
pub(crate) use error::region_hint;
pub use error::{SecretError, SourceError};
#[cfg(feature = "postgres")]
pub use generate::GENERATED_LENGTH;
#[cfg(all(feature = "postgres", not(feature = "aws")))]
pub(crate) use no_aws as aws;
#[cfg(all(feature = "postgres", not(feature = "aws")))]
use no_aws as signer;
#[cfg(feature = "postgres")]
pub use object_uri::{ObjectError, ObjectPrefix, ObjectUri};
#[cfg(feature = "aws")]
pub use objects::ObjectStore;
pub use password::{Password, PasswordProblem};
pub use secret::Secret;
pub use secret_owner::SecretOwner;
#[cfg(feature = "postgres")]
pub(crate) use secret_owner::{DatabaseEndpoint, UnknownEndpoint};
#[cfg(feature = "postgres")]
pub use source::{SecretProvider, SecretSource};
#[cfg(feature = "postgres")]
pub use token::TokenSource;
#[cfg(feature = "postgres")]
pub use token_error::TokenError;
#[cfg(feature = "aws")]
pub(crate) use versions::{Described, RotationOwner, Stages, Version, VersionsError};
