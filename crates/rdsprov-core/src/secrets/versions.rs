//! The versions of one secret in Secrets Manager: a rotation reads and writes them, and
//! moves their version stages.
//!
//! As in `aws.rs`, an error contains the error code of AWS but not its message.

use std::collections::BTreeMap;
use std::error::Error;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jsonc_parser::ast::Value as Json;
use jsonc_parser::common::Ranged as _;
use zeroize::Zeroizing;

use super::aws::{SecretsManager, THROTTLED};
use super::{Password, Secret, SecretError, SourceError};
use crate::name::RoleName;
use crate::secret_id::{RecoveryWindow, SecretId, Stage};

/// What Secrets Manager knows of a secret and its versions, without their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The version stages of each version that has one, by its id.
    pub versions: BTreeMap<String, Vec<String>>,
    /// Whether Secrets Manager rotates the secret; `None` if it never has.
    pub rotation_enabled: Option<bool>,
    /// The service that manages the secret.
    service: Option<String>,
}

impl Described {
    /// Returns the id of the version with a stage.
    pub fn version_at(&self, stage: &str) -> Option<&str> {
        let has_stage =
            |(_, stages): &(&String, &Vec<String>)| stages.iter().any(|one| one == stage);
        self.versions.iter().find(has_stage).map(|(id, _)| id.as_str())
    }

    /// Returns whether a version has a stage.
    pub fn has_stage(&self, version: &str, stage: &str) -> bool {
        self.versions.get(version).is_some_and(|stages| stages.iter().any(|one| one == stage))
    }
}

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
    Delete,
}

impl AwsCall {
    /// Returns the IAM action that allows the call.
    fn action(self) -> &'static str {
        match self {
            Self::Describe => "secretsmanager:DescribeSecret",
            Self::Read => "secretsmanager:GetSecretValue",
            Self::Put => "secretsmanager:PutSecretValue",
            Self::Move => "secretsmanager:UpdateSecretVersionStage",
            Self::Delete => "secretsmanager:DeleteSecret",
        }
    }
}

impl SecretsManager {
    /// Returns the versions of a secret with their stages.
    pub async fn describe(&self, id: &SecretId) -> Result<Described, VersionsError> {
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
        let rotation_enabled = response.rotation_enabled();
        let service = response.owning_service().map(str::to_owned);
        let versions = response.version_ids_to_stages.unwrap_or_default().into_iter().collect();
        Ok(Described { versions, rotation_enabled, service })
    }

    /// Returns the ids of the current and the pending version.
    pub async fn stages(&self, id: &SecretId) -> Result<Stages, VersionsError> {
        let described = self.describe(id).await?;
        let version_at = |stage: Stage| described.version_at(&stage.to_string()).map(str::to_owned);
        let current =
            version_at(Stage::Current).ok_or_else(|| SecretError::NoValue { id: id.clone() })?;
        let rotated = described.rotation_enabled == Some(true);
        let service = described.service.clone().map(RotationOwner::Service);
        Ok(Stages {
            pending: version_at(Stage::Pending).filter(|pending| *pending != current),
            current,
            rotation_owner: service.or(rotated.then_some(RotationOwner::Rotation)),
        })
    }

    /// Fetches one version by its id.
    pub async fn version(&self, id: &SecretId, version: &str) -> Result<Version, VersionsError> {
        self.read(id, Some(version)).await
    }

    /// Fetches the current version.
    pub async fn current_version(&self, id: &SecretId) -> Result<Version, VersionsError> {
        self.read(id, None).await
    }

