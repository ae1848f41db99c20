//! Fetches secrets from AWS Secrets Manager, in batches where possible, and interprets its errors.
//!
//! The error code gives the meaning of an error. If a code has several meanings, the message
//! decides between them. Of the message itself, errors contain at most the ARN of the caller.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::types::Tag;
use futures_util::{StreamExt as _, stream};
use zeroize::Zeroizing;

use super::credentials::{CachedCredentials, not_loaded};
use super::{
    CredentialSource, CredentialSources, DatabaseEndpoint, Secret, SecretError, SecretOwner,
    SourceError, UnknownEndpoint, rds_api,
};
use crate::config::{AssumeRole, ConnectTimeout, NewSecrets};
use crate::secret_id::{SecretId, Stage};

/// The maximum number of ids in one call of `BatchGetSecretValue`.
const BATCH_SIZE: usize = 20;

/// The number of calls of `GetSecretValue` that run at the same time.
const CONCURRENT_CALLS: usize = 8;

/// The timeout of one attempt of a call; the SDK has none by default.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for opening a connection, equal to the default of the SDK.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// The error codes for requests that come too often.
pub(super) const THROTTLED: [&str; 3] =
    ["ThrottlingException", "Throttling", "TooManyRequestsException"];

/// The error codes for credentials that AWS rejects.
const CREDENTIALS_REJECTED: [&str; 7] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    EXPIRED,
];

/// The error code for temporary credentials that are too old.
const EXPIRED: &str = "ExpiredTokenException";

/// The result for each secret.
type Results = BTreeMap<SecretId, Result<Secret, SecretError>>;

/// The AWS Secrets Manager of one region.
#[derive(Clone)]
pub struct SecretsManager {
    client: Client,
    sdk: Arc<SdkConfig>,
    region: String,
    sources: Arc<CredentialSources>,
    new_secrets: NewSecrets,
}

/// The AWS configuration of a run: its secrets and its IAM tokens share the credentials.
#[derive(Debug, Clone)]
pub(crate) struct AwsConfig {
    pub(super) sdk: SdkConfig,
    pub(super) sources: Arc<CredentialSources>,
}

/// Loads the AWS configuration from the environment variables and the files of the AWS CLI.
///
/// `region` takes precedence over the environment. `AWS_ENDPOINT_URL` replaces the
/// endpoint of AWS. The SDK makes up to three attempts per call, with backoff;
/// `AWS_MAX_ATTEMPTS` changes the number.
///
/// The credentials are loaded with the first call that needs them, and cached until they expire.
/// `limit` is the time that their source may take. If `role` is given, they are used only to assume
/// this IAM role, whose credentials sign all other calls.
pub(crate) async fn configuration(
    region: Option<String>,
    mut sources: CredentialSources,
    role: Option<AssumeRole>,
    limit: ConnectTimeout,
) -> AwsConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    let loaded = loader.load().await;
    let chain = match role {
        None => loaded.credentials_provider(),
        Some(role) => {
            let mut provider = AssumeRoleProvider::builder(role.arn())
                .configure(&loaded)
                .session_name(role.session_name());
            if let Some(id) = &role.external_id {
                provider = provider.external_id(id);
            }
            sources.configured = Some(CredentialSource::Role(role.arn().to_owned()));
            Some(SharedCredentialsProvider::new(provider.build().await))
        }
    };
    let cached = chain.map(|chain| CachedCredentials::new(chain, limit));
    let mut sdk = loaded.into_builder();
    sdk.set_credentials_provider(cached.map(SharedCredentialsProvider::new));
    AwsConfig { sdk: sdk.build(), sources: Arc::new(sources) }
}

impl SecretsManager {
    /// Creates a client for the region of a configuration.
    ///
    /// # Errors
    /// Returns [`SourceError::NoRegion`] if the configuration has no region.
    pub(crate) fn new(
        configuration: &AwsConfig,
        new_secrets: NewSecrets,
    ) -> Result<Self, SourceError> {
        let AwsConfig { sdk, sources } = configuration;
        let region = sdk.region().ok_or(SourceError::NoRegion)?.to_string();
        let (client, sources) = (Client::new(sdk), Arc::clone(sources));
        Ok(Self { client, sdk: Arc::new(sdk.clone()), region, sources, new_secrets })
    }

