//! Settings of a role in a database: the names of parameters, and when two values are the same.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a configuration parameter, in lower case: PostgreSQL takes no notice of it.
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

/// The text is not the name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not the name of a parameter; it has letters, digits and `_`, and a dot after an extension's name"
)]
pub struct NotAParameter {
    /// The text.
    pub name: String,
}

/// The parameters whose values are lists of names, each quoted by itself.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

impl Parameter {
    /// Checks a name.
    ///
    /// # Errors
    /// Where PostgreSQL would not take it.
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

    /// The name as SQL text.
    #[must_use]
    pub fn quoted(&self) -> String {
        self.0.split('.').map(crate::name::quote).collect::<Vec<_>>().join(".")
    }

    fn is_list(&self) -> bool {
        LISTS.contains(&self.0.as_str())
    }

    /// A value as SQL text: a literal, or a list of them.
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

    /// Whether two values are one.
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

/// The names of a list, as PostgreSQL reads it: unquoted ones in lower case.
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
