//! The rules that concern several entries of a database: it has at most one owner entry, and at
//! most one entry for each role, and its owner entry says which roles create objects in it.

use std::collections::{BTreeMap, HashMap};

use super::file::File;
use super::{Application, Defaults, Definitions};
use crate::error_code::ErrorCode;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::privilege::AccessLevel;

/// The optional keys that each entry sets itself, without the defaults.
pub type ExplicitKeys = BTreeMap<ApplicationName, Defaults>;

/// An error in the entry of an application, in comparison with other entries.
pub struct EntryError {
    pub application: ApplicationName,
    pub code: ErrorCode,
    pub message: String,
    pub hint: String,
}

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

/// Keeps `creators` in the owner entry of each database, and returns the errors of other entries that
/// set it: a team that only reads a database does not decide which roles create objects in it. The entries
/// of a database without an owner entry keep theirs.
pub fn settle_creators(definitions: &mut Definitions, explicit: &ExplicitKeys) -> Vec<EntryError> {
    let owners = definitions.applications.values();
    let owners = owners.filter(|app| app.access_level == AccessLevel::Owner);
    let owners: HashMap<DatabaseName, Earlier> = owners
        .map(|app| {
            let location = app.location.to_string();
            let earlier = Earlier { application: app.application.clone(), location };
            (app.database_name.clone(), earlier)
        })
        .collect();
    let mut errors = Vec::new();
    for app in definitions.applications.values_mut() {
        let Some(owner) = owners.get(&app.database_name) else { continue };
        if app.access_level == AccessLevel::Owner {
            continue;
        }
        let is_set = explicit.get(&app.application).is_some_and(|keys| keys.creators.is_some());
        // An entry that ends an access says nothing about its database any more.
        if is_set && !app.creators.is_empty() && app.access_level != AccessLevel::None {
            errors.push(EntryError {
                application: app.application.clone(),
                code: ErrorCode::InvalidValue,
                message: format!(
                    "`creators` is set here, but the owner entry of database `{}` is `{}` ({})",
                    app.database_name, owner.application, owner.location
                ),
                hint: format!(
                    "remove `creators` here, and set it in `{}`, which says which roles create \
                     objects in the database",
                    owner.application
                ),
            });
        }
        app.creators.clear();
    }
    errors
}
