//! Asks the API of RDS for the endpoint of a DB instance or cluster.
//!
//! It is the only call of this API. The client of the AWS SDK for it, `aws-sdk-rds`, is one of the
//! largest crates of the SDK. So the request is signed like an IAM token, as query parameters, and
//! the runtime of the SDK sends it: the proxies, the time limits and the endpoints are those of the
//! other calls.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use aws_types::service_config::ServiceConfigKey;

use super::parse::is_host;
use super::signed_query::signed_query;
use super::{DatabaseEndpoint, SecretOwner};

/// How long the signature of the request is valid.
const EXPIRES_IN: Duration = Duration::from_secs(60);

/// Returns the endpoint of a DB instance, or the writer endpoint of a DB cluster.
///
/// # Errors
/// Returns the reason if the API cannot be asked or does not return an endpoint: the error code of
/// AWS, and nothing else of its response.
pub(super) async fn endpoint(
    sdk: &SdkConfig,
    owner: &SecretOwner,
) -> Result<DatabaseEndpoint, String> {
    let (action, parameter, name) = match owner {
        SecretOwner::Instance(name) => ("DescribeDBInstances", "DBInstanceIdentifier", name),
        SecretOwner::Cluster(name) => ("DescribeDBClusters", "DBClusterIdentifier", name),
    };
    let query = format!("Action={action}&{parameter}={name}&Version=2014-10-31");
    let (status, body) = get(sdk, &query).await?;
    let read = |path: &[&str]| value_at(&body, path);
    if status != 200 {
        let is_code = |code: &String| code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let code = read(&["Error", "Code"]).filter(is_code);
        return Err(code.unwrap_or_else(|| format!("status {status}")));
    }
    let (host, port) = match owner {
        SecretOwner::Instance(_) => {
            let instance = ["DescribeDBInstancesResult", "DBInstances", "DBInstance", "Endpoint"];
            let of = |key| read(&[instance.as_slice(), &[key]].concat());
            (of("Address"), of("Port"))
        }
        SecretOwner::Cluster(_) => {
            let cluster = ["DescribeDBClustersResult", "DBClusters", "DBCluster"];
            let of = |key| read(&[cluster.as_slice(), &[key]].concat());
            (of("Endpoint"), of("Port"))
        }
    };
    let host = host.filter(|host| !host.is_empty() && is_host(host));
    let host = host.ok_or_else(|| "no endpoint in the response".to_owned())?;
    let port = port.and_then(|port| port.parse().ok());
    Ok(DatabaseEndpoint { owner: owner.clone(), host, port })
}

/// Sends a signed request. Returns the status and the body of the response.
async fn get(sdk: &SdkConfig, query: &str) -> Result<(u16, Vec<u8>), String> {
    let region = sdk.region().ok_or("no AWS region")?;
    let provider = sdk.credentials_provider().ok_or("no AWS credentials")?;
    let credentials = provider.provide_credentials().await.map_err(|_| "no AWS credentials")?;
    let endpoint = url(sdk).await?;
    let address = format!("{}/?{query}", endpoint.trim_end_matches('/'));
    let now = SystemTime::now();
    let signature = signed_query("rds", region.as_ref(), credentials, now, EXPIRES_IN, &address)?;
    let mut path = format!("/?{query}");
    write!(path, "{signature}").map_err(|error| error.to_string())?;
    let operation = Operation::builder()
        .service_name("RDS")
        .operation_name("Describe")
        .behavior_version(aws_config::BehaviorVersion::latest())
        .endpoint_url(&endpoint)
        .no_auth()
        .no_retry()
        .timeout_config(
            sdk.timeout_config()
                .cloned()
                .unwrap_or_else(|| aws_config::timeout::TimeoutConfig::builder().build()),
        )
        .serializer(move |()| {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(path.as_str())?;
            Ok(request)
        })
        .deserializer::<_, Infallible>(|response: &HttpResponse| {
            let body = response.body().bytes().unwrap_or_default().to_vec();
            Ok((response.status().as_u16(), body))
        })
        .build();
    operation.invoke(()).await.map_err(|_| "it cannot be reached".to_owned())
}

/// Returns the URL of the API: `AWS_ENDPOINT_URL_RDS`, or `AWS_ENDPOINT_URL`, or the one of the region.
async fn url(sdk: &SdkConfig) -> Result<String, String> {
    let key = ServiceConfigKey::builder()
        .service_id("RDS")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service = || sdk.service_config()?.load_config(key.ok()?);
    if let Some(url) = of_service().or_else(|| sdk.endpoint_url().map(str::to_owned)) {
        return Ok(url);
    }
    // Both services have the same domain in each partition, which the SDK knows.
    let parameters = Params::builder()
        .set_region(sdk.region().map(ToString::to_string))
        .set_use_fips(sdk.use_fips())
        .set_use_dual_stack(sdk.use_dual_stack())
        .build()
        .map_err(|error| error.to_string())?;
    let resolved = DefaultResolver::new().resolve_endpoint(&parameters).await;
    let endpoint = resolved.map_err(|error| error.to_string())?;
    Ok(endpoint.url().replacen("//secretsmanager", "//rds", 1))
}

/// Returns the text of the first element at a path below the root of an XML document.
fn value_at(body: &[u8], path: &[&str]) -> Option<String> {
    fn find(element: &mut ScopedDecoder<'_, '_>, path: &[&str]) -> Option<String> {
        let Some((first, rest)) = path.split_first() else {
            return Some(try_data(element).ok()?.into_owned());
        };
        while let Some(mut child) = element.next_tag() {
            if child.start_el().local() == *first {
                return find(&mut child, rest);
            }
        }
        None
    }
    let mut document = Document::try_from(body).ok()?;
    find(&mut document.root_element().ok()?, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let body = br#"<R xmlns="urn:x"><A><Port>1</Port></A><A2/><B><C><Port>5433</Port></C><C><Port>6</Port></C></B></R>"#;
        assert_eq!(value_at(body, &["B", "C", "Port"]).as_deref(), Some("5433"));
        assert_eq!(value_at(body, &["A", "Port"]).as_deref(), Some("1"));
        for path in [&["Port"][..], &["B", "Port"], &["A2", "Port"]] {
            assert_eq!(value_at(body, path), None, "{path:?}");
        }
        for wrong in [&b""[..], b"{}", b"<a", b"\xff\xfe"] {
            assert_eq!(value_at(wrong, &["B", "C", "Port"]), None);
        }
    }

    #[tokio::test]
    async fn url_is_that_of_the_partition() {
        for (region, expected) in [
            ("eu-west-2", "https://rds.eu-west-2.amazonaws.com"),
            ("cn-north-1", "https://rds.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "https://rds.eusc-de-east-1.amazonaws.eu"),
        ] {
            let sdk = SdkConfig::builder().region(aws_config::Region::new(region)).build();
            assert_eq!(url(&sdk).await.unwrap(), expected);
        }
    }
}
