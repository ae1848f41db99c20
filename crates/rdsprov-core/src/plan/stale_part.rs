//! What makes a saved plan stale although its steps are still planned: the objects that have changed
//! otherwise than by done steps, and the applications that this concerns.

use std::collections::{BTreeMap, BTreeSet};

use super::basis::Part;
use super::identity::GlobalObject;
use super::{Action, Hazard, Identities, Plan, SavedPlan, Scope, Step, Transaction};
use crate::name::{ApplicationName, DatabaseName, RoleName};

impl SavedPlan {
    /// Returns the applications for which the saved plan is stale. The others can be applied without
    /// them: see [`Plan::without`].
    ///
    /// The saved plan is stale for the applications of a step that it does not contain, and of a step
    /// `reassign_owned`, as in [`Self::remainder`], and for the applications of a database or role whose
    /// state has changed otherwise than by done steps of the saved plan.
    /// If the two plans do not have the same origin, or if the administrator has changed, there are no
    /// applications to tell apart.
    #[must_use]
    pub fn changed_applications(&self, plan: &Plan) -> BTreeSet<ApplicationName> {
        if !self.has_same_base(plan) {
            return BTreeSet::new();
        }
        let current: Vec<_> = plan.transactions.iter().map(Transaction::redacted).collect();
        let saved_by_scope = by_scope(&self.transactions);
        let mut changed = BTreeSet::new();
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
        for object in self.changed_objects(plan, &current) {
            changed.extend(current.iter().flat_map(|one| one.applications_of(&object)));
        }
        changed
    }

    /// Returns whether both plans are made from the same inputs, by the same administrator.
    pub(super) fn has_same_base(&self, plan: &Plan) -> bool {
        self.origin == plan.origin && self.observed.administrator == plan.observed.administrator
    }

    /// Returns the databases and roles that the current plan is based on, and whose state has changed
    /// since the saved plan in a part that no done step explains. `current` contains the transactions of
    /// the current plan.
    ///
    /// A step is done if the current plan does not contain it. It explains a change of exactly the part
    /// of the state that it changes, whichever role has executed it: the current plan would contain another
    /// step if this part were not as the step leaves it.
    pub(super) fn changed_objects(
        &self,
        plan: &Plan,
        current: &[Transaction<String>],
    ) -> Vec<GlobalObject> {
        let current_by_scope = by_scope(current);
        let mut parts = BTreeSet::new();
        for saved in &self.transactions {
            let current = current_by_scope.get(&saved.scope).map(Vec::as_slice).unwrap_or_default();
            let done = without_counterpart(saved, current, |saved, step| step.is_rest_of(saved));
            parts.extend(done.filter_map(|step| changed_part(&saved.scope, step)));
        }
        plan.observed.changed_since(&self.observed, &parts)
    }
}

