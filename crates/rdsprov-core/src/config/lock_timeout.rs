//! How long a run waits for the lock of another run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// How long a run waits for the lock of another run: seconds, or a number with `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
/// use rdsprov_core::config::LockTimeout;
///
/// assert_eq!("90".parse(), Ok(LockTimeout(Duration::from_secs(90))));
/// let timeout: LockTimeout = "10m".parse().unwrap();
/// assert_eq!(timeout.0, Duration::from_secs(600));
/// assert_eq!(timeout.to_string(), "10 min");
/// assert!("soon".parse::<LockTimeout>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockTimeout(pub Duration);

impl Default for LockTimeout {
    /// Returns 10 minutes.
    fn default() -> Self {
        Self(Duration::from_secs(600))
    }
}

impl FromStr for LockTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, seconds) = match text.char_indices().next_back() {
            Some((end, 's')) => (&text[..end], 1),
            Some((end, 'm')) => (&text[..end], 60),
            Some((end, 'h')) => (&text[..end], 3600),
            _ => (text, 1),
        };
        number
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(seconds))
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("`{text}` is not a time such as `90s`, `10m` or `1h`"))
    }
}

impl fmt::Display for LockTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds > 0 && seconds % 3600 == 0 => write!(f, "{} h", seconds / 3600),
            seconds if seconds > 0 && seconds % 60 == 0 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

impl<'de> Deserialize<'de> for LockTimeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
