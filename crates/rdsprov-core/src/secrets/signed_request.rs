//! Sends signed requests to services of AWS without the clients of the SDK.
//!
//! `aws-sdk-rds` and `aws-sdk-s3` are two of the largest crates of the SDK, and rdsprov calls three
//! operations of both. So a request is signed like an IAM token, as query parameters, and the runtime
//! of the SDK sends it: the proxies, the time limits and the endpoints are those of the other calls.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::service_config::ServiceConfigKey;

use super::signed_query::{SignedRequest, signed_query};

/// How long the signature of a request is valid.
const EXPIRES_IN: Duration = Duration::from_secs(60);

/// How long the body of a response can take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// A service of AWS.
#[derive(Debug)]
pub(super) struct Service {
    /// The name in the configuration of the SDK: `RDS`.
    pub id: &'static str,
    /// The name in signatures and host names: `rds`.
    pub name: &'static str,
    /// Whether its dual-stack endpoint is named like that of Secrets Manager.
    pub has_dual_stack: bool,
}

impl Service {
    /// Returns the URL that the configuration sets: `AWS_ENDPOINT_URL_RDS`, or `AWS_ENDPOINT_URL`.
    pub(super) fn configured_url(&self, sdk: &SdkConfig) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(self.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let of_service = || sdk.service_config()?.load_config(key.ok()?);
        of_service().or_else(|| sdk.endpoint_url().map(str::to_owned))
    }

    /// Returns the URL of the service: the configured one, or the one of the region.
    pub(super) async fn url(&self, sdk: &SdkConfig) -> Result<String, String> {
        if let Some(url) = self.configured_url(sdk) {
            return Ok(url);
        }
        // All services have the same domain in each partition, which the SDK knows.
        let parameters = Params::builder()
            .set_region(sdk.region().map(ToString::to_string))
            .set_use_fips(sdk.use_fips())
            .set_use_dual_stack(sdk.use_dual_stack().filter(|_| self.has_dual_stack))
            .build()
            .map_err(|error| error.to_string())?;
        let resolved = DefaultResolver::new().resolve_endpoint(&parameters).await;
        let endpoint = resolved.map_err(|error| error.to_string())?;
        Ok(endpoint.url().replacen("//secretsmanager", &format!("//{}", self.name), 1))
    }
}

/// A request to a service of AWS.
pub(super) struct Request<'a> {
    pub service: &'static Service,
    /// The URL of the service, without a path.
    pub endpoint: &'a str,
    pub method: &'static str,
    /// The path with its query, which is not empty.
    pub path: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub body: Vec<u8>,
    /// The maximum length of the body of the response in bytes.
    pub maximum: u64,
}

impl Request<'_> {
    /// Signs and sends the request. Returns the status and the body of the response.
    ///
    /// # Errors
    /// Returns the reason if no response is received, or if it is longer than the maximum.
    pub(super) async fn send(self, sdk: &SdkConfig) -> Result<(u16, Vec<u8>), String> {
        let Self { service, endpoint, method, path, headers, body, maximum } = self;
        let region = sdk.region().ok_or("no AWS region")?;
        let provider = sdk.credentials_provider().ok_or("no AWS credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|_| "no AWS credentials")?;
        let request = SignedRequest {
            method,
            service: service.name,
            region: region.as_ref(),
            url: &format!("{}{path}", endpoint.trim_end_matches('/')),
            expires_in: EXPIRES_IN,
        };
        let signature = signed_query(&request, credentials, SystemTime::now())?;
        let path = format!("{path}{signature}");
        let headers = headers.to_vec();
        let operation = Operation::builder()
            .service_name(service.id)
            .operation_name("Request")
            .behavior_version(aws_config::BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .no_auth()
            .no_retry()
            .timeout_config(
                sdk.timeout_config()
                    .cloned()
                    .unwrap_or_else(|| aws_config::timeout::TimeoutConfig::builder().build()),
            )
            .serializer(move |()| {
                let mut request = HttpRequest::new(SdkBody::from(body.clone()));
                request.set_method(method)?;
                request.set_uri(path.as_str())?;
                for (name, value) in &headers {
                    request.headers_mut().insert(*name, value.clone());
                }
                Ok(request)
            })
            .deserializer_impl::<Response, Infallible>(Unread)
            .build();
        let response = operation.invoke(()).await.map_err(|_| "it cannot be reached".to_owned())?;
        let mut stream = ByteStream::new(response.body);
        let mut body = Vec::new();
        let read = async {
            while let Some(bytes) =
                stream.try_next().await.map_err(|_| "the response is incomplete")?
            {
                body.extend_from_slice(&bytes);
                if body.len() as u64 > maximum {
                    return Err(format!("the response is longer than {maximum} bytes"));
                }
            }
            Ok(())
        };
        let late = |_| Err(format!("the response takes more than {} s", READ_WITHIN.as_secs()));
        tokio::time::timeout(READ_WITHIN, read).await.unwrap_or_else(late)?;
        Ok((response.status, body))
    }
}

/// A response whose body is not read yet.
#[derive(Debug)]
struct Response {
    status: u16,
    body: SdkBody,
}

/// Leaves the body of a response unread: the SDK would read all of it, however long it is.
#[derive(Debug)]
struct Unread;

impl DeserializeResponse for Unread {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        let (status, body) = (response.status().as_u16(), response.take_body());
        Some(Ok(Output::erase(Response { status, body })))
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        _: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        Err(OrchestratorError::other("the response was not read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn url_is_that_of_the_partition() {
        for (name, region, expected) in [
            ("rds", "eu-west-2", "https://rds.eu-west-2.amazonaws.com"),
            ("s3", "eu-west-2", "https://s3.eu-west-2.amazonaws.com"),
            ("rds", "cn-north-1", "https://rds.cn-north-1.amazonaws.com.cn"),
            ("rds", "eusc-de-east-1", "https://rds.eusc-de-east-1.amazonaws.eu"),
        ] {
            let service = Service { id: "X", name, has_dual_stack: false };
            let sdk = SdkConfig::builder().region(aws_config::Region::new(region)).build();
            assert_eq!(service.url(&sdk).await.unwrap(), expected);
        }
    }
}