/// Returns the part of the state that a step changes; `None` for the contents of a database, and for what
/// is not a part of the basis.
fn changed_part(scope: &Scope, step: &Step<String>) -> Option<Part> {
    let role = step.role.clone();
    match (scope, step.database.clone()) {
        (Scope::Database(_) | Scope::Secrets, _) => None,
        (Scope::NewDatabase(name) | Scope::DroppedDatabase(name), _) => {
            Some(Part::Database(name.clone()))
        }
        (Scope::Cluster, Some(database)) => match step.action {
            Action::Adopt => Some(Part::Comment(database)),
            Action::AlterDatabase if step.hazards.contains(&Hazard::ReopensDatabase) => {
                Some(Part::AllowConnections(database))
            }
            Action::AlterDatabase if step.hazards.contains(&Hazard::RevokesAccess) => {
                Some(Part::IsTemplate(database))
            }
            Action::AlterDatabase => Some(Part::Comment(database)),
            // For a plugin database, the role of the step is the owner.
            Action::Revoke if step.hazards.contains(&Hazard::ClosesToPublic) => {
                Some(Part::PrivilegesOfPublic(database))
            }
            Action::Grant | Action::Revoke => Some(Part::Privileges(database, role?)),
            _ => None,
        },
        (Scope::Cluster, None) => match step.action {
            Action::CreateRole => Some(Part::Role(role?)),
            Action::AlterRole | Action::SetPassword | Action::Adopt => {
                Some(Part::RoleAttributes(role?))
            }
            Action::Grant | Action::Revoke => Some(Part::Memberships(role?)),
            _ => None,
        },
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
    use crate::observed::{self, AclItem, Grantee, Membership, Observed};
    use crate::plan::{Remainder, SavedPlanError, SecretFindings, test_states};
    use crate::privilege::Privilege;

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

    const READER: &str = r#"
        [application_databases]
        shop = { database_name = "shop", username = "shop_owner" }
        shop_reports = { database_name = "shop", username = "analyst", access_level = "reader", memberships = ["pg_monitor"] }
        wiki = { database_name = "wiki", username = "wiki_owner", memberships = ["pg_monitor"] }
    "#;

    /// Returns the server before the reader gets its privileges.
    fn before() -> Observed {
        let comment = |application, name| test_states::marker(application, name, "");
        let roles = [("shop", "shop_owner"), ("shop_reports", "analyst"), ("wiki", "wiki_owner")]
            .map(|(application, name)| (name, comment(application, name)));
        let roles = [
            (roles[0].0, roles[0].1.as_str()),
            (roles[1].0, roles[1].1.as_str()),
            (roles[2].0, roles[2].1.as_str()),
            ("pg_monitor", ""),
            ("nested", ""),
        ];
        let databases = [("shop", "shop_owner"), ("wiki", "wiki_owner")]
            .map(|(name, owner)| (name, owner, comment(name, name)));
        let databases = [
            (databases[0].0, databases[0].1, databases[0].2.as_str()),
            (databases[1].0, databases[1].1, databases[1].2.as_str()),
        ];
        test_states::observed_with(&roles, &databases)
    }

    fn plan_of(observed: &Observed) -> Plan {
        Plan::new(&test_states::desired_from(READER), observed, SecretFindings::default())
    }

    fn grant(observed: &mut Observed, privilege: Privilege, to: &str) {
        let item = AclItem {
            grantee: Grantee::Role(RoleName::new_unchecked(to)),
            grantor: RoleName::new_unchecked("shop_owner"),
            privilege,
            grantable: false,
        };
        let shop = observed.databases.get_mut(&DatabaseName::new_unchecked("shop")).unwrap();
        shop.acl.push(item);
    }

    fn member_of(observed: &mut Observed, member: &str, group: &str, grantor: &str) {
        let name = RoleName::new_unchecked;
        let role = observed.roles.get_mut(&name(member)).unwrap();
        role.memberships.push(Membership {
            role: name(group),
            grantor: name(grantor),
            admin: false,
            inherit: true,
            set: true,
        });
    }

    /// A done step explains a change of exactly what it changes, whichever role has executed it. Anything
    /// else that the owner of the database changes makes the plan stale, for its applications only.
    #[test]
    fn done_step_explains_only_what_it_changes() {
        let saved = SavedPlan::new(&plan_of(&before())).unwrap();
        let done = || {
            let mut observed = before();
            grant(&mut observed, Privilege::Connect, "analyst");
            observed
        };
        let current = plan_of(&done());
        assert!(saved.changed_applications(&current).is_empty());
        assert!(matches!(saved.remainder(&current), Ok(Remainder::Part { .. })));

        let shop = DatabaseName::new_unchecked("shop");
        let changes: [fn(&mut observed::Database); 6] = [
            |shop| {
                let stranger = Grantee::Role(RoleName::new_unchecked("stranger"));
                shop.acl.push(AclItem { grantee: stranger, ..shop.acl[0].clone() });
            },
            |shop| {
                let schema = shop.contents.as_mut().unwrap().schemas.values_mut().next().unwrap();
                schema.relations[0].count += 1;
            },
            |shop| {
                let schema = shop.contents.as_mut().unwrap().schemas.values_mut().next().unwrap();
                let stranger = Grantee::Role(RoleName::new_unchecked("stranger"));
                schema.acl.push(AclItem { grantee: stranger, ..schema.acl[0].clone() });
            },
            |shop| shop.comment.as_mut().unwrap().insert_str(0, "of another team\n"),
            |shop| shop.connection_limit = 3,
            |shop| shop.oid = Some(7),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut observed = done();
            change(observed.databases.get_mut(&shop).unwrap());
            let current = plan_of(&observed);
            let changed: Vec<String> =
                saved.changed_applications(&current).iter().map(ToString::to_string).collect();
            assert_eq!(changed, ["shop_reports"], "{number}");
            let Err(SavedPlanError::Stale(stale)) = saved.remainder(&current) else {
                panic!("{number}: not stale")
            };
            assert_eq!(stale.differences.objects, ["database shop"], "{number}");
            // The others can be applied without them.
            let part =
                current.without(&current.with_dependents(&saved.changed_applications(&current)));
            assert!(matches!(saved.remainder(&part), Ok(Remainder::Part { .. })), "{number}");
        }

        let mut observed = done();
        observed.administrator.create_database = false;
        let current = plan_of(&observed);
        assert!(saved.changed_applications(&current).is_empty());
        assert!(matches!(saved.remainder(&current), Err(SavedPlanError::Stale(_))));
    }

    /// What a new member of a group gets counts also for a part of the plan, and whichever role has
    /// granted it.
    #[test]
    fn group_counts_with_everything_that_it_reaches() {
        let name = RoleName::new_unchecked;
        let mut observed = before();
        member_of(&mut observed, "pg_monitor", "nested", "platform_admin");
        let whole = plan_of(&observed);
        let without_shop = |plan: &Plan| {
            let shop = ApplicationName::new("shop").unwrap();
            plan.without(&plan.with_dependents(&BTreeSet::from([shop])))
        };
        assert_eq!(whole.observed.groups.keys().collect::<Vec<_>>(), [&name("pg_monitor")]);
        let part = without_shop(&whole);
        assert_eq!(part.observed.groups, whole.observed.groups);
        let saved = SavedPlan::new(&whole).unwrap();

        let changes: [fn(&mut Observed); 2] = [
            |observed| member_of(observed, "nested", "pg_read_all_data", "stranger"),
            |observed| {
                let nested = observed.roles.get_mut(&RoleName::new_unchecked("nested"));
                nested.unwrap().create_database = true;
            },
        ];
        for change in changes {
            let mut observed = observed.clone();
            change(&mut observed);
            let current = plan_of(&observed);
            assert_ne!(without_shop(&current).digest, part.digest);
            let changed: Vec<String> =
                saved.changed_applications(&current).iter().map(ToString::to_string).collect();
            assert_eq!(changed, ["shop_reports", "wiki"]);
        }
        // A new member of a group changes nothing for the others.
        member_of(&mut observed, "nested", "shop_owner", "stranger");
        let before = plan_of(&observed).observed.groups;
        observed.roles.insert(name("stranger"), observed.roles[&name("nested")].clone());
        member_of(&mut observed, "stranger", "pg_monitor", "stranger");
        assert_eq!(plan_of(&observed).observed.groups, before);
    }
}
