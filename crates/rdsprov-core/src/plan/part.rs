//! The part of a plan that can be applied without some applications.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(feature = "postgres")]
use super::Line;
use super::{AuditTarget, MembershipOption, Memberships, Plan, Step, Transaction};
use crate::name::{ApplicationName, DatabaseName, RoleName};

impl Plan {
    /// Returns the applications that are refused.
    #[must_use]
    pub fn refused_applications(&self) -> BTreeSet<ApplicationName> {
        self.refusals.iter().map(|refusal| refusal.application.clone()).collect()
    }

    /// Returns applications, and those that depend on them, directly or through others: the other entries of
    /// their databases, the other entries of the roles that they create or change or that are refused, and
    /// those that depend on their takeover of a role.
    ///
    /// An entry that only uses a role says nothing about the role elsewhere: otherwise the owner of one
    /// database could, through a reader, hold up the entries of all other databases that this role reads.
    #[must_use]
    pub fn with_dependents(
        &self,
        applications: &BTreeSet<ApplicationName>,
    ) -> BTreeSet<ApplicationName> {
        let mut by_role: BTreeMap<&RoleName, Vec<&ApplicationName>> = BTreeMap::new();
        let mut by_database: BTreeMap<&DatabaseName, Vec<&ApplicationName>> = BTreeMap::new();
        let mut places: BTreeMap<&ApplicationName, Vec<(&RoleName, &DatabaseName)>> =
            BTreeMap::new();
        for one in &self.applications {
            by_role.entry(&one.role).or_default().push(&one.application);
            by_database.entry(&one.database).or_default().push(&one.application);
            places.entry(&one.application).or_default().push((&one.role, &one.database));
        }
        let of_roles = self.refusals.iter().filter(|refusal| !refusal.kind.is_of_database());
        let refused_roles: BTreeSet<&ApplicationName> =
            of_roles.map(|refusal| &refusal.application).collect();
        let steps = self.steps().filter(|step| step.database.is_none());
        let with_role_steps: BTreeSet<&ApplicationName> =
            steps.map(|step| &step.application).collect();
        let decides_about = |role: &RoleName, application: &ApplicationName| {
            let is_home = self.homes.get(role).is_none_or(|home| home == application);
            refused_roles.contains(application) || is_home && with_role_steps.contains(application)
        };
        let mut next: Vec<&ApplicationName> = applications.iter().collect();
        let mut found = BTreeSet::new();
        while let Some(application) = next.pop() {
            if !found.insert(application.clone()) {
                continue;
            }
            next.extend(self.after_takeover.get(application).into_iter().flatten());
            for (role, database) in places.get(application).into_iter().flatten() {
                // Taken out, so that each role and each database is visited once.
                if decides_about(role, application) {
                    next.extend(by_role.remove(role).unwrap_or_default());
                }
                next.extend(by_database.remove(database).unwrap_or_default());
            }
        }
        found
    }

    /// Returns the part of the plan without the steps, refusals and deferred comparisons of some
    /// applications. It has a
    /// digest of its own.
    ///
    /// The applications that depend on them must be among them: see [`Self::with_dependents`]. A refusal that concerns no application of the definitions remains.
    #[must_use]
    pub fn without(&self, applications: &BTreeSet<ApplicationName>) -> Self {
        let mut part = self.clone();
        let is_declared =
            |name: &ApplicationName| self.applications.iter().any(|one| one.application == *name);
        part.refusals.retain(|refusal| {
            !applications.contains(&refusal.application) || !is_declared(&refusal.application)
        });
        part.deferred.retain(|deferred| !applications.contains(&deferred.application));
        part.pending.retain(|step| !applications.contains(&step.application));
        let transactions = part.transactions.into_iter();
        part.transactions = transactions.filter_map(|one| one.without(applications)).collect();
        part.observed.retain(&part.transactions);
        part.with_digest()
    }
}

impl Transaction {
    /// Returns the transaction without the steps of some applications; `None` without any step.
    pub(crate) fn without(self, applications: &BTreeSet<ApplicationName>) -> Option<Self> {
        self.retain(|step| !applications.contains(&step.application))
    }

    /// Returns the transaction with some of its steps, and with what these need; `None` without any step.
    pub(super) fn retain(mut self, is_kept: impl FnMut(&Step) -> bool) -> Option<Self> {
        self.steps.retain(is_kept);
        if self.steps.is_empty() {
            return None;
        }
        let creator = self.audit.as_ref().and_then(|target| target.created_as_member_of.as_ref());
        self.identities.retain(&self.scope, &self.steps, creator);
        let mut needed = Memberships::new();
        let of_audit = self.audit.iter().flat_map(AuditTarget::membership);
        for (role, option) in self.steps.iter().flat_map(Step::memberships).chain(of_audit) {
            let most: &mut MembershipOption = needed.entry(role).or_insert(option);
            *most = option.max(*most);
        }
        // A membership that the administrator has already is not in the transaction.
        self.memberships = self
            .memberships
            .keys()
            .filter_map(|role| needed.get(role).map(|option| (role.clone(), *option)))
            .collect();
        self.memberships_to_restore.retain(|role, _| self.memberships.contains_key(role));
        Some(self)
    }
}

