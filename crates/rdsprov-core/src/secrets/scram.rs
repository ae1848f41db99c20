//! SCRAM-SHA-256 verifiers in the form that PostgreSQL stores (RFC 5802, RFC 7677).
//!
//! A statement that sets a password contains a verifier and never the password.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Password;

/// The number of iterations on servers before PostgreSQL 16, which have no parameter
/// `scram_iterations`.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The numbers of iterations that are used: with fewer, a password can be guessed from its verifier
/// or from a login, and `postgres-protocol`, the client, rejects logins with more.
pub const ACCEPTED_ITERATIONS: RangeInclusive<u32> = ITERATIONS.get()..=100_000;

/// Returns the number of iterations of new verifiers: that of the server, if it is accepted.
pub(crate) fn accepted_iterations(of_server: Option<u32>) -> NonZeroU32 {
    let accepted = of_server.filter(|number| ACCEPTED_ITERATIONS.contains(number));
    accepted.and_then(NonZeroU32::new).unwrap_or(ITERATIONS)
}

const KEY: usize = 32;
const SALT: usize = 16;
const MECHANISM: &str = "SCRAM-SHA-256";

/// The verifier of a password: the server can check the password with it, but no client can
/// log in with it.
///
/// A weak password can be guessed from its verifier. Therefore only `Display`, which the statement
/// uses, prints it; `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY],
    server_key: [u8; KEY],
}

impl Verifier {
    /// Computes the verifier of a password with a random salt.
    ///
    /// # Errors
    /// Returns an error if the operating system provides no random bytes.
    ///
    /// ```
    /// use rdsprov_core::secrets::Password;
    /// use rdsprov_core::secrets::scram::{ITERATIONS, Verifier};
    /// let password = Password::new("s3cr3t-enough".to_owned()).unwrap();
    /// let verifier = Verifier::new(&password, ITERATIONS).unwrap();
    /// assert!(verifier.to_string().starts_with("SCRAM-SHA-256$4096:"));
    /// assert!(verifier.matches(&password));
    /// ```
    pub fn new(password: &Password, iterations: NonZeroU32) -> Result<Self, NoRandomness> {
        let mut salt = vec![0; SALT];
        getrandom::fill(&mut salt).map_err(|error| NoRandomness(error.to_string()))?;
        Ok(Self::with_salt(password, iterations, salt))
    }

    fn with_salt(password: &Password, iterations: NonZeroU32, salt: Vec<u8>) -> Self {
        let salted = salted_password(password, iterations, &salt);
        let client_key = Zeroizing::new(hmac_sha256(salted.as_slice(), b"Client Key"));
        Self {
            iterations,
            stored_key: Sha256::digest(client_key.as_slice()).into(),
            server_key: hmac_sha256(salted.as_slice(), b"Server Key"),
            salt,
        }
    }

    /// Parses a verifier that a server has stored; returns `None` for other formats, such as MD5.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
        let (iterations, salt) = rest.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        Some(Self {
            iterations: iterations.parse().ok()?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Returns whether this is the verifier of `password`. A verifier with another number of iterations than
    /// [`ACCEPTED_ITERATIONS`] counts as that of another password: no login can check it.
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        ACCEPTED_ITERATIONS.contains(&self.iterations.get())
            && *self == Self::with_salt(password, self.iterations, self.salt.clone())
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

/// The operating system provides no random bytes for a salt or a new password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system provides no random bytes: {0}")]
pub struct NoRandomness(pub(crate) String);

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; KEY] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut result = [0; KEY];
    result.copy_from_slice(tag.as_ref());
    result
}

/// Computes the function `Hi` of RFC 5802, which is PBKDF2 with HMAC-SHA-256, for the SASLprep form of
/// the password. As in PostgreSQL's client and server, a password that SASLprep rejects is used
/// unchanged.
fn salted_password(
    password: &Password,
    iterations: NonZeroU32,
    salt: &[u8],
) -> Zeroizing<[u8; KEY]> {
    let text = password.expose();
    let prepared = Zeroizing::new(
        stringprep::saslprep(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned),
    );
    let mut result = Zeroizing::new([0; KEY]);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, iterations, salt, prepared.as_bytes(), result.as_mut_slice());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    /// The example exchange of RFC 7677, section 3.
    #[test]
    fn rfc_7677_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with_salt(&password("pencil"), ITERATIONS, salt);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac_sha256(&verifier.server_key, message.as_bytes());
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn verifiers_can_be_parsed() {
        let verifier = Verifier::new(&password("pencil"), NonZeroU32::new(5000).unwrap()).unwrap();
        assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier.clone()));
        assert_eq!(format!("{verifier:?} {verifier:#?}"), "<verifier> <verifier>");
        assert!(verifier.matches(&password("pencil")) && !verifier.matches(&password("pencils")));
        for text in ["", "md5abc", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:$x:y"] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
    }

    /// Otherwise, a superuser would accept what no login accepts.
    #[test]
    fn verifier_that_no_login_can_check_does_not_match() {
        for (iterations, matches) in [(1, false), (4095, false), (4096, true), (100_001, false)] {
            let iterations = NonZeroU32::new(iterations).unwrap();
            let verifier = Verifier::with_salt(&password("pencil"), iterations, vec![1; 16]);
            assert_eq!(verifier.matches(&password("pencil")), matches, "{iterations}");
        }
    }

    /// RFC 4013 removes invisible characters and replaces compatibility characters.
    #[test]
    fn passwords_are_normalised_with_saslprep() {
        let verifier = Verifier::new(&password("IX"), ITERATIONS).unwrap();
        for same in ["I\u{ad}X", "\u{2168}"] {
            assert!(verifier.matches(&password(same)), "{same:?}");
        }
    }

    /// A role can store a verifier of its own for itself.
    #[test]
    fn verifiers_that_take_too_long_are_not_computed() {
        let text = "SCRAM-SHA-256$4000000000:AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(!Verifier::parse(text).unwrap().matches(&password("pencil")));
    }
}
