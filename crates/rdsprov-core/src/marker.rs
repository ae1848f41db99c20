//! The mark of management: a line in the comment of a role or database, beside any text that people
//! wrote there.

use serde::{Deserialize, Serialize};

/// Says that a role or database is managed, by which environment and application, and what it was called
/// then: a name that is another one since was changed by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The environment whose definitions made it.
    pub environment: String,
    /// The application whose entry made it.
    pub application: String,
    /// The role's or database's name.
    pub name: String,
}

/// The connection limit that a database has from its `CREATE DATABASE` until the transaction behind it is
/// committed: the bytes of `rdsp`. The only mark that can be made in the same statement.
pub const UNFINISHED: i32 = i32::from_be_bytes(*b"rdsp");

const PREFIX: &str = "[managed by rdsprov: ";

impl Marker {
    /// The mark in a comment, if there is one.
    ///
    /// ```
    /// use rdsprov_core::marker::Marker;
    /// let marker = Marker { environment: "dev".into(), application: "keycloak".into(), name: "kc".into() };
    /// let comment = marker.append_to(Some("ask Ada first"), "build-7");
    /// assert_eq!(comment, "ask Ada first\n[managed by rdsprov: environment=dev application=keycloak build_id=build-7 name=\"kc\"]");
    /// assert_eq!(Marker::find(&comment), Some(marker));
    /// assert_eq!(Marker::find("ask Ada first"), None);
    /// ```
    #[must_use]
    pub fn find(comment: &str) -> Option<Self> {
        let line =
            comment.lines().rev().find_map(|l| l.trim().strip_prefix(PREFIX)?.strip_suffix(']'))?;
        let (line, name) = line.split_once(" name=")?;
        let name = serde_json::from_str(name).ok()?;
        let value = |key: &str| {
            line.split(' ')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        Some(Self { environment: value("environment")?, application: value("application")?, name })
    }

    /// The comment with this mark written beside what people wrote.
    #[must_use]
    pub fn append_to(&self, comment: Option<&str>, build_id: &str) -> String {
        // The build id comes from outside: nothing in it may end the mark or start another key.
        let build_id: String = build_id
            .chars()
            .map(|c| if c.is_whitespace() || c.is_control() || c == ']' { '_' } else { c })
            .collect();
        let marker = format!(
            "{PREFIX}environment={} application={} build_id={build_id} name={}]",
            self.environment,
            self.application,
            serde_json::Value::from(self.name.as_str())
        );
        match comment.map(str::trim_end).filter(|text| !text.is_empty()) {
            Some(text) => format!("{text}\n{marker}"),
            None => marker,
        }
    }
}
