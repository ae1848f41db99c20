//! A statement with slots for values that are known only at execution: verifiers, the build id, and
//! the OIDs of new databases.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::audit_row::{self, AuditRow};
use super::hidden_password::{self, HidingKey};
use crate::audit_table::AuditedRun;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation};
use crate::marker::Marker;
use crate::name::{DatabaseName, RoleName, literal};
use crate::secret_id::SecretId;

/// Returns a query of a file in one line, without its comments.
pub(super) fn one_line(query: &str) -> String {
    let lines = query.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    lines.collect::<Vec<_>>().join(" ")
}

/// The values of the run in the rows of the audit table, for readers.
const FOR_READERS: AuditedRun<'_> = AuditedRun {
    environment: "<environment>",
    build_id: "<build_id>",
    run_id: "<run_id>",
    plan: "<plan>",
    actor: "<actor>",
};

/// A statement that changes a server. Only the modules of `sql` can create one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(Text);

/// The text of a statement, with at most one kind of slot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// A text without slots.
    Plain(String),
    /// A text that grants to a grantee or revokes from it, divided at the grantee.
    OfGrantee { before: String, grantee: String, after: &'static str },
    /// A text that ends with the verifier of the password in a secret.
    Password { before: String, role: RoleName, secret: SecretId },
    /// A text that ends with the OID of a database that the plan has created.
    CreatedOid { before: String, database: DatabaseName },
    /// The text that writes a marker with the build id of the run.
    Marker { object: String, comment: Option<String>, marker: Marker },
    /// The text that writes rows of the audit table, with the values of the run. `table` is SQL.
    AuditRows { table: String, rows: Vec<AuditRow> },
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
    /// Returns the OID of a database that an earlier transaction of the plan has created.
    ///
    /// # Errors
    /// Returns an error if no transaction has created it.
    fn created_oid(&self, database: &DatabaseName) -> Result<u32, SlotError> {
        Err(SlotError::NotCreated(database.clone()))
    }
    /// Returns the values that each row of the audit table contains.
    fn audited_run(&self) -> AuditedRun<'_> {
        AuditedRun { build_id: self.build_id(), ..AuditedRun::default() }
    }
}

/// The names of the variables of a `psql` script.
#[derive(Debug, Default)]
pub(in crate::plan) struct ScriptVariables<'a> {
    /// The variables with verifiers, by the secret of the password.
    pub verifiers: BTreeMap<&'a SecretId, String>,
    /// The variables with OIDs, by the database that the script has created.
    pub oids: BTreeMap<&'a DatabaseName, String>,
    /// The values that each row of the audit table contains.
    pub audited_run: AuditedRun<'a>,
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
    /// No transaction has created the database.
    #[error("the OID of database {0} is not known, because this run has not created it")]
    NotCreated(DatabaseName),
}

impl SlotError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoPassword(_) => ErrorCode::SecretUnreadable,
            Self::NoVerifier(_) | Self::NotCreated(_) => ErrorCode::InternalError,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::NoPassword(_) => {
                vec![hint!["make the secret readable, then run ", Operation::Plan, " again"]]
            }
            Self::NoVerifier(_) | Self::NotCreated(_) => Vec::new(),
        }
    }
}

impl Statement {
    /// Creates a statement without slots.
    pub(super) fn plain(text: String) -> Self {
        Self(Text::Plain(text))
    }

    /// Creates a statement that grants to a grantee or revokes from it, divided at the grantee.
    pub(super) fn of_grantee(before: String, grantee: String, after: &'static str) -> Self {
        Self(Text::OfGrantee { before, grantee, after })
    }

    /// Returns the grantee of the statement as SQL.
    pub(super) fn grantee(&self) -> Option<&str> {
        match &self.0 {
            Text::OfGrantee { grantee, .. } => Some(grantee),
            Text::Plain(_)
            | Text::Password { .. }
            | Text::CreatedOid { .. }
            | Text::Marker { .. }
            | Text::AuditRows { .. } => None,
        }
    }

    /// Returns whether two statements do the same for their grantees.
    pub(super) fn differs_in_grantee_only(&self, other: &Self) -> bool {
        let Text::OfGrantee { before, after, .. } = &self.0 else { return false };
        matches!(
            &other.0,
            Text::OfGrantee { before: other, after: end, .. } if after == end && before == other
        )
    }

