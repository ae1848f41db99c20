//! Signs requests to AWS: the signature follows the query of the URL.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningParams,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

/// Percent-encodes all bytes except the unreserved characters of RFC 3986.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            encoded + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => format!("{encoded}%{byte:02X}"),
    })
}

/// A request that is signed with parameters of its query.
pub(super) struct SignedRequest<'a> {
    pub method: &'static str,
    pub service: &'static str,
    pub region: &'a str,
    /// The URL, which has a query already.
    pub url: &'a str,
    /// How long the signature is valid.
    pub expires_in: Duration,
}

/// Returns the parameters that sign a request to a service of AWS; the first one follows `&`.
///
/// The signature does not cover the body of a request to S3, and other requests have none.
///
/// # Errors
/// Returns the reason if the request cannot be signed.
pub(super) fn signed_query(
    request: &SignedRequest<'_>,
    credentials: Credentials,
    now: SystemTime,
) -> Result<String, String> {
    let SignedRequest { method, service, region, url, expires_in } = *request;
    let failed = |error: &dyn ToString| error.to_string();
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(expires_in);
    settings.signature_location = SignatureLocation::QueryParams;
    let mut body = SignableBody::Bytes(&[]);
    if service == "s3" {
        // S3 alone takes the path as it is.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        body = SignableBody::UnsignedPayload;
    }
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
    let request = SignableRequest::new(method, url, std::iter::empty(), body)
        .map_err(|error| failed(&error))?;
    let (instructions, _) =
        sign(request, &parameters).map_err(|error| failed(&error))?.into_parts();
    let parameters = instructions.params().iter();
    Ok(parameters.map(|(name, value)| format!("&{name}={}", percent_encoded(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of a presigned URL in the documentation of S3.
    #[test]
    fn object_of_the_documentation() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, None, None, "a test");
        let request = SignedRequest {
            method: "GET",
            service: "s3",
            region: "us-east-1",
            url: "https://examplebucket.s3.amazonaws.com/test.txt",
            expires_in: Duration::from_secs(86_400),
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signed = signed_query(&request, credentials, at).unwrap();
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(signed.ends_with(&format!("&X-Amz-Signature={signature}")), "{signed}");
    }
}
