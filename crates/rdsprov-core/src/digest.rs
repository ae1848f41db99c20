//! SHA-256, written as `sha256:` and hexadecimal digits: what plans are approved by, and what records
//! hang together with.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Of data as JSON without spaces.
pub(crate) fn sha256_json(data: &impl Serialize) -> String {
    // Serialising plain data to memory fails only for maps whose keys are no strings; ours are.
    sha256(&serde_json::to_vec(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_what_others_compute() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::sha256(b""), empty);
        let one = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        assert_eq!(super::sha256_json(&1), one);
    }
}