#[cfg(feature = "postgres")]
impl Transaction {
    /// Returns the applications of the steps of a line, or of the steps that need a line around them:
    /// the membership that it grants, uses or revokes. Empty if all steps need the line.
    pub(crate) fn applications_of_line(&self, line: Line<'_>) -> BTreeSet<ApplicationName> {
        let needed = match line {
            Line::GrantMembership(role, _)
            | Line::SetRole(role)
            | Line::RevokeMembership(role)
            | Line::RestoreMembership { role, .. } => Some(role),
            _ => None,
        };
        let own = line.steps();
        let needs = |number: usize, step: &Step| match own.is_empty() {
            false => own.contains(&number),
            true => needed.is_some_and(|role| step.memberships().contains_key(role)),
        };
        let steps = self.steps.iter().enumerate().filter(|(number, step)| needs(*number, step));
        steps.map(|(_, step)| step.application.clone()).collect()
    }

    /// Returns the step of some applications at which they fail, if the transaction fails at this step:
    /// their next one, or else their last one.
    pub(crate) fn step_of(&self, applications: &BTreeSet<ApplicationName>, step: usize) -> usize {
        let is_theirs = |number: usize| {
            self.steps.get(number).is_some_and(|step| applications.contains(&step.application))
        };
        let next = (step..self.steps.len()).find(|number| is_theirs(*number));
        next.or_else(|| (0..step).rev().find(|number| is_theirs(*number))).unwrap_or(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Refusal, RefusalKind, Remedy, SecretFindings, test_states};

    fn refusal(application: &str, kind: RefusalKind) -> Refusal {
        let application = ApplicationName::new(application).unwrap();
        Refusal { application, kind, remedy: Remedy::None }
    }

    fn of_role() -> RefusalKind {
        RefusalKind::RoleMissing { role: RoleName::new("other").unwrap() }
    }

    fn of_database() -> RefusalKind {
        RefusalKind::DatabaseReadOnly { database: DatabaseName::new("other").unwrap() }
    }

    fn plan_with(refusals: Vec<Refusal>) -> Plan {
        let findings = SecretFindings { refusals, ..SecretFindings::default() };
        Plan::new(&test_states::desired(), &test_states::observed(), findings)
    }

    fn plan(refused: &[&str]) -> Plan {
        plan_with(refused.iter().map(|name| refusal(name, of_role())).collect())
    }

    fn without_refused(plan: &Plan) -> Plan {
        plan.without(&plan.with_dependents(&plan.refused_applications()))
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
            // Through the database hr, the role analyst, whose home is hr_reports, and the database shop.
            (&["hr"][..], vec!["wiki"]),
            (&["hr", "wiki"][..], vec![]),
            // The role analyst has its home elsewhere.
            (&["shop"][..], vec!["hr", "hr_reports", "wiki"]),
            (&["shop_reports"][..], vec!["wiki"]),
        ] {
            let all = plan(refused);
            let part = without_refused(&all);
            assert_eq!(applications(&part), expected, "{refused:?}");
            assert!(part.refusals.is_empty());
            assert_eq!(part.digest == all.digest, refused.is_empty(), "{refused:?}");
        }
    }

    /// The owner of a database can provoke a refusal or a hazard of each entry of this database.
    #[test]
    fn reader_of_a_refused_database_keeps_its_entries_elsewhere() {
        let left_out = |plan: &Plan, names: &[&str]| {
            let names = names.iter().map(|name| ApplicationName::new(*name).unwrap()).collect();
            let found = plan.with_dependents(&names);
            found.into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        let refused = |application| plan_with(vec![refusal(application, of_database())]);
        let shop = ["shop", "shop_reports"];
        assert_eq!(left_out(&refused("shop_reports"), &["shop_reports"]), shop);
        // The role does not exist yet, and the entry of hr creates it.
        let all = ["hr", "hr_reports", "shop", "shop_reports"];
        let plan = refused("hr_reports");
        assert_eq!(left_out(&plan, &["hr_reports"]), all);
        // Without such a step, the role is as declared.
        let mut later = plan.clone();
        later.transactions.retain(|one| one.scope != crate::plan::Scope::Cluster);
        assert_eq!(left_out(&later, &["hr_reports"]), ["hr", "hr_reports"]);
        // Whatever is wrong with the role concerns each of its entries.
        later.refusals = vec![refusal("hr_reports", of_role())];
        assert_eq!(left_out(&later, &["hr_reports"]), all);
        later.homes.clear();
        later.refusals.clear();
        assert_eq!(left_out(&later, &["hr_reports"]), ["hr", "hr_reports"]);
        assert_eq!(left_out(&plan_with(vec![]), &["shop_reports"]), shop);
    }

    #[test]
    fn memberships_of_the_part_are_those_of_its_steps() {
        let part = without_refused(&plan(&["shop"]));
        assert_eq!(part, without_refused(&part));
        for transaction in &part.transactions {
            let needed: BTreeSet<RoleName> =
                transaction.steps.iter().flat_map(|step| step.memberships().into_keys()).collect();
            assert_eq!(needed, transaction.memberships.keys().cloned().collect());
        }
    }

    #[test]
    fn refusal_of_no_application_remains() {
        let mut all = plan(&["wiki"]);
        all.refusals[0].application = ApplicationName::for_delegates();
        assert!(!without_refused(&all).refusals.is_empty());
    }
}
