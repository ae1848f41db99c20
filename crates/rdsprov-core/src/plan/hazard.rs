//! Hazards: the effects of steps that can break something for the users of a database.

use std::str::FromStr;

use crate::named_enum::named_enum;

named_enum! {
    /// An effect of a step that can break something. The names, in snake case, are given
    /// to the option `allow`.
    "snake_case" pub enum Hazard {
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
