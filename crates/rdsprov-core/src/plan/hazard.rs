//! Hazards: the effects of steps that can break something for the users of a database.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An effect of a step that can break something. The names, in snake case, are given to the option `allow`.
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
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Hazard {
    /// A role or PUBLIC loses a privilege, a membership or an attribute.
    RevokesAccess,
    /// A database, schema or other object gets another owner.
    ChangesOwner,
    /// A valid password is replaced or removed.
    ResetsPassword,
    /// A role or database that was not managed becomes managed.
    Adopts,
    /// PUBLIC may not connect to a database any more.
    ClosesToPublic,
}

impl Hazard {
    /// Returns every hazard, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        <Self as strum::IntoEnumIterator>::iter()
    }

    /// Returns the name: `revokes_access`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Hazard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|hazard| hazard.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("unknown hazard; the hazards are {}", known.join(", "))
        })
    }
}
