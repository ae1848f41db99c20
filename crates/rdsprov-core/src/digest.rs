//! SHA-256 values in the form `sha256:` and 64 hexadecimal digits.
//!
//! They identify plans and definitions, and link the records of a ledger. This module does not know
//! what the bytes mean.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 value of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the SHA-256 value of data, serialized as JSON without whitespace.
pub(crate) fn sha256_json(data: &impl Serialize) -> String {
    // Serialization to memory fails only for maps whose keys are not strings. Such
    // maps are not used.
    sha256(&serde_json::to_vec(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_equal_those_of_sha256sum() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::sha256(b""), empty);
        let one = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        assert_eq!(super::sha256_json(&1), one);
    }
}