    async fn read(&self, id: &SecretId, version: Option<&str>) -> Result<Version, VersionsError> {
        let response = self
            .client()
            .await?
            .get_secret_value()
            .secret_id(&id.0)
            .set_version_id(version.map(str::to_owned))
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Read, &error))?;
        let text = response
            .secret_string
            .map(Zeroizing::new)
            .ok_or_else(|| SecretError::Binary { id: id.clone() })?;
        let secret = Secret { version: response.version_id, ..Secret::parse(id, &text)? };
        Ok(Version { secret, text })
    }

    /// Stores a new version with the stage `AWSPENDING`, which every other version loses. Returns
    /// the id of the new version: `version`, if Secrets Manager has chosen it.
    pub async fn put_pending(
        &self,
        id: &SecretId,
        version: Option<&str>,
        text: Zeroizing<String>,
    ) -> Result<String, VersionsError> {
        let response = self
            .client()
            .await?
            .put_secret_value()
            .secret_id(&id.0)
            .secret_string(text.as_str())
            .set_client_request_token(version.map(str::to_owned))
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

    /// Returns whether a secret exists, and its deletion is not scheduled.
    pub(super) async fn exists(&self, id: &SecretId) -> Result<bool, SecretError> {
        match self.describe(id).await {
            Ok(_) => Ok(true),
            Err(error) => gone(id, error).map(|()| false),
        }
    }

    /// Schedules the deletion of a secret, if it exists and this was not done before.
    pub(super) async fn schedule_deletion(
        &self,
        id: &SecretId,
        window: RecoveryWindow,
    ) -> Result<(), SecretError> {
        let client = self.client().await.map_err(|error| of_secret(id, &error))?;
        let request = client.delete_secret().secret_id(&id.0);
        let sent = request.recovery_window_in_days(window.days().into()).send().await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => gone(id, self.failed(id, AwsCall::Delete, &error)),
        }
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
            (AwsCall::Put | AwsCall::Move | AwsCall::Delete, None) => {
                SecretError::Unchangeable { id, reason }
            }
        }
        .into()
    }
}

/// Returns the error of a call, unless it says that the secret does not exist any more.
fn gone(id: &SecretId, error: VersionsError) -> Result<(), SecretError> {
    match error {
        VersionsError::Secret(SecretError::Missing { .. } | SecretError::Deleted { .. }) => Ok(()),
        VersionsError::Secret(error) => Err(error),
        VersionsError::Source(error) => Err(of_secret(id, &error)),
    }
}

/// Returns an error of the whole source as one that concerns a secret.
fn of_secret(id: &SecretId, error: &SourceError) -> SecretError {
    SecretError::Unchangeable { id: id.clone(), reason: error.to_string() }
}

impl Version {
    /// Returns the text with another password, and with another name of the role if one is given. The
    /// rest is unchanged byte for byte.
    pub fn with_password(
        &self,
        password: &Password,
        username: Option<&RoleName>,
    ) -> Result<Zeroizing<String>, SecretError> {
        let id = &self.secret.id;
        let no_password = || SecretError::NoPassword { id: id.clone() };
        let text = replaced(&self.text, "password", password.expose()).ok_or_else(no_password)?;
        let Some(username) = username else { return Ok(text) };
        let wanted = "a string";
        replaced(&text, "username", username.as_str()).ok_or_else(|| SecretError::WrongType {
            id: id.clone(),
            key: "username",
            wanted,
        })
    }
}

/// Returns a text that `Secret::parse` accepts with another value of a key, or `None` without the key.
fn replaced(text: &str, key: &str, value: &str) -> Option<Zeroizing<String>> {
    let span = span(text, key)?;
    let quoted = Zeroizing::new(serde_json::to_string(value).ok()?);
    let mut replaced = Zeroizing::new(String::with_capacity(text.len() + quoted.len()));
    for part in [&text[..span.start], &quoted, &text[span.end..]] {
        replaced.push_str(part);
    }
    Some(replaced)
}

/// Returns the byte range of the value of a key in a text that `Secret::parse` accepts.
fn span(text: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - json.len();
    let parsed = jsonc_parser::parse_to_ast(
        json,
        &jsonc_parser::CollectOptions::default(),
        &jsonc_parser::ParseOptions::default(),
    );
    let Ok(Some(Json::Object(object))) = parsed.map(|parsed| parsed.value) else { return None };
    let range = object.get(key)?.value.range();
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
            let changed = version.with_password(&new, None).unwrap();
            assert_eq!(*changed, format!("{before}{quoted}{after}"));
        }
    }
}
