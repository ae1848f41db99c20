//! The clone of a role: the second role of a rotation that alternates between two users.
//!
//! Secrets Manager calls this strategy *alternating users*. Its rotation function creates the clone
//! as a member of the role, and then sets the password of one of both in turn. The secret contains
//! the name and the password of the one that was set last.
//!
//! This module does not know secrets and the server.

use serde::{Deserialize, Serialize};

use crate::name::{MAX_BYTES, RoleName};

/// What the rotation function of AWS appends to the name of a role.
const SUFFIX: &str = "_clone";

/// The clone of a declared role, as the secret of the role implies it. The clone exists on the server
/// from the first rotation on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationClone {
    /// The name of the clone.
    pub name: RoleName,
    /// The role whose name and password the secret contains now.
    pub current: CurrentUser,
}

/// The one of both roles whose name and password the secret contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurrentUser {
    /// The declared role.
    Declared,
    /// The clone.
    Clone,
}

impl RotationClone {
    /// Returns the name of the clone that the rotation function of AWS creates for a role. `None` if
    /// the function does not create one: the name would be too long, or the function takes the role
    /// itself for a clone.
    ///
    /// ```
    /// use rdsprov_core::name::RoleName;
    /// use rdsprov_core::rotation_clone::RotationClone;
    /// let name = |role: &str| RotationClone::name_for(&RoleName::new(role).unwrap());
    /// assert_eq!(name("shop_owner").unwrap().as_str(), "shop_owner_clone");
    /// assert_eq!(name("shop_owner_clone"), None);
    /// assert_eq!(name(&"x".repeat(58)), None);
    /// ```
    #[must_use]
    pub fn name_for(role: &RoleName) -> Option<RoleName> {
        let name = role.as_str();
        let is_possible = !name.ends_with(SUFFIX) && name.len() + SUFFIX.len() <= MAX_BYTES;
        is_possible.then(|| RoleName::new_unchecked(format!("{name}{SUFFIX}")))
    }

    /// Returns the other one of a role and its clone: the one that the rotation function of AWS
    /// changes next. `None` if the role can have no clone.
    ///
    /// ```
    /// use rdsprov_core::name::RoleName;
    /// use rdsprov_core::rotation_clone::RotationClone;
    /// let other = |role: &str| RotationClone::other(&RoleName::new(role).unwrap());
    /// assert_eq!(other("shop_owner").unwrap().as_str(), "shop_owner_clone");
    /// assert_eq!(other("shop_owner_clone").unwrap().as_str(), "shop_owner");
    /// ```
    #[must_use]
    pub fn other(role: &RoleName) -> Option<RoleName> {
        Self::role_for(role).or_else(|| Self::name_for(role))
    }

    /// Returns the role whose clone the rotation function of AWS takes a role for, by its name.
    #[must_use]
    pub fn role_for(clone: &RoleName) -> Option<RoleName> {
        let role = clone.as_str().strip_suffix(SUFFIX).filter(|role| !role.is_empty())?;
        Some(RoleName::new_unchecked(role))
    }
}
