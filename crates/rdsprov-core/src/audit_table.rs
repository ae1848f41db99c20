//! The audit table: its name, its columns, and the values that its rows have in common.
//!
//! A transaction that changes a database writes one row for each of its steps into the audit table of
//! the same database, so that a change and its row are committed or rolled back together.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::name::{NameError, SchemaName, TableName};

/// The columns of an audit table, with their types, in their order. A column without a value is `NULL`
/// only if it is `duration_ms`.
pub const COLUMNS: [(&str, &str); 12] = [
    ("timestamp_utc", "timestamp with time zone"),
    ("environment", "text"),
    ("build_id", "text"),
    ("run_id", "text"),
    ("database", "text"),
    ("username", "text"),
    ("action", "text"),
    ("status", "text"),
    ("duration_ms", "bigint"),
    ("message", "text"),
    ("plan", "text"),
    ("actor", "text"),
];

/// The column that can be `NULL`: the duration of a step is not known before the commit.
pub const NULLABLE: &str = "duration_ms";

/// The name of the audit table, which is the same in each database.
///
/// ```
/// use rdsprov_core::audit_table::AuditTableName;
/// let name: AuditTableName = "rdsprov_audit.changes".parse().unwrap();
/// assert_eq!(name.quoted(), r#""rdsprov_audit"."changes""#);
/// assert!("changes".parse::<AuditTableName>().is_err());
/// assert!("public.changes".parse::<AuditTableName>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditTableName {
    schema: SchemaName,
    table: TableName,
}

impl AuditTableName {
    /// Returns the name of a table whose schema is not `public`.
    pub(crate) fn new_unchecked(schema: &str, table: &str) -> Self {
        Self { schema: SchemaName::new_unchecked(schema), table: TableName::new_unchecked(table) }
    }

    /// Returns the schema, which the administrator owns.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.schema
    }

    /// Returns the name of the table without its schema.
    #[must_use]
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Returns the name as SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.table.quoted())
    }
}

/// A text is not the name of an audit table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditTableNameError {
    /// The text does not consist of a schema and a table.
    #[error("the audit table `{text}` is not named as SCHEMA.TABLE, with one dot")]
    NotQualified {
        /// The text.
        text: String,
    },
    /// The schema belongs to the owners of databases.
    #[error("the audit table cannot be in schema public, in which other roles can create objects")]
    InPublic,
    /// One of both names is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl AuditTableNameError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotQualified { .. } => ErrorCode::InvalidName,
            Self::InPublic => ErrorCode::ReservedName,
            Self::Name(error) => error.code(),
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> Hint {
        match self {
            Self::NotQualified { .. } | Self::InPublic => {
                "name a table in a schema of its own, such as rdsprov_audit.changes".into()
            }
            Self::Name(error) => error.hint(),
        }
    }
}

impl FromStr for AuditTableName {
    type Err = AuditTableNameError;

    fn from_str(text: &str) -> Result<Self, AuditTableNameError> {
        let not_qualified =
            || AuditTableNameError::NotQualified { text: crate::text::brief(text).into_owned() };
        let (schema, table) = text.split_once('.').ok_or_else(not_qualified)?;
        if table.contains('.') {
            return Err(not_qualified());
        }
        let name = Self { schema: SchemaName::new(schema)?, table: TableName::new(table)? };
        match name.schema.as_str() {
            "public" => Err(AuditTableNameError::InPublic),
            _ => Ok(name),
        }
    }
}

impl fmt::Display for AuditTableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl Serialize for AuditTableName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditTableName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for AuditTableName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AuditTableName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of the audit table: `SCHEMA.TABLE`.",
            "type": "string",
        })
    }
}

/// The begin of the message about a change that its run has reverted, before the change in words.
pub const REVERTED: &str = "reverted, because a role could not log in any more: ";

/// What names a run in the rows of the audit table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunNames {
    /// The build id, or an empty text.
    pub build_id: String,
    /// The run id.
    pub run_id: String,
    /// The person or pipeline that has started the run.
    pub actor: String,
}

/// The values of a run that each row of an audit table contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditedRun<'a> {
    /// The name of the environment.
    pub environment: &'a str,
    /// The build id, or an empty text.
    pub build_id: &'a str,
    /// The run id.
    pub run_id: &'a str,
    /// The digest of the plan.
    pub plan: &'a str,
    /// The person or pipeline that has started the run.
    pub actor: &'a str,
}
