//! The rules that concern several entries of a database: it has at most one owner entry, and at
//! most one entry for each role.

use std::collections::{BTreeMap, HashMap};

use super::file::File;
use super::{Application, Defaults};
use crate::error_code::ErrorCode;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::privilege::AccessLevel;

/// The optional keys that each entry sets itself, without the defaults.
pub type ExplicitKeys = BTreeMap<ApplicationName, Defaults>;

/// An entry that was read before, as messages name it.
struct Earlier {
    application: ApplicationName,
    location: String,
}

/// The entries that were read so far, by what must be unique.
#[derive(Default)]
pub struct CrossChecks {
    by_name: HashMap<ApplicationName, String>,
    owners: HashMap<DatabaseName, Earlier>,
    access: HashMap<(DatabaseName, RoleName), Earlier>,
}

impl CrossChecks {
    /// Reports contradictions between a new entry and those that were read before it.
    pub fn check(&mut self, file: &mut File<'_>, new: &Application) {
        let mut report = |code: ErrorCode, message: String, hint: &'static str| {
            file.report(new.location.clone(), code, message, hint);
        };
        let place =
            || Earlier { application: new.application.clone(), location: new.location.to_string() };
        if let Some(old) = self.by_name.get(&new.application) {
            report(
                ErrorCode::DuplicateApplication,
                format!("application `{}` is already declared at {old}", new.application),
                "give each application its own key",
            );
            return;
        }
        self.by_name.insert(new.application.clone(), new.location.to_string());
        let owns = new.access_level == AccessLevel::Owner;
        let access = (new.database_name.clone(), new.username.clone());
        if let Some(old) = self.owners.get(&new.database_name).filter(|_| owns) {
            report(
                ErrorCode::TwoOwners,
                format!(
                    "database `{}` has two owners, `{}` ({}) and `{}`",
                    new.database_name, old.application, old.location, new.application
                ),
                "set `access_level` to \"editor\" or \"reader\" in one of them",
            );
        } else if let Some(old) = self.access.get(&access) {
            report(
                ErrorCode::DuplicateAccess,
                format!(
                    "role `{}` already has access to database `{}` from `{}` ({})",
                    new.username, new.database_name, old.application, old.location
                ),
                "remove one of the two",
            );
        }
        if owns {
            self.owners.entry(new.database_name.clone()).or_insert_with(place);
        }
        self.access.entry(access).or_insert_with(place);
    }
}
