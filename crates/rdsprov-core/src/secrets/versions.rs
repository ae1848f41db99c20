//! The versions of one secret in Secrets Manager: a rotation reads and writes them, and
//! moves their version stages.
//!
//! As in `aws.rs`, an error contains the error code of AWS but not its message.

use std::error::Error;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jsonc_parser::ast::Value as Json;
use jsonc_parser::common::Ranged as _;
use zeroize::Zeroizing;

use super::aws::{SecretsManager, THROTTLED};
use super::{Password, Secret, SecretError, SourceError};
use crate::secret_id::{SecretId, Stage};

/// The versions of a secret that have a version stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// The id of the version with the stage `AWSCURRENT`.
    pub current: String,
    /// The id of the version with the stage `AWSPENDING`, if it is another version. A finished
    /// rotation leaves both stages on the same version.
    pub pending: Option<String>,
    /// The service that also rotates the secret.
    pub rotation_owner: Option<RotationOwner>,
}

/// A service of AWS that rotates a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotationOwner {
    /// Secrets Manager, with a Lambda function or a schedule.
    Rotation,
    /// The service that manages the secret, such as `rds`.
    Service(String),
}

/// A version of a secret, with its original text: a rotation replaces the password in the text
/// and keeps the rest.
pub struct Version {
    /// The parsed content of the version.
    pub secret: Secret,
    text: Zeroizing<String>,
}

/// A version of a secret cannot be read, written, or given a version stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionsError {
    /// The source provides no secret at all.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The error concerns this secret only.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A call of Secrets Manager; the meaning of an error code depends on it.
#[derive(Clone, Copy)]
enum AwsCall {
    Describe,
    Read,
    Put,
    Move,
}

impl AwsCall {
    /// Returns the IAM action that allows the call.
    fn action(self) -> &'static str {
        match self {
            Self::Describe => "secretsmanager:DescribeSecret",
            Self::Read => "secretsmanager:GetSecretValue",
            Self::Put => "secretsmanager:PutSecretValue",
            Self::Move => "secretsmanager:UpdateSecretVersionStage",
        }
    }
}

impl SecretsManager {
    /// Returns the ids of the current and the pending version.
    pub async fn stages(&self, id: &SecretId) -> Result<Stages, VersionsError> {
        if let Some(error) = self.in_another_region(id) {
            return Err(error.into());
        }
        let response = self
            .client()
            .await?
            .describe_secret()
            .secret_id(&id.0)
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Describe, &error))?;
        if response.deleted_date().is_some() {
            return Err(SecretError::Deleted { id: id.clone() }.into());
        }
        let version_at = |stage: Stage| {
            let stage = stage.to_string();
            response.version_ids_to_stages().and_then(|versions| {
                let mut versions = versions.iter();
                versions.find(|(_, stages)| stages.contains(&stage)).map(|(id, _)| id.clone())
            })
        };
        let current =
            version_at(Stage::Current).ok_or_else(|| SecretError::NoValue { id: id.clone() })?;
        let service = response.owning_service().map(|name| RotationOwner::Service(name.to_owned()));
        let rotated = response.rotation_enabled() == Some(true);
        Ok(Stages {
            pending: version_at(Stage::Pending).filter(|pending| *pending != current),
            current,
            rotation_owner: service.or(rotated.then_some(RotationOwner::Rotation)),
        })
    }

    /// Fetches one version by its id.
    pub async fn version(&self, id: &SecretId, version: &str) -> Result<Version, VersionsError> {
        let response = self
            .client()
            .await?
            .get_secret_value()
            .secret_id(&id.0)
            .version_id(version)
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Read, &error))?;
        let text = response
            .secret_string
            .map(Zeroizing::new)
            .ok_or_else(|| SecretError::Binary { id: id.clone() })?;
        let secret = Secret { version: Some(version.to_owned()), ..Secret::parse(id, &text)? };
        Ok(Version { secret, text })
    }

    /// Stores a new version with the stage `AWSPENDING`, which every other version loses. Returns
    /// the id of the new version.
    pub async fn put_pending(
        &self,
        id: &SecretId,
        text: Zeroizing<String>,
    ) -> Result<String, VersionsError> {
        let response = self
            .client()
            .await?
            .put_secret_value()
            .secret_id(&id.0)
            .secret_string(text.as_str())
            .version_stages(Stage::Pending.to_string())
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Put, &error))?;
        response.version_id.ok_or_else(|| {
            let reason = "the response contains no version id".to_owned();
            SecretError::Unchangeable { id: id.clone(), reason }.into()
        })
    }

    /// Moves the stage `AWSCURRENT` between two versions; Secrets Manager then gives `AWSPREVIOUS`
    /// to the version `from`.
    pub async fn make_current(
        &self,
        id: &SecretId,
        from: &str,
        to: &str,
    ) -> Result<(), VersionsError> {
        self.client()
            .await?
            .update_secret_version_stage()
            .secret_id(&id.0)
            .version_stage(Stage::Current.to_string())
            .move_to_version_id(to)
            .remove_from_version_id(from)
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed(id, AwsCall::Move, &error))
    }

    fn failed<E>(&self, id: &SecretId, call: AwsCall, error: &SdkError<E>) -> VersionsError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(error) = self.source_error(error) {
            return error.into();
        }
        let code = error.code();
        let known = self.error_for(id, code, error.message());
        let id = id.clone();
        let action = call.action();
        let reason = code.unwrap_or("the response has no error code").to_owned();
        match (call, known) {
            (AwsCall::Put, _) if code == Some("EncryptionFailure") => {
                SecretError::EncryptionDenied { id }
            }
            (AwsCall::Put, Some(SecretError::KeyDenied { .. })) => {
                SecretError::EncryptionDenied { id }
            }
            (_, Some(SecretError::Denied { .. })) => SecretError::NotAllowed { id, action },
            (_, Some(known)) => known,
            (_, None) if code.is_some_and(|code| THROTTLED.contains(&code)) => {
                SecretError::Throttled { id }
            }
            (AwsCall::Describe | AwsCall::Read, None) => SecretError::Unreadable { id, reason },
            (AwsCall::Put | AwsCall::Move, None) => SecretError::Unchangeable { id, reason },
        }
        .into()
    }
}

