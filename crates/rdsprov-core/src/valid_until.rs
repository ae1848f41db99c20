//! The time at which the password of a role expires (`VALID UNTIL`).
//!
//! This module does not know the current time.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, written as in RFC 3339.
///
/// ```
/// use rdsprov_core::valid_until::ValidUntil;
/// let midnight = ValidUntil::new("2027-01-31T00:00:00+01:00").unwrap();
/// assert_eq!(midnight.to_string(), "2027-01-30T23:00:00Z");
/// assert!(ValidUntil::new("2027-01-31").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct ValidUntil(#[schemars(with = "String")] Timestamp);

/// The text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}, which is not a date and time with an offset from UTC")]
pub struct NotATime {
    /// The text that was rejected.
    pub text: String,
}

impl ValidUntil {
    /// Reads a date and time with its offset from UTC.
    ///
    /// # Errors
    /// Returns [`NotATime`] if the text has another form than `2027-01-31T00:00:00Z`.
    pub fn new(text: &str) -> Result<Self, NotATime> {
        text.parse().map(Self).map_err(|_| NotATime { text: text.to_owned() })
    }
}

impl fmt::Display for ValidUntil {
    /// Writes the time in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ValidUntil {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ValidUntil {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
