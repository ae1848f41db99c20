//! The home of each role: the one entry that says what concerns the role itself.
//!
//! Several entries can use one role, also entries of several teams in several files. A role has one
//! password and one set of attributes, so that one entry says them, and the others inherit them.
//! Otherwise an entry that only reads a database could change the password of the owner of another.

use std::collections::{BTreeMap, BTreeSet};

use super::cross_checks::{EntryError, ExplicitKeys};
use super::rules::RoleFiles;
use super::{Application, Defaults, Definitions, Rules};
use crate::error_code::ErrorCode;
use crate::name::{ApplicationName, RoleName, matches_pattern};
use crate::privilege::AccessLevel;
use crate::secret_id::Templates;

/// A key of an entry that concerns the role in all its databases.
struct RoleKey {
    name: &'static str,
    /// Returns the value that the entry sets itself, as messages print it.
    set_by: fn(&Application, &Defaults) -> Option<String>,
    /// Returns whether a role gets another value from one entry than from the other, with the defaults.
    differs: fn(&Application, &Application) -> bool,
    /// Whether the key says how the role logs in.
    is_credential: bool,
}

const ROLE_KEYS: [RoleKey; 7] = [
    RoleKey {
        name: "auth",
        set_by: |_, explicit| explicit.auth.map(|auth| format!("\"{auth}\"")),
        differs: |one, other| one.auth != other.auth,
        is_credential: true,
    },
    RoleKey {
        name: "secret",
        set_by: |application, _| application.secret.as_ref().map(|secret| format!("{secret:?}")),
        differs: |one, other| one.secret != other.secret,
        is_credential: true,
    },
    RoleKey {
        name: "createdb",
        set_by: |_, explicit| explicit.createdb.map(|value| value.to_string()),
        differs: |one, other| one.createdb != other.createdb,
        is_credential: false,
    },
    RoleKey {
        name: "connection_limit",
        set_by: |_, explicit| explicit.connection_limit.map(|value| value.to_string()),
        differs: |one, other| one.connection_limit != other.connection_limit,
        is_credential: false,
    },
    RoleKey {
        name: "valid_until",
        set_by: |_, explicit| explicit.valid_until.map(|time| format!("\"{time}\"")),
        differs: |one, other| one.valid_until != other.valid_until,
        is_credential: false,
    },
    RoleKey {
        name: "memberships",
        set_by: |_, explicit| {
            Some(as_set(explicit.memberships.as_ref()?.iter().map(RoleName::as_str)))
        },
        differs: |one, other| {
            let (one, other) = (&one.memberships, &other.memberships);
            one.iter().collect::<BTreeSet<_>>() != other.iter().collect::<BTreeSet<_>>()
        },
        is_credential: false,
    },
    RoleKey {
        name: "plugin_databases",
        set_by: |_, explicit| {
            Some(as_set(explicit.plugin_databases.as_ref()?.iter().map(|one| one.as_str())))
        },
        differs: |one, other| {
            let (one, other) = (&one.plugin_databases, &other.plugin_databases);
            one.iter().collect::<BTreeSet<_>>() != other.iter().collect::<BTreeSet<_>>()
        },
        is_credential: false,
    },
];

/// Prints the names of a list whose order has no meaning.
fn as_set<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("{:?}", names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
}

