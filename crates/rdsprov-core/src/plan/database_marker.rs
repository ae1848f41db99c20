//! When the marker of a database is believed.
//!
//! The owner of a database can write any comment on it, and so remove or forge its marker. Only an
//! administrator can write the comment of a role. So the marker of a database counts only together with
//! the marker of the role that owns it:
//!
//! - A declared database whose declared owner is its owner, and is a managed role of this environment,
//!   belongs to this environment, whatever its own comment says: its marker is written again.
//!   No application takes over the database of another one like this: the definitions name both the
//!   database and its owner, and a role of another environment has the marker of that one.
//! - A declared database without an owner entry belongs to this environment if its owner is a managed
//!   role of this environment or the administrator, and it has a marker. If its owner is another role,
//!   the marker of a role that has access to it must name it: the adoption writes both.
//! - A database whose owner is retired is retired with it.
//! - The marker of a database of another owner makes no statement about an application: neither that
//!   its database was renamed, nor that it leaves a database with its data.

use std::collections::BTreeSet;

use super::home::is_home;
use super::planner::{DeclaredDatabase, Planner};
use super::recorded::Recorded;
use crate::desired::{self, Adoption, Desired};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Observed};

/// Returns whether a database has a marker of this environment that its owner cannot have forged,
/// whether or not the database is declared.
pub(crate) fn has_believed_marker(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
    name: &DatabaseName,
    seen: &observed::Database,
) -> bool {
    desired.manages(seen.marker().as_ref())
        && (has_managed_owner(desired, observed, seen)
            || seen.owner == observed.administrator.name
            || recorded.names_database(name))
}

fn has_managed_owner(desired: &Desired, observed: &Observed, seen: &observed::Database) -> bool {
    marker_of_owner(desired, observed, seen).is_some()
}

/// Returns the marker of the role that owns a database, if it is one of this environment.
fn marker_of_owner(
    desired: &Desired,
    observed: &Observed,
    seen: &observed::Database,
) -> Option<Marker> {
    let marker = observed.roles.get(&seen.owner)?.marker();
    marker.filter(|marker| desired.manages(Some(marker)))
}

/// Returns whether a database belongs to definitions of others: neither its owner nor a role for which it
/// was adopted has its home in these definitions. The entries alone do not count: others can use the names
/// of applications, roles and databases.
pub(super) fn is_of_other_definitions(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
    name: &DatabaseName,
) -> bool {
    let administrator = &observed.administrator.name;
    let seen = observed.databases.get(name).filter(|seen| !seen.is_unfinished(administrator));
    let Some(seen) = seen else { return false };
    let entry = desired.databases.get(name);
    let changes_owner = entry.is_some_and(|entry| {
        let declared = entry.owner.as_ref();
        declared.is_some_and(|owner| *owner != seen.owner)
            && desired.is_selected(&entry.application)
    });
    // This plan needs the permission for another hazard.
    if changes_owner {
        return false;
    }
    let delegates = ApplicationName::for_delegates();
    match marker_of_owner(desired, observed, seen) {
        // A delegate does not belong to a team.
        Some(marker) if marker.application != delegates.as_str() => {
            !is_home(desired, observed, &seen.owner)
        }
        of_owner => {
            let of_administrator = seen.owner == *administrator || of_owner.is_some();
            let is_adopted = of_administrator && desired.manages(seen.marker().as_ref());
            let mut roles = recorded.roles_with_database(name).peekable();
            (is_adopted || roles.peek().is_some())
                && !roles.any(|role| is_home(desired, observed, role))
        }
    }
}

