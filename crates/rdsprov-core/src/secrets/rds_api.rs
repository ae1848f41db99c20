//! Asks the API of RDS for the endpoint of a DB instance or cluster.
//!
//! It is the only call of this API.

use std::num::NonZeroU16;

use aws_config::SdkConfig;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};

use super::parse::is_host;
use super::signed_request::{Request, Service};
use super::{DatabaseEndpoint, SecretOwner};

const RDS: Service = Service { id: "RDS", name: "rds", has_dual_stack: true };

/// The maximum length of a response in bytes.
const MAXIMUM: u64 = 1024 * 1024;

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
    let request = Request {
        service: &RDS,
        endpoint: &RDS.url(sdk).await?,
        method: "GET",
        path: &format!("/?{query}"),
        headers: &[],
        body: Vec::new(),
        maximum: MAXIMUM,
    };
    let (status, body) = request.send(sdk).await?;
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
    let port = port.map(|port| port.parse::<NonZeroU16>()).transpose();
    let port = port.map_err(|_| "no valid port in the response".to_owned())?.map(NonZeroU16::get);
    Ok(DatabaseEndpoint { owner: owner.clone(), host, port })
}

/// Returns the text of the first element at a path below the root of an XML document.
pub(super) fn value_at(body: &[u8], path: &[&str]) -> Option<String> {
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
}