    /// Returns the AWS region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Returns the endpoint of the DB instance or cluster to which a secret belongs that RDS manages.
    ///
    /// # Errors
    /// Returns what is known of it if its tags or the API of RDS cannot be read.
    pub(crate) async fn endpoint(
        &self,
        id: &SecretId,
    ) -> Result<DatabaseEndpoint, UnknownEndpoint> {
        let Some((owner, elsewhere)) = self.owner(id).await else {
            return Err(UnknownEndpoint { owner: None, reason: None });
        };
        let unknown = |reason| UnknownEndpoint { owner: Some(owner.clone()), reason: Some(reason) };
        if let Some(reason) = elsewhere {
            return Err(unknown(reason));
        }
        rds_api::endpoint(&self.sdk, &owner).await.map_err(unknown)
    }

    /// Returns the client after loading the credentials. In a call, the SDK would load them within
    /// the time of the call, and report this time as the reason.
    pub(super) async fn client(&self) -> Result<&Client, SourceError> {
        if let Some(credentials) = self.sdk.credentials_provider() {
            let loaded = credentials.provide_credentials().await;
            loaded.map_err(|error| not_loaded(&error, &self.sources))?;
        }
        Ok(&self.client)
    }

    /// Returns the DB instance or cluster to which a secret belongs that RDS manages, or `None` if
    /// its tags do not name it or cannot be read. The text is the reason why the API is not asked for it.
    async fn owner(&self, id: &SecretId) -> Option<(SecretOwner, Option<String>)> {
        let client = self.client().await.ok()?;
        let response = client.describe_secret().secret_id(&id.0).send().await.ok()?;
        response.tags().iter().find_map(|tag| {
            let owner = SecretOwner::from_tag(tag.key()?, tag.value()?)?;
            let elsewhere = SecretOwner::is_elsewhere(tag.value()?, &self.region, response.arn());
            Some((owner, elsewhere))
        })
    }

    pub(super) async fn fetch(
        &self,
        wanted: &BTreeMap<SecretId, Stage>,
    ) -> Result<Results, SourceError> {
        let mut found: Results = wanted
            .keys()
            .filter_map(|id| Some((id.clone(), Err(self.in_another_region(id)?))))
            .collect();
        let pending: Vec<&SecretId> = wanted
            .iter()
            .filter(|(id, stage)| **stage == Stage::Pending && !found.contains_key(*id))
            .map(|(id, _)| id)
            .collect();
        let mut results = self.fetch_individually(pending, Stage::Pending).await?;
        // For secrets without a pending version, the current one is fetched below.
        results.retain(|_, result| {
            !matches!(result, Err(SecretError::NoValue { .. } | SecretError::Missing { .. }))
        });
        found.extend(results);
        // `BatchGetSecretValue` returns current versions only.
        let remaining: Vec<&SecretId> =
            wanted.keys().filter(|id| !found.contains_key(*id)).collect();
        for chunk in remaining.chunks(BATCH_SIZE) {
            found.extend(self.fetch_batch(chunk).await?);
        }
        // A batch can leave secrets out; these are fetched one by one.
        let missing: Vec<&SecretId> = wanted.keys().filter(|id| !found.contains_key(*id)).collect();
        found.extend(self.fetch_individually(missing, Stage::Current).await?);
        Ok(found)
    }

    async fn fetch_individually(
        &self,
        ids: Vec<&SecretId>,
        stage: Stage,
    ) -> Result<Results, SourceError> {
        let mut results = stream::iter(ids.into_iter().map(|id| self.fetch_one(id, stage)))
            .buffer_unordered(CONCURRENT_CALLS);
        let mut found = Results::new();
        while let Some(result) = results.next().await {
            let (id, secret) = result?;
            found.insert(id, secret);
        }
        Ok(found)
    }

