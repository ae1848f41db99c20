//! A statement with slots for values that are known only at execution: verifiers and the build id.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation};
use crate::marker::Marker;
use crate::name::literal;
use crate::secret_id::SecretId;

/// A statement that changes a server. Only the modules of `sql` can create one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(Text);

/// The text of a statement, with at most one kind of slot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// A text without slots.
    Plain(String),
    /// A text that ends with the verifier of the password in a secret.
    Password { before: String, secret: SecretId },
    /// The text that writes a marker with the build id of the run.
    Marker { object: String, comment: Option<String>, marker: Marker },
}

/// The values for the slots.
pub trait Slots {
    /// Returns the SCRAM verifier of the password in a secret.
    ///
    /// # Errors
    /// Returns an error if the password is not available or cannot be used.
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError>;
    /// Returns the build id of the run.
    fn build_id(&self) -> &str;
}

/// A slot cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The password of the secret is not available.
    #[error("the password of secret {0} is not available")]
    NoPassword(SecretId),
    /// The verifier cannot be computed.
    #[error("the verifier cannot be computed: {0}")]
    NoVerifier(String),
}

impl SlotError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoPassword(_) => ErrorCode::SecretUnreadable,
            Self::NoVerifier(_) => ErrorCode::InternalError,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::NoPassword(_) => {
                vec![hint!["make the secret readable, then run ", Operation::Plan, " again"]]
            }
            Self::NoVerifier(_) => Vec::new(),
        }
    }
}

impl Statement {
    /// Creates a statement without slots.
    pub(super) fn plain(text: String) -> Self {
        Self(Text::Plain(text))
    }

    /// Creates a statement that ends with the verifier of the password in a secret.
    pub(super) fn with_password(before: String, secret: &SecretId) -> Self {
        Self(Text::Password { before, secret: secret.clone() })
    }

    /// Creates the statement that writes a marker after the present comment, which is kept.
    /// `object` is SQL: `ROLE "x"` or `DATABASE "x"`.
    pub(super) fn set_marker(object: String, comment: Option<String>, marker: Marker) -> Self {
        Self(Text::Marker { object, comment, marker })
    }

    /// Returns the secret whose password the statement sets.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretId> {
        match &self.0 {
            Text::Password { secret, .. } => Some(secret),
            Text::Plain(_) | Text::Marker { .. } => None,
        }
    }

    /// Returns the statement for readers: a verifier is `<password from SECRET>`,
    /// the build id `<build_id>`.
    #[must_use]
    pub fn redacted(&self) -> String {
        match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::Password { before, secret } => {
                format!("{before} {}", literal(&format!("<password from {secret}>")))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "<build_id>"))
            }
        }
    }

    /// Returns the statement for a `psql` script: a verifier is a variable, the
    /// build id is `script`.
    pub(in crate::plan) fn to_psql(&self, variables: &BTreeMap<&SecretId, String>) -> String {
        match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::Password { before, secret } => {
                format!("{before} :'{}'", variables.get(secret).map_or("", String::as_str))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "script"))
            }
        }
    }

    /// Returns the statement for the server, with the verifier and not the password.
    ///
    /// # Errors
    /// Returns an error if a slot cannot be filled.
    pub fn executable(&self, slots: &dyn Slots) -> Result<String, SlotError> {
        Ok(match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::Password { before, secret } => {
                format!("{before} {}", literal(&slots.verifier(secret)?))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), slots.build_id()))
            }
        })
    }
}

impl JsonSchema for Statement {
    fn schema_name() -> Cow<'static, str> {
        "Statement".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A statement for readers: a verifier is `<password from SECRET>`, the build id is `<build_id>`.",
            "type": "string",
        })
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

fn comment_on(object: &str, comment: &str) -> String {
    format!("COMMENT ON {object} IS {}", literal(comment))
}
