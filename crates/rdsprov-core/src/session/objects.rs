//! Reads definitions from S3, and gives front ends access to S3 for records.

use super::credential_sources;
use super::error::Error;
use super::files::site_policy;
use super::system_certificates;
use crate::definitions::{SourceText, Syntax};
use crate::input_file::Input;
use crate::secrets::{ObjectError, ObjectStore, ObjectUri, aws};

/// Returns S3 in a region, by default in the one that the environment variables of AWS set.
///
/// # Errors
/// Returns [`Error::Source`] if the region is not known, and [`Error::TlsSettings`] if the system has no
/// certificates.
pub async fn object_store(region: Option<String>) -> Result<ObjectStore, Error> {
    system_certificates::check(|name| std::env::var_os(name))?;
    let sources = credential_sources::detect();
    Ok(ObjectStore::new(&aws::configuration(region, sources, None, Default::default()).await)?)
}

/// Returns the maximum size of definitions in bytes, which the site policy can lower.
///
/// # Errors
/// Returns the errors of [`site_policy`].
pub fn maximum_size_of_definitions() -> Result<u64, Error> {
    let built_in = Input::Definitions.maximum_size();
    let limit = site_policy()?.definitions_limit();
    Ok(limit.map_or(built_in, |limit| limit.bytes.min(built_in)))
}

/// Reads definitions of at most `maximum` bytes from an object, whose key has the extension of a
/// definitions file.
///
/// # Errors
/// Returns [`ObjectError::Unreadable`] if the object cannot be read or is not definitions.
pub async fn read_object(
    store: &ObjectStore,
    uri: &ObjectUri,
    maximum: u64,
) -> Result<SourceText, ObjectError> {
    let unreadable =
        |reason: &str| ObjectError::Unreadable { uri: uri.clone(), reason: reason.to_owned() };
    let Some(syntax) = Syntax::from_path(uri.key()) else {
        return Err(unreadable("its key does not end in .tfvars, .json or .toml"));
    };
    let bytes = store.get(uri, maximum).await?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not encoded in UTF-8"))?;
    Ok(SourceText { path: uri.to_string(), text, syntax })
}
