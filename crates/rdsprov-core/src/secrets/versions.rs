//! The versions of one secret: what a rotation reads, writes, and moves the stages of.
//!
//! Of what AWS says only the code is passed on, as in `aws.rs`.

use std::error::Error;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jsonc_parser::ast::Value as Json;
use jsonc_parser::common::Ranged as _;
use zeroize::Zeroizing;

use super::aws::{SecretsManager, THROTTLED};
use super::{Password, Secret, SecretError, SecretId, SourceError, Stage};

/// Which versions a secret has, as far as they have a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// The id of the version that is `AWSCURRENT`.
    pub current: String,
    /// The id of another one that is `AWSPENDING`. A rotation that has ended leaves both stages on one
    /// version: then nothing is pending.
    pub pending: Option<String>,
    /// Who else rotates it.
    pub rotation_owner: Option<RotationOwner>,
}

/// Who rotates a secret already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotationOwner {
    /// Secrets Manager, by a function or on a schedule.
    Rotation,
    /// A service that the secret belongs to, RDS say.
    Service(String),
}

/// One version with its text: what else stands there is kept when the password changes.
pub struct Version {
    /// What it says.
    pub secret: Secret,
    text: Zeroizing<String>,
}

/// Why a version could not be read, written or moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionsError {
    /// Nothing at all is to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something is wrong with this secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What a call is for: it says what a refusal of AWS means.
#[derive(Clone, Copy)]
enum AwsCall {
    Describe,
    Read,
    Put,
    Move,
}

impl AwsCall {
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
    /// Asks which version is current, and which is pending.
    pub async fn stages(&self, id: &SecretId) -> Result<Stages, VersionsError> {
        if let Some(error) = self.in_another_region(id) {
            return Err(error.into());
        }
        let answer = self
            .client
            .describe_secret()
            .secret_id(&id.0)
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Describe, &error))?;
        if answer.deleted_date().is_some() {
            return Err(SecretError::Deleted { id: id.clone() }.into());
        }
        let at = |stage: Stage| {
            let stage = stage.to_string();
            answer.version_ids_to_stages().and_then(|versions| {
                let mut versions = versions.iter();
                versions.find(|(_, stages)| stages.contains(&stage)).map(|(id, _)| id.clone())
            })
        };
        let current = at(Stage::Current).ok_or_else(|| SecretError::NoValue { id: id.clone() })?;
        let service = answer.owning_service().map(|name| RotationOwner::Service(name.to_owned()));
        let rotated = answer.rotation_enabled() == Some(true);
        Ok(Stages {
            pending: at(Stage::Pending).filter(|pending| *pending != current),
            current,
            rotation_owner: service.or(rotated.then_some(RotationOwner::Rotation)),
        })
    }

    /// Reads one version.
    pub async fn version(&self, id: &SecretId, version: &str) -> Result<Version, VersionsError> {
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&id.0)
            .version_id(version)
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Read, &error))?;
        let text = answer
            .secret_string
            .map(Zeroizing::new)
            .ok_or_else(|| SecretError::Binary { id: id.clone() })?;
        let secret = Secret { version: Some(version.to_owned()), ..Secret::parse(id, &text)? };
        Ok(Version { secret, text })
    }

    /// Stores a version that is `AWSPENDING`, and no other is from then on. Tells its id.
    pub async fn put_pending(
        &self,
        id: &SecretId,
        text: Zeroizing<String>,
    ) -> Result<String, VersionsError> {
        let answer = self
            .client
            .put_secret_value()
            .secret_id(&id.0)
            .secret_string(text.as_str())
            .version_stages(Stage::Pending.to_string())
            .send()
            .await
            .map_err(|error| self.failed(id, AwsCall::Put, &error))?;
        answer.version_id.ok_or_else(|| {
            let reason = "the answer names no version".to_owned();
            SecretError::Unchangeable { id: id.clone(), reason }.into()
        })
    }

    /// Moves `AWSCURRENT` from one version to another; Secrets Manager makes the first `AWSPREVIOUS`.
    pub async fn make_current(
        &self,
        id: &SecretId,
        from: &str,
        to: &str,
    ) -> Result<(), VersionsError> {
        self.client
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
        if let Some(error) = self.about_all(error) {
            return error.into();
        }
        let code = error.code();
        let known = self.error_for(id, code, error.message());
        let id = id.clone();
        let action = call.action();
        let reason = code.unwrap_or("the answer is not understood").to_owned();
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
    /// Its text with another password; all else stands there as it did, byte for byte.
    pub fn with_password(&self, password: &Password) -> Result<Zeroizing<String>, SecretError> {
        let no_password = || SecretError::NoPassword { id: self.secret.id.clone() };
        let place = place_of_password(&self.text).ok_or_else(no_password)?;
        let quoted = serde_json::to_string(password.expose()).map(Zeroizing::new);
        let quoted = quoted.map_err(|_| no_password())?;
        let (before, after) = (&self.text[..place.start], &self.text[place.end..]);
        let mut text = Zeroizing::new(String::with_capacity(self.text.len() + quoted.len()));
        for part in [before, &quoted, after] {
            text.push_str(part);
        }
        Ok(text)
    }
}

/// Where the value of `password` stands in a secret that was read already.
fn place_of_password(text: &str) -> Option<std::ops::Range<usize>> {
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
    fn all_but_the_password_stays_as_it_was() {
        let new = Password::new("n\"ew\\ é".to_owned()).unwrap();
        let stands = r#""n\"ew\\ é""#;
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
                dbname: None,
            };
            let version = Version { secret, text: Zeroizing::new(text) };
            let changed = version.with_password(&new).unwrap();
            assert_eq!(*changed, format!("{before}{stands}{after}"));
        }
    }
}
