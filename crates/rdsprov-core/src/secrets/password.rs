//! [`Password`], the only type that contains a password.

use std::fmt;

use zeroize::Zeroizing;

/// A password, which is wiped from memory when it is dropped, and which `Debug` and
/// `Display` do not print.
///
/// ```
/// use rdsprov_core::secrets::Password;
/// let password = Password::new("s3cr3t-enough".to_owned()).unwrap();
/// assert_eq!(format!("{password} {password:?}"), "<password> <password>");
/// ```
///
/// Serde cannot serialise it:
///
/// ```compile_fail,E0277
/// let password = rdsprov_core::secrets::Password::new("s3cr3t-enough".to_owned()).unwrap();
/// serde_json::to_string(&password);
/// ```
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// A text cannot be used as a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordProblem {
    /// It is empty: PostgreSQL would silently clear the role's password.
    #[error("is empty")]
    Empty,
    /// PostgreSQL and `.pgpass` files cannot represent it.
    #[error("contains a NUL or a line break")]
    ControlCharacter,
    /// A real password was never stored.
    #[error("is a placeholder")]
    Placeholder,
}

/// Words that stand for a password that was never set. A text that starts with one is rejected.
const PLACEHOLDERS: [&str; 7] =
    ["placeholder", "changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me"];

/// Brackets around the name of a value that a template engine did not insert.
const BRACKETS: [(&str, &str); 3] = [("<", ">"), ("${", "}"), ("{{", "}}")];

impl Password {
    /// Creates a password from a text.
    ///
    /// # Errors
    /// Returns a [`PasswordProblem`] if the text is empty, contains a NUL or a line break,
    /// or is a placeholder.
    pub fn new(text: String) -> Result<Self, PasswordProblem> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(PasswordProblem::Empty);
        }
        if text.contains(['\0', '\n', '\r']) {
            return Err(PasswordProblem::ControlCharacter);
        }
        let lower = Zeroizing::new(text.trim().to_lowercase());
        let bracketed =
            BRACKETS.iter().any(|(open, close)| lower.starts_with(open) && lower.ends_with(close));
        let is_word = PLACEHOLDERS.iter().any(|word| lower.starts_with(word));
        if bracketed || is_word || lower.is_empty() || lower.as_str() == "todo" {
            return Err(PasswordProblem::Placeholder);
        }
        Ok(Self(text))
    }

    /// Returns whether the password has fewer Unicode characters than `characters`.
    #[must_use]
    pub fn is_shorter_than(&self, characters: usize) -> bool {
        self.0.chars().count() < characters
    }

    /// Returns whether the password has printable ASCII characters only, which SASLprep does not change.
    pub(crate) fn is_printable_ascii(&self) -> bool {
        self.0.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    }

    /// Returns whether both passwords are the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Returns the password in plain text. It is for a login only: a statement contains a verifier.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::secret_id::SecretId;
    use crate::secrets::Secret;

    /// A panic prints the values that `panic!`, `unwrap` and `assert_eq!` got, but no password.
    #[test]
    fn panics_print_no_password() {
        const CANARY: &str = "Canary-of-a-panic";
        let text = format!(r#"{{"password": "{CANARY}"}}"#);
        let secret = Secret::parse(&SecretId("a/b".to_owned()), &text).unwrap();
        let password = secret.password.clone();
        let panics: [&dyn Fn(); 3] = [
            &|| panic!("{secret:?} {password} {password:#?}"),
            &|| {
                let failed: Result<(), _> = Secret::parse(&secret.id, &text).map_or(Ok(()), Err);
                failed.unwrap();
            },
            &|| assert_eq!(Some(&password).map(|one| format!("{one:?}")), None),
        ];
        for panics in panics {
            let message = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
            let message = message.downcast_ref::<String>().unwrap();
            assert!(message.contains("<password>") && !message.contains(CANARY), "{message}");
        }
    }
}
