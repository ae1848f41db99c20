//! Signs IAM tokens, which Amazon RDS accepts instead of a password.
//!
//! A token is a request to the service `rds-db` that is signed with AWS credentials and never sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};

use super::aws::AwsConfig;
use super::credentials::not_loaded;
use super::signed_query::{SignedRequest, percent_encoded, signed_query};
use super::{CredentialSources, Password, SourceError, TokenError};

/// How long a login accepts a token. Its expiry does not end open connections.
const EXPIRES_IN: Duration = Duration::from_secs(15 * 60);

/// The AWS credentials and the region that sign IAM tokens.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    region: String,
    credentials: SharedCredentialsProvider,
    sources: Arc<CredentialSources>,
}

impl Signer {
    /// Takes the region and the credentials provider from a configuration.
    ///
    /// # Errors
    /// Returns an error if the configuration has no region or no credentials provider.
    pub(super) fn new(config: &AwsConfig) -> Result<Self, TokenError> {
        let AwsConfig { sdk, sources } = config;
        let region = sdk.region().ok_or(TokenError::NoRegion)?.to_string();
        let credentials = sdk.credentials_provider().ok_or_else(|| {
            TokenError::NoCredentials(SourceError::NoCredentials {
                sources: CredentialSources::clone(sources),
            })
        })?;
        Ok(Self { region, credentials, sources: Arc::clone(sources) })
    }

    /// Returns a token for one role on one server; it is valid for 15 minutes.
    ///
    /// # Errors
    /// Returns an error if the credentials are not available, or if the request cannot be signed.
    pub(super) async fn token(
        &self,
        host: &str,
        port: u16,
        role: &str,
    ) -> Result<Password, TokenError> {
        let credentials = self.credentials().await?;
        signed_token(&self.region, credentials, SystemTime::now(), host, port, role)
    }

    /// Loads the credentials, if they are not cached.
    ///
    /// # Errors
    /// Returns an error if they are not available.
    pub(super) async fn load(&self) -> Result<(), TokenError> {
        self.credentials().await.map(drop)
    }

    async fn credentials(&self) -> Result<Credentials, TokenError> {
        let loaded = self.credentials.provide_credentials().await;
        loaded.map_err(|error| TokenError::NoCredentials(not_loaded(&error, &self.sources)))
    }
}

fn signed_token(
    region: &str,
    credentials: Credentials,
    now: SystemTime,
    host: &str,
    port: u16,
    role: &str,
) -> Result<Password, TokenError> {
    let address = format!("{host}:{port}/?Action=connect&DBUser={}", percent_encoded(role));
    let url = format!("https://{address}");
    let request = SignedRequest {
        method: "GET",
        service: "rds-db",
        region,
        url: &url,
        expires_in: EXPIRES_IN,
    };
    let signature = signed_query(&request, credentials, now).map_err(TokenError::Signing)?;
    Password::new(address + &signature).map_err(|problem| TokenError::Signing(problem.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str, at: u64, role: &str) -> String {
        let credentials = Credentials::new("akid", secret, None, None, "a test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        let host = "prod-instance.us-east-1.rds.amazonaws.com";
        signed_token("us-east-1", credentials, at, host, 3306, role).unwrap().expose().to_owned()
    }

    /// The two examples from the tests of the AWS SDKs.
    #[test]
    fn aws_sdk_examples() {
        let signature = |token: &str| token.split("X-Amz-Signature=").nth(1).unwrap().to_owned();
        assert_eq!(
            signature(&token("secret", 1_724_709_600, "peccy")),
            "dd0cba843009474347af724090233265628ace491ea17ce3eb3da098b983ad89"
        );
        let older = token("skid", 1_478_540_373, "someusername");
        assert_eq!(
            signature(&older),
            "d1138cdbc0ca63eec012ec0fc6c2267e03642168f5884a7795320d4c18374c61"
        );
        let start =
            "prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=someusername&";
        assert!(older.starts_with(start), "{older}");
    }

    #[test]
    fn role_names_are_percent_encoded() {
        assert!(token("skid", 0, "Ada & Bo/ü").contains("DBUser=Ada%20%26%20Bo%2F%C3%BC&"));
    }
}
