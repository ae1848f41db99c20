//! Parameters that `ALTER ROLE … IN DATABASE … SET` sets: their names, and when
//! two values are equal.
//!
//! This module does not know the server, so it does not know whether a parameter exists.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::brief;

/// The name of a configuration parameter, stored in lower case because PostgreSQL ignores the case.
///
/// ```
/// use rdsprov_core::setting::Parameter;
/// assert_eq!(Parameter::new("Work_Mem").unwrap().quoted(), "\"work_mem\"");
/// assert_eq!(Parameter::new("app.tenant").unwrap().quoted(), "\"app\".\"tenant\"");
/// assert!(Parameter::new("work mem").is_err());
/// assert!(Parameter::new("Role").is_err());
/// ```
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Parameter(String);

/// Definitions cannot set the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// The text is not the name of a configuration parameter.
    #[error("{name:?} is not the name of a parameter")]
    NotAParameter {
        /// The text that was rejected.
        name: String,
    },
    /// The parameter is in [`REFUSED`].
    #[error("`{name}` cannot be a setting of a role: {effect}")]
    Refused {
        /// The name of the parameter, in lower case.
        name: String,
        /// What the parameter does.
        effect: &'static str,
    },
}

impl ParameterError {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAParameter { .. } => {
                "use letters, digits and `_`, with a dot after the name of an extension"
            }
            Self::Refused { .. } => {
                "remove it; the reference lists the parameters that are refused"
            }
        }
    }
}

/// The number of bytes that the settings of a role in a database may have. Longer ones are not read
/// from the server: each role can store any length for itself.
pub const MAX_SETTINGS: usize = 8192;

/// The number of bytes that PostgreSQL stores for a setting in addition to the name and the value.
const OVERHEAD: usize = 9;

/// Checks that PostgreSQL stores settings in at most [`MAX_SETTINGS`] bytes.
///
/// # Errors
/// Returns the number of bytes if there are more.
pub(crate) fn check_length(settings: &BTreeMap<Parameter, String>) -> Result<(), usize> {
    let each = settings.iter().map(|(name, value)| name.0.len() + length(value) + OVERHEAD);
    // An array has 24 bytes more.
    match 24 + each.sum::<usize>() {
        bytes if bytes > MAX_SETTINGS => Err(bytes),
        _ => Ok(()),
    }
}

/// Returns the bytes of a value; of its JSON, half of them count, because a control character has 6.
fn length(value: &str) -> usize {
    let in_json = serde_json::Value::from(value).to_string().len() - "\"\"".len();
    value.len().max(in_json.div_ceil(2))
}

const CHANGES_USER: &str = "it changes as which role the sessions run";
const LOADS_LIBRARY: &str =
    "it loads a library into each session, and without the library the role cannot log in";
const FINDS_LIBRARY: &str = "it changes which library a function loads";
const SKIPS_CHECKS: &str =
    "it lets the sessions pass triggers, privileges or the protection of system catalogs";
const HIDES_SESSIONS: &str = "it changes what is logged or recorded about the sessions";
const USES_DAMAGED_DATA: &str = "it lets the sessions destroy or use damaged data";
const OF_SUPERUSERS: &str = "PostgreSQL lets only superusers set it";

/// The parameters that definitions cannot set for a role, each with its effect: they change who a
/// session is, load code into it, lock the role out, let it pass what protects the data of others, or
/// hide what it does. All parameters of PostgreSQL that only superusers may set are among them. A name
/// that ends in `*` stands for all parameters that begin so. `docs/reference.md` contains the same
/// list.
pub const REFUSED: [(&str, &str); 33] = [
    ("role", CHANGES_USER),
    ("session_authorization", CHANGES_USER),
    ("local_preload_libraries", LOADS_LIBRARY),
    ("session_preload_libraries", LOADS_LIBRARY),
    ("dynamic_library_path", FINDS_LIBRARY),
    ("extension_control_path", FINDS_LIBRARY),
    // Debian adds it to PostgreSQL.
    ("extension_destdir", FINDS_LIBRARY),
    ("session_replication_role", SKIPS_CHECKS),
    ("event_triggers", SKIPS_CHECKS),
    ("lo_compat_privileges", SKIPS_CHECKS),
    ("allow_system_table_mods", SKIPS_CHECKS),
    ("zero_damaged_pages", USES_DAMAGED_DATA),
    ("ignore_checksum_failure", USES_DAMAGED_DATA),
    ("log_*", HIDES_SESSIONS),
    ("track_*", HIDES_SESSIONS),
    ("compute_query_id", HIDES_SESSIONS),
    ("update_process_title", HIDES_SESSIONS),
    ("pgaudit.*", HIDES_SESSIONS),
    ("pg_stat_statements.*", HIDES_SESSIONS),
    ("auto_explain.*", HIDES_SESSIONS),
    ("allow_in_place_tablespaces", OF_SUPERUSERS),
    ("backtrace_functions", OF_SUPERUSERS),
    ("commit_delay", OF_SUPERUSERS),
    ("deadlock_timeout", OF_SUPERUSERS),
    ("debug_discard_caches", OF_SUPERUSERS),
    ("jit_dump_bitcode", OF_SUPERUSERS),
    ("lc_messages", OF_SUPERUSERS),
    ("max_stack_depth", OF_SUPERUSERS),
    ("temp_file_limit", OF_SUPERUSERS),
    ("wal_compression", OF_SUPERUSERS),
    ("wal_consistency_checking", OF_SUPERUSERS),
    ("wal_init_zero", OF_SUPERUSERS),
    ("wal_recycle", OF_SUPERUSERS),
];

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
    /// Validates the name of a parameter that definitions set for a role.
    ///
    /// # Errors
    /// Returns [`ParameterError::NotAParameter`] if PostgreSQL would reject the name, and
    /// [`ParameterError::Refused`] for the parameters in [`REFUSED`].
    pub fn new(name: &str) -> Result<Self, ParameterError> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        };
        if !name.split('.').all(is_word) {
            return Err(ParameterError::NotAParameter { name: brief(name).into_owned() });
        }
        let parameter = Self(name.to_ascii_lowercase());
        match parameter.refused_effect() {
            Some(effect) => {
                Err(ParameterError::Refused { name: brief(&parameter.0).into_owned(), effect })
            }
            None => Ok(parameter),
        }
    }

    /// Returns what the parameter does, if it is in [`REFUSED`].
    fn refused_effect(&self) -> Option<&'static str> {
        let is_meant = |refused: &str| match refused.strip_suffix('*') {
            Some(beginning) => self.0.starts_with(beginning),
            None => refused == self.0,
        };
        REFUSED.iter().find(|(refused, _)| is_meant(refused)).map(|(_, effect)| *effect)
    }

    /// Returns whether definitions cannot set the parameter.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused_effect().is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_lists_the_refused_parameters() {
        let reference = include_str!("../../../docs/reference.md");
        for (name, _) in REFUSED {
            let upper = name.to_uppercase().replace('*', "X");
            let error = Parameter::new(&upper).unwrap_err();
            assert!(matches!(error, ParameterError::Refused { .. }), "{error}");
            assert!(reference.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
