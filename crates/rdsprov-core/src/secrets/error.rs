//! The errors of secrets and of their sources. They contain no part of a secret.

use super::credential_source::{CredentialSource, CredentialSources};
use super::password::PasswordProblem;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::name::nearest;
use crate::secret_id::SecretId;

/// A secret cannot be read, used or written. No variant contains any part of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe them, and `id` is the id of the secret")]
#[non_exhaustive]
pub enum SecretError {
    #[error("secret {id} does not exist{}", in_region(.region.as_ref()))]
    Missing { id: SecretId, region: Option<String>, file: Option<String> },
    #[error("secret {id} has no current value: no version has the stage AWSCURRENT")]
    NoValue { id: SecretId },
    #[error("secret {id} is in region {region}, but this run reads secrets in region {requested}")]
    OtherRegion { id: SecretId, region: String, requested: String },
    #[error("secret {id} cannot be read: access is denied{}", to_caller(.principal.as_ref()))]
    Denied { id: SecretId, principal: Option<String> },
    #[error("secret {id} cannot be decrypted: the use of its KMS key is not allowed")]
    KeyDenied { id: SecretId },
    #[error("secret {id} cannot be read: Secrets Manager received too many requests")]
    Throttled { id: SecretId },
    #[error("secret {id} is scheduled for deletion")]
    Deleted { id: SecretId },
    #[error("secret {id} is binary, not a JSON text")]
    Binary { id: SecretId },
    #[error("secret {id} is not JSON (line {line}, column {column})")]
    NotJson { id: SecretId, line: usize, column: usize },
    #[error("secret {id} is not a JSON object")]
    NotAnObject { id: SecretId },
    #[error("secret {id} contains the key `{key}` twice")]
    DuplicateKey { id: SecretId, key: &'static str },
    #[error("secret {id} has no key `password`")]
    NoPassword { id: SecretId },
    #[error("`{key}` of secret {id} is not {wanted}")]
    WrongType { id: SecretId, key: &'static str, wanted: &'static str },
    #[error("secret {id} contains two ports: {in_host} in `host` and {port} in `port`")]
    TwoPorts { id: SecretId, in_host: u16, port: u16 },
    #[error("secret {id} is for a database engine other than PostgreSQL")]
    WrongEngine { id: SecretId },
    #[error("`password` of secret {id} {problem}")]
    BadPassword { id: SecretId, problem: PasswordProblem },
    #[error("secret {id}: the id is not a path below the directory of secrets")]
    NotAPath { id: SecretId },
    #[error("secret {id} cannot be created: {reason}")]
    NotCreated { id: SecretId, reason: String },
    #[error("secret {id} has no version stages: it does not come from Secrets Manager")]
    NoStages { id: SecretId },
    #[error("secret {id}: AWS does not allow {action}")]
    NotAllowed { id: SecretId, action: &'static str },
    #[error("secret {id} cannot be encrypted: the use of its KMS key is not allowed")]
    EncryptionDenied { id: SecretId },
    #[error("secret {id} cannot be changed: {reason}")]
    Unchangeable { id: SecretId, reason: String },
    #[error(
        "secret {id} cannot be read: the response of Secrets Manager in region {region} is not valid"
    )]
    InvalidResponse { id: SecretId, region: String },
    #[error("secret {id} cannot be read: {reason}")]
    Unreadable { id: SecretId, reason: String },
}

