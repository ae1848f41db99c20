//! Secrets: the sources that contain passwords, and the type [`Password`] that protects them.
//!
//! A password reaches the server either in a login or, in a statement, as a SCRAM verifier
//! (`scram`). This module must not know connections to PostgreSQL or front ends.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "postgres")]
mod create;
#[cfg(feature = "postgres")]
mod files;
#[cfg(feature = "postgres")]
mod generate;
mod parse;
mod password;
#[cfg(feature = "postgres")]
pub mod scram;
#[cfg(feature = "aws")]
pub mod token;
#[cfg(feature = "postgres")]
pub(crate) mod validate;
#[cfg(feature = "aws")]
mod versions;

#[cfg(feature = "postgres")]
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "postgres")]
pub use generate::GENERATED_LENGTH;
pub use password::{Password, PasswordProblem};
#[cfg(feature = "aws")]
pub(crate) use versions::{RotationOwner, Stages, Version, VersionsError};

/// The id of a secret: its name or ARN in Secrets Manager, or a relative path in a directory.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct SecretId(pub String);

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version stage in Secrets Manager that selects a version of a secret.
///
/// ```
/// use rdsprov_core::secrets::Stage;
/// assert_eq!("AWSPENDING".parse(), Ok(Stage::Pending));
/// assert_eq!(Stage::default().to_string(), "AWSCURRENT");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Stage {
    /// `AWSCURRENT`: the version with the password that applications use.
    #[default]
    #[serde(rename = "AWSCURRENT")]
    Current,
    /// `AWSPENDING`: the version with the password that a rotation is about to set. If a secret has
    /// no such version, its current version is read.
    #[serde(rename = "AWSPENDING")]
    Pending,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
        })
    }
}

impl std::str::FromStr for Stage {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Current, Self::Pending].into_iter().find(|stage| stage.to_string() == text).ok_or(())
    }
}

/// The content of a secret, as far as rdsprov uses it.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The id with which the secret was fetched.
    pub id: SecretId,
    /// The version id, if the source has versions.
    pub version: Option<String>,
    /// The value of `password`, the only required key.
    pub password: Password,
    /// The name of the role that has the password.
    pub username: Option<String>,
    /// The host of the server, without a port.
    pub host: Option<String>,
    /// The port of the server, from `port` or from `host`.
    pub port: Option<u16>,
    /// The name of the database to connect to.
    pub dbname: Option<String>,
}

/// What is wrong with a secret; never with its text in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it, and `id` is the secret's")]
pub enum SecretError {
    #[error("secret {id} does not exist{}; create it, or name another", in_region(.region.as_ref()))]
    Missing { id: SecretId, region: Option<String> },
    #[error("secret {id} has no current value (no version is AWSCURRENT); put one")]
    NoValue { id: SecretId },
    #[error(
        "secret {id} is in region {region}, and this run reads those of {asked}; give --region {region}, or name another"
    )]
    OtherRegion { id: SecretId, region: String, asked: String },
    #[error(
        "secret {id} may not be read; allow secretsmanager:GetSecretValue on it (see docs/iam.md)"
    )]
    Denied { id: SecretId },
    #[error(
        "secret {id} cannot be decrypted; allow kms:Decrypt on its key (see docs/iam.md), and see that the key is enabled"
    )]
    KeyDenied { id: SecretId },
    #[error(
        "secret {id} could not be read, Secrets Manager answers too many requests, also after waiting; run again later, or set AWS_MAX_ATTEMPTS higher"
    )]
    Throttled { id: SecretId },
    #[error("secret {id} is scheduled for deletion; restore it, or name another")]
    Deleted { id: SecretId },
    #[error("secret {id} is binary; it must be a JSON text")]
    Binary { id: SecretId },
    #[error(
        "secret {id} is not JSON (line {line}, column {column}); it must be an object with a `password`"
    )]
    NotJson { id: SecretId, line: usize, column: usize },
    #[error("secret {id} is not a JSON object; it must be one with a `password`")]
    NotAnObject { id: SecretId },
    #[error("secret {id} has the key `{key}` twice; keep one")]
    DuplicateKey { id: SecretId, key: &'static str },
    #[error("secret {id} has no `password`; add it")]
    NoPassword { id: SecretId },
    #[error("secret {id}: `{key}` is not {wanted}; correct it")]
    WrongType { id: SecretId, key: &'static str, wanted: &'static str },
    #[error("secret {id} names two ports, {in_host} behind the host and {port}; keep one")]
    TwoPorts { id: SecretId, in_host: u16, port: u16 },
    #[error("secret {id} is for an engine that is not PostgreSQL; name another")]
    WrongEngine { id: SecretId },
    #[error("secret {id}: the password {problem}; set a real one")]
    BadPassword { id: SecretId, problem: PasswordProblem },
    #[error("secret {id}: the id is no path below the directory of secrets")]
    NotAPath { id: SecretId },
    #[error("secret {id} could not be made: {reason}")]
    NotMade { id: SecretId, reason: String },
    #[error(
        "secret {id} does not come from Secrets Manager, and has no version that is AWSPENDING; leave --secret-stage out, or use --secrets aws"
    )]
    NoStages { id: SecretId },
    #[error("secret {id}: AWS does not allow {action} on it; allow it (see docs/iam.md)")]
    NotAllowed { id: SecretId, action: &'static str },
    #[error(
        "secret {id} cannot be encrypted; allow kms:GenerateDataKey and kms:Decrypt on its key (see docs/iam.md), and see that the key is enabled"
    )]
    EncryptionDenied { id: SecretId },
    #[error("secret {id} could not be changed: {reason}")]
    Unchangeable { id: SecretId, reason: String },
    #[error("secret {id} could not be read: {reason}")]
    Unreadable { id: SecretId, reason: String },
}

