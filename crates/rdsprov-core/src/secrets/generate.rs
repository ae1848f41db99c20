//! Generates passwords from random bytes of the operating system.

use super::Password;
use super::scram::NoRandomness;

/// The minimum length of a generated password, in characters.
pub const GENERATED_LENGTH: usize = 32;

/// Letters, digits, and two characters that RFC 3986 does not reserve, so that a password needs no
/// quoting in a URL, a shell or JSON. There are 64 of them, so that each encodes six random bits.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Password {
    /// Generates a password of `minimum_length` characters, and at least [`GENERATED_LENGTH`].
    ///
    /// To comply with password policies, it contains an upper-case letter, a lower-case letter, a
    /// digit and a punctuation character.
    ///
    /// # Errors
    /// Returns an error if the operating system provides no random bytes.
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
            // Two of three random texts contain all four kinds. Drawing the whole text again keeps
            // the distribution of those uniform.
            let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
            let all = has(char::is_ascii_uppercase)
                && has(char::is_ascii_lowercase)
                && has(char::is_ascii_digit)
                && has(char::is_ascii_punctuation);
            match Self::new(text) {
                Ok(password) if all => return Ok(password),
                // A text that starts like a placeholder is drawn again, too.
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
    fn passwords_differ_and_use_the_whole_alphabet() {
        let many: BTreeSet<String> =
            (0..200).map(|_| Password::generate(0).unwrap().expose().to_owned()).collect();
        assert_eq!(many.len(), 200);
        let used: BTreeSet<u8> = many.iter().flat_map(|one| one.bytes()).collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
    }
}