impl SecretError {
    /// Returns the error that a new secret cannot be created.
    #[cfg(feature = "postgres")]
    pub(super) fn not_created(id: &SecretId, reason: &str) -> Self {
        Self::NotCreated { id: id.clone(), reason: reason.to_owned() }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Missing { .. } => ErrorCode::SecretNotFound,
            Self::NoValue { .. } => ErrorCode::SecretWithoutValue,
            Self::OtherRegion { .. } => ErrorCode::SecretInOtherRegion,
            Self::Denied { .. } | Self::NotAllowed { .. } => ErrorCode::SecretAccessDenied,
            Self::KeyDenied { .. } | Self::EncryptionDenied { .. } => ErrorCode::SecretKeyDenied,
            Self::Throttled { .. } => ErrorCode::SecretsManagerThrottled,
            Self::Deleted { .. } => ErrorCode::SecretDeleted,
            Self::Binary { .. }
            | Self::NotJson { .. }
            | Self::NotAnObject { .. }
            | Self::DuplicateKey { .. }
            | Self::NoPassword { .. }
            | Self::WrongType { .. }
            | Self::TwoPorts { .. }
            | Self::WrongEngine { .. } => ErrorCode::InvalidSecret,
            Self::BadPassword { .. } => ErrorCode::UnusablePassword,
            Self::NotAPath { .. } => ErrorCode::InvalidSecretId,
            Self::NotCreated { .. } => ErrorCode::SecretNotCreated,
            Self::NoStages { .. } => ErrorCode::SecretWithoutStages,
            Self::Unchangeable { .. } => ErrorCode::SecretNotChanged,
            Self::InvalidResponse { .. } | Self::Unreadable { .. } => ErrorCode::SecretUnreadable,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Missing { region: Some(_), .. } => "create it (`aws secretsmanager \
                create-secret`) with the value `{\"password\": \"…\"}`, or name another secret"
                .into(),
            Self::Missing { file: Some(path), .. } => format!(
                "create the file {path} with `{{\"username\": \"…\", \"password\": \"…\"}}`, or name another secret"
            )
            .into(),
            Self::Missing { .. } => "create the secret, or name another one".into(),
            Self::NoValue { .. } => "store a value in the secret".into(),
            Self::OtherRegion { region, .. } => {
                hint!["use ", (Opt::Region, region), ", or name a secret in the region of this run"]
            }
            Self::Denied { id, .. } => {
                format!("allow secretsmanager:GetSecretValue on {id} (see docs/iam.md)").into()
            }
            Self::KeyDenied { .. } => "allow kms:Decrypt on the KMS key of the secret \
                (see docs/iam.md), and check that the key is enabled"
                .into(),
            Self::EncryptionDenied { .. } => "allow kms:GenerateDataKey and kms:Decrypt on the \
                KMS key of the secret (see docs/iam.md), and check that the key is enabled"
                .into(),
            Self::Throttled { .. } => {
                "run again later, or set `AWS_MAX_ATTEMPTS` to a higher number".into()
            }
            Self::Deleted { .. } => "restore the secret, or name another one".into(),
            Self::Binary { .. } | Self::NotJson { .. } | Self::NotAnObject { .. } => {
                "store a JSON object with the key `password` in the secret".into()
            }
            Self::DuplicateKey { .. } => "remove one of the two".into(),
            Self::NoPassword { .. } => "add the key `password` to the secret".into(),
            Self::WrongType { key, wanted, .. } => format!("set `{key}` to {wanted}").into(),
            Self::TwoPorts { .. } => "remove one of the two ports".into(),
            Self::WrongEngine { .. } => "name the secret of a PostgreSQL role".into(),
            Self::BadPassword { .. } => "store a real password in the secret".into(),
            Self::NotAPath { .. } => "use an id without `..` and without a leading `/`".into(),
            Self::NotCreated { .. } => "create the secret by hand, then run again".into(),
            Self::NoStages { .. } => {
                hint!["use ", (Opt::Secrets, "aws"), ", or do not use ", Opt::SecretStage]
            }
            Self::NotAllowed { action: action @ "secretsmanager:CreateSecret", .. } => hint![
                format!(
                    "allow {action} in the IAM policy (see docs/iam.md); if a policy of the organisation requires a KMS key or tags, use "
                ),
                Opt::SecretKmsKey,
                " and ",
                Opt::SecretTags
            ],
            Self::NotAllowed { action, .. } => {
                format!("allow {action} in the IAM policy (see docs/iam.md)").into()
            }
            Self::Unchangeable { .. } => {
                "check the state of the secret in Secrets Manager, then run again".into()
            }
            Self::InvalidResponse { .. } => {
                hint!["correct the region (", Opt::Region, "), or check `AWS_ENDPOINT_URL`"]
            }
            Self::Unreadable { .. } => {
                "check the secret and the permission to read it, then run again".into()
            }
        }]
    }
}

fn to_caller(principal: Option<&String>) -> String {
    principal.map_or_else(String::new, |arn| format!(" to {arn}"))
}

fn in_source(source: Option<&CredentialSource>) -> String {
    source.map_or_else(String::new, |source| format!(" from {source}"))
}

fn in_region(region: Option<&String>) -> String {
    region.map_or_else(String::new, |region| format!(" in region {region}"))
}

