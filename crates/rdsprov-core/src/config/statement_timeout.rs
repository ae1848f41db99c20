//! How long a statement may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::LockTimeout;

/// The longest time, in seconds: the parameter `statement_timeout` counts milliseconds in 32 bits.
const MAX: u64 = i32::MAX as u64 / 1000;

/// How long a statement may take, at least a second: seconds, or a number with `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
/// use rdsprov_core::config::StatementTimeout;
///
/// assert_eq!("2h".parse::<StatementTimeout>().unwrap().duration(), Duration::from_secs(7200));
/// assert_eq!(StatementTimeout::default().to_string(), "1 h");
/// assert!("0".parse::<StatementTimeout>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementTimeout(LockTimeout);

impl StatementTimeout {
    /// Returns the time after which the server cancels a statement.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0.0
    }

    /// Returns the time after which a statement without a response ends the connection. It is longer,
    /// so that a server that works has cancelled the statement before.
    #[must_use]
    pub fn without_response(self) -> Duration {
        self.duration() + self.duration().min(Duration::from_secs(10))
    }
}

impl Default for StatementTimeout {
    /// Returns an hour, which no statement of a run needs.
    fn default() -> Self {
        Self(LockTimeout(Duration::from_secs(3600)))
    }
}

impl FromStr for StatementTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time: LockTimeout = text.parse()?;
        if (1..=MAX).contains(&time.0.as_secs()) {
            Ok(Self(time))
        } else {
            Err(format!("`{text}` is not a time from 1 to {MAX} seconds"))
        }
    }
}

impl fmt::Display for StatementTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for StatementTimeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
