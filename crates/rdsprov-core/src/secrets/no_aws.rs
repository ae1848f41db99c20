//! Replaces `aws.rs` and `signer.rs` without the feature `aws`: types without values, so that the
//! public enums have the same variants with each set of features.
#![cfg_attr(feature = "aws", allow(dead_code, reason = "with `aws`, only the tests use it"))]

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    CredentialSources, DatabaseEndpoint, Password, Secret, SecretError, SourceError, TokenError,
    UnknownEndpoint,
};
use crate::config::{AssumeRole, ConnectTimeout, NewSecrets};
use crate::secret_id::{RecoveryWindow, SecretId, Stage};

/// An AWS configuration, which cannot be used.
pub(crate) struct AwsConfig;

/// The AWS Secrets Manager of one region. Without the feature `aws`, no value can be created.
#[derive(Clone)]
pub enum SecretsManager {}

#[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
pub(crate) async fn configuration(
    _region: Option<String>,
    _sources: CredentialSources,
    _role: Option<AssumeRole>,
    _limit: ConnectTimeout,
) -> AwsConfig {
    AwsConfig
}

impl SecretsManager {
    pub(crate) fn new(
        _configuration: &AwsConfig,
        _new_secrets: NewSecrets,
    ) -> Result<Self, SourceError> {
        Err(SourceError::AwsNotSupported)
    }

    pub(crate) fn region(&self) -> &str {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn endpoint(
        &self,
        _id: &SecretId,
    ) -> Result<DatabaseEndpoint, UnknownEndpoint> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn fetch(
        &self,
        _wanted: &BTreeMap<SecretId, Stage>,
    ) -> Result<BTreeMap<SecretId, Result<Secret, SecretError>>, SourceError> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn exists(&self, _id: &SecretId) -> Result<bool, SecretError> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn schedule_deletion(
        &self,
        _id: &SecretId,
        _window: RecoveryWindow,
    ) -> Result<(), SecretError> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn create(
        &self,
        _id: &SecretId,
        _text: &Zeroizing<String>,
    ) -> Result<(), SecretError> {
        match *self {}
    }
}

/// The AWS credentials that sign IAM tokens. No value can be created.
#[derive(Debug, Clone)]
pub(super) enum Signer {}

impl Signer {
    pub(super) fn new(_config: &AwsConfig) -> Result<Self, TokenError> {
        Err(TokenError::AwsNotSupported)
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn load(&self) -> Result<(), TokenError> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "the function of the AWS SDK waits")]
    pub(super) async fn token(
        &self,
        _host: &str,
        _port: u16,
        _role: &str,
    ) -> Result<Password, TokenError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code::ErrorCode;

    /// `Secrets::Aws` and `AdminAuth::Iam` give these errors, which name the missing feature.
    #[test]
    fn aws_gives_errors() {
        let error = SecretsManager::new(&AwsConfig, NewSecrets::default()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::SecretSourceFailed);
        assert_eq!(
            error.to_string(),
            "this program was built without support for AWS Secrets Manager"
        );
        assert_eq!(error.hints().len(), 1);

        let error = Signer::new(&AwsConfig).err().unwrap();
        assert_eq!(error.code(), ErrorCode::TokenSigningFailed);
        assert_eq!(
            error.to_string(),
            "this program was built without support for AWS, and an IAM token requires it"
        );
        assert_eq!(error.hints().len(), 1);
    }
}
