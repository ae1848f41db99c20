//! Marks the grants that give an adopted role more access than it had, and those in the database of an
//! application that is not declared: its team does not see them. And those to a role that another application
//! declares with its own secret, which this application has then let into its database.
//!
//! A role is adopted in one transaction, and gets its privileges in others: also in a later run, if
//! one fails, if the contents of a database are not known yet, or if a plan is restricted to some
//! applications. So the marker of an adopted role says that it was adopted, and its grants in a
//! database have the hazard until the database is as declared for the first time.

use std::collections::BTreeSet;

use super::database_marker::is_of_other_definitions;
use super::recorded::Recorded;
use super::{Action, Hazard, Step, Transaction};
use crate::desired::{self, Desired};
use crate::name::{DatabaseName, RoleName};
use crate::observed::Observed;

/// Adds the hazard to each grant in an existing database to a role that is not managed yet, or that
/// has not got its privileges in this database yet and was adopted, or in the database of another
/// application.
pub(super) fn mark(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
    transactions: &mut [Transaction],
) {
    // The grants of a role in a database are in one transaction, which also sets its default
    // privileges: after it, these are as declared. Later grants are for later objects.
    let incomplete: BTreeSet<(RoleName, DatabaseName)> = steps(transactions)
        .filter(|step| step.action == Action::DefaultPrivileges && is_grant(step))
        .filter_map(|step| step.role.clone().zip(step.database.clone()))
        .collect();
    let is_incomplete = |role: &RoleName, name: &DatabaseName| {
        let Some(seen) = observed.databases.get(name) else { return false };
        if seen.owner == *role {
            return !desired.manages(seen.marker().as_ref());
        }
        let is_listed = seen.acl.iter().any(|item| item.grantee.role() == Some(role));
        !is_listed || seen.contents.is_none() || incomplete.contains(&(role.clone(), name.clone()))
    };
    for step in transactions.iter_mut().flat_map(|transaction| &mut transaction.steps) {
        mark_inherited_credential(desired, observed, &is_incomplete, step);
        let declared = step.role.as_ref().filter(|role| {
            // A delegate enters each database.
            desired.roles.contains_key(*role) && !desired.is_delegate(role)
        });
        let Some(role) = declared.filter(|_| is_grant(step)) else { continue };
        let enters = step.database.as_ref().is_some_and(|name| {
            is_of_other_definitions(desired, observed, recorded, name) && is_incomplete(role, name)
        });
        if enters {
            step.hazards.insert(Hazard::WidensAccess);
        }
        let Some(seen) = observed.roles.get(role) else { continue };
        let existing = step.database.as_ref().is_none_or(|name| {
            let administrator = &observed.administrator.name;
            observed.databases.get(name).is_some_and(|seen| !seen.is_unfinished(administrator))
        });
        let widens = match seen.marker().filter(|marker| desired.manages(Some(marker))) {
            None => existing,
            Some(marker) => {
                let database = step.database.as_ref();
                existing && marker.adopted && database.is_some_and(|name| is_incomplete(role, name))
            }
        };
        if widens {
            step.hazards.insert(Hazard::WidensAccess);
        }
    }
}

/// Adds the hazard to a step that gives a role its first access to a database, or adopts it, if the secret of
/// the role is that of another application, and the entry for the database does not name it. The step says
/// whose secret it is.
fn mark_inherited_credential(
    desired: &Desired,
    observed: &Observed,
    is_incomplete: &impl Fn(&RoleName, &DatabaseName) -> bool,
    step: &mut Step,
) {
    let Some((name, role)) = step.role.as_ref().and_then(|role| desired.roles.get_key_value(role))
    else {
        return;
    };
    let inherits = |database: &desired::Database| {
        database.access.get(name).is_some_and(|access| access.inherits_credential)
    };
    let is_marked = match &step.database {
        None => step.action == Action::Adopt && desired.databases.values().any(inherits),
        Some(database) => {
            let is_new = observed
                .databases
                .get(database)
                .is_none_or(|seen| seen.is_unfinished(&observed.administrator.name));
            let gives_access = matches!(step.action, Action::CreateDatabase | Action::Adopt)
                || is_grant(step) && (is_new || is_incomplete(name, database));
            gives_access && desired.databases.get(database).is_some_and(inherits)
        }
    };
    if is_marked {
        let of = match role.secret() {
            Some(secret) => format!("application {}, with secret {secret}", role.application),
            None => format!("application {}", role.application),
        };
        step.summary = format!("{}; role {name} is that of {of}", step.summary);
        step.hazards.insert(Hazard::WidensAccess);
    }
}

fn steps(transactions: &[Transaction]) -> impl Iterator<Item = &Step> {
    transactions.iter().flat_map(|transaction| &transaction.steps)
}

fn is_grant(step: &Step) -> bool {
    matches!(step.action, Action::Grant | Action::DefaultPrivileges)
        && !step.hazards.contains(&Hazard::RevokesAccess)
}

#[cfg(test)]
mod tests;
