//! What extensions reach beyond their database: the extensions that definitions cannot name, and the
//! routines that no declared role may execute.
//!
//! This module does not know which extensions a server has.

use crate::name::ExtensionName;

const CHANGES_FILES: &str = "its routines read and write files of the server";
const CHANGES_PAGES: &str = "its routines change pages, without the protection of PostgreSQL";
const READS_WAL: &str = "its routines read the WAL of all databases";

/// The extensions that definitions cannot name, each with the reason. An administrator can create them
/// by hand.
pub const REFUSED: [(&str, &str); 3] =
    [("adminpack", CHANGES_FILES), ("pg_surgery", CHANGES_PAGES), ("pg_walinspect", READS_WAL)];

/// The routines of extensions that PUBLIC may not execute, and that a declared role may not execute
/// either: the rest of the extension is useful without them.
const WITHHELD: [(&str, &str); 1] = [
    // Connects as any role that the server accepts from itself without a password.
    ("dblink", "dblink_connect_u"),
];

/// The extensions of PostgreSQL that it trusts. PUBLIC may execute each of their routines, so that no server
/// is asked about them.
const OPEN: [&str; 25] = [
    "bool_plperl",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "jsonb_plperl",
    "lo",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "plperl",
    "plpgsql",
    "pltcl",
    "seg",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
];

/// Definitions cannot name an extension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{extension}` is not allowed in `extensions`: {effect}")]
pub struct ExtensionError {
    /// The name of the extension.
    pub extension: &'static str,
    /// What a user of the extension could do.
    pub effect: &'static str,
}

/// Checks an extension that definitions name.
///
/// # Errors
/// Returns an [`ExtensionError`] if the extension is in [`REFUSED`].
pub fn check(extension: &ExtensionName) -> Result<(), ExtensionError> {
    match REFUSED.iter().find(|(name, _)| *name == extension.as_str()) {
        Some((extension, effect)) => Err(ExtensionError { extension, effect }),
        None => Ok(()),
    }
}

/// Returns whether no declared role may execute a routine of an extension. `identity` is the name of
/// the routine as SQL text, with its schema and the types of its arguments.
#[must_use]
pub fn is_withheld(extension: &ExtensionName, identity: &str) -> bool {
    withheld(extension).any(|routine| identity.contains(&format!(".{routine}(")))
}

/// Returns the names of the routines of an extension that no declared role may execute.
pub fn withheld(extension: &ExtensionName) -> impl Iterator<Item = &'static str> {
    WITHHELD.iter().filter(|(of, _)| *of == extension.as_str()).map(|(_, routine)| *routine)
}

/// Returns whether PUBLIC may execute all routines of an extension of PostgreSQL.
#[must_use]
pub fn is_open(extension: &ExtensionName) -> bool {
    OPEN.contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_lists_the_refused_extensions() {
        let reference = include_str!("../../../docs/reference.md");
        for (name, _) in REFUSED {
            assert!(check(&ExtensionName::new_unchecked(name)).is_err());
            assert!(reference.contains(&format!("`{name}`")), "{name}");
        }
        for (_, routine) in WITHHELD {
            assert!(reference.contains(&format!("`{routine}`")), "{routine}");
        }
    }
}
