//! The rules that concern several entries: the entries of one role must not contradict each other,
//! and a database has at most one owner entry.

use std::collections::BTreeMap;

use super::file::File;
use super::{Application, Defaults, Definitions};
use crate::error_code::ErrorCode;
use crate::name::{ApplicationName, RoleName};
use crate::privilege::AccessLevel;

/// The optional keys that each entry sets itself, without the defaults.
pub type ExplicitKeys = BTreeMap<ApplicationName, Defaults>;

/// Copies `auth`, `createdb`, `connection_limit` and `valid_until` to all entries of the same role.
///
/// These keys concern the role in all its databases, so that setting them in one entry is enough.
pub fn propagate_role_keys(definitions: &mut Definitions, explicit: &ExplicitKeys) {
    let mut roles: BTreeMap<RoleName, Defaults> = BTreeMap::new();
    for (name, keys) in explicit {
        let Some(application) = definitions.applications.get(name) else { continue };
        let role = roles.entry(application.username.clone()).or_default();
        role.auth = role.auth.or(keys.auth);
        role.createdb = role.createdb.or(keys.createdb);
        role.connection_limit = role.connection_limit.or(keys.connection_limit);
        role.valid_until = role.valid_until.or(keys.valid_until);
    }
    for application in definitions.applications.values_mut() {
        let Some(role) = roles.get(&application.username) else { continue };
        application.auth = role.auth.unwrap_or(application.auth);
        application.createdb = role.createdb.unwrap_or(application.createdb);
        application.connection_limit =
            role.connection_limit.unwrap_or(application.connection_limit);
        application.valid_until = role.valid_until.or(application.valid_until);
    }
}

/// Reports contradictions between a new entry and those that were read before it.
pub fn cross_check(
    file: &mut File<'_>,
    definitions: &Definitions,
    explicit: &ExplicitKeys,
    new: &Application,
    new_explicit: &Defaults,
) {
    let mut report = |code: ErrorCode, message: String, hint: String| {
        let error = file.error_at(new.location.clone(), code, message, hint.into());
        file.errors.push(error);
    };
    for old in definitions.applications.values() {
        if old.application == new.application {
            report(
                ErrorCode::DuplicateApplication,
                format!(
                    "application `{}` is already declared at {}",
                    new.application, old.location
                ),
                "give each application its own key".to_owned(),
            );
            continue;
        }
        let same_database = old.database_name == new.database_name;
        let same_user = old.username == new.username;
        if same_database
            && old.access_level == AccessLevel::Owner
            && new.access_level == AccessLevel::Owner
        {
            report(
                ErrorCode::TwoOwners,
                format!(
                    "database `{}` has two owners, `{}` ({}) and `{}`",
                    new.database_name, old.application, old.location, new.application
                ),
                "set `access_level` to \"editor\" or \"reader\" in one of them".to_owned(),
            );
        } else if same_database && same_user {
            report(
                ErrorCode::DuplicateAccess,
                format!(
                    "role `{}` already has access to database `{}` from `{}` ({})",
                    new.username, new.database_name, old.application, old.location
                ),
                "remove one of the two".to_owned(),
            );
        }
        let old_explicit = explicit.get(&old.application);
        let mut compare = |key: &str, get: fn(&Defaults) -> Option<String>, hint: &str| {
            if same_user
                && let (Some(ours), Some(theirs)) = (get(new_explicit), old_explicit.and_then(get))
                && ours != theirs
            {
                report(
                    ErrorCode::ConflictingRoleKeys,
                    format!(
                        "role `{}` has {key} = {ours} here, but {theirs} in `{}` ({})",
                        new.username, old.application, old.location
                    ),
                    format!("write the same value in both entries, or remove it from one{hint}"),
                );
            }
        };
        let secret = "; `secret` implies `auth = \"password\"`";
        compare("auth", |explicit| explicit.auth.map(|auth| format!("\"{auth}\"")), secret);
        compare("createdb", |explicit| explicit.createdb.map(|value| value.to_string()), "");
        compare(
            "connection_limit",
            |explicit| explicit.connection_limit.map(|value| value.to_string()),
            "",
        );
        compare(
            "valid_until",
            |explicit| explicit.valid_until.map(|time| format!("\"{time}\"")),
            "",
        );
        if same_user
            && let (Some(ours), Some(theirs)) = (&new.secret, &old.secret)
            && ours != theirs
        {
            report(
                ErrorCode::ConflictingRoleKeys,
                format!(
                    "role `{}` has the secret {ours:?} here, but {theirs:?} in `{}` ({})",
                    new.username, old.application, old.location
                ),
                "write the same `secret` in both entries: a role has one password".to_owned(),
            );
        }
    }
}
