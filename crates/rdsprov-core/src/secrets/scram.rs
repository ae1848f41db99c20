//! SCRAM-SHA-256 verifiers, as PostgreSQL stores them and as RFC 5802 and 7677 define them: all of a
//! password that ever reaches a server in a statement.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Password;

/// PostgreSQL's own number of iterations, where the server has no setting of it (up to 15).
pub const ITERATIONS: u32 = 4096;

const KEY: usize = 32;
const SALT: usize = 16;
const MECHANISM: &str = "SCRAM-SHA-256";

/// A password's verifier: enough to check the password, not enough to log in. Weak passwords can be guessed by
/// it, so only `Display` has it, for the statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; KEY],
    server_key: [u8; KEY],
}

impl Verifier {
    /// A verifier with a salt of its own.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn new(password: &Password, iterations: u32) -> Result<Self, NoRandomness> {
        let mut salt = vec![0; SALT];
        getrandom::fill(&mut salt).map_err(|error| NoRandomness(error.to_string()))?;
        Ok(Self::with_salt(password, iterations, salt))
    }

    fn with_salt(password: &Password, iterations: u32, salt: Vec<u8>) -> Self {
        let salted = salted(password, iterations, &salt);
        let client_key = Zeroizing::new(keyed(salted.as_slice(), &[b"Client Key"]));
        Self {
            iterations,
            stored_key: Sha256::digest(client_key.as_slice()).into(),
            server_key: keyed(salted.as_slice(), &[b"Server Key"]),
            salt,
        }
    }

    /// Reads what a server has stored; nothing, where that is no verifier of this mechanism.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
        let (iterations, salt) = rest.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        Some(Self {
            iterations: iterations.parse().ok().filter(|number| *number > 0)?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Whether it is the verifier of a password.
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        *self == Self::with_salt(password, self.iterations, self.salt.clone())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<verifier>")
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MECHANISM}${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

/// The system gives no random bytes, and without them there is no salt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(pub(super) String);

fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; KEY] {
    // HMAC takes keys of any length.
    #[allow(clippy::expect_used, reason = "see above")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `Hi` of RFC 5802 over SASLprep of the password. What SASLprep forbids is taken as it is, as PostgreSQL
/// does on both sides.
fn salted(password: &Password, iterations: u32, salt: &[u8]) -> Zeroizing<[u8; KEY]> {
    let text = password.expose();
    let prepared = Zeroizing::new(
        stringprep::saslprep(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned),
    );
    let mut last = keyed(prepared.as_bytes(), &[salt, &1u32.to_be_bytes()]);
    let mut result = Zeroizing::new(last);
    for _ in 1..iterations {
        last = keyed(prepared.as_bytes(), &[&last]);
        for (sum, byte) in result.iter_mut().zip(last) {
            *sum ^= byte;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    /// The exchange of RFC 7677, section 3, with the keys that follow from it.
    #[test]
    fn the_example_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with_salt(&password("pencil"), 4096, salt);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = keyed(&verifier.server_key, &[message.as_bytes()]);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn what_is_written_is_read() {
        let verifier = Verifier::new(&password("pencil"), 5000).unwrap();
        assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier.clone()));
        assert_eq!(format!("{verifier:?} {verifier:#?}"), "<verifier> <verifier>");
        assert!(verifier.matches(&password("pencil")) && !verifier.matches(&password("pencils")));
        for text in ["", "md5abc", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:$x:y"] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
    }

    /// RFC 4013: what is not seen is left out, and compatibility characters are replaced.
    #[test]
    fn passwords_are_prepared() {
        let verifier = Verifier::new(&password("IX"), 1).unwrap();
        for same in ["I\u{ad}X", "\u{2168}"] {
            assert!(verifier.matches(&password(same)), "{same:?}");
        }
    }
}
