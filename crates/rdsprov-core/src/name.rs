//! Names of PostgreSQL objects: validated at construction, quoted in one place.
//!
//! PostgreSQL stores a validated name exactly as it is written. The name is not empty and contains
//! no control character. It is at most 63 bytes long, because PostgreSQL truncates longer names,
//! and two names could then become the same. It is not reserved by PostgreSQL or by Amazon RDS.
//!
//! Catalogs contain names that cannot be declared, such as `pg_monitor`. A name that is
//! deserialized must therefore only be one that PostgreSQL can store: not empty, without NUL,
//! at most 63 bytes in the encoding of its database. As UTF-8, it can be longer.
//!
//! This module does not know whether a name comes from a file, a secret or a catalog.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::text::{brief, characters, is_shown_as_it_is};

/// The maximum length of a name in bytes: `NAMEDATALEN` of PostgreSQL without the terminating NUL.
pub const MAX_BYTES: usize = 63;

/// The maximum length of an environment, a scope and the key of an application in characters. They are ASCII.
///
/// A marker contains them, and a comment that is longer than 64 kB is not read. They are also parts of the ids
/// of secrets, and of each line about an application.
pub const MAX_KEY: usize = 100;

/// A text cannot be used as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("the {kind} name is empty")]
    Empty {
        /// The kind of object that the name is for.
        kind: &'static str,
    },
    /// The text contains a NUL or another control character.
    #[error("{kind} name {name:?} contains a control character")]
    ControlCharacter {
        /// The kind of object that the name is for.
        kind: &'static str,
        /// The text that was rejected.
        name: String,
    },
    /// PostgreSQL would truncate the name.
    #[error("{kind} name `{name}` is {bytes} bytes long; PostgreSQL allows {MAX_BYTES}")]
    TooLong {
        /// The kind of object that the name is for.
        kind: &'static str,
        /// The text that was rejected.
        name: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// PostgreSQL or Amazon RDS reserves the name.
    #[error("{kind} name `{name}` is reserved by {by}")]
    Reserved {
        /// The kind of object that the name is for.
        kind: &'static str,
        /// The text that was rejected.
        name: String,
        /// PostgreSQL or Amazon RDS.
        by: &'static str,
    },
    /// The name of an environment is not a safe path segment; it is part of secret names.
    #[error(
        "environment name {name:?} contains other characters than letters, digits, `_` and `-`"
    )]
    NotAnEnvironment {
        /// The text that was rejected.
        name: String,
    },
    /// The name of a scope contains characters that a marker cannot contain.
    #[error("scope name {name:?} contains other characters than letters, digits, `_` and `-`")]
    NotAScope {
        /// The text that was rejected.
        name: String,
    },
    /// An environment, a scope or the key of an application begins with `-`.
    #[error("{kind} {name:?} begins with `-`, so that a command would read it as an option")]
    BeginsWithHyphen {
        /// What the text was to become.
        kind: &'static str,
        /// The text that was rejected.
        name: String,
    },
    /// An environment, a scope or the key of an application is longer than [`MAX_KEY`].
    #[error("{kind} `{name}` has {characters} characters; {MAX_KEY} are allowed")]
    TooManyCharacters {
        /// What the text was to become.
        kind: &'static str,
        /// The begin of the text that was rejected.
        name: String,
        /// Its length in characters.
        characters: usize,
    },
    /// The key of an application is not a safe path segment; it is part of secret names.
    #[error("application key {name:?} contains other characters than letters, digits, `_` and `-`")]
    NotAPathSegment {
        /// The text that was rejected.
        name: String,
    },
}

impl NameError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Reserved { .. } => ErrorCode::ReservedName,
            Self::Empty { .. }
            | Self::ControlCharacter { .. }
            | Self::TooLong { .. }
            | Self::NotAnEnvironment { .. }
            | Self::NotAScope { .. }
            | Self::BeginsWithHyphen { .. }
            | Self::TooManyCharacters { .. }
            | Self::NotAPathSegment { .. } => ErrorCode::InvalidName,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> Hint {
        match self {
            Self::Empty { .. } => "write a name".into(),
            Self::ControlCharacter { .. } => "remove the control character".into(),
            Self::TooLong { .. } | Self::TooManyCharacters { .. } => "choose a shorter name".into(),
            Self::Reserved { .. } | Self::NotAScope { .. } | Self::BeginsWithHyphen { .. } => {
                "choose another name".into()
            }
            Self::NotAnEnvironment { .. } | Self::NotAPathSegment { .. } => {
                "choose another name: it becomes part of secret names".into()
            }
        }
    }
}

