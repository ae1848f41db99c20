//! The one type that passwords live in.

use std::fmt;

use zeroize::Zeroizing;

/// A password: wiped from memory when dropped, and silent in `Debug` and `Display`.
///
/// ```
/// use rdsprov_core::secrets::Password;
/// let password = Password::new("s3cr3t-enough".to_owned()).unwrap();
/// assert_eq!(format!("{password} {password:?}"), "<password> <password>");
/// ```
///
/// Nothing can be made of it with serde:
///
/// ```compile_fail,E0277
/// let password = rdsprov_core::secrets::Password::new("s3cr3t-enough".to_owned()).unwrap();
/// serde_json::to_string(&password);
/// ```
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a text is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// It is empty: PostgreSQL would silently clear the role's password.
    #[error("is empty")]
    Empty,
    /// It holds a NUL or a line break.
    #[error("holds a NUL or a line break")]
    ControlCharacter,
    /// Somebody has yet to set it.
    #[error("is a placeholder")]
    Placeholder,
}

/// What somebody writes who means to come back; with whatever behind it.
const PLACEHOLDERS: [&str; 7] =
    ["placeholder", "changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me"];

/// What stands around the name of a value that nobody put in.
const BRACKETS: [(&str, &str); 3] = [("<", ">"), ("${", "}"), ("{{", "}}")];

impl Password {
    /// Takes a text that can be a password.
    ///
    /// # Errors
    /// Where it cannot; see [`PasswordProblem`].
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

    /// Whether it has less characters than a site asks for.
    #[must_use]
    pub fn is_shorter_than(&self, characters: usize) -> bool {
        self.0.chars().count() < characters
    }

    /// Whether two secrets hold one password.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The text itself, for the login. Not for a statement: those take its verifier.
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

    use crate::secrets::{Secret, SecretId};

    /// A panic prints what `expect`, `unwrap` and `assert_eq` were given: of a password, nothing.
    #[test]
    fn a_panic_shows_no_password() {
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
            let said = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
            let said = said.downcast_ref::<String>().unwrap();
            assert!(said.contains("<password>") && !said.contains(CANARY), "{said}");
        }
    }
}
