//! Where a privilege comes from, and what a role has by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{RoleName, SchemaName};
use crate::observed::Grantee;
use crate::privilege::Privilege;
use crate::text::word;

/// Where a privilege of a role comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The role owns the object.
    Owner,
    /// The privilege was granted to the role.
    Grant,
    /// The role inherits it from this role, which owns the object, got a grant, or is predefined.
    Role(RoleName),
    /// The privilege was granted to PUBLIC.
    Public,
}

impl Source {
    /// Returns the source in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Owner => "owner".to_owned(),
            Self::Grant => "granted".to_owned(),
            Self::Role(role) => format!("through {}", word(role.as_str())),
            Self::Public => "PUBLIC".to_owned(),
        }
    }
}

/// What a role or PUBLIC has by itself on a database or a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The schema; `None` means the database.
    pub schema: Option<SchemaName>,
    /// The role, or PUBLIC.
    pub role: Grantee,
    /// Whether the role is the owner. It then needs no privileges.
    pub owner: bool,
    /// The privileges.
    pub privileges: Vec<Privilege>,
}
