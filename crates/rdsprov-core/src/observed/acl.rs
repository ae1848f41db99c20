//! The privileges on one object, and the roles that have them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::RoleName;
use crate::privilege::Privilege;

/// The grantee of a privilege; `null` in JSON is PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Option<RoleName>", into = "Option<RoleName>")]
pub enum Grantee {
    /// All roles, including those that are created later.
    Public,
    /// The role with this name.
    Role(RoleName),
}

impl Grantee {
    /// Returns the role; `None` for PUBLIC.
    #[must_use]
    pub fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Public => None,
            Self::Role(name) => Some(name),
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("PUBLIC"),
            Self::Role(name) => name.fmt(f),
        }
    }
}

impl From<Option<RoleName>> for Grantee {
    fn from(name: Option<RoleName>) -> Self {
        name.map_or(Self::Public, Self::Role)
    }
}

impl From<Grantee> for Option<RoleName> {
    fn from(grantee: Grantee) -> Self {
        match grantee {
            Grantee::Public => None,
            Grantee::Role(name) => Some(name),
        }
    }
}

/// One privilege in an ACL: a row that the PostgreSQL function `aclexplode` returns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclItem {
    /// The role that has the privilege; `null` in JSON is PUBLIC.
    pub grantee: Grantee,
    /// The role that granted the privilege. `REVOKE` must be executed as this role.
    pub grantor: RoleName,
    /// The privilege itself, such as `SELECT`.
    pub privilege: Privilege,
    /// Whether the privilege was granted `WITH GRANT OPTION`.
    pub grantable: bool,
}

/// An ACL in which the built-in default privileges are listed explicitly (`acldefault`).
pub type Acl = Vec<AclItem>;