    /// Returns the statement for several grantees.
    pub(super) fn with_grantees<'a>(&self, grantees: impl Iterator<Item = &'a str>) -> Self {
        let Text::OfGrantee { before, after, .. } = &self.0 else { return self.clone() };
        let grantees = grantees.collect::<Vec<_>>().join(", ");
        Self::of_grantee(before.clone(), grantees, after)
    }

    /// Creates a statement without slots for a test of another module.
    #[cfg(test)]
    pub(crate) fn sample(text: &str) -> Self {
        Self::plain(text.to_owned())
    }

    /// Creates a statement that ends with the verifier of the password in a secret.
    pub(super) fn with_password(before: String, role: &RoleName, secret: &SecretId) -> Self {
        Self(Text::Password { before, role: role.clone(), secret: secret.clone() })
    }

    /// Creates a statement that ends with the OID of a database that the plan has created.
    pub(super) fn created_oid(before: String, database: &DatabaseName) -> Self {
        Self(Text::CreatedOid { before, database: database.clone() })
    }

    /// Creates the statement that writes a marker after the present comment, which is kept.
    /// `object` is SQL: `ROLE "x"` or `DATABASE "x"`.
    pub(super) fn set_marker(object: String, comment: Option<String>, marker: Marker) -> Self {
        Self(Text::Marker { object, comment, marker })
    }

    /// Creates the statement that writes rows of an audit table. `table` is SQL.
    pub(super) fn audit_rows(table: String, rows: Vec<AuditRow>) -> Self {
        Self(Text::AuditRows { table, rows })
    }

    /// Returns the secret whose password the statement sets.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretId> {
        match &self.0 {
            Text::Password { secret, .. } => Some(secret),
            Text::Plain(_)
            | Text::OfGrantee { .. }
            | Text::CreatedOid { .. }
            | Text::Marker { .. }
            | Text::AuditRows { .. } => None,
        }
    }

    /// Returns the created database whose OID the statement contains.
    pub(in crate::plan) fn created_database(&self) -> Option<&DatabaseName> {
        match &self.0 {
            Text::CreatedOid { database, .. } => Some(database),
            Text::Plain(_)
            | Text::OfGrantee { .. }
            | Text::Password { .. }
            | Text::Marker { .. }
            | Text::AuditRows { .. } => None,
        }
    }

    /// Returns the statement for readers: a verifier is `<password from SECRET>`,
    /// the build id `<build_id>`.
    #[must_use]
    pub fn redacted(&self) -> String {
        match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::OfGrantee { before, grantee, after } => format!("{before} {grantee}{after}"),
            Text::Password { before, secret, .. } => {
                format!("{before} {}", literal(&format!("<password from {secret}>")))
            }
            Text::CreatedOid { before, database } => {
                format!("{before} {}", literal(&format!("<OID of database {database}>")))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "<build_id>"))
            }
            Text::AuditRows { table, rows } => audit_row::insert(table, rows, &FOR_READERS),
        }
    }

    /// Returns the statement for a `psql` script: a verifier is a variable, the
    /// build id is `script`.
    pub(in crate::plan) fn to_psql(&self, variables: &ScriptVariables<'_>) -> String {
        match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::OfGrantee { before, grantee, after } => format!("{before} {grantee}{after}"),
            Text::Password { before, secret, .. } => {
                format!(
                    "{before} :'{}'",
                    variables.verifiers.get(secret).map_or("", String::as_str)
                )
            }
            Text::CreatedOid { before, database } => {
                format!("{before} :'{}'", variables.oids.get(database).map_or("", String::as_str))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "script"))
            }
            Text::AuditRows { table, rows } => {
                audit_row::insert(table, rows, &variables.audited_run)
            }
        }
    }

    /// Returns the statements for the server without the verifier in their text, if a password is set.
    /// `key` hides the verifier; it was chosen in the same transaction.
    ///
    /// # Errors
    /// Returns an error if a slot cannot be filled.
    pub(crate) fn hidden(&self, slots: &dyn Slots, key: &HidingKey) -> Result<String, SlotError> {
        match &self.0 {
            Text::Password { before, role, secret } => {
                let verifier = slots.verifier(secret)?;
                Ok(hidden_password::set_password(before, role, &verifier, key))
            }
            Text::Plain(_)
            | Text::OfGrantee { .. }
            | Text::CreatedOid { .. }
            | Text::Marker { .. }
            | Text::AuditRows { .. } => self.executable(slots),
        }
    }

    /// Returns the statement for a script, with the verifier and not the password.
    ///
    /// # Errors
    /// Returns an error if a slot cannot be filled.
    pub fn executable(&self, slots: &dyn Slots) -> Result<String, SlotError> {
        Ok(match &self.0 {
            Text::Plain(text) => text.clone(),
            Text::OfGrantee { before, grantee, after } => format!("{before} {grantee}{after}"),
            Text::Password { before, secret, .. } => {
                format!("{before} {}", literal(&slots.verifier(secret)?))
            }
            Text::CreatedOid { before, database } => {
                format!("{before} {}", literal(&slots.created_oid(database)?.to_string()))
            }
            Text::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), slots.build_id()))
            }
            Text::AuditRows { table, rows } => audit_row::insert(table, rows, &slots.audited_run()),
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
