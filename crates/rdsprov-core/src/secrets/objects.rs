//! Reads and writes objects of S3: definitions and records of runs that have no disk.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;

use super::aws::AwsConfig;
use super::credentials::not_loaded;
use super::object_uri::{ObjectError, ObjectUri};
use super::rds_api::value_at;
use super::signed_query::percent_encoded;
use super::signed_request::{Request, Service};
use super::{CredentialSources, SourceError};

const S3: Service = Service { id: "S3", name: "s3", has_dual_stack: false };

/// The maximum length of a response of S3 that contains no object, in bytes.
const MAXIMUM_ERROR: u64 = 64 * 1024;

/// How often a request is sent that gets no response, or one about a failure of S3.
const ATTEMPTS: u32 = 3;

impl ObjectUri {
    /// Returns the endpoint and the path of the object.
    async fn address(&self, sdk: &SdkConfig) -> Result<(String, String), String> {
        let key: Vec<String> = self.key.split('/').map(percent_encoded).collect();
        let key = key.join("/");
        let endpoint = S3.url(sdk).await?;
        // The certificate of S3 covers one label in front of its host name. Another endpoint has no
        // host names for buckets.
        if S3.configured_url(sdk).is_some() || self.bucket.contains('.') {
            return Ok((endpoint, format!("/{}/{key}", self.bucket)));
        }
        let host = format!("//{}.", self.bucket);
        Ok((endpoint.replacen("//", &host, 1), format!("/{key}")))
    }
}

/// The S3 service of one region.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    sdk: SdkConfig,
    sources: CredentialSources,
}

impl ObjectStore {
    /// Returns the service in the region of a configuration.
    ///
    /// # Errors
    /// Returns [`SourceError::NoRegion`] if the configuration has no region.
    pub(crate) fn new(AwsConfig { sdk, sources }: &AwsConfig) -> Result<Self, SourceError> {
        sdk.region().ok_or(SourceError::NoRegion)?;
        Ok(Self { sdk: sdk.clone(), sources: CredentialSources::clone(sources) })
    }

    /// Reads an object of at most `maximum` bytes.
    ///
    /// # Errors
    /// Returns [`ObjectError::Unreadable`] if S3 does not return the object, or if it is larger.
    pub async fn get(&self, uri: &ObjectUri, maximum: u64) -> Result<Vec<u8>, ObjectError> {
        let unreadable = |reason| ObjectError::Unreadable { uri: uri.clone(), reason };
        // One byte more shows that the object is larger, without reading it.
        let range = [("range", format!("bytes=0-{maximum}"))];
        let (status, body) =
            self.send("GET", uri, &range, &[], maximum + 1).await?.map_err(unreadable)?;
        match status {
            200 | 206 if body.len() as u64 <= maximum => Ok(body),
            200 | 206 => Err(unreadable(format!("it is larger than {maximum} bytes"))),
            // An empty object contains no byte that the range could start at.
            416 => Ok(Vec::new()),
            _ => Err(unreadable(error_code(status, &body))),
        }
    }

    /// Creates an object. Returns `false` if the object exists: no object is replaced. A request that
    /// is repeated after its response was lost can find the object that it has created itself.
    ///
    /// # Errors
    /// Returns [`ObjectError::Unwritable`] if S3 does not accept the object.
    pub async fn create(
        &self,
        uri: &ObjectUri,
        content_type: &'static str,
        body: &[u8],
    ) -> Result<bool, ObjectError> {
        let unwritable = |reason| ObjectError::Unwritable { uri: uri.clone(), reason };
        let headers =
            [("content-type", content_type.to_owned()), ("if-none-match", "*".to_owned())];
        match self.send("PUT", uri, &headers, body, MAXIMUM_ERROR).await?.map_err(unwritable)? {
            (200, _) => Ok(true),
            (412, _) => Ok(false),
            (status, body) => Err(unwritable(error_code(status, &body))),
        }
    }

    /// Sends a request, and again after a failure of the network or of S3. The inner error is the
    /// reason why the last one got no response.
    async fn send(
        &self,
        method: &'static str,
        uri: &ObjectUri,
        headers: &[(&'static str, String)],
        body: &[u8],
        maximum: u64,
    ) -> Result<Result<(u16, Vec<u8>), String>, ObjectError> {
        if let Some(credentials) = self.sdk.credentials_provider() {
            let loaded = credentials.provide_credentials().await;
            loaded.map_err(|error| not_loaded(&error, &self.sources))?;
        }
        let (endpoint, path) = match uri.address(&self.sdk).await {
            Ok(address) => address,
            Err(reason) => return Ok(Err(reason)),
        };
        // A signature follows a query. This parameter is the one that the SDK adds.
        let operation = if method == "GET" { "GetObject" } else { "PutObject" };
        let path = format!("{path}?x-id={operation}");
        for attempt in 1.. {
            let request = Request {
                service: &S3,
                endpoint: &endpoint,
                method,
                path: &path,
                headers,
                body: body.to_vec(),
                maximum: maximum.max(MAXIMUM_ERROR),
            };
            let response = request.send(&self.sdk).await;
            // Of two requests that create one object at the same time, one gets the status 409.
            let is_final = matches!(
                &response, Ok((status, _)) if *status < 500 && !matches!(status, 409 | 429)
            );
            if is_final || attempt == ATTEMPTS {
                return Ok(response);
            }
            tokio::time::sleep(Duration::from_millis(200) * attempt).await;
        }
        Ok(Err(String::new()))
    }
}

/// Returns the error code of a response of S3, and nothing else of it.
fn error_code(status: u16, body: &[u8]) -> String {
    let code = value_at(body, &["Code"]);
    let code = code.filter(|code| code.chars().all(|c| c.is_ascii_alphanumeric()));
    code.unwrap_or_else(|| format!("status {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bucket_is_in_the_host_name_if_its_certificate_allows_it() {
        let region = aws_config::Region::new("eu-west-2");
        let aws = SdkConfig::builder().region(region.clone()).build();
        let local = SdkConfig::builder().region(region).endpoint_url("http://localhost:1").build();
        for (sdk, uri, endpoint, path) in [
            (&aws, "s3://abc/a b/ü", "https://abc.s3.eu-west-2.amazonaws.com", "/a%20b/%C3%BC"),
            (&aws, "s3://a.bc/k", "https://s3.eu-west-2.amazonaws.com", "/a.bc/k"),
            (&local, "s3://abc/k", "http://localhost:1", "/abc/k"),
        ] {
            let uri: ObjectUri = uri.parse().unwrap();
            let address = uri.address(sdk).await.unwrap();
            assert_eq!(address, (endpoint.to_owned(), path.to_owned()));
        }
    }
}
