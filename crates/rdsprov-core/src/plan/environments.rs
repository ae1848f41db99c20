//! Marks the steps that bring the first roles and databases of an environment to a server of other
//! environments.

use std::collections::BTreeSet;

use super::{Action, Hazard, NoteKind, Transaction};
use crate::desired::Desired;
use crate::marker::Marker;
use crate::observed::Observed;

/// Adds the hazard to each step that creates or adopts a role or database, if the server has markers
/// of other environments only. Returns a note with these environments.
pub(super) fn mark(
    desired: &Desired,
    observed: &Observed,
    transactions: &mut [Transaction],
) -> Option<NoteKind> {
    // The owner of a database can write its comment; only administrators write those of roles.
    let markers = observed.roles.values().filter_map(|role| role.marker());
    let environments: BTreeSet<String> =
        markers.map(|Marker { environment, .. }| environment).collect();
    if environments.is_empty() || environments.contains(&desired.environment) {
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
    is_marked.then(|| NoteKind::OtherEnvironments {
        environment,
        others: environments.into_iter().collect(),
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
        // The owner of a database has written a marker of `dev` into its comment.
        let database = serde_json::json!({
            "owner": "a", "allow_connections": true, "connectable": true, "acl": [],
            "comment": marker("dev")
        });
        let name = DatabaseName::new_unchecked("a");
        prod.databases.insert(name, serde_json::from_value(database).unwrap());
        assert!(is_marked(&prod));
    }
}
