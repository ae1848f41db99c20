//! AWS Secrets Manager: batched, the current version of each secret.

use std::collections::{BTreeMap, BTreeSet};

pub use aws_config::SdkConfig;
use aws_config::{BehaviorVersion, Region};
pub use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use futures_util::{StreamExt as _, stream};

use super::{Secret, SecretError, SecretId};

/// How many secrets one call may ask for.
const BATCH: usize = 20;

/// How many single calls are under way at once.
const AT_ONCE: usize = 8;

/// What the environment says of region and credentials; the region given counts before it, and so does
/// `AWS_ENDPOINT_URL` before AWS itself.
pub async fn configuration(region: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

/// A client of Secrets Manager.
#[must_use]
pub fn connect(configuration: &SdkConfig) -> Client {
    Client::new(configuration)
}

pub(super) async fn fetch(
    client: &Client,
    ids: &BTreeSet<SecretId>,
) -> BTreeMap<SecretId, Result<Secret, SecretError>> {
    let all: Vec<&SecretId> = ids.iter().collect();
    let mut found = BTreeMap::new();
    for chunk in all.chunks(BATCH) {
        found.extend(batch(client, chunk).await);
    }
    // What a batch did not answer (it may be denied where single reads are not) is asked for singly.
    let missing: Vec<SecretId> =
        ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
    let single: Vec<_> = stream::iter(missing)
        .map(|id| async move {
            let secret = single(client, &id).await;
            (id, secret)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    found.extend(single);
    found
}

async fn batch(
    client: &Client,
    ids: &[&SecretId],
) -> BTreeMap<SecretId, Result<Secret, SecretError>> {
    let request = client
        .batch_get_secret_value()
        .set_secret_id_list(Some(ids.iter().map(|id| id.0.clone()).collect()));
    let Ok(answer) = request.send().await else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for value in answer.secret_values() {
        let asked = ids
            .iter()
            .find(|id| value.name() == Some(id.0.as_str()) || value.arn() == Some(id.0.as_str()));
        if let (Some(id), Some(text)) = (asked, value.secret_string()) {
            found.insert((*id).clone(), Secret::parse(id, text));
        }
    }
    found
}

async fn single(client: &Client, id: &SecretId) -> Result<Secret, SecretError> {
    let id = id.clone();
    let answer = match client.get_secret_value().secret_id(&id.0).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let reason = match &error {
                SdkError::ServiceError(_) => error.code().unwrap_or("an unknown error").to_owned(),
                SdkError::TimeoutError(_) => "no answer in time".to_owned(),
                SdkError::DispatchFailure(_) => {
                    "Secrets Manager cannot be reached; check region, network and credentials"
                        .to_owned()
                }
                SdkError::ConstructionFailure(_) => {
                    "the request cannot be made; give --region".to_owned()
                }
                _ => "an answer that is not understood".to_owned(),
            };
            return Err(match error.code() {
                Some("ResourceNotFoundException") => SecretError::Missing { id },
                Some("AccessDeniedException" | "DecryptionFailure") => SecretError::Denied { id },
                Some("ThrottlingException") => SecretError::Throttled { id },
                Some("InvalidRequestException") => SecretError::Deleted { id },
                _ => SecretError::Unreachable { id, reason },
            });
        }
    };
    match answer.secret_string() {
        Some(text) => Secret::parse(&id, text),
        None => Err(SecretError::Binary { id }),
    }
}
