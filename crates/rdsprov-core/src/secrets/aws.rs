//! AWS Secrets Manager: batched, the current version of each secret; and what its errors mean.
//!
//! What an answer means is told by its code, and where one code means several things by its message; the
//! message itself is passed on to nobody.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use futures_util::{StreamExt as _, stream};
use zeroize::Zeroizing;

use super::create::cannot;
use super::{Secret, SecretError, SecretId, SourceError, Stage};

/// How many secrets one call may ask for.
const BATCH: usize = 20;

/// How many single calls are under way at once.
const AT_ONCE: usize = 8;

/// How long one attempt may take; the SDK sets no bound to an answer that never comes.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How long a connection may take, which is the SDK's own default.
const CONNECT: Duration = Duration::from_millis(3100);

/// What AWS says of requests that come too often.
pub(super) const THROTTLED: [&str; 3] =
    ["ThrottlingException", "Throttling", "TooManyRequestsException"];

/// What AWS says of credentials that it does not take, whatever they are used for.
const NOT_TAKEN: [&str; 7] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "ExpiredTokenException",
];

type Answers = BTreeMap<SecretId, Result<Secret, SecretError>>;

/// Secrets Manager in one region.
#[derive(Clone)]
pub struct SecretsManager {
    pub(super) client: Client,
    region: String,
}

