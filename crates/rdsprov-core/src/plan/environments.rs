//! Marks the steps that bring the first roles and databases of an environment to a server of other
//! environments.
//!
//! An environment is on a server as soon as one of its databases is there. Until then, each step that
//! creates or adopts something has the hazard, also in a later run: a role can be created long before
//! its database.

use std::collections::BTreeSet;

use super::{Action, Hazard, NoteKind, Step, Transaction};
use crate::desired::Desired;
use crate::marker::Marker;
use crate::name::RoleName;
use crate::observed::Observed;

/// Adds the hazard to each step that creates or adopts a role or database, if the server has roles of
/// other environments, and no database of this one. Returns a note with these environments.
pub(super) fn mark(
    desired: &Desired,
    observed: &Observed,
    transactions: &mut [Transaction],
) -> Option<NoteKind> {
    // The owner of a database can write its comment. That of a role also counts if nothing proves that an
    // administrator has written it.
    let markers = observed.roles.values().filter_map(|role| role.claimed());
    let mut others: BTreeSet<String> =
        markers.map(|Marker { environment, .. }| environment).collect();
    others.remove(&desired.environment);
    // Each of these steps has a hazard of its own, which says the same.
    let takes_over = |step: &Step| step.hazards.contains(&Hazard::AdoptsFromEnvironment);
    let mut steps = transactions.iter().flat_map(|transaction| &transaction.steps);
    if let Some(other) = desired.adopt_from.as_ref().filter(|_| steps.any(takes_over)) {
        others.remove(other);
    }
    if others.is_empty() || has_database(desired, observed) {
        return None;
    }
    let mut is_marked = false;
    for step in transactions.iter_mut().flat_map(|transaction| &mut transaction.steps) {
        if matches!(step.action, Action::CreateRole | Action::CreateDatabase | Action::Adopt) {
            step.hazards.insert(Hazard::MixesEnvironments);
            is_marked = true;
        }
    }
    let environment = desired.environment.clone();
    is_marked
        .then(|| NoteKind::OtherEnvironments { environment, others: others.into_iter().collect() })
}

/// Returns whether a role of the environment owns a database, or has access to one that was adopted for
/// it.
fn has_database(desired: &Desired, observed: &Observed) -> bool {
    let administrator = &observed.administrator.name;
    let finished = observed.databases.values().filter(|seen| !seen.is_unfinished(administrator));
    let owners: BTreeSet<&RoleName> = finished.map(|seen| &seen.owner).collect();
    observed.roles.iter().any(|(name, role)| {
        role.marker().is_some_and(|marker| {
            let of_environment = marker.environment == desired.environment;
            of_environment && (!marker.databases.is_empty() || owners.contains(name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DatabaseName;
    use crate::plan::{Plan, SecretFindings, test_states};

    #[test]
    fn only_markers_of_roles_count() {
        let marker = |environment: &str| {
            format!(
                "[managed by rdsprov: environment={environment} application=a build_id=1 name=\"a\"]"
            )
        };
        let is_marked = |observed: &Observed| {
            let plan = Plan::new(&test_states::desired(), observed, SecretFindings::default());
            assert!(!plan.is_empty());
            plan.hazards().contains(&Hazard::MixesEnvironments)
        };
        assert!(!is_marked(&test_states::observed()));
        assert!(!is_marked(&test_states::observed_with_role("a", &marker("dev"))));
        let mut prod = test_states::observed_with_role("a", &marker("prod"));
        assert!(is_marked(&prod));
        // A role of `dev` alone: the run that has created it has not created its database.
        let mut both = prod.clone();
        let role = test_states::observed_with_role("hr_owner", &marker("dev"));
        both.roles.extend(role.roles);
        assert!(is_marked(&both));
        let database = |owner: &str| {
            serde_json::from_value(serde_json::json!({
                "owner": owner, "allow_connections": true, "connectable": true, "acl": [],
                "comment": marker("dev")
            }))
            .unwrap()
        };
        both.databases.insert(DatabaseName::new_unchecked("hr"), database("hr_owner"));
        assert!(!is_marked(&both));
        // The owner of a database has written a marker of `dev` into its comment.
        prod.databases.insert(DatabaseName::new_unchecked("a"), database("a"));
        assert!(is_marked(&prod));
    }
}
