//! New passwords, out of the system's own randomness.

use super::Password;
use super::scram::NoRandomness;

/// How many characters a password has that nobody asked to be longer.
pub const GENERATED_LENGTH: usize = 32;

/// Letters, digits, and what RFC 3986 lets stand unencoded in a URL: such a password can be put into a
/// connection string, a shell and JSON as it is. 64 of them, so that each stands for six bits.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Password {
    /// A new one of at least [`GENERATED_LENGTH`] characters, of a kind that rules for passwords ask for:
    /// it has upper and lower case, digits and a sign.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    ///
    /// ```
    /// use rdsprov_core::secrets::Password;
    /// assert!(!Password::generate(0).unwrap().is_shorter_than(32));
    /// assert!(!Password::generate(100).unwrap().is_shorter_than(100));
    /// ```
    pub fn generate(minimum_length: usize) -> Result<Self, NoRandomness> {
        let length = minimum_length.max(GENERATED_LENGTH);
        loop {
            let mut bytes = zeroize::Zeroizing::new(vec![0; length]);
            getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
            let text: String =
                bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
            // Two in three have all four kinds; to draw again favours none of those.
            let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
            let all = has(char::is_ascii_uppercase)
                && has(char::is_ascii_lowercase)
                && has(char::is_ascii_digit)
                && has(char::is_ascii_punctuation);
            match Self::new(text) {
                Ok(password) if all => return Ok(password),
                // Or it happens to begin as a placeholder does.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_is_another_and_uses_the_whole_alphabet() {
        let many: BTreeSet<String> =
            (0..200).map(|_| Password::generate(0).unwrap().expose().to_owned()).collect();
        assert_eq!(many.len(), 200);
        let used: BTreeSet<u8> = many.iter().flat_map(|one| one.bytes()).collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
    }
}