    /// Returns an error if the id is an ARN of another region, where this client cannot find it.
    pub(super) fn in_another_region(&self, id: &SecretId) -> Option<SecretError> {
        let mut parts = id.0.strip_prefix("arn:")?.split(':').skip(1);
        let (service, region) = (parts.next()?, parts.next()?);
        (service == "secretsmanager" && region != self.region).then(|| SecretError::OtherRegion {
            id: id.clone(),
            region: region.to_owned(),
            requested: self.region.clone(),
        })
    }

    async fn fetch_batch(&self, ids: &[&SecretId]) -> Result<Results, SourceError> {
        let request = self
            .client()
            .await?
            .batch_get_secret_value()
            .set_secret_id_list(Some(ids.iter().map(|id| id.0.clone()).collect()));
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.code().is_some_and(|code| THROTTLED.contains(&code)) => {
                let throttled = |id: &SecretId| Err(SecretError::Throttled { id: id.clone() });
                return Ok(ids.iter().map(|id| ((*id).clone(), throttled(id))).collect());
            }
            // The policy can deny the batch and allow single calls, and one invalid id fails the
            // whole batch. In both cases, the secrets are fetched one by one.
            Err(error) => return self.source_error(&error).map_or(Ok(Results::new()), Err),
        };
        // A secret can be requested by its name and by its ARN at the same time.
        let ids_named = |name: Option<&str>| -> Vec<&SecretId> {
            ids.iter().copied().filter(|id| name == Some(id.0.as_str())).collect()
        };
        let values = response.secret_values.take().unwrap_or_default();
        let values = values.into_iter().flat_map(|mut value| {
            let text = value.secret_string.take().map(Zeroizing::new);
            let ids = [ids_named(value.name()), ids_named(value.arn())].concat();
            ids.into_iter().filter_map(move |id| {
                let version = value.version_id().map(str::to_owned);
                let secret = read(id, text.as_ref(), value.secret_binary().is_some(), version)?;
                Some((id.clone(), secret))
            })
        });
        let errors = response.errors().iter().flat_map(|error| {
            ids_named(error.secret_id()).into_iter().filter_map(|id| {
                Some((id.clone(), Err(self.error_for(id, error.error_code(), error.message())?)))
            })
        });
        Ok(values.chain(errors).collect())
    }

    async fn fetch_one(
        &self,
        id: &SecretId,
        stage: Stage,
    ) -> Result<(SecretId, Result<Secret, SecretError>), SourceError> {
        let unreadable =
            |reason: &str| SecretError::Unreadable { id: id.clone(), reason: reason.to_owned() };
        let mut request = self.client().await?.get_secret_value().secret_id(&id.0);
        if stage != Stage::Current {
            request = request.version_stage(stage.to_string());
        }
        let secret = match request.send().await {
            Ok(mut response) => {
                let text = response.secret_string.take().map(Zeroizing::new);
                let version = response.version_id().map(str::to_owned);
                read(id, text.as_ref(), response.secret_binary().is_some(), version)
                    .unwrap_or_else(|| Err(unreadable("the response is empty")))
            }
            Err(error) => match (self.source_error(&error), error.code()) {
                (Some(error), _) => return Err(error),
                (None, Some(code)) if THROTTLED.contains(&code) => {
                    Err(SecretError::Throttled { id: id.clone() })
                }
                (None, code) => {
                    let region = || self.region.clone();
                    let invalid =
                        || SecretError::InvalidResponse { id: id.clone(), region: region() };
                    Err(self
                        .error_for(id, code, error.message())
                        .unwrap_or_else(|| code.map_or_else(invalid, unreadable)))
                }
            },
        };
        Ok((id.clone(), secret))
    }

    pub(super) async fn create(&self, id: &SecretId, text: &str) -> Result<(), SecretError> {
        if let Some(error) = self.in_another_region(id) {
            return Err(error);
        }
        let client = self.client().await;
        let client = client.map_err(|error| SecretError::not_created(id, &error.to_string()))?;
        let NewSecrets { kms_key, tags, .. } = &self.new_secrets;
        let tags: Vec<Tag> =
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = client
            .create_secret()
            .name(&id.0)
            .secret_string(text)
            .set_kms_key_id(kms_key.as_ref().map(|key| key.as_str().to_owned()))
            .set_tags((!tags.is_empty()).then_some(tags));
        let Err(error) = request.send().await else { return Ok(()) };
        if let Some(error) = self.source_error(&error) {
            return Err(SecretError::not_created(id, &error.to_string()));
        }
        let message_contains =
            |word: &str| error.message().is_some_and(|message| message.contains(word));
        Err(match error.code() {
            Some("ResourceExistsException") => {
                SecretError::not_created(id, "a secret of this name was created in the meantime")
            }
            Some("AccessDeniedException") if message_contains("KMS") => {
                SecretError::EncryptionDenied { id: id.clone() }
            }
            Some("AccessDeniedException") => {
                let action = if message_contains("secretsmanager:TagResource") {
                    "secretsmanager:TagResource"
                } else {
                    "secretsmanager:CreateSecret"
                };
                SecretError::NotAllowed { id: id.clone(), action }
            }
            Some("EncryptionFailure") => SecretError::EncryptionDenied { id: id.clone() },
            Some("InvalidRequestException") if message_contains("delet") => {
                SecretError::Deleted { id: id.clone() }
            }
            code => SecretError::not_created(id, code.unwrap_or("the response has no error code")),
        })
    }

    /// Returns the meaning of an error for one secret, or `None` if another call could show more.
    pub(super) fn error_for(
        &self,
        id: &SecretId,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Option<SecretError> {
        let id = id.clone();
        let message_contains = |word: &str| message.is_some_and(|message| message.contains(word));
        match code? {
            "ResourceNotFoundException" if message_contains("secret value") => {
                Some(SecretError::NoValue { id })
            }
            "ResourceNotFoundException" => {
                Some(SecretError::Missing { id, region: Some(self.region.clone()), file: None })
            }
            "DecryptionFailure" => Some(SecretError::KeyDenied { id }),
            "AccessDeniedException" if message_contains("KMS") => {
                Some(SecretError::KeyDenied { id })
            }
            "AccessDeniedException" => {
                let principal = message.and_then(principal);
                Some(SecretError::Denied { id, principal })
            }
            "InvalidRequestException" if message_contains("delet") => {
                Some(SecretError::Deleted { id })
            }
            _ => None,
        }
    }

    /// Returns the meaning of an error that concerns all secrets, or `None` if
    /// it concerns only one.
    pub(super) fn source_error<E>(&self, error: &SdkError<E>) -> Option<SourceError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let first: &dyn Error = error;
        let causes = || std::iter::successors(Some(first), |cause| (*cause).source());
        let innermost = || causes().last().map(ToString::to_string).unwrap_or_default();
        if let Some(credentials) =
            causes().find_map(|cause| cause.downcast_ref::<CredentialsError>())
        {
            return Some(not_loaded(credentials, &self.sources));
        }
        let unreachable =
            |reason| Some(SourceError::Unreachable { region: self.region.clone(), reason });
        match error {
            SdkError::TimeoutError(_) => unreachable("no response in time".to_owned()),
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                unreachable(innermost())
            }
            _ => error.code().filter(|code| CREDENTIALS_REJECTED.contains(code)).map(|code| {
                match code {
                    EXPIRED => SourceError::CredentialsExpired { code: code.to_owned() },
                    code => SourceError::CredentialsRejected { code: code.to_owned() },
                }
            }),
        }
    }
}

/// Returns the ARN of the caller in the message of a denied request.
fn principal(message: &str) -> Option<String> {
    let arn = message.strip_prefix("User: ")?.split_whitespace().next()?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":/+=,.@_-".contains(c);
    (arn.starts_with("arn:") && arn.chars().all(is_part)).then(|| arn.to_owned())
}

/// Parses one value of a response; returns `None` if it contains neither text nor binary data.
fn read(
    id: &SecretId,
    text: Option<&Zeroizing<String>>,
    is_binary: bool,
    version: Option<String>,
) -> Option<Result<Secret, SecretError>> {
    match text {
        Some(text) => Some(Secret::parse(id, text).map(|secret| Secret { version, ..secret })),
        None => is_binary.then(|| Err(SecretError::Binary { id: id.clone() })),
    }
}
