//! What each access level means: the one table that the plan, the tests and the documentation read.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::definitions::AccessLevel;

/// A privilege, by the name that PostgreSQL's `aclexplode` gives it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "each is PostgreSQL's own word")]
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

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Maintain => "MAINTAIN",
            Self::Usage => "USAGE",
            Self::Create => "CREATE",
            Self::Connect => "CONNECT",
            Self::Temporary => "TEMPORARY",
            Self::Execute => "EXECUTE",
        })
    }
}

/// A set of privileges, in a fixed order.
pub type Privileges = BTreeSet<Privilege>;

/// The kinds of object that privileges are granted on, databases left out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// All that `GRANT … ON TABLE` covers: tables, partitioned tables and partitions, views, materialized
    /// views, foreign tables.
    Table,
    /// A sequence.
    Sequence,
    /// A schema.
    Schema,
    /// A function or aggregate.
    Function,
    /// A procedure.
    Procedure,
    /// A function, procedure or aggregate, where they are told of together.
    Routine,
    /// A type or domain.
    Type,
    /// A procedural language.
    Language,
    /// A foreign-data wrapper.
    ForeignDataWrapper,
    /// A foreign server.
    ForeignServer,
    /// A large object.
    LargeObject,
}

impl ObjectKind {
    /// The kinds that `pg_class` holds.
    pub const RELATIONS: [Self; 2] = [Self::Table, Self::Sequence];

    /// Whether PUBLIC gets nothing of one unless somebody says so.
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

    /// As `GRANT` says it.
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

/// What one access level is granted; the owner has everything by ownership.
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

/// What the owner has of its database and of its schemas by ownership, unless somebody took it away.
pub const OWNER_ON_DATABASE: [Privilege; 3] =
    [Privilege::Create, Privilege::Connect, Privilege::Temporary];
/// See [`OWNER_ON_DATABASE`].
pub const OWNER_ON_SCHEMA: [Privilege; 2] = [Privilege::Usage, Privilege::Create];

const fn level(access: AccessLevel) -> &'static Level {
    match access {
        AccessLevel::Owner => &OWNER,
        AccessLevel::Editor => &EDITOR,
        AccessLevel::Reader => &READER,
    }
}

fn set(privileges: &[Privilege]) -> Privileges {
    privileges.iter().copied().collect()
}

/// Privileges on the database.
#[must_use]
pub fn on_database(access: AccessLevel) -> Privileges {
    set(level(access).database)
}

/// What the owner is granted on a relation in its schemas that belongs to somebody else: what an editor is.
#[must_use]
pub fn on_object_of_another(kind: ObjectKind) -> Privileges {
    on_object(AccessLevel::Editor, kind)
}

/// Privileges on each covered schema and on the objects in it, those that the owner makes later
/// included.
#[must_use]
pub fn on_object(access: AccessLevel, kind: ObjectKind) -> Privileges {
    set(match kind {
        ObjectKind::Schema => level(access).schema,
        ObjectKind::Table => level(access).table,
        ObjectKind::Sequence => level(access).sequence,
        _ => &[],
    })
}
