//! How the role of an application authenticates.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the role of an application authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Auth {
    /// With the password in its secret.
    Password,
    /// With an IAM token: the role has no password and is a member of `rds_iam`.
    Iam,
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::Iam => "iam",
        })
    }
}
