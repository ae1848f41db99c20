//! What an export covers, and the format of its text.

use crate::name::{DatabaseName, RoleName, matches_pattern};
use crate::named_enum::named_enum;

named_enum! {
    /// The format of exported definitions.
    #[derive(Default, strum::EnumString)]
    "kebab-case" pub enum ExportFormat {
        /// A variable file of Terraform.
        #[default]
        Tfvars,
        /// TOML.
        Toml,
    }
}

/// The databases and roles that an export covers. In patterns, `*` matches any number of characters.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExportScope {
    /// Patterns for the names of databases; without any, all databases are covered.
    pub databases: Vec<String>,
    /// Patterns for the owners of databases; without any, the databases of all owners are covered.
    pub owners: Vec<String>,
    /// Patterns for the names of databases and roles that are left out.
    pub exclude: Vec<String>,
}

fn any_matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches_pattern(pattern, name))
}

impl ExportScope {
    /// Returns whether the export covers a database of this owner.
    pub(super) fn covers(&self, database: &DatabaseName, owner: &RoleName) -> bool {
        let is_selected =
            |patterns: &[String], name| patterns.is_empty() || any_matches(patterns, name);
        is_selected(&self.databases, database.as_str())
            && is_selected(&self.owners, owner.as_str())
            && !any_matches(&self.exclude, database.as_str())
    }

    /// Returns whether the export leaves a role out because the caller asked for it.
    pub(super) fn excludes(&self, role: &RoleName) -> bool {
        any_matches(&self.exclude, role.as_str())
    }

    /// Returns whether the export covers only some databases.
    pub(super) fn is_restricted(&self) -> bool {
        !(self.databases.is_empty() && self.owners.is_empty())
    }
}
