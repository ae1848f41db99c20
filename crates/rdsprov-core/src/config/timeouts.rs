//! How long a statement and a connection may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::LockTimeout;

/// Defines a time from one second to a maximum, with its default in seconds.
macro_rules! timeout {
    ($(#[$documentation:meta])* $name:ident, $default:expr, $max:expr) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(LockTimeout);

        impl $name {
            /// Returns the time.
            #[must_use]
            pub fn duration(self) -> Duration {
                self.0.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(LockTimeout(Duration::from_secs($default)))
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let time: LockTimeout = text.parse()?;
                if (1..=$max).contains(&time.0.as_secs()) {
                    Ok(Self(time))
                } else {
                    Err(format!("`{text}` is not a time from 1 to {} seconds", $max))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

timeout! {
    /// How long a statement may take, after which the server cancels it: seconds, or a number with
    /// `s`, `m` or `h`. By default an hour, which no statement of a run needs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rdsprov_core::config::StatementTimeout;
    ///
    /// assert_eq!("2h".parse::<StatementTimeout>().unwrap().duration(), Duration::from_secs(7200));
    /// assert_eq!(StatementTimeout::default().to_string(), "1 h");
    /// assert!("0".parse::<StatementTimeout>().is_err());
    /// ```
    StatementTimeout, 3600, i32::MAX as u64 / 1000 // The parameter counts milliseconds in 32 bits.
}

timeout! {
    /// How long a connection may take, with all addresses of the host, TLS and the login: seconds, or a
    /// number with `s`, `m` or `h`, up to an hour. By default a minute: an Aurora cluster that is
    /// paused needs up to 40 seconds.
    ///
    /// ```
    /// use rdsprov_core::config::ConnectTimeout;
    ///
    /// assert_eq!(ConnectTimeout::default().to_string(), "1 min");
    /// assert!("2h".parse::<ConnectTimeout>().is_err());
    /// ```
    ConnectTimeout, 60, 3600_u64
}

timeout! {
    /// How long the login to one database and the catalog queries in it may take: seconds, or a number
    /// with `s`, `m` or `h`, up to an hour. By default two minutes: one query of a database with 100,000
    /// tables takes some seconds.
    ///
    /// ```
    /// use rdsprov_core::config::ObservationTimeout;
    ///
    /// assert_eq!(ObservationTimeout::default().to_string(), "2 min");
    /// assert!("2h".parse::<ObservationTimeout>().is_err());
    /// ```
    ObservationTimeout, 120, 3600_u64
}

impl ConnectTimeout {
    /// Returns the time for the logins of other roles and to other databases, at most 15 s: the server has
    /// answered the administrator before.
    pub(crate) fn after_an_answer(self) -> Self {
        self.min(Self::from_duration(Duration::from_secs(15)))
    }

    pub(crate) fn from_duration(time: Duration) -> Self {
        Self(LockTimeout(time))
    }
}

impl ObservationTimeout {
    /// Returns the time for one statement, after which the server cancels it.
    pub(crate) fn of_statement(self) -> StatementTimeout {
        StatementTimeout(self.0)
    }
}

impl StatementTimeout {
    /// Returns the time after which a statement without a response ends the connection. It is longer,
    /// so that a server that works has cancelled the statement before.
    #[must_use]
    pub fn without_response(self) -> Duration {
        self.duration() + self.duration().min(Duration::from_secs(10))
    }
}