/// Sets `role_owner` in the home of each role only, copies its keys to the other entries of the
/// role, and returns the errors of entries that contradict it.
pub fn settle_roles(
    definitions: &mut Definitions,
    explicit: &ExplicitKeys,
    rules: &Rules,
) -> Vec<EntryError> {
    let environment = rules.environment.clone().or_else(|| definitions.environment.clone());
    let is_of_template = |entry: &Application, secret: &str| {
        is_secret_of_template(&rules.templates, environment.as_deref(), entry, secret)
    };
    let mut by_role: BTreeMap<RoleName, Vec<ApplicationName>> = BTreeMap::new();
    for application in definitions.applications.values() {
        let entries = by_role.entry(application.username.clone()).or_default();
        entries.push(application.application.clone());
    }
    let declared: BTreeSet<RoleName> = by_role.keys().cloned().collect();
    let mut errors = Vec::new();
    for (role, names) in by_role {
        let entries: Vec<&Application> =
            names.iter().filter_map(|name| definitions.applications.get(name)).collect();
        let Some(home) = home(&role, &entries, explicit, &mut errors).cloned() else { continue };
        for entry in &entries {
            compare(&role, &home, entry, explicit, &mut errors);
            let same_secret = home.secret.as_ref().is_some_and(|one| is_of_template(entry, one));
            if !home.says_role_owner {
                refuse_ambiguous_home(&role, &home, entry, same_secret, explicit, &mut errors);
            }
        }
        if let Some(declared) = home.memberships.iter().find(|one| declared.contains(*one)) {
            errors.push(EntryError {
                application: home.application.clone(),
                code: ErrorCode::InvalidValue,
                message: format!(
                    "`memberships` of role `{role}` names `{declared}`, which the definitions declare"
                ),
                hint: format!(
                    "remove it, and declare an entry for role `{role}` and the database instead"
                ),
            });
        }
        if rules.role_files == RoleFiles::One {
            errors.extend(in_several_files(&role, &home, &entries));
        }
        for name in &names {
            if let Some(entry) = definitions.applications.get_mut(name) {
                inherit(entry, &home);
            }
        }
    }
    errors
}

/// Returns the home of a role: its owner entry, or else the first entry that says something about
/// the role. `role_owner = true` chooses between several, and must do so if they disagree: see
/// [`refuse_ambiguous_home`].
fn home<'a>(
    role: &RoleName,
    entries: &[&'a Application],
    explicit: &ExplicitKeys,
    errors: &mut Vec<EntryError>,
) -> Option<&'a Application> {
    let owners: Vec<&Application> =
        entries.iter().copied().filter(|one| one.access_level == AccessLevel::Owner).collect();
    let candidates = if owners.is_empty() { entries } else { &owners };
    let mut chosen: Option<&Application> = None;
    for entry in entries.iter().copied().filter(|entry| entry.role_owner) {
        let (message, hint) = match (chosen, owners.first()) {
            (_, Some(owner)) if entry.access_level != AccessLevel::Owner => (
                format!(
                    "`role_owner` is set in `{}`, but the owner entry of role `{role}` is `{}` ({})",
                    entry.application, owner.application, owner.location
                ),
                "remove `role_owner` here: the owner entry of a role sets its keys",
            ),
            (Some(other), _) => (
                format!(
                    "`role_owner` of role `{role}` is set in `{}`, and also in `{}` ({})",
                    entry.application, other.application, other.location
                ),
                "set `role_owner = true` in one of the two entries",
            ),
            (None, _) => {
                chosen = Some(entry);
                continue;
            }
        };
        errors.push(EntryError {
            application: entry.application.clone(),
            code: ErrorCode::ConflictingRoleKeys,
            message,
            hint: hint.to_owned(),
        });
    }
    let says_something = |entry: &&&Application| {
        explicit
            .get(&entry.application)
            .is_some_and(|keys| ROLE_KEYS.iter().any(|key| (key.set_by)(entry, keys).is_some()))
    };
    chosen
        .or_else(|| candidates.iter().find(says_something).copied())
        .or_else(|| candidates.first().copied())
}

/// Reports the keys that an entry sets differently from the home of its role, or that the home does
/// not set, so that a default applies.
fn compare(
    role: &RoleName,
    home: &Application,
    entry: &Application,
    explicit: &ExplicitKeys,
    errors: &mut Vec<EntryError>,
) {
    if entry.application == home.application {
        return;
    }
    let (Some(of_entry), Some(of_home)) =
        (explicit.get(&entry.application), explicit.get(&home.application))
    else {
        return;
    };
    for key in &ROLE_KEYS {
        // `secret` implies `auth`, and is compared itself.
        if key.name == "auth" && entry.secret.is_some() {
            continue;
        }
        let Some(ours) = (key.set_by)(entry, of_entry) else { continue };
        let name = key.name;
        let (message, hint) = match (key.set_by)(home, of_home) {
            Some(theirs) if theirs == ours => continue,
            Some(theirs) => (
                format!(
                    "role `{role}` has {name} = {ours} here, but {theirs} in `{}` ({})",
                    home.application, home.location
                ),
                format!("remove `{name}` here: the entry `{}` sets it", home.application),
            ),
            None => (
                format!(
                    "role `{role}` has {name} = {ours} here, but `{}` ({}) does not set it",
                    home.application, home.location
                ),
                format!(
                    "write `{name}` in `{}`: this entry sets the keys of the role",
                    home.application
                ),
            ),
        };
        errors.push(EntryError {
            application: entry.application.clone(),
            code: ErrorCode::ConflictingRoleKeys,
            message,
            hint,
        });
    }
}

