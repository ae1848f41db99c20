//! How many connections a run has at the same time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The number of connections that a run has at the same time, at most: from 4. By default 11: eight for the work
/// in databases and for logins, and those that [`Self::work`] leaves.
///
/// ```
/// use rdsprov_core::config::MaxConnections;
///
/// assert_eq!(MaxConnections::default().work(), 8);
/// assert_eq!("5".parse::<MaxConnections>().unwrap().work(), 2);
/// assert!("3".parse::<MaxConnections>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxConnections(u32);

/// The session of the administrator, the one with the lock, and one more: to name what a statement waits for,
/// to recognize a pooler, or to prove that a role can log in.
const OTHERS: u32 = 3;

/// The largest number of connections for the work in databases.
const WORK: u32 = 8;

impl MaxConnections {
    /// Returns how many databases are read or changed, or roles log in, at the same time.
    #[must_use]
    pub fn work(self) -> usize {
        self.0.saturating_sub(OTHERS).clamp(1, WORK) as usize
    }
}

impl Default for MaxConnections {
    fn default() -> Self {
        Self(OTHERS + WORK)
    }
}

impl FromStr for MaxConnections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if number > OTHERS => Ok(Self(number)),
            _ => Err(format!("`{text}` is not a number from {}", OTHERS + 1)),
        }
    }
}

impl fmt::Display for MaxConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for MaxConnections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        number.to_string().parse().map_err(serde::de::Error::custom)
    }
}