/// The database in which each run takes its lock, because an advisory lock belongs to one database.
pub(crate) const LOCK_DATABASE: &str = "postgres";

/// The database that `CREATE DATABASE` copies.
pub(crate) const TEMPLATE: &str = "template1";

/// Returns which product reserves the name of a role, or `None` if the name is available.
fn reserved_role(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "public" | "none" | "current_user" | "current_role" | "session_user" => Some("PostgreSQL"),
        _ if lower.starts_with("pg_") => Some("PostgreSQL"),
        // RDS reserves more names than its manual lists. Names that begin with `rdsprov` are
        // allowed, because a role for this program is often named after it.
        _ if lower.starts_with("rds") && !lower.starts_with("rdsprov") => Some("Amazon RDS"),
        _ => None,
    }
}

fn reserved_database(name: &str) -> Option<&'static str> {
    match name {
        "postgres" | "template0" | "template1" => Some("PostgreSQL"),
        "rdsadmin" => Some("Amazon RDS"),
        _ => None,
    }
}

fn reserved_schema(name: &str) -> Option<&'static str> {
    (name.starts_with("pg_") || name == "information_schema").then_some("PostgreSQL")
}

fn check(
    kind: &'static str,
    name: &str,
    reserved: fn(&str) -> Option<&'static str>,
) -> Result<(), NameError> {
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter { kind, name: brief(name).into_owned() });
    }
    check_stored(kind, name)?;
    if name.len() > MAX_BYTES {
        return Err(NameError::TooLong { kind, name: brief(name).into_owned(), bytes: name.len() });
    }
    match reserved(name) {
        Some(by) => Err(NameError::Reserved { kind, name: brief(name).into_owned(), by }),
        None => Ok(()),
    }
}

/// Checks that PostgreSQL can store a name, in a database of any encoding: in each of them, a
/// character has at least one byte.
fn check_stored(kind: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.contains('\0') {
        return Err(NameError::ControlCharacter { kind, name: brief(name).into_owned() });
    }
    if name.chars().count() > MAX_BYTES {
        return Err(NameError::TooLong { kind, name: brief(name).into_owned(), bytes: name.len() });
    }
    Ok(())
}

/// Checks a text that becomes a part of the ids of secrets, of markers and of commands.
fn check_key(
    kind: &'static str,
    text: &str,
    other_characters: fn(String) -> NameError,
) -> Result<(), NameError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = brief(text).into_owned();
    if text.is_empty() || !text.chars().all(is_allowed) {
        return Err(other_characters(name));
    }
    if text.len() > MAX_KEY {
        return Err(NameError::TooManyCharacters { kind, name, characters: text.len() });
    }
    if text.starts_with('-') {
        return Err(NameError::BeginsWithHyphen { kind, name });
    }
    Ok(())
}

/// Validates the name of an environment, which becomes a part of the ids of secrets.
///
/// # Errors
/// Returns a [`NameError`] unless the name consists of up to [`MAX_KEY`] ASCII letters, digits, `_` and `-`,
/// and does not begin with `-`.
pub fn check_environment(name: &str) -> Result<(), NameError> {
    check_key("environment name", name, |name| NameError::NotAnEnvironment { name })
}

/// Checks the name of a scope.
///
/// # Errors
/// Returns a [`NameError`] as [`check_environment`] does.
pub fn check_scope(name: &str) -> Result<(), NameError> {
    check_key("scope name", name, |name| NameError::NotAScope { name })
}

/// Returns the known name that is most similar to a name, if one is similar.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(similarity, _)| *similarity > 0.8)
        .map(|(_, known)| known)
}

/// Returns the known name of which a name is a misspelling: one character of a short name, or two, are added,
/// missing, exchanged or other ones. `shop_reports` is no misspelling of `shop`.
pub(crate) fn misspelt<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = if name.chars().count() < 6 { 1 } else { 2 };
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        // A name that is known is not misspelt.
        .filter(|(distance, _)| *distance > 0)
        .map(|(_, known)| known)
}