/// A source of secrets cannot provide any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No option, variable, profile or file names the AWS region.
    #[error("the AWS region is not known")]
    NoRegion,
    /// The credential chain of the AWS SDK found no credentials.
    #[error("no AWS credentials were found in {sources}")]
    NoCredentials {
        /// The sources in which the SDK looked for them.
        sources: CredentialSources,
    },
    /// No file of the AWS CLI contains the profile that `AWS_PROFILE` names.
    #[error("the AWS profile `{profile}` (`AWS_PROFILE`) does not exist")]
    UnknownProfile {
        /// The name of the profile.
        profile: String,
    },
    /// A source of credentials was found and failed.
    #[error("the AWS credentials cannot be loaded{}: {reason}", in_source(.from.as_ref()))]
    Credentials {
        /// The source, if it is known.
        from: Option<CredentialSource>,
        /// The reason, from the AWS SDK.
        reason: String,
    },
    /// A source of credentials has not provided them in time.
    #[error(
        "the AWS credentials cannot be loaded{}: no response within {seconds} s",
        in_source(.from.as_ref())
    )]
    CredentialsTimeout {
        /// The source, if it is known.
        from: Option<CredentialSource>,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The temporary credentials are too old.
    #[error("the AWS credentials have expired ({code})")]
    CredentialsExpired {
        /// The error code of AWS.
        code: String,
    },
    /// AWS rejected the credentials: unknown, or a wrong signature.
    #[error("AWS rejected the credentials ({code})")]
    CredentialsRejected {
        /// The error code of AWS.
        code: String,
    },
    /// The program contains no AWS SDK.
    #[error("this program was built without support for AWS Secrets Manager")]
    AwsNotSupported,
    /// The secret provider of the embedding program failed.
    #[error("the secrets cannot be provided: {reason}")]
    Provider {
        /// The reason that it reported.
        reason: String,
    },
    /// The network does not reach Secrets Manager.
    #[error("Secrets Manager in region {region} cannot be reached: {reason}")]
    Unreachable {
        /// The AWS region of the request.
        region: String,
        /// The reason, from the network.
        reason: String,
    },
}

impl SourceError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoRegion => ErrorCode::NoAwsRegion,
            Self::NoCredentials { .. }
            | Self::UnknownProfile { .. }
            | Self::Credentials { .. }
            | Self::CredentialsTimeout { .. } => ErrorCode::NoAwsCredentials,
            Self::CredentialsExpired { .. } | Self::CredentialsRejected { .. } => {
                ErrorCode::AwsCredentialsRejected
            }
            Self::AwsNotSupported | Self::Provider { .. } => ErrorCode::SecretSourceFailed,
            Self::Unreachable { .. } => ErrorCode::SecretsManagerUnreachable,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::NoRegion => vec![region_hint()],
            Self::NoCredentials { .. } => vec![
                "run `aws sso login` or `aws login`, set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and \
                 `AWS_SECRET_ACCESS_KEY`, or run where an IAM role provides credentials"
                    .into(),
                hint!["use ", (Opt::Secrets, "file:DIR"), " to read secrets without AWS"],
            ],
            Self::UnknownProfile { .. } => vec![
                "correct `AWS_PROFILE`; `aws configure list-profiles` lists the profiles".into(),
            ],
            Self::CredentialsExpired { .. } => {
                vec!["renew them, for example with `aws sso login` or `aws login`".into()]
            }
            Self::Credentials { from: Some(source), .. } => vec![source.hint().into()],
            Self::Credentials { from: None, .. } => {
                vec!["correct the AWS profile or IAM role that provides the credentials".into()]
            }
            Self::CredentialsTimeout { from, .. } => {
                let source = from.as_ref().map_or_else(
                    || "check the source of the AWS credentials".to_owned(),
                    CredentialSource::hint,
                );
                vec![hint![source, ", or raise ", Opt::ConnectTimeout]]
            }
            Self::CredentialsRejected { .. } => {
                vec!["renew the credentials, or use other ones".into()]
            }
            Self::AwsNotSupported => {
                vec![hint!["build the program with AWS, or use ", (Opt::Secrets, "file:DIR")]]
            }
            Self::Provider { .. } => {
                vec![hint!["correct the provider of secrets that ", Opt::Secrets, " names"]]
            }
            Self::Unreachable { region, .. } => {
                let mut hints: Vec<Hint> = Vec::new();
                if !REGIONS.contains(&region.as_str())
                    && let Some(meant) = nearest(region, REGIONS)
                {
                    hints.push(hint!["correct the region: is ", (Opt::Region, meant), " meant?"]);
                }
                hints.push("check the region, the network and `AWS_ENDPOINT_URL`".into());
                hints
            }
        }
    }
}

/// The AWS regions, only to suggest one for a misspelt name: newer regions work as well.
const REGIONS: [&str; 38] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Returns how to set the AWS region.
pub(crate) fn region_hint() -> Hint {
    hint![
        "use ",
        Opt::Region,
        ", or set `AWS_REGION`, or `aws_region` in the definitions or in `rdsprov.toml`"
    ]
}
