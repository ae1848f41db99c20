//! The applications for which a saved plan is stale, so that the others can be applied without them.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::GlobalObject;
use super::{Action, Identities, Plan, SavedPlan, Scope, Step, Transaction};
use crate::name::{ApplicationName, DatabaseName, RoleName};

impl SavedPlan {
    /// Returns the applications of the current plan that are refused, or for which the saved plan is
    /// stale. The others can be applied without them: see [`Plan::without`].
    ///
    /// The saved plan is stale for the applications of a step that it does not contain, and of a step
    /// `reassign_owned`, as in [`Self::remainder`]. It is also stale for the applications of a database
    /// or role whose state has changed, unless steps on it are done: then a run has changed it.
    /// If the two plans do not have the same origin, there are no applications to tell apart.
    #[must_use]
    pub fn changed_applications(&self, plan: &Plan) -> BTreeSet<ApplicationName> {
        if self.origin != plan.origin {
            return BTreeSet::new();
        }
        let current: Vec<_> = plan.transactions.iter().map(Transaction::redacted).collect();
        let saved_by_scope = by_scope(&self.transactions);
        let current_by_scope = by_scope(&current);
        let mut changed = plan.refused_applications();
        for transaction in &current {
            let saved =
                saved_by_scope.get(&transaction.scope).map(Vec::as_slice).unwrap_or_default();
            let is_saved = |step: &Step<String>, saved: &Step<String>| {
                step.action != Action::ReassignOwned && step.is_rest_of(saved)
            };
            let added = without_counterpart(transaction, saved, is_saved);
            changed.extend(added.map(|step| step.application.clone()));
            let mut identities = Identities::default();
            for saved in saved {
                identities.extend(&saved.identities);
            }
            for object in transaction.identities.exchanged_since(&identities) {
                changed.extend(transaction.applications_of(&object));
            }
        }
        let mut objects_of_done_steps = BTreeSet::new();
        for saved in &self.transactions {
            let current = current_by_scope.get(&saved.scope).map(Vec::as_slice).unwrap_or_default();
            let done = without_counterpart(saved, current, |saved, step| step.is_rest_of(saved));
            for step in done {
                let database = saved.scope.database().or(step.database.as_ref());
                objects_of_done_steps.extend(database.cloned().map(GlobalObject::Database));
                objects_of_done_steps.extend(step.role.clone().map(GlobalObject::Role));
            }
        }
        for object in plan.observed.changed_since(&self.observed) {
            if !objects_of_done_steps.contains(&object) {
                changed.extend(current.iter().flat_map(|one| one.applications_of(&object)));
            }
        }
        changed
    }
}

/// Returns the transactions of each place. Roles and databases can be changed in two.
fn by_scope(transactions: &[Transaction<String>]) -> BTreeMap<&Scope, Vec<&Transaction<String>>> {
    let mut by_scope: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in transactions {
        by_scope.entry(&one.scope).or_default().push(one);
    }
    by_scope
}

/// Returns the steps of a transaction that are not the same as one of other transactions.
fn without_counterpart<'a>(
    transaction: &'a Transaction<String>,
    others: &[&'a Transaction<String>],
    is_same: impl Fn(&Step<String>, &Step<String>) -> bool,
) -> impl Iterator<Item = &'a Step<String>> {
    let mut candidates: BTreeMap<_, Vec<&Step<String>>> = BTreeMap::new();
    for step in others.iter().flat_map(|other| &other.steps) {
        candidates.entry(subject(step)).or_default().push(step);
    }
    transaction.steps.iter().filter(move |step| {
        let mut candidates = candidates.get(&subject(step)).into_iter().flatten();
        !candidates.any(|candidate| is_same(step, candidate))
    })
}

/// What a step does, without its statements.
fn subject(step: &Step<String>) -> (Action, Option<&RoleName>, Option<&DatabaseName>, &str) {
    (step.action, step.role.as_ref(), step.database.as_ref(), &step.summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Hazard, Remainder, SecretFindings, test_states};

    fn plan() -> Plan {
        Plan::new(&test_states::desired(), &test_states::observed(), SecretFindings::default())
    }

    fn changed(saved: &Plan, current: &Plan) -> Vec<String> {
        let saved = SavedPlan::new(saved).unwrap();
        let changed = saved.changed_applications(current);
        let left = current.without(&current.with_dependents(&changed));
        let remainder = saved.remainder(&left).unwrap();
        assert_eq!(remainder == Remainder::Whole, changed.is_empty());
        changed.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn added_and_changed_steps_concern_their_applications() {
        let saved = plan();
        assert!(changed(&saved, &saved).is_empty());
        let of_wiki = |step: &&mut Step| step.application.as_str() == "wiki";
        let mut current = plan();
        let mut steps = current.transactions.iter_mut().flat_map(|one| &mut one.steps);
        steps.find(of_wiki).unwrap().hazards.insert(Hazard::WidensAccess);
        assert_eq!(changed(&saved, &current.clone().with_digest()), ["wiki"]);

        let mut current = plan();
        let cluster = &mut current.transactions[0];
        let mut step = cluster.steps.iter_mut().find(of_wiki).unwrap().clone();
        step.summary.push_str(" again");
        cluster.steps.push(step);
        assert_eq!(changed(&saved, &current.with_digest()), ["wiki"]);
    }

    #[test]
    fn plan_of_other_definitions_has_no_part() {
        let (saved, mut current) = (plan(), plan());
        current.origin.definitions = Some("sha256:00".to_owned());
        current.transactions[0].steps[0].summary.push_str(" again");
        let saved = SavedPlan::new(&saved).unwrap();
        assert_eq!(saved.changed_applications(&current), BTreeSet::new());
    }
}
