//! The keys of exported applications, and which entry is the home of its role.
//!
//! What is managed already keeps the keys that its markers record. Other keys follow from the names of
//! the database and of the role.

use std::collections::{BTreeMap, BTreeSet};

use super::context::ExportContext;
use crate::definitions::{Application, Auth};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::Observed;
use crate::privilege::AccessLevel;

/// Gives each entry its key, and its role the home and the secret.
pub(super) fn assign(
    entries: &mut [Application],
    observed: &Observed,
    context: &ExportContext<'_>,
) {
    let mut keys = Keys { assigned: vec![None; entries.len()], taken: BTreeSet::new() };
    let roles = by_role(entries);
    let own =
        |marker: Option<Marker>| marker.filter(|marker| marker.environment == context.environment);
    let of_database = |name: &DatabaseName| own(observed.databases.get(name)?.marker());
    let of_role = |name: &RoleName| own(observed.roles.get(name)?.marker());
    let mut recorded: BTreeMap<String, BTreeSet<&RoleName>> = BTreeMap::new();
    for (name, seen) in &observed.roles {
        if let Some(marker) = own(seen.marker()) {
            recorded.entry(marker.application).or_default().insert(name);
        }
    }
    // An owner can write the key of another application into the comment of its database.
    let is_own_key = |owner: &RoleName, key: &str| {
        of_role(owner).is_some()
            && recorded.get(key).is_none_or(|roles| roles.iter().all(|role| *role == owner))
    };
    for (at, entry) in entries.iter().enumerate() {
        if entry.access_level == AccessLevel::Owner
            && let Some(marker) = of_database(&entry.database_name)
            && is_own_key(&entry.username, &marker.application)
        {
            keys.assign_recorded(at, &marker.application);
        }
    }
    let mut homes = BTreeMap::new();
    for (role, places) in &roles {
        let Some(marker) = of_role(role) else { continue };
        let places = candidates(entries, places);
        let home = places
            .iter()
            .find(|at| keys.is(**at, &marker.application))
            .or_else(|| places.iter().find(|at| keys.assign_recorded(**at, &marker.application)));
        homes.extend(home.map(|at| (role.clone(), *at)));
    }
    for (at, entry) in entries.iter().enumerate() {
        let is_only = roles.get(&entry.username).is_none_or(|places| places.len() == 1);
        let name = match entry.access_level {
            AccessLevel::Owner => entry.database_name.to_string(),
            _ if is_only => entry.username.to_string(),
            _ => format!("{}_{}", entry.username, entry.database_name),
        };
        keys.assign_new(at, &name);
    }
    for (entry, key) in entries.iter_mut().zip(keys.assigned) {
        entry.application = key.unwrap_or_else(|| entry.application.clone());
    }
    let defaults = context.rules.defaults_for(Some(context.environment));
    let by_default = defaults.auth.unwrap_or(Auth::Password);
    for (role, places) in &roles {
        let possible = candidates(entries, places);
        let first = possible.iter().min_by_key(|at| entries[**at].application.clone());
        let Some(home) = homes.get(role).or(first).copied() else { continue };
        let secret = secret(&entries[home], of_role(role), places.len() > 1, context);
        for at in places {
            entries[*at].role_owner = *at == home;
            entries[*at].says_role_owner = *at == home && places.len() > 1;
            // Only the home names how the role logs in.
            entries[*at].inherits_credential =
                *at != home && (secret.is_some() || entries[home].auth != by_default);
        }
        entries[home].secret = secret;
    }
}

/// Returns the places of the entries of each role.
fn by_role(entries: &[Application]) -> BTreeMap<RoleName, Vec<usize>> {
    let mut roles: BTreeMap<RoleName, Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        roles.entry(entry.username.clone()).or_default().push(at);
    }
    roles
}

/// Returns the entries of a role that can be its home: its owner entries, or else all.
fn candidates(entries: &[Application], places: &[usize]) -> Vec<usize> {
    let owners = places.iter().filter(|at| entries[**at].access_level == AccessLevel::Owner);
    let owners: Vec<usize> = owners.copied().collect();
    if owners.is_empty() { places.to_vec() } else { owners }
}

/// Returns the secret that an entry must name: that of the marker, if the template gives another one,
/// and that of the home of a role with several entries, which all have one secret.
fn secret(
    home: &Application,
    marker: Option<Marker>,
    is_shared: bool,
    context: &ExportContext<'_>,
) -> Option<String> {
    if home.auth == Auth::Iam {
        return None;
    }
    let (application, database) = (home.application.as_str(), home.database_name.as_str());
    let by_template = |build_id| {
        let id = context.templates.application_secret(
            context.environment,
            application,
            database,
            home.username.as_str(),
            build_id,
        );
        id.ok().map(|id| id.0)
    };
    match marker.and_then(|marker| marker.secret) {
        Some(recorded) if by_template(Some("{build_id}")).as_ref() != Some(&recorded) => {
            Some(recorded)
        }
        _ if is_shared => by_template(context.build_id),
        _ => None,
    }
}

struct Keys {
    assigned: Vec<Option<ApplicationName>>,
    taken: BTreeSet<ApplicationName>,
}

impl Keys {
    fn is(&self, at: usize, key: &str) -> bool {
        self.assigned[at].as_ref().is_some_and(|one| one.as_str() == key)
    }

    /// Gives an entry without a key the key of a marker. Returns whether it has it.
    fn assign_recorded(&mut self, at: usize, key: &str) -> bool {
        let Ok(key) = ApplicationName::new(key) else { return false };
        if self.assigned[at].is_some() || !self.taken.insert(key.clone()) {
            return false;
        }
        self.assigned[at] = Some(key);
        true
    }

    /// Gives an entry without a key one that is similar to a name.
    fn assign_new(&mut self, at: usize, name: &str) {
        if self.assigned[at].is_some() {
            return;
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let stem: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let key = std::iter::once(stem.clone())
            .chain(numbered)
            .filter_map(|key| ApplicationName::new(key).ok())
            .find(|key| !self.taken.contains(key));
        self.taken.extend(key.clone());
        self.assigned[at] = key;
    }
}
