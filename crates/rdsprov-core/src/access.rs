//! What each access level means: the one table that the plan, the tests and the documentation read.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::definitions::AccessLevel;

/// A privilege, by the name that PostgreSQL's `aclexplode` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// The kinds of relation that are granted on: tables (with views, materialized views, foreign and
/// partitioned tables) and sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// All that `GRANT … ON TABLE` covers.
    Table,
    /// A sequence.
    Sequence,
}

impl RelationKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Table, Self::Sequence];

    /// `TABLE` or `SEQUENCE`, as `GRANT` says it.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
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

/// Privileges on each covered schema.
#[must_use]
pub fn on_schema(access: AccessLevel) -> Privileges {
    set(level(access).schema)
}

/// Privileges on each relation of a covered schema, and on those that the owner makes later.
#[must_use]
pub fn on_relation(access: AccessLevel, kind: RelationKind) -> Privileges {
    set(match kind {
        RelationKind::Table => level(access).table,
        RelationKind::Sequence => level(access).sequence,
    })
}