impl Planner<'_> {
    /// Returns whether a declared database belongs to this environment, although its comment does
    /// not say so. Its marker is then written again.
    pub(super) fn restores_marker(
        &self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
    ) -> bool {
        !self.desired.manages(seen.marker().as_ref())
            && match &database.owner {
                Some(owner) => *owner == seen.owner && self.has_managed_owner(seen),
                // Without its comment, the owner could prevent the end of its access.
                None => self.recorded().names_database(name) || self.leaves_with_owner(seen),
            }
    }

    /// Returns whether the owner of a database is a managed role that is retired.
    pub(super) fn leaves_with_owner(&self, seen: &observed::Database) -> bool {
        let owner = self.desired.roles.get(&seen.owner);
        owner.is_some_and(desired::Role::is_retired) && self.has_managed_owner(seen)
    }

    /// Returns the marker of a declared database; `None` if it has none, or if a role that is not
    /// managed could have written it into the comment of its own database.
    pub(super) fn believed_marker(
        &self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
    ) -> Option<Marker> {
        let is_believed = database.owner.is_some() || self.has_believed_marker(name, seen);
        seen.marker().filter(|marker| is_believed || !self.desired.manages(Some(marker)))
    }

    /// See [`has_believed_marker`].
    pub(super) fn has_believed_marker(
        &self,
        name: &DatabaseName,
        seen: &observed::Database,
    ) -> bool {
        // Most databases have no marker of this environment.
        self.desired.manages(seen.marker().as_ref())
            && has_believed_marker(self.desired, self.observed, self.recorded(), name, seen)
    }

    fn has_managed_owner(&self, seen: &observed::Database) -> bool {
        has_managed_owner(self.desired, self.observed, seen)
    }

    /// Returns the databases that the marker of a declared role names: those without an owner entry to
    /// which the role has access, and whose owners are not managed.
    pub(super) fn recorded_databases(&self, role: &RoleName) -> BTreeSet<String> {
        let current = self.observed.roles.get(role).and_then(|seen| seen.marker());
        let current = current.filter(|marker| self.desired.manages(Some(marker)));
        let is_named = |(name, entry): &&DeclaredDatabase<'_>| {
            let needs_record = self.without_managed_owner(name, entry).is_some_and(|seen| {
                let believed = self.believed_marker(name, entry, seen);
                self.desired.manages(believed.as_ref())
                    || self.restores_marker(name, entry, seen)
                    || self.is_adopted_now(name, entry)
            });
            if self.desired.selects_database(name) {
                return needs_record;
            }
            // The plan does not cover this database.
            current.as_ref().is_some_and(|marker| marker.databases.contains(name.as_str()))
        };
        let named = self.databases_of(role).iter().filter(is_named);
        named.map(|(name, _)| name.to_string()).collect()
    }

    /// Returns whether the marker of a role records a database that the same plan adopts.
    pub(super) fn adopts_with(&self, role: &RoleName) -> bool {
        self.databases_of(role).iter().any(|(name, entry)| {
            self.desired.selected_entry(entry).is_some() && self.is_adopted_now(name, entry)
        })
    }

    /// Returns whether the plan adopts a database without an owner entry, so that the marker of a role
    /// must record it.
    pub(super) fn is_adopted_now(&self, name: &DatabaseName, entry: &desired::Database) -> bool {
        self.without_managed_owner(name, entry).is_some_and(|seen| {
            entry.adoption == Adoption::Allowed
                && self.believed_marker(name, entry, seen).is_none()
                && !self.restores_marker(name, entry, seen)
        })
    }

    /// Returns a database without an owner entry, if it exists and its owner is not a managed role of
    /// an application.
    fn without_managed_owner(
        &self,
        name: &DatabaseName,
        entry: &desired::Database,
    ) -> Option<&observed::Database> {
        let seen = self.observed.databases.get(name)?;
        let is_unfinished = seen.is_unfinished(&self.observed.administrator.name);
        // Like the master user, a delegate can be replaced as the administrator.
        let owner = self.observed.roles.get(&seen.owner);
        let is_managed =
            self.has_managed_owner(seen) && !owner.is_some_and(|o| self.is_delegate(o));
        (entry.owner.is_none() && !is_unfinished && !is_managed).then_some(seen)
    }

    /// Refuses the adoption of a database without an owner entry if the plan covers no role whose
    /// marker could record it.
    pub(super) fn refuse_unrecorded(&mut self, name: &DatabaseName, entry: &desired::Database) {
        let desired = self.desired;
        let homes = || entry.access.keys().filter_map(|role| desired.roles.get_key_value(role));
        if !self.is_adopted_now(name, entry) || homes().any(|(role, _)| desired.selects_role(role))
        {
            return;
        }
        if let Some((role, home)) = homes().next() {
            let reason = format!("the marker of role {role} does not name database {name} yet");
            self.refuse_not_selected(&entry.application, &home.application, &reason);
        }
    }

    /// Returns whether the owner of a database may speak for an application: it is the administrator,
    /// the declared owner of the application's database, or a role of the application.
    pub(super) fn speaks_for(
        &self,
        seen: &observed::Database,
        application: &ApplicationName,
        declared_owner: Option<&RoleName>,
    ) -> bool {
        let of_application = || {
            let marker = self.observed.roles.get(&seen.owner).and_then(|role| role.marker());
            self.desired.manages(marker.as_ref())
                && marker.is_some_and(|marker| {
                    marker.application == application.as_str()
                        && !self.desired.is_other_scope(marker.scope.as_deref())
                })
        };
        seen.owner == self.observed.administrator.name
            || declared_owner.is_none_or(|owner| *owner == seen.owner)
            || of_application()
    }
}

#[cfg(test)]
mod tests;
