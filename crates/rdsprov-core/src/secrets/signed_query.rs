//! Signs `GET` requests to AWS: the signature follows the query of the URL.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
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

/// Returns the parameters that sign a `GET` request to a service of AWS; the first one follows `&`.
///
/// # Errors
/// Returns the reason if the request cannot be signed.
pub(super) fn signed_query(
    service: &str,
    region: &str,
    credentials: Credentials,
    now: SystemTime,
    expires_in: Duration,
    url: &str,
) -> Result<String, String> {
    let failed = |error: &dyn ToString| error.to_string();
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
