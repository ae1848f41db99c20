//! Loads AWS credentials once, and keeps them until they expire.
//!
//! The clients of the AWS SDK cache credentials, each for itself; the chain of credential sources
//! does not. Without this cache, each IAM token would request credentials from STS, SSO or a process
//! of the user again.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_secretsmanager::error::ErrorMetadata;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{CredentialSources, SourceError};
use crate::config::ConnectTimeout;

/// How long before their expiry credentials are loaded again, so that a login does not begin with
/// credentials that expire during it.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// A provider that asks another one only if it has no valid credentials.
#[derive(Debug)]
pub(super) struct CachedCredentials {
    chain: SharedCredentialsProvider,
    cached: Mutex<Option<Credentials>>,
    /// How long a source may take. Most sources have no limit of their own.
    limit: ConnectTimeout,
}

impl CachedCredentials {
    pub(super) fn new(chain: SharedCredentialsProvider, limit: ConnectTimeout) -> Self {
        Self { chain, cached: Mutex::new(None), limit }
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let limit = self.limit.duration();
        let timed_out = |_| Err(CredentialsError::provider_timed_out(limit));
        timeout(limit, self.load()).await.unwrap_or_else(timed_out)
    }

    async fn load(&self) -> Result<Credentials, CredentialsError> {
        // The lock is held while the chain works, so that simultaneous calls wait for one result.
        let mut cached = self.cached.lock().await;
        let now = SystemTime::now();
        let is_valid_at = |time: SystemTime, credentials: &Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > time)
        };
        if let Some(credentials) =
            cached.as_ref().filter(|one| is_valid_at(now + RENEWED_BEFORE, one))
        {
            return Ok(credentials.clone());
        }
        let credentials = self.chain.provide_credentials().await?;
        if !is_valid_at(now, &credentials) {
            return Err(CredentialsError::provider_error("they have expired"));
        }
        Ok(cached.insert(credentials).clone())
    }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// Returns why credentials could not be loaded. `sources` are those of the run.
pub(super) fn not_loaded(error: &CredentialsError, sources: &CredentialSources) -> SourceError {
    if let CredentialsError::ProviderTimedOut(error) = error {
        let seconds = error.timeout_duration().as_secs();
        return SourceError::CredentialsTimeout { from: sources.configured.clone(), seconds };
    }
    if let Some(profile) = &sources.unknown_profile {
        return SourceError::UnknownProfile { profile: profile.clone() };
    }
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return SourceError::NoCredentials { sources: sources.clone() };
    }
    let first: &(dyn Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |cause| (*cause).source());
    let innermost = causes.last().map(reason).unwrap_or_default();
    SourceError::Credentials { reason: one_line(&innermost), from: sources.configured.clone() }
}

/// Returns an error in words. An error of AWS has a code and a message.
fn reason(error: &(dyn Error + 'static)) -> String {
    let of_aws = error.downcast_ref::<ErrorMetadata>();
    match of_aws.and_then(|error| Some((error.code()?, error.message()?))) {
        Some((code, message)) => format!("{message} ({code})"),
        None => error.to_string(),
    }
}

/// What precedes the output of a process of the user in an error of the AWS SDK.
const OUTPUT_OF_PROCESS: &str = ". Stderr: ";

/// Returns the first line of a reason, without the output of a process of the user: it can contain
/// credentials.
fn one_line(text: &str) -> String {
    let text = text.split(OUTPUT_OF_PROCESS).next().unwrap_or_default();
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Returns credentials with this time left, and counts the calls.
    #[derive(Debug)]
    struct Counted(Option<i64>, Arc<AtomicUsize>);

    impl ProvideCredentials for Counted {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.1.fetch_add(1, Ordering::SeqCst);
            let expiry = self.0.map(|left| {
                let seconds = Duration::from_secs(left.unsigned_abs());
                let now = SystemTime::now();
                if left < 0 { now - seconds } else { now + seconds }
            });
            future::ProvideCredentials::ready(Ok(Credentials::new("a", "b", None, expiry, "test")))
        }
    }

    #[tokio::test]
    async fn credentials_are_loaded_once_until_they_expire() {
        for (left, calls) in [(None, 1), (Some(3600), 1), (Some(30), 3), (Some(-1), 3)] {
            let count = Arc::new(AtomicUsize::new(0));
            let chain = SharedCredentialsProvider::new(Counted(left, Arc::clone(&count)));
            let cache = CachedCredentials::new(chain, ConnectTimeout::default());
            for _ in 0..3 {
                let result = cache.provide_credentials().await;
                assert_eq!(result.is_ok(), left != Some(-1), "{left:?}");
            }
            assert_eq!(count.load(Ordering::SeqCst), calls, "{left:?}");
        }
    }

    #[tokio::test]
    async fn simultaneous_calls_share_one_result() {
        let count = Arc::new(AtomicUsize::new(0));
        let chain = SharedCredentialsProvider::new(Counted(Some(900), Arc::clone(&count)));
        let cache = CachedCredentials::new(chain, ConnectTimeout::default());
        let calls = (0..8).map(|_| cache.provide_credentials());
        futures_util::future::join_all(calls).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