fn in_region(region: Option<&String>) -> String {
    region.map_or_else(String::new, |region| format!(" in region {region}"))
}

/// Why no secret at all is to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nobody says which region.
    #[error(
        "no AWS region is known; give --region, or set AWS_REGION, or aws_region in the definitions or in rdsprov.toml"
    )]
    NoRegion,
    /// Nobody gives credentials.
    #[error(
        "no AWS credentials are found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them (--secrets file:DIR needs none)"
    )]
    NoCredentials,
    /// Who gives credentials failed to.
    #[error("the AWS credentials cannot be had: {reason}; mend the profile or role they come from")]
    Credentials {
        /// What was said.
        reason: String,
    },
    /// AWS does not know or trust the credentials.
    #[error("AWS does not take the credentials ({code}); renew them, or use others")]
    CredentialsRefused {
        /// The code of the answer.
        code: String,
    },
    /// The program around this one could not say.
    #[error("the secrets cannot be had: {reason}")]
    Provider {
        /// What it said.
        reason: String,
    },
    /// No way there.
    #[error(
        "Secrets Manager in region {region} cannot be reached: {reason}; check region, network and AWS_ENDPOINT_URL"
    )]
    Unreachable {
        /// The region.
        region: String,
        /// What the network said.
        reason: String,
    },
}

/// The source from which a run fetches its secrets.
#[cfg(feature = "postgres")]
#[derive(Clone)]
pub enum SecretSource {
    /// A directory of JSON files, with the file `<id>.json` for each secret.
    Files(std::path::PathBuf),
    /// AWS Secrets Manager in one region.
    #[cfg(feature = "aws")]
    Aws(aws::SecretsManager),
    /// A source that the embedding program implements.
    Own(std::sync::Arc<dyn SecretProvider>),
}

/// A source of secrets that the embedding program implements.
///
/// [`SecretSource::fetch`] requests one secret after the other, in the task that awaits it.
///
/// ```
/// use rdsprov_core::secrets::{Secret, SecretError, SecretId, SecretProvider, SourceError};
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
#[cfg(feature = "postgres")]
pub trait SecretProvider: Send + Sync {
    /// Returns a secret, or the error that concerns only this secret.
    ///
    /// # Errors
    /// Returns an error if the whole source fails; then no other secret is requested.
    fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError>;
}

#[cfg(feature = "postgres")]
impl SecretSource {
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
            #[cfg(feature = "aws")]
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

/// The secret templates: patterns for the ids of secrets that the definitions do not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// The template for the administrator, with the placeholders `{environment}` and `{build_id}`.
    pub admin: String,
    /// The template for applications, which may also contain `{application}`, `{database}` and
    /// `{username}`.
    pub application: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            admin: "goldenpath/{environment}/rds/master".to_owned(),
            application: "goldenpath/{environment}/{application}/postgres".to_owned(),
        }
    }
}

/// A template that says something unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret template {template:?} has the placeholder {{{placeholder}}}, which is not known or not set here; known are {{environment}}, {{build_id}} (with --build-id) and, for applications, {{application}}, {{database}} and {{username}}"
)]
pub struct TemplateError {
    /// The template.
    pub template: String,
    /// The placeholder.
    pub placeholder: String,
}

impl Templates {
    /// Returns the id of the secret of an application.
    ///
    /// # Errors
    /// Returns an error if the template contains an unknown placeholder, or `{build_id}`
    /// without a build id.
    ///
    /// ```
    /// use rdsprov_core::secrets::Templates;
    /// let id = Templates::default().application_secret("dev", "keycloak", "kc", "kc_user", None);
    /// assert_eq!(id.unwrap().0, "goldenpath/dev/keycloak/postgres");
    /// ```
    pub fn application_secret(
        &self,
        environment: &str,
        application: &str,
        database: &str,
        username: &str,
        build_id: Option<&str>,
    ) -> Result<SecretId, TemplateError> {
        expand(&self.application, |placeholder| match placeholder {
            "environment" => Some(environment),
            "application" => Some(application),
            "database" => Some(database),
            "username" => Some(username),
            "build_id" => build_id,
            _ => None,
        })
    }

    /// Returns the id of the secret of the administrator.
    ///
    /// # Errors
    /// Returns an error if the template contains an unknown placeholder, or `{build_id}`
    /// without a build id.
    ///
    /// ```
    /// use rdsprov_core::secrets::Templates;
    /// let id = Templates::default().admin_secret("dev", None);
    /// assert_eq!(id.unwrap().0, "goldenpath/dev/rds/master");
    /// ```
    pub fn admin_secret(
        &self,
        environment: &str,
        build_id: Option<&str>,
    ) -> Result<SecretId, TemplateError> {
        expand(&self.admin, |placeholder| match placeholder {
            "environment" => Some(environment),
            "build_id" => build_id,
            _ => None,
        })
    }
}

/// Replaces the placeholders of a template; one without a value is an error.
fn expand<'v>(
    template: &str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<SecretId, TemplateError> {
    let mut id = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        id.push_str(text);
        let (placeholder, after) = after.split_once('}').unwrap_or((after, ""));
        id.push_str(value(placeholder).ok_or_else(|| TemplateError {
            template: template.to_owned(),
            placeholder: placeholder.to_owned(),
        })?);
        rest = after;
    }
    id.push_str(rest);
    Ok(SecretId(id))
}
