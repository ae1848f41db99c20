//! Signs requests: IAM tokens, which Amazon RDS accepts instead of a password, and the call of the API
//! of RDS.
//!
//! A token is a request to the service `rds-db` that is signed with AWS credentials and never sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use super::aws::AwsConfig;
use super::credentials::not_loaded;
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
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| TokenError::NoCredentials(not_loaded(&error, &self.sources)))?;
        signed_token(&self.region, credentials, SystemTime::now(), host, port, role)
    }
}

/// Percent-encodes all bytes except the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            encoded + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => format!("{encoded}%{byte:02X}"),
    })
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
    let signature = signed_query("rds-db", region, credentials, now, EXPIRES_IN, &url)?;
    let failed = |error: &dyn ToString| TokenError::Signing(error.to_string());
    Password::new(address + &signature).map_err(|problem| failed(&problem))
}

/// Returns the parameters that sign a `GET` request to a service of AWS; the first one follows `&`.
///
/// # Errors
/// Returns an error if the request cannot be signed.
pub(super) fn signed_query(
    service: &str,
    region: &str,
    credentials: Credentials,
    now: SystemTime,
    expires_in: Duration,
    url: &str,
) -> Result<String, TokenError> {
    let failed = |error: &dyn ToString| TokenError::Signing(error.to_string());
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(expires_in);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let parameters: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|error| failed(&error))?;
    let (instructions, _) =
        sign(request, &parameters).map_err(|error| failed(&error))?.into_parts();
    let parameters = instructions.params().iter();
    Ok(parameters.map(|(name, value)| format!("&{name}={}", percent_encoded(value))).collect())
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
