//! The address to which connections go instead of the host.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The address to which connections go instead of the host of the server, such as that of a tunnel:
/// an IP address or a host name, and a port if it differs. TLS and IAM tokens use the host.
///
/// ```
/// use rdsprov_core::config::ConnectTo;
///
/// let tunnel: ConnectTo = "127.0.0.1:15432".parse().unwrap();
/// assert_eq!((tunnel.address(), tunnel.port()), ("127.0.0.1", Some(15432)));
/// let tunnel: ConnectTo = "[::1]:15432".parse().unwrap();
/// assert_eq!((tunnel.address(), tunnel.port()), ("::1", Some(15432)));
/// assert_eq!("fd00::5".parse::<ConnectTo>().unwrap().port(), None);
/// assert!("127.0.0.1:".parse::<ConnectTo>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    address: String,
    port: Option<u16>,
}

impl ConnectTo {
    /// Returns the IP address or the host name.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the port, if it differs from that of the server.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not an address such as `10.0.0.5` or `localhost:15432`");
        let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address, rest),
            // An IPv6 address contains several colons.
            None if text.matches(':').count() > 1 => (text, ""),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let is_address = !address.is_empty()
            && address.chars().all(|one| one.is_ascii_alphanumeric() || ".-_:%".contains(one));
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err(wrong()),
            Some(number) => {
                Some(number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?)
            }
        };
        if is_address { Ok(Self { address: address.to_owned(), port }) } else { Err(wrong()) }
    }
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, self.port) {
            (address, None) => f.write_str(address),
            (address, Some(port)) if address.contains(':') => write!(f, "[{address}]:{port}"),
            (address, Some(port)) => write!(f, "{address}:{port}"),
        }
    }
}

impl<'de> Deserialize<'de> for ConnectTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_addresses_or_errors() {
        for text in ["10.0.0.5", "10.0.0.5:1", "db-1.internal:5433", "::1", "[::1]:5433", "a_b"] {
            assert_eq!(text.parse::<ConnectTo>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]".parse::<ConnectTo>().unwrap().to_string(), "::1");
        for text in
            ["", ":1", "a:", "a:0", "a:65536", "a:b", "[::1", "[::1]5", "a b", "/tmp", "u@h"]
        {
            let error = text.parse::<ConnectTo>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