/// Returns a name as a quoted SQL identifier, with each `"` doubled.
///
/// Hidden characters are written as numbers, so that a statement looks like what it does.
///
/// ```
/// assert_eq!(rdsprov_core::name::quote("a\"b"), "\"a\"\"b\"");
/// assert_eq!(rdsprov_core::name::quote("a\\\u{202e}"), r#"U&"a\\\202E""#);
/// ```
#[must_use]
pub fn quote(name: &str) -> String {
    let doubled = name.replace('"', "\"\"");
    if is_shown_as_it_is(name) {
        return format!("\"{doubled}\"");
    }
    let number = |c: char| match u32::from(c) {
        short @ ..0x1_0000 => format!("\\{short:04X}"),
        long => format!("\\+{long:06X}"),
    };
    format!("U&\"{}\"", with_numbers(&doubled.replace('\\', "\\\\"), number))
}

/// Returns a name in a sentence: as SQL names it, with quotes only where SQL needs them.
///
/// ```
/// assert_eq!(rdsprov_core::name::in_words("data_mart"), "data_mart");
/// assert_eq!(rdsprov_core::name::in_words("Data Mart"), "\"Data Mart\"");
/// ```
#[must_use]
pub fn in_words(name: &str) -> Cow<'_, str> {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { Cow::Borrowed(name) } else { Cow::Owned(quote(name)) }
}

/// Returns a text as an SQL string literal, which is safe for
/// either value of `standard_conforming_strings`.
///
/// Hidden characters are written as numbers, as in [`quote`].
///
/// ```
/// assert_eq!(rdsprov_core::name::literal("it's"), "'it''s'");
/// assert_eq!(rdsprov_core::name::literal("a\\b"), "E'a\\\\b'");
/// assert_eq!(rdsprov_core::name::literal("a\n\u{202e}"), r"E'a\n\u202E'");
/// ```
#[must_use]
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if !text.contains('\\') && is_shown_as_it_is(text) {
        return format!("'{doubled}'");
    }
    let number = |c: char| match u32::from(c) {
        0x0A => "\\n".to_owned(),
        short @ ..0x1_0000 => format!("\\u{short:04X}"),
        long => format!("\\U{long:08X}"),
    };
    format!("E'{}'", with_numbers(&doubled.replace('\\', "\\\\"), number))
}

/// Replaces each character that no output contains.
fn with_numbers(text: &str, number: impl Fn(char) -> String) -> String {
    let mut written = String::with_capacity(text.len());
    for (c, is_escaped) in characters(text) {
        if is_escaped { written.push_str(&number(c)) } else { written.push(c) }
    }
    written
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                check_stored($kind, &text).map_err(D::Error::custom)?;
                Ok(Self(text))
            }
        }

        impl $name {
            /// Validates a declared name.
            ///
            /// # Errors
            /// Returns a [`NameError`] if PostgreSQL would reject or change the name.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($kind, &text, $reserved)?;
                Ok(Self(text))
            }

            /// Creates a name without validation, for names that a server has
            /// returned and for constants.
            #[must_use]
            pub fn new_unchecked(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the name without quotes.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the name as a quoted SQL identifier.
            #[must_use]
            pub fn quoted(&self) -> String {
                quote(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a role, which PostgreSQL also calls user or group.
    ///
    /// ```
    /// use rdsprov_core::name::RoleName;
    /// assert_eq!(RoleName::new("keycloak_user").unwrap().quoted(), "\"keycloak_user\"");
    /// assert!(RoleName::new("pg_monitor").is_err());
    /// ```
    RoleName, "role", reserved_role
);
name!(
    /// The name of a table, without its schema.
    TableName, "table", |_| None
);
name!(
    /// The name of a database on a PostgreSQL server.
    DatabaseName, "database", reserved_database
);
name!(
    /// The name of a schema in a database.
    SchemaName, "schema", reserved_schema
);

name!(
    /// The name of an extension, as `CREATE EXTENSION` takes it.
    ExtensionName, "extension", |_| None
);
name!(
    /// A pattern for names of databases, in which `*` matches any number of characters.
    DatabasePattern, "database", reserved_database
);

impl SchemaName {
    /// Returns the name in a sentence; see [`in_words`].
    #[must_use]
    pub fn in_words(&self) -> Cow<'_, str> {
        in_words(&self.0)
    }
}

impl DatabasePattern {
    /// Returns whether the pattern matches the whole name of a database.
    ///
    /// ```
    /// use rdsprov_core::name::{DatabaseName, DatabasePattern};
    /// let pattern = DatabasePattern::new("backstage_plugin_*").unwrap();
    /// assert!(pattern.matches(&DatabaseName::new_unchecked("backstage_plugin_catalog")));
    /// assert!(!pattern.matches(&DatabaseName::new_unchecked("backstage")));
    /// assert!(!pattern.matches(&DatabaseName::new_unchecked("my_backstage_plugin_x")));
    /// ```
    #[must_use]
    pub fn matches(&self, database: &DatabaseName) -> bool {
        matches_pattern(&self.0, &database.0)
    }
}

/// Returns whether a pattern, in which `*` stands for any characters, matches a whole text.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else {
        return false;
    };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

