//! Parameters that `ALTER ROLE … IN DATABASE … SET` sets: their names, and when
//! two values are equal.
//!
//! This module does not know the server, so it does not know whether a parameter exists.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a configuration parameter, stored in lower case because PostgreSQL ignores the case.
///
/// ```
/// use rdsprov_core::setting::Parameter;
/// assert_eq!(Parameter::new("Work_Mem").unwrap().quoted(), "\"work_mem\"");
/// assert_eq!(Parameter::new("app.tenant").unwrap().quoted(), "\"app\".\"tenant\"");
/// assert!(Parameter::new("work mem").is_err());
/// ```
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Parameter(String);

/// The text is not the name of a configuration parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a parameter")]
pub struct NotAParameter {
    /// The text that was rejected.
    pub name: String,
}

/// The parameters whose value is a list, of which `ALTER ROLE` quotes each element separately
/// (`GUC_LIST_QUOTE` in the PostgreSQL sources).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

impl Parameter {
    /// Validates the name of a parameter.
    ///
    /// # Errors
    /// Returns [`NotAParameter`] if PostgreSQL would reject the name.
    pub fn new(name: &str) -> Result<Self, NotAParameter> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        };
        if name.split('.').all(is_word) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(NotAParameter { name: name.to_owned() })
        }
    }

    /// Returns a parameter that the catalogs contain.
    pub(crate) fn from_catalog(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }

    /// Returns the name as SQL text, with each part between dots quoted.
    #[must_use]
    pub fn quoted(&self) -> String {
        self.0.split('.').map(crate::name::quote).collect::<Vec<_>>().join(".")
    }

    fn is_list(&self) -> bool {
        LISTS.contains(&self.0.as_str())
    }

    /// Returns a value of this parameter as SQL text: one literal, or one for each list element.
    ///
    /// ```
    /// use rdsprov_core::setting::Parameter;
    /// let search_path = Parameter::new("search_path").unwrap();
    /// assert_eq!(search_path.value("\"$user\", App,  public"), "'$user', 'app', 'public'");
    /// assert_eq!(Parameter::new("work_mem").unwrap().value("4MB"), "'4MB'");
    /// ```
    #[must_use]
    pub fn value(&self, text: &str) -> String {
        let literals = if self.is_list() { names(text) } else { vec![text.to_owned()] };
        literals.iter().map(|text| crate::name::literal(text)).collect::<Vec<_>>().join(", ")
    }

    /// Returns whether PostgreSQL treats two values of this parameter as equal.
    ///
    /// Lists are equal if their elements are, so quotes and spaces do not matter. All other values
    /// are compared as text.
    #[must_use]
    pub fn same(&self, one: &str, other: &str) -> bool {
        one == other || (self.is_list() && names(one) == names(other))
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits a list as PostgreSQL does: unquoted elements become lower case, `""` in a quoted
/// element is one quote.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut characters = quoted.char_indices().peekable();
            rest = "";
            while let Some((at, c)) = characters.next() {
                if c != '"' {
                    name.push(c);
                } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                    name.push('"');
                } else {
                    rest = &quoted[at + 1..];
                    break;
                }
            }
            names.push(name);
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            names.push(rest[..end].trim().to_lowercase());
            rest = &rest[end..];
        }
        match rest.trim_start().strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return names,
        }
    }
}
