//! The names of objects of S3, and why one cannot be read or written.
//!
//! This module does not contact S3.

use std::fmt;
use std::str::FromStr;

use super::SourceError;
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::text::is_hidden;

/// The place of an object: `s3://BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUri {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl FromStr for ObjectUri {
    type Err = String;

    /// Parses `s3://BUCKET/KEY`.
    ///
    /// ```
    /// use rdsprov_core::secrets::ObjectUri;
    /// let uri: ObjectUri = "s3://platform/dev/databases.tfvars".parse().unwrap();
    /// assert_eq!(uri.key(), "dev/databases.tfvars");
    /// assert!("s3://platform".parse::<ObjectUri>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an object is named by `s3://BUCKET/KEY`".to_owned();
        let (bucket, key) =
            text.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        let is_key = !key.is_empty() && key.len() <= 1024 && !key.contains(is_hidden);
        // A client of HTTP would resolve these, and request another object.
        let is_path = key.split('/').any(|part| matches!(part, "." | ".."));
        if !is_bucket || !is_key || is_path {
            return Err(wrong());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl ObjectUri {
    /// Returns the key of the object.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The start of the names of objects: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPrefix(String);

impl FromStr for ObjectPrefix {
    type Err = String;

    /// Parses `s3://BUCKET/PREFIX`, with or without a slash at its end.
    ///
    /// ```
    /// use rdsprov_core::secrets::ObjectPrefix;
    /// let prefix: ObjectPrefix = "s3://records/prod/".parse().unwrap();
    /// assert_eq!(prefix.object("run 7.csv").unwrap().to_string(), "s3://records/prod/run_7.csv");
    /// ```
    fn from_str(text: &str) -> Result<Self, String> {
        let prefix = Self(text.strip_suffix('/').unwrap_or(text).to_owned());
        prefix.object("x").map_err(|_| "a prefix is `s3://BUCKET/PREFIX`".to_owned())?;
        Ok(prefix)
    }
}

impl ObjectPrefix {
    /// Returns the object with a name below the prefix. Each character that is not a letter, a digit or
    /// one of `.`, `_`, `-` and `/` becomes `_`.
    ///
    /// # Errors
    /// Returns the reason why the name is not that of an object: it is too long, or contains `..`.
    pub fn object(&self, name: &str) -> Result<ObjectUri, String> {
        let is_kept = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let name: String = name.chars().map(|c| if is_kept(c) { c } else { '_' }).collect();
        format!("{}/{name}", self.0).parse()
    }
}

/// An object cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// AWS cannot be used at all.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// S3 does not return the object.
    #[error("{uri} cannot be read: {reason}")]
    Unreadable {
        /// The object.
        uri: ObjectUri,
        /// The error code of S3, or what else has failed.
        reason: String,
    },
    /// S3 does not accept the object.
    #[error("{uri} cannot be written: {reason}")]
    Unwritable {
        /// The object.
        uri: ObjectUri,
        /// The error code of S3, or what else has failed.
        reason: String,
    },
}

impl ObjectError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::Unreadable { .. } => ErrorCode::FileUnreadable,
            Self::Unwritable { .. } => ErrorCode::AuditFileUnwritable,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Source(error) => return error.hints(),
            Self::Unreadable { .. } => {
                "check the bucket, the key and the region, and allow `s3:GetObject`".into()
            }
            Self::Unwritable { .. } => {
                "check the bucket, the key and the region, and allow `s3:PutObject`".into()
            }
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_prefix() {
        for prefix in ["s3://abc", "s3://abc/", "s3://abc/a", "s3://abc/a/"] {
            let parsed: ObjectPrefix = prefix.parse().unwrap();
            let expected = format!("{}/r/1.csv", prefix.trim_end_matches('/'));
            assert_eq!(parsed.object("r/1.csv").unwrap().to_string(), expected);
            assert_eq!(
                parsed.object("ü\n?").unwrap().to_string(),
                expected.replace("r/1.csv", "___")
            );
            assert!(parsed.object("../x").is_err() && parsed.object(&"a".repeat(1025)).is_err());
        }
        for wrong in ["", "abc", "s3://", "s3://AB", "s3://abc/../a", "/tmp"] {
            assert!(wrong.parse::<ObjectPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_objects() {
        for wrong in ["", "s3://", "s3://abc", "s3://abc/", "s3://AB/k", "s3://abc/a/../b", "x"] {
            assert!(wrong.parse::<ObjectUri>().is_err(), "{wrong}");
        }
        assert_eq!("s3://abc/a//b".parse::<ObjectUri>().unwrap().to_string(), "s3://abc/a//b");
    }
}
