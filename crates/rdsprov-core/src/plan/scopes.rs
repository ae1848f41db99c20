//! Scopes: which of several definitions for one environment and server a role or database belongs to.
//!
//! Only an administrator can write the comment of a role, and the owner of a database can write that of the
//! database. So the scope of a database is that of the role which owns it, if this role is managed. If an
//! administrator owns the database, its own marker counts. Otherwise the scope is that of a role whose marker
//! names the database.

use std::collections::BTreeSet;

use super::recorded::Recorded;
use super::{Hazard, Transaction};
use crate::desired::Desired;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Observed};

/// Returns the scope of a database that only an administrator can have set: `Some(None)` if it belongs to
/// definitions without a scope, and `None` if no administrator says it.
pub(super) fn scope_of_database(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
    name: &DatabaseName,
    seen: &observed::Database,
) -> Option<Option<String>> {
    let owner = observed.roles.get(&seen.owner).and_then(observed::Role::marker);
    let owner = owner.filter(|marker| desired.manages(Some(marker)));
    let is_delegate = |application: &str| application == ApplicationName::for_delegates().as_str();
    match owner {
        Some(marker) if !is_delegate(&marker.application) => Some(marker.scope),
        None if seen.owner != observed.administrator.name => recorded.scope_of(desired, name),
        _ => {
            let marker = seen.marker().filter(|marker| desired.manages(Some(marker)));
            marker.map(|marker| marker.scope)
        }
    }
}

/// Returns the change of a scope in words: `scope billing instead of crm`.
pub(super) fn change_in_words(old: Option<&str>, new: Option<&str>) -> Option<String> {
    match (old, new) {
        (old, new) if old == new => None,
        (None, Some(new)) => Some(format!("scope {new}")),
        (Some(old), Some(new)) => Some(format!("scope {new} instead of {old}")),
        (old, None) => Some(format!("no scope instead of {}", old.unwrap_or_default())),
    }
}

/// Adds the hazard to each step on a declared role or database that belongs to another scope. A database
/// without an owner entry stays in its scope: its definitions only get access to it.
pub(super) fn mark(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
    transactions: &mut [Transaction],
) {
    // Definitions without a scope could not change anything any more, once their roles have one.
    let is_other = |scope: Option<&str>| {
        desired.is_other_scope(scope) || scope.is_none() && desired.scope.is_some()
    };
    let roles: BTreeSet<&RoleName> = desired
        .roles
        .keys()
        .filter(|name| {
            let marker = observed.roles.get(*name).and_then(observed::Role::marker);
            let marker = marker.filter(|marker| desired.manages(Some(marker)));
            marker.is_some_and(|marker| is_other(marker.scope.as_deref()))
        })
        .collect();
    let owned = desired.databases.iter().filter(|(_, entry)| entry.owner.is_some());
    let databases: BTreeSet<&DatabaseName> = owned
        .map(|(name, _)| name)
        .filter(|name| {
            let seen = observed.databases.get(*name);
            let scope =
                seen.and_then(|seen| scope_of_database(desired, observed, recorded, name, seen));
            scope.is_some_and(|scope| is_other(scope.as_deref()))
        })
        .collect();
    for step in transactions.iter_mut().flat_map(|transaction| &mut transaction.steps) {
        let is_of_role = step.role.as_ref().is_some_and(|role| roles.contains(role));
        let is_of_database = step.database.as_ref().is_some_and(|name| databases.contains(name));
        if is_of_role || is_of_database {
            step.hazards.insert(Hazard::ChangesScope);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::test_states::{desired_from, marker, observed_with};
    use crate::plan::{Hazard, Plan, SecretFindings};

    /// A database that only an administrator can have marked belongs to the scope of its marker.
    #[test]
    fn database_of_another_scope_is_marked_without_its_owner() {
        let is_marked = |scope: &str| {
            let mut desired = desired_from(
                r#"
                [application_databases]
                shop = { database_name = "shop", username = "shop_owner" }
                "#,
            );
            desired.scope = Some("crm".to_owned());
            desired.may_change_owners = true;
            let comment = marker("shop", "shop", "")
                .replace(" application=", &format!(" scope={scope} application="));
            let observed = observed_with(&[], &[("shop", "platform_admin", &comment)]);
            let plan = Plan::new(&desired, &observed, SecretFindings::default());
            let of_database: Vec<bool> = plan
                .steps()
                .filter(|step| step.database.is_some())
                .map(|step| step.hazards.contains(&Hazard::ChangesScope))
                .collect();
            assert!(!of_database.is_empty(), "{:?}", plan.refusals);
            of_database.into_iter().all(|is_marked| is_marked)
        };
        assert!(is_marked("billing") && !is_marked("crm"));
    }
}