/// The key of an application in the definitions, which becomes a part of the id of its secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ApplicationName(String);

impl<'de> Deserialize<'de> for ApplicationName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == FOR_DELEGATES {
            return Ok(Self::for_delegates());
        }
        Self::new(text).map_err(D::Error::custom)
    }
}

/// The name that [`ApplicationName::for_delegates`] returns.
const FOR_DELEGATES: &str = "rdsprov:administrator";

impl ApplicationName {
    /// Validates a declared key.
    ///
    /// # Errors
    /// Returns a [`NameError`] if the key is empty, has more than [`MAX_KEY`] characters, contains a character
    /// that is not an ASCII letter, a digit, `_` or `-`, or begins with `-`.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let name = text.into();
        if name.is_empty() {
            return Err(NameError::Empty { kind: "application" });
        }
        check_key("application key", &name, |name| NameError::NotAPathSegment { name })?;
        Ok(Self(name))
    }

    /// Returns the value for steps and refusals that concern the administrator and not an
    /// application. It contains a `:`, so no application can have this key.
    #[must_use]
    pub fn for_delegates() -> Self {
        Self(FOR_DELEGATES.to_owned())
    }

    /// Returns the key as it is in the definitions.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_told_from_other_names() {
        let known = ["hr", "shop", "shop_reports"];
        for (name, meant) in [
            ("shp", Some("shop")),
            ("shpo", Some("shop")),
            ("shop_report", Some("shop_reports")),
            ("shop_reoprst", Some("shop_reports")),
            ("shop_etl", None),
            ("hr_reports", None),
            ("shop", None),
            ("wiki", None),
        ] {
            assert_eq!(misspelt(name, known), meant, "{name}");
        }
        assert_eq!(misspelt("shop_reports", ["shop", "hr"]), None);
    }

    #[test]
    fn keys_are_short_and_no_options() {
        let long = "k".repeat(MAX_KEY + 1);
        for (key, says) in [
            ("--drop-role", "begins with `-`"),
            ("-", "begins with `-`"),
            (&*long, "has 101 characters; 100 are allowed"),
            (&"k".repeat(2_000_000), "has 2000000 characters"),
            (&"-".repeat(2_000_000), "has 2000000 characters"),
            (&"é".repeat(2_000_000), "contains other characters"),
        ] {
            let of_application = ApplicationName::new(key).map(|_| ());
            for result in [of_application, check_environment(key), check_scope(key)] {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(says) && message.len() < 600, "{message}");
            }
        }
        for key in ["a-", "_", "0", &long[1..]] {
            assert!(ApplicationName::new(key).is_ok());
            assert_eq!((check_environment(key), check_scope(key)), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn sql_contains_no_command_of_a_ci_system() {
        assert_eq!(quote("a##[b"), r#"U&"a#\0023[b""#);
        assert_eq!(literal("##vso[b"), r"E'#\u0023vso[b'");
        assert_eq!((quote("a# [b"), literal("## [b")), ("\"a# [b\"".into(), "'## [b'".into()));
    }

    #[test]
    fn deserialization_checks_names() {
        let role = |text: &str| serde_json::from_value::<RoleName>(text.into());
        // In a database with the encoding LATIN1, `ä` has one byte.
        for name in ["shop_user", "pg_monitor", "rds_iam", "a\nb", &"ä".repeat(63)] {
            assert_eq!(role(name).unwrap().as_str(), name);
        }
        for name in ["", "a\0b", &"a".repeat(64), &"ä".repeat(64)] {
            assert!(role(name).is_err(), "{name:?}");
        }
        assert!(RoleName::new("ä".repeat(31)).is_ok());
        assert!(RoleName::new("ä".repeat(32)).is_err());
        let application = |text: &str| serde_json::from_value::<ApplicationName>(text.into());
        assert_eq!(application("shop").unwrap().as_str(), "shop");
        let delegates = ApplicationName::for_delegates();
        assert_eq!(application(delegates.as_str()).unwrap(), delegates);
        for key in ["", "../shop", "rdsprov:other"] {
            assert!(application(key).is_err(), "{key:?}");
        }
    }
}
