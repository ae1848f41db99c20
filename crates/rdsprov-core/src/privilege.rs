//! The privileges of each access level: the only table of them.
//!
//! The planner, the tests and the documentation all use this table. It does not know the server.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A privilege, under the name that the PostgreSQL function `aclexplode` returns.
///
/// `MAINTAIN` exists since PostgreSQL 17.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the PostgreSQL manual explains each privilege")]
pub enum Privilege {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    References,
    Trigger,
    Maintain,
    Usage,
    Create,
    Connect,
    Temporary,
    Execute,
}

/// A set of privileges in the order of [`Privilege`], so that equal sets give equal text.
pub type Privileges = BTreeSet<Privilege>;

/// A kind of object inside a database that has privileges.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// Each kind that `GRANT … ON TABLE` accepts: tables, partitioned tables, partitions, views,
    /// materialized views and foreign tables.
    Table,
    /// A sequence, including the sequences of `serial` and identity columns.
    Sequence,
    /// A schema of the database.
    Schema,
    /// A function, an aggregate or a window function.
    Function,
    /// A procedure, which `CALL` executes.
    Procedure,
    /// A function, an aggregate or a procedure, where PostgreSQL does not distinguish them, such
    /// as in default privileges.
    Routine,
    /// A type or a domain.
    Type,
    /// A procedural language, such as `plpgsql`.
    Language,
    /// A foreign-data wrapper, such as `postgres_fdw`.
    ForeignDataWrapper,
    /// A foreign server, which `CREATE SERVER` creates.
    ForeignServer,
    /// A large object, which has a number instead of a name.
    LargeObject,
}

impl ObjectKind {
    /// The kinds whose objects are rows of the catalog `pg_class`.
    pub const RELATIONS: [Self; 2] = [Self::Table, Self::Sequence];

    /// Returns whether a new object of this kind grants no privilege to PUBLIC.
    ///
    /// By default, PostgreSQL grants PUBLIC `EXECUTE` on routines and `USAGE`
    /// on types and languages.
    #[must_use]
    pub fn is_closed_to_public(self) -> bool {
        match self {
            Self::Table
            | Self::Sequence
            | Self::Schema
            | Self::ForeignDataWrapper
            | Self::ForeignServer
            | Self::LargeObject => true,
            Self::Function | Self::Procedure | Self::Routine | Self::Type | Self::Language => false,
        }
    }

    /// Returns the keyword of this kind in the `GRANT` statement.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
            Self::Schema => "SCHEMA",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Routine => "ROUTINE",
            Self::Type => "TYPE",
            Self::Language => "LANGUAGE",
            Self::ForeignDataWrapper => "FOREIGN DATA WRAPPER",
            Self::ForeignServer => "FOREIGN SERVER",
            Self::LargeObject => "LARGE OBJECT",
        }
    }
}

/// How much access an application gets in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum AccessLevel {
    /// The role owns the database, its declared schemas, and the objects that it creates.
    Owner,
    /// The role may read and change rows, but not create or alter tables.
    Editor,
    /// The role may read rows only.
    Reader,
    /// The role has no access. It was declared with another level before.
    None,
}

/// The privileges that one access level is granted on each kind of object.
///
/// The owner is granted none, because ownership includes all privileges.
struct Level {
    database: &'static [Privilege],
    schema: &'static [Privilege],
    table: &'static [Privilege],
    sequence: &'static [Privilege],
}

const OWNER: Level = Level { database: &[], schema: &[], table: &[], sequence: &[] };
const EDITOR: Level = Level {
    database: &[Privilege::Connect, Privilege::Temporary],
    schema: &[Privilege::Usage],
    table: &[Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete],
    sequence: &[Privilege::Usage, Privilege::Select],
};
const READER: Level = Level {
    database: &[Privilege::Connect],
    schema: &[Privilege::Usage],
    table: &[Privilege::Select],
    sequence: &[Privilege::Select],
};

const NONE: Level = Level { database: &[], schema: &[], table: &[], sequence: &[] };

/// The privileges that ownership of a database includes, unless they were revoked from the owner.
pub const OWNER_ON_DATABASE: [Privilege; 3] =
    [Privilege::Create, Privilege::Connect, Privilege::Temporary];
/// The privileges that ownership of a schema includes, unless they were revoked from the owner.
pub const OWNER_ON_SCHEMA: [Privilege; 2] = [Privilege::Usage, Privilege::Create];

const fn level(access: AccessLevel) -> &'static Level {
    match access {
        AccessLevel::Owner => &OWNER,
        AccessLevel::Editor => &EDITOR,
        AccessLevel::Reader => &READER,
        AccessLevel::None => &NONE,
    }
}

fn set(privileges: &[Privilege]) -> Privileges {
    privileges.iter().copied().collect()
}

/// Returns the privileges on the database that an access level is granted.
#[must_use]
pub fn on_database(access: AccessLevel) -> Privileges {
    set(level(access).database)
}

/// Returns the privileges that the owner is granted on a relation in its schemas that another role
/// owns. They are those of an editor.
#[must_use]
pub fn on_object_of_another(kind: ObjectKind) -> Privileges {
    on_object(AccessLevel::Editor, kind)
}

/// Returns the privileges that an access level is granted on each covered schema and on
/// the objects in it.
///
/// Default privileges grant the same on objects that the owner creates later.
#[must_use]
pub fn on_object(access: AccessLevel, kind: ObjectKind) -> Privileges {
    set(match kind {
        ObjectKind::Schema => level(access).schema,
        ObjectKind::Table => level(access).table,
        ObjectKind::Sequence => level(access).sequence,
        _ => &[],
    })
}
