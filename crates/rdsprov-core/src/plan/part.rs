//! The part of a refused plan that can be applied: what does not depend on a refused application.

use std::collections::{BTreeMap, BTreeSet};

use super::{MembershipOption, Memberships, Plan, Step, Transaction};
use crate::name::{ApplicationName, DatabaseName, RoleName};

impl Plan {
    /// Returns the part of the plan without the refused applications, and without all applications
    /// that share a role or a database with one of them, directly or through others.
    ///
    /// The part has no refusals, and a digest of its own. It is empty if a refusal concerns no single
    /// application.
    #[must_use]
    pub fn independent_of_refusals(&self) -> Self {
        let mut part = self.clone();
        let excluded = self.dependent_on_refusals();
        let refused = std::mem::take(&mut part.refusals);
        let known = |refused: &ApplicationName| {
            self.applications.iter().any(|one| one.application == *refused)
        };
        if refused.iter().all(|refusal| known(&refusal.application)) {
            let transactions = part.transactions.into_iter();
            part.transactions =
                transactions.filter_map(|one| without_applications(one, &excluded)).collect();
        } else {
            part.transactions.clear();
        }
        part.refresh_digest();
        part
    }

    /// Returns the refused applications, and those that share a role or a database with one of
    /// them, directly or through others.
    #[must_use]
    pub fn dependent_on_refusals(&self) -> BTreeSet<ApplicationName> {
        let mut by_role: BTreeMap<&RoleName, Vec<&ApplicationName>> = BTreeMap::new();
        let mut by_database: BTreeMap<&DatabaseName, Vec<&ApplicationName>> = BTreeMap::new();
        let mut places: BTreeMap<&ApplicationName, Vec<(&RoleName, &DatabaseName)>> =
            BTreeMap::new();
        for one in &self.applications {
            by_role.entry(&one.role).or_default().push(&one.application);
            by_database.entry(&one.database).or_default().push(&one.application);
            places.entry(&one.application).or_default().push((&one.role, &one.database));
        }
        let mut next: Vec<&ApplicationName> =
            self.refusals.iter().map(|refusal| &refusal.application).collect();
        let mut found = BTreeSet::new();
        while let Some(application) = next.pop() {
            if !found.insert(application.clone()) {
                continue;
            }
            for (role, database) in places.get(application).into_iter().flatten() {
                // Taken out, so that each role and each database is visited once.
                next.extend(by_role.remove(role).unwrap_or_default());
                next.extend(by_database.remove(database).unwrap_or_default());
            }
        }
        found
    }
}

/// Returns a transaction without the steps of some applications; `None` without any step.
fn without_applications(
    mut transaction: Transaction,
    excluded: &BTreeSet<ApplicationName>,
) -> Option<Transaction> {
    transaction.steps.retain(|step| !excluded.contains(&step.application));
    if transaction.steps.is_empty() {
        return None;
    }
    transaction.identities.retain(&transaction.scope, &transaction.steps);
    let mut needed = Memberships::new();
    for (role, option) in transaction.steps.iter().flat_map(Step::memberships) {
        let most: &mut MembershipOption = needed.entry(role).or_insert(option);
        *most = option.max(*most);
    }
    // A membership that the administrator has already is not in the transaction.
    transaction.memberships = transaction
        .memberships
        .keys()
        .filter_map(|role| needed.get(role).map(|option| (role.clone(), *option)))
        .collect();
    transaction.memberships_to_restore.retain(|role, _| transaction.memberships.contains_key(role));
    Some(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Refusal, RefusalKind, Remedy, SecretFindings, test_states};

    fn plan(refused: &[&str]) -> Plan {
        let refusal = |application: &&str| Refusal {
            application: ApplicationName::new(*application).unwrap(),
            kind: RefusalKind::RoleMissing { role: RoleName::new("other").unwrap() },
            remedy: Remedy::None,
        };
        let findings = SecretFindings {
            refusals: refused.iter().map(refusal).collect(),
            ..SecretFindings::default()
        };
        Plan::new(&test_states::desired(), &test_states::observed(), findings)
    }

    fn applications(plan: &Plan) -> Vec<&str> {
        let names: BTreeSet<&str> = plan.steps().map(|step| step.application.as_str()).collect();
        names.into_iter().collect()
    }

    #[test]
    fn part_without_refused_applications() {
        for (refused, expected) in [
            (&[][..], vec!["hr", "hr_reports", "shop", "shop_reports", "wiki"]),
            (&["wiki"][..], vec!["hr", "hr_reports", "shop", "shop_reports"]),
            // Through the database shop, the role analyst and the database hr.
            (&["shop"][..], vec!["wiki"]),
            (&["shop", "wiki"][..], vec![]),
        ] {
            let all = plan(refused);
            let part = all.independent_of_refusals();
            assert_eq!(applications(&part), expected, "{refused:?}");
            assert!(part.refusals.is_empty());
            assert_eq!(part.digest == all.digest, refused.is_empty(), "{refused:?}");
        }
    }

    #[test]
    fn memberships_of_the_part_are_those_of_its_steps() {
        let part = plan(&["shop"]).independent_of_refusals();
        assert_eq!(part, part.independent_of_refusals());
        for transaction in &part.transactions {
            let needed: BTreeSet<RoleName> =
                transaction.steps.iter().flat_map(|step| step.memberships().into_keys()).collect();
            assert_eq!(needed, transaction.memberships.keys().cloned().collect());
        }
    }

    #[test]
    fn refusal_of_no_application_refuses_everything() {
        let mut all = plan(&["wiki"]);
        all.refusals[0].application = ApplicationName::for_delegates();
        assert!(all.independent_of_refusals().is_empty());
    }
}
