//! The rules for reading definitions files, from `rdsprov.toml` and the options.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::defaults::Defaults;
use crate::named_enum::named_enum;
use crate::secret_id::Templates;

/// The settings for reading definitions files, from `rdsprov.toml` and the options.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Where to look for `application_databases`; `None` looks in both places, and rejects a
    /// file that uses both.
    pub mode: Option<Mode>,
    /// Keys of an application, and variables of a file, that only Terraform uses: they are ignored
    /// instead of being reported as unknown or misspelt.
    pub ignore_keys: Vec<String>,
    /// A regular expression that each name of a role or database must match from start to
    /// end; `None` means [`DEFAULT_NAMING_PATTERN`].
    pub naming_pattern: Option<String>,
    /// The roles that `memberships` can name in addition to [`GRANTABLE`].
    ///
    /// [`GRANTABLE`]: crate::predefined_role::GRANTABLE
    pub memberships: Vec<String>,
    /// In how many files the entries of one role may be.
    pub role_files: RoleFiles,
    /// Whether only one file can declare applications: Terraform merges no variables of several files.
    pub one_declaration: bool,
    /// The environment that an option names: its defaults apply, and not those of the environment
    /// that the files name.
    pub environment: Option<String>,
    /// The scope that `rdsprov.toml` sets. Files that set one must agree.
    pub scope: Option<String>,
    /// The path of the configuration file, for messages; `None` means `rdsprov.toml`.
    pub config_file: Option<String>,
    /// The templates for the ids of secrets that entries do not set.
    pub templates: Templates,
    /// The values of keys that an application does not set, in every environment.
    pub defaults: Defaults,
    /// The values of keys that an application does not set, for each environment. They
    /// take precedence over [`Rules::defaults`].
    pub environment_defaults: BTreeMap<String, Defaults>,
}

impl Rules {
    /// Returns the values of keys that an application of an environment does not set.
    pub(crate) fn defaults_for(&self, environment: Option<&str>) -> Defaults {
        environment
            .and_then(|name| self.environment_defaults.get(name))
            .cloned()
            .unwrap_or_default()
            .or(&self.defaults)
    }
}

/// In how many definitions files the entries of one role may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RoleFiles {
    /// In any number.
    #[default]
    Any,
    /// In one: another file that names the role is an error.
    One,
}

/// The naming pattern for roles and databases if `rdsprov.toml` does not set one.
pub const DEFAULT_NAMING_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_-]*$";

named_enum! {
    /// The place of `application_databases` in a definitions file.
    "snake_case" pub enum Mode {
        /// At the top level of the file.
        Standalone,
        /// Inside the variable `rds_config`.
        Coupled,
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| "the modes are standalone and coupled".to_owned())
    }
}
