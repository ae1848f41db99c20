//! Marks the grants that give an adopted role more access than it had.

use std::collections::BTreeSet;

use super::{Action, Hazard, Scope, Transaction};
use crate::name::RoleName;

/// Adds the hazard to each grant to a role that the plan adopts, in databases that exist already.
pub(super) fn mark(transactions: &mut [Transaction]) {
    let adopted: BTreeSet<RoleName> = transactions
        .iter()
        .flat_map(|transaction| &transaction.steps)
        .filter(|step| step.action == Action::Adopt && step.database.is_none())
        .filter_map(|step| step.role.clone())
        .collect();
    let new_databases: BTreeSet<_> = transactions
        .iter()
        .filter_map(|transaction| match &transaction.scope {
            Scope::NewDatabase(name) => Some(name.clone()),
            Scope::Cluster | Scope::Database(_) => None,
        })
        .collect();
    for step in transactions.iter_mut().flat_map(|transaction| &mut transaction.steps) {
        let is_grant = matches!(step.action, Action::Grant | Action::DefaultPrivileges)
            && !step.hazards.contains(&Hazard::RevokesAccess);
        let to_adopted = step.role.as_ref().is_some_and(|role| adopted.contains(role));
        let is_old = step.database.as_ref().is_none_or(|name| !new_databases.contains(name));
        if is_grant && to_adopted && is_old {
            step.hazards.insert(Hazard::WidensAccess);
        }
    }
}