impl Version {
    /// Returns the text with another password, and otherwise unchanged byte for byte.
    pub fn with_password(&self, password: &Password) -> Result<Zeroizing<String>, SecretError> {
        let no_password = || SecretError::NoPassword { id: self.secret.id.clone() };
        let span = password_span(&self.text).ok_or_else(no_password)?;
        let quoted = serde_json::to_string(password.expose()).map(Zeroizing::new);
        let quoted = quoted.map_err(|_| no_password())?;
        let (before, after) = (&self.text[..span.start], &self.text[span.end..]);
        let mut text = Zeroizing::new(String::with_capacity(self.text.len() + quoted.len()));
        for part in [before, &quoted, after] {
            text.push_str(part);
        }
        Ok(text)
    }
}

/// Returns the byte range of the value of `password` in a text that `Secret::parse` accepts.
fn password_span(text: &str) -> Option<std::ops::Range<usize>> {
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - json.len();
    let parsed = jsonc_parser::parse_to_ast(
        json,
        &jsonc_parser::CollectOptions::default(),
        &jsonc_parser::ParseOptions::default(),
    );
    let Ok(Some(Json::Object(object))) = parsed.map(|parsed| parsed.value) else { return None };
    let range = object.get("password")?.value.range();
    Some(skipped + range.start..skipped + range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_replaced() {
        let new = Password::new("n\"ew\\ é".to_owned()).unwrap();
        let quoted = r#""n\"ew\\ é""#;
        for (before, after) in [
            (r#"{"password": "#, "}"),
            ("{\n\t\"port\" : 5432.0,\"p\\u0061ssword\":", r#" , "z": [1e400, "é"], "a": null}"#),
            (r#"{"nested": {"password": "other"}, "password":"#, "}\n"),
            ("\u{feff}{\"password\":", "}\r\n"),
        ] {
            let text = format!(r#"{before}"old \" one"{after}"#);
            let id = SecretId("a/b".to_owned());
            let secret = Secret {
                id: id.clone(),
                version: None,
                password: Password::new("old".to_owned()).unwrap(),
                username: None,
                host: None,
                port: None,
                connect_to: None,
                dbname: None,
                master_secret: None,
            };
            let version = Version { secret, text: Zeroizing::new(text) };
            let changed = version.with_password(&new).unwrap();
            assert_eq!(*changed, format!("{before}{quoted}{after}"));
        }
    }
}