/// What the environment says of region and credentials; the region given counts before it, and so does
/// `AWS_ENDPOINT_URL` before AWS itself. Requests are made again with backoff as the SDK's standard mode does:
/// three times in all, or `AWS_MAX_ATTEMPTS`.
pub async fn configuration(region: Option<String>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

impl SecretsManager {
    /// That of a configuration's region.
    ///
    /// # Errors
    /// Where no region is to be had.
    pub fn new(configuration: &SdkConfig) -> Result<Self, SourceError> {
        let region = configuration.region().ok_or(SourceError::NoRegion)?.to_string();
        Ok(Self { client: Client::new(configuration), region })
    }

    pub(super) async fn fetch(
        &self,
        wanted: &BTreeMap<SecretId, Stage>,
    ) -> Result<Answers, SourceError> {
        let mut found: Answers = wanted
            .keys()
            .filter_map(|id| Some((id.clone(), Err(self.in_another_region(id)?))))
            .collect();
        let pending: Vec<&SecretId> = wanted
            .iter()
            .filter(|(id, stage)| **stage == Stage::Pending && !found.contains_key(*id))
            .map(|(id, _)| id)
            .collect();
        let mut answers = self.singly(pending, Stage::Pending).await?;
        // Where nothing is pending, the current version is what there is.
        answers.retain(|_, answer| {
            !matches!(answer, Err(SecretError::NoValue { .. } | SecretError::Missing { .. }))
        });
        found.extend(answers);
        // A batch knows no stages.
        let here: Vec<&SecretId> = wanted.keys().filter(|id| !found.contains_key(*id)).collect();
        for chunk in here.chunks(BATCH) {
            found.extend(self.batch(chunk).await?);
        }
        // What a batch leaves open is asked for singly.
        let open: Vec<&SecretId> = wanted.keys().filter(|id| !found.contains_key(*id)).collect();
        found.extend(self.singly(open, Stage::Current).await?);
        Ok(found)
    }

    async fn singly(&self, ids: Vec<&SecretId>, stage: Stage) -> Result<Answers, SourceError> {
        let mut answers = stream::iter(ids.into_iter().map(|id| self.single(id, stage)))
            .buffer_unordered(AT_ONCE);
        let mut found = Answers::new();
        while let Some(answer) = answers.next().await {
            let (id, secret) = answer?;
            found.insert(id, secret);
        }
        Ok(found)
    }

    /// An ARN names its region, and no other region has the secret.
    pub(super) fn in_another_region(&self, id: &SecretId) -> Option<SecretError> {
        let mut parts = id.0.strip_prefix("arn:")?.split(':').skip(1);
        let (service, region) = (parts.next()?, parts.next()?);
        (service == "secretsmanager" && region != self.region).then(|| SecretError::OtherRegion {
            id: id.clone(),
            region: region.to_owned(),
            asked: self.region.clone(),
        })
    }

    async fn batch(&self, ids: &[&SecretId]) -> Result<Answers, SourceError> {
        let request = self
            .client
            .batch_get_secret_value()
            .set_secret_id_list(Some(ids.iter().map(|id| id.0.clone()).collect()));
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.code().is_some_and(|code| THROTTLED.contains(&code)) => {
                let throttled = |id: &SecretId| Err(SecretError::Throttled { id: id.clone() });
                return Ok(ids.iter().map(|id| ((*id).clone(), throttled(id))).collect());
            }
            // A batch may be denied where single reads are not, or be spoiled by one of its ids.
            Err(error) => return self.about_all(&error).map_or(Ok(Answers::new()), Err),
        };
        // One secret may be asked for by its name and by its ARN.
        let asked = |name: Option<&str>| -> Vec<&SecretId> {
            ids.iter().copied().filter(|id| name == Some(id.0.as_str())).collect()
        };
        let values = answer.secret_values.take().unwrap_or_default();
        let values = values.into_iter().flat_map(|mut value| {
            let text = value.secret_string.take().map(Zeroizing::new);
            let ids = [asked(value.name()), asked(value.arn())].concat();
            ids.into_iter().filter_map(move |id| {
                let version = value.version_id().map(str::to_owned);
                let secret = read(id, text.as_ref(), value.secret_binary().is_some(), version)?;
                Some((id.clone(), secret))
            })
        });
        let errors = answer.errors().iter().flat_map(|error| {
            asked(error.secret_id()).into_iter().filter_map(|id| {
                Some((id.clone(), Err(self.error_for(id, error.error_code(), error.message())?)))
            })
        });
        Ok(values.chain(errors).collect())
    }

    async fn single(
        &self,
        id: &SecretId,
        stage: Stage,
    ) -> Result<(SecretId, Result<Secret, SecretError>), SourceError> {
        let unreadable =
            |reason: &str| SecretError::Unreadable { id: id.clone(), reason: reason.to_owned() };
        let mut request = self.client.get_secret_value().secret_id(&id.0);
        if stage != Stage::Current {
            request = request.version_stage(stage.to_string());
        }
        let secret = match request.send().await {
            Ok(mut answer) => {
                let text = answer.secret_string.take().map(Zeroizing::new);
                let version = answer.version_id().map(str::to_owned);
                read(id, text.as_ref(), answer.secret_binary().is_some(), version)
                    .unwrap_or_else(|| Err(unreadable("the answer is empty")))
            }
            Err(error) => match (self.about_all(&error), error.code()) {
                (Some(error), _) => return Err(error),
                (None, Some(code)) if THROTTLED.contains(&code) => {
                    Err(SecretError::Throttled { id: id.clone() })
                }
                (None, code) => Err(self
                    .error_for(id, code, error.message())
                    .unwrap_or_else(|| unreadable(code.unwrap_or("the answer is not understood")))),
            },
        };
        Ok((id.clone(), secret))
    }

    pub(super) async fn create(&self, id: &SecretId, text: &str) -> Result<(), SecretError> {
        if let Some(error) = self.in_another_region(id) {
            return Err(error);
        }
        let request = self.client.create_secret().name(&id.0).secret_string(text);
        let Err(error) = request.send().await else { return Ok(()) };
        if let Some(error) = self.about_all(&error) {
            return Err(cannot(id, &error.to_string()));
        }
        Err(match error.code() {
            Some("ResourceExistsException") => {
                cannot(id, "somebody has made it meanwhile; run again")
            }
            Some("AccessDeniedException") => cannot(
                id,
                "AWS does not allow secretsmanager:CreateSecret on it, or the use of its key; allow it (see docs/iam.md)",
            ),
            Some("EncryptionFailure") => cannot(
                id,
                "its key cannot be used; allow kms:GenerateDataKey and kms:Decrypt on it (see docs/iam.md)",
            ),
            Some("InvalidRequestException") => cannot(
                id,
                "one of that name is scheduled for deletion; restore it, or name another",
            ),
            code => cannot(id, code.unwrap_or("the answer is not understood")),
        })
    }

    /// What an error tells for good of one secret; none where asking again could tell more.
    pub(super) fn error_for(
        &self,
        id: &SecretId,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Option<SecretError> {
        let id = id.clone();
        let says = |word: &str| message.is_some_and(|message| message.contains(word));
        match code? {
            "ResourceNotFoundException" if says("secret value") => {
                Some(SecretError::NoValue { id })
            }
            "ResourceNotFoundException" => {
                Some(SecretError::Missing { id, region: Some(self.region.clone()) })
            }
            "DecryptionFailure" => Some(SecretError::KeyDenied { id }),
            "AccessDeniedException" if says("KMS") => Some(SecretError::KeyDenied { id }),
            "AccessDeniedException" => Some(SecretError::Denied { id }),
            "InvalidRequestException" if says("delet") => Some(SecretError::Deleted { id }),
            _ => None,
        }
    }

    /// What an error tells of every secret alike.
    pub(super) fn about_all<E>(&self, error: &SdkError<E>) -> Option<SourceError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let first: &dyn Error = error;
        let causes = || std::iter::successors(Some(first), |cause| (*cause).source());
        let innermost = || causes().last().map(ToString::to_string).unwrap_or_default();
        if let Some(credentials) =
            causes().find_map(|cause| cause.downcast_ref::<CredentialsError>())
        {
            return Some(match credentials {
                CredentialsError::CredentialsNotLoaded(_) => SourceError::NoCredentials,
                _ => SourceError::Credentials { reason: innermost() },
            });
        }
        let unreachable =
            |reason| Some(SourceError::Unreachable { region: self.region.clone(), reason });
        match error {
            SdkError::TimeoutError(_) => unreachable("no answer in time".to_owned()),
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                unreachable(innermost())
            }
            _ => error
                .code()
                .filter(|code| NOT_TAKEN.contains(code))
                .map(|code| SourceError::CredentialsRefused { code: code.to_owned() }),
        }
    }
}

/// What one value of an answer says; none where it says nothing.
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