/// Reports the keys that the home of a role sets, and that the entry would get without a word in it, if no
/// entry says that it is the home: each team can add an entry that becomes the home of the role of another
/// team.
///
/// Between owner entries, all keys count: each of them could be the home. In other entries, only how the role
/// logs in counts. The secret that the template gives the entry anyway is the same.
fn refuse_ambiguous_home(
    role: &RoleName,
    home: &Application,
    entry: &Application,
    same_secret: bool,
    explicit: &ExplicitKeys,
    errors: &mut Vec<EntryError>,
) {
    if entry.application == home.application || entry.access_level == AccessLevel::None {
        return;
    }
    let (Some(of_entry), Some(of_home)) =
        (explicit.get(&entry.application), explicit.get(&home.application))
    else {
        return;
    };
    let are_owners = [home, entry].iter().all(|one| one.access_level == AccessLevel::Owner);
    for key in ROLE_KEYS.iter().filter(|key| are_owners || key.is_credential) {
        if key.name == "secret" && same_secret {
            continue;
        }
        let is_unsaid = (key.set_by)(entry, of_entry).is_none() && (key.differs)(home, entry);
        let Some(theirs) = (key.set_by)(home, of_home).filter(|_| is_unsaid) else { continue };
        let name = key.name;
        errors.push(EntryError {
            application: entry.application.clone(),
            code: ErrorCode::ConflictingRoleKeys,
            message: format!(
                "role `{role}` would get {name} = {theirs} from `{}` ({}), and this entry does not \
                 set it",
                home.application, home.location
            ),
            hint: format!(
                "set `role_owner = true` in the entry that sets the keys of the role, or write the \
                 same `{name}` here"
            ),
        });
    }
}

/// Returns whether an entry without `secret` has a secret, as the template gives it. Before the environment is
/// known, it can be any.
fn is_secret_of_template(
    templates: &Templates,
    environment: Option<&str>,
    entry: &Application,
    secret: &str,
) -> bool {
    let id = templates.application_secret(
        environment.unwrap_or("*"),
        entry.application.as_str(),
        entry.database_name.as_str(),
        entry.username.as_str(),
        Some("{build_id}"),
    );
    match environment {
        Some(_) => id.is_ok_and(|id| id.0 == secret),
        None => id.is_ok_and(|id| matches_pattern(&id.0, secret)),
    }
}

/// Returns the error of a role whose entries are in several files.
fn in_several_files(
    role: &RoleName,
    home: &Application,
    entries: &[&Application],
) -> Option<EntryError> {
    let other = entries.iter().find(|entry| entry.location.file != home.location.file)?;
    let files: BTreeSet<String> =
        entries.iter().map(|entry| format!("`{}`", entry.location.file)).collect();
    let files: Vec<String> = files.into_iter().collect();
    Some(EntryError {
        application: other.application.clone(),
        code: ErrorCode::RoleInSeveralFiles,
        message: format!("role `{role}` is declared in several files: {}", files.join(", ")),
        hint: format!(
            "declare all entries of the role in `{}`, or give this entry another role",
            home.location.file
        ),
    })
}

/// Sets the keys of an entry that concern its role to those of the home of the role.
fn inherit(entry: &mut Application, home: &Application) {
    entry.role_owner = entry.application == home.application;
    entry.inherits_credential =
        ROLE_KEYS.iter().any(|key| key.is_credential && (key.differs)(home, entry));
    entry.auth = home.auth;
    entry.createdb = home.createdb;
    entry.connection_limit = home.connection_limit;
    entry.valid_until = home.valid_until;
    entry.memberships.clone_from(&home.memberships);
    entry.plugin_databases.clone_from(&home.plugin_databases);
}
