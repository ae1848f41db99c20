//! The steps that an additive plan leaves pending: those that take something away.
//!
//! Which steps these are is decided by [`Step::takes_access`]. Four rules follow from the order of changes:
//!
//! - What the plan creates or opens itself is closed in the same plan: no role has had access to it.
//! - If objects in a database get another owner, all steps in this database are pending: they are planned for
//!   the new owner.
//! - What a role gets, and changes of its marker, are pending if its password is set or removed later, or if
//!   a hazard that must be allowed in every environment is pending: a person who knows the present password
//!   must not get new access, and a changed secret is in the marker only once its password is set.
//! - If such a role would be the owner of a new database or schema, or get a new extension, all steps in this
//!   database are pending.

use std::collections::BTreeSet;

use super::{Action, Hazard, Plan, Scope, Step, Transaction};
use crate::hint;
use crate::hint::{Hint, Operation, Opt, Part};
use crate::name::{DatabaseName, RoleName};

impl Hazard {
    /// Returns whether a step with the hazard takes access away from a role or from PUBLIC.
    fn takes_access(self) -> bool {
        match self {
            Self::RevokesAccess
            | Self::ChangesOwner
            | Self::ResetsPassword
            | Self::ClosesToPublic
            | Self::DropsRole
            | Self::DropsDatabase => true,
            Self::Adopts
            | Self::WidensAccess
            | Self::ReopensDatabase
            | Self::MovesDatabase
            | Self::MixesEnvironments
            | Self::AdoptsFromEnvironment
            | Self::ChangesSecret
            | Self::ChangesApplication
            | Self::ChangesScope
            | Self::HandsOverCode
            | Self::ReachesBeyondDatabase
            | Self::DegradesBlueGreen => false,
        }
    }
}

impl<S> Step<S> {
    /// Returns whether the step takes away what a role or PUBLIC has now: access, or a value that it
    /// replaces or removes.
    pub(super) fn takes_access(&self) -> bool {
        match self.action {
            Action::Revoke
            | Action::EndSessions
            | Action::DropRole
            | Action::DeleteSecret
            | Action::DropDatabase
            | Action::ReassignOwned
            | Action::RestorePassword => true,
            Action::AlterRole
            | Action::SetPassword
            | Action::AlterDatabase
            | Action::AlterSchema
            | Action::Grant
            | Action::DefaultPrivileges
            | Action::SetParameter => {
                self.replaces || self.hazards.iter().any(|hazard| hazard.takes_access())
            }
            Action::CreateRole
            | Action::CreateSecret
            | Action::CreateDatabase
            | Action::CreateSchema
            | Action::CreateExtension
            | Action::Adopt
            | Action::CreatePending
            | Action::TestPassword
            | Action::FinishRotation => false,
        }
    }

    /// Returns whether the step changes what a role is or has.
    fn gives_to_role(&self) -> bool {
        matches!(
            self.action,
            Action::AlterRole | Action::Grant | Action::DefaultPrivileges | Action::SetParameter
        )
    }

    /// Returns whether the role of the step gets a new object that other steps rely on.
    fn creates_for_role(&self) -> bool {
        matches!(
            self.action,
            Action::CreateDatabase | Action::CreateSchema | Action::CreateExtension
        )
    }

    fn changes_owner(&self) -> bool {
        self.action == Action::ReassignOwned || self.hazards.contains(&Hazard::ChangesOwner)
    }
}

impl Plan {
    /// Returns how the pending steps are applied.
    pub(super) fn hint_about_pending(&self) -> Option<Hint> {
        let words = "to apply what is pending, run ";
        let hint = || hint![words, Operation::Apply, " without ", Opt::Additive];
        self.hint_about_adoptions().or_else(|| (!self.pending.is_empty()).then(hint))
    }

    /// Returns how the adoptions that wait for a new owner are made: only the owner of a database writes its
    /// marker.
    fn hint_about_adoptions(&self) -> Option<Hint> {
        let adoptions = self.pending.iter().filter(|step| step.action == Action::Adopt);
        let waiting: Vec<_> = adoptions
            .filter_map(|step| Some((step.database.as_ref()?.as_str(), &step.application)))
            .collect();
        let (names, applications): (Vec<&str>, BTreeSet<_>) = waiting.into_iter().unzip();
        let (begin, it) = match names.as_slice() {
            [] => return None,
            [name] => (format!("the adoption of database {name} waits for its new owner"), "it"),
            _ => {
                let names = names.join(", ");
                (format!("the adoptions of databases {names} wait for their new owners"), "them")
            }
        };
        let mut parts: Vec<Part> = vec![
            format!("{begin}; to make {it}, use ").into(),
            Operation::Apply.into(),
            " without ".into(),
            Opt::Additive.into(),
            ", and with".into(),
        ];
        parts.extend(
            applications.into_iter().flat_map(|one| [" ".into(), (Opt::Adopt, one).into()]),
        );
        parts.extend([" ".into(), (Opt::Allow, Hazard::ChangesOwner).into()]);
        Some(parts.into_iter().collect())
    }
}

/// Removes the pending steps from the transactions, and returns them in their order.
pub(super) fn remove_pending(transactions: &mut Vec<Transaction>) -> Vec<Step> {
    let created: BTreeSet<DatabaseName> = transactions
        .iter()
        .filter_map(|one| match &one.scope {
            Scope::NewDatabase(name) => Some(name.clone()),
            Scope::Cluster | Scope::DroppedDatabase(_) | Scope::Secrets | Scope::Database(_) => {
                None
            }
        })
        .collect();
    let steps = || transactions.iter().flat_map(|one| &one.steps);
    let reopened: BTreeSet<DatabaseName> = steps()
        .filter(|step| step.hazards.contains(&Hazard::ReopensDatabase))
        .filter_map(|step| step.database.clone())
        .collect();
    let decides_about_role = |step: &Step| {
        let mut hazards = step.hazards.iter();
        step.sets_password()
            || step.after_logins
            || hazards.any(|hazard| hazard.must_always_be_allowed())
    };
    let waiting: BTreeSet<RoleName> = steps()
        .filter(|step| step.takes_access() && decides_about_role(step))
        .filter_map(|step| step.role.clone())
        .collect();
    let waits = |step: &Step| step.role.as_ref().is_some_and(|role| waiting.contains(role));
    let waiting_databases: BTreeSet<DatabaseName> = steps()
        .filter(|step| step.creates_for_role() && waits(step))
        .filter_map(|step| step.database.clone())
        .collect();
    let mut pending = Vec::new();
    let is_one_of = |names: &BTreeSet<DatabaseName>, step: &Step| {
        step.database.as_ref().is_some_and(|name| names.contains(name))
    };
    for transaction in std::mem::take(transactions) {
        let changes_owner = transaction.scope != Scope::Cluster
            && transaction
                .steps
                .iter()
                .any(|step| step.changes_owner() && !is_one_of(&created, step));
        let is_pending = |step: &Step| {
            let waits = step.gives_to_role() && waits(step) || is_one_of(&waiting_databases, step);
            let is_opened_by_plan = is_one_of(&created, step)
                || transaction.scope == Scope::Cluster && is_one_of(&reopened, step);
            changes_owner || waits || step.takes_access() && !is_opened_by_plan
        };
        pending.extend(transaction.steps.iter().filter(|step| is_pending(step)).cloned());
        let is_kept: Vec<bool> = transaction.steps.iter().map(|step| !is_pending(step)).collect();
        let mut is_kept = is_kept.into_iter();
        transactions.extend(transaction.retain(|_| is_kept.next().unwrap_or(true)));
    }
    pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::PasswordCheck;
    use crate::plan::SecretFindings;
    use crate::plan::test_states::{desired_from, marker, observed_with};

    fn plan(additive: bool, change: impl Fn(&mut crate::observed::Observed)) -> Plan {
        let mut desired = desired_from(
            r#"
            [application_databases]
            shop = { database_name = "shop", username = "shop_owner" }
            "#,
        );
        desired.additive = additive;
        let owner = marker("shop", "shop_owner", "");
        let database = marker("shop", "shop", "");
        let mut observed =
            observed_with(&[("shop_owner", &owner)], &[("shop", "shop_owner", &database)]);
        change(&mut observed);
        Plan::new(&desired, &observed, SecretFindings::default())
    }

    /// One attribute is granted and another one is removed, which is one step otherwise.
    #[test]
    fn attributes_are_split() {
        let drift = |observed: &mut crate::observed::Observed| {
            let role = observed.roles.get_mut(&RoleName::new_unchecked("shop_owner")).unwrap();
            (role.inherit, role.create_database) = (false, true);
        };
        let summaries = |steps: &mut dyn Iterator<Item = &Step>| {
            steps.map(|step| step.summary.clone()).collect::<Vec<_>>()
        };
        let whole = plan(false, drift);
        let all = summaries(&mut whole.steps());
        assert!(all.contains(&"role shop_owner: INHERIT NOCREATEDB".to_owned()), "{all:?}");
        let additive = plan(true, drift);
        let done = summaries(&mut additive.steps());
        assert!(done.contains(&"role shop_owner: INHERIT".to_owned()), "{done:?}");
        let pending = summaries(&mut additive.pending.iter());
        assert!(pending.contains(&"role shop_owner: NOCREATEDB".to_owned()), "{pending:?}");
        assert!(!additive.is_as_declared() && whole.digest != additive.digest);
    }

    /// The marker names the secret of the password that the role has.
    #[test]
    fn changed_secret_waits_for_its_password() {
        let changed = |check: PasswordCheck| {
            move |observed: &mut crate::observed::Observed| {
                let name = RoleName::new_unchecked("shop_owner");
                observed.password_checks.insert(name.clone(), check.clone());
                let role = observed.roles.get_mut(&name).unwrap();
                role.comment = Some(marker("shop", "shop_owner", " secret=\"old\""));
            }
        };
        let changes =
            |plan: &Plan| plan.steps().filter(|step| step.changed_secret.is_some()).count();
        let waiting = plan(true, changed(PasswordCheck::WrongPassword));
        assert_eq!(changes(&waiting), 0);
        assert_eq!(waiting.pending.iter().filter(|step| step.changed_secret.is_some()).count(), 1);
        // The role has the password of the new secret already.
        assert_eq!(changes(&plan(true, changed(PasswordCheck::Accepted))), 1);
        assert_eq!(changes(&plan(false, changed(PasswordCheck::WrongPassword))), 1);
    }

    /// A person who knows the present password of the role must not get a new database or schema.
    #[test]
    fn new_databases_and_schemas_of_a_waiting_role_wait() {
        let changed = |check: PasswordCheck| {
            let mut desired = desired_from(
                r#"
                [application_databases]
                shop = { database_name = "shop", username = "shop_owner", schemas = ["public", "archive"], role_owner = true }
                desk = { database_name = "desk", username = "shop_owner" }
                sight = { database_name = "desk", username = "viewer", access_level = "reader" }
                "#,
            );
            desired.additive = true;
            let owner = marker("shop", "shop_owner", "");
            let database = marker("shop", "shop", "");
            let mut observed =
                observed_with(&[("shop_owner", &owner)], &[("shop", "shop_owner", &database)]);
            let shop = observed.databases.values_mut().next().unwrap();
            shop.contents = Some(crate::observed::Contents::default());
            observed.password_checks.insert(RoleName::new_unchecked("shop_owner"), check);
            Plan::new(&desired, &observed, SecretFindings::default())
        };
        let creates = |plan: &Plan| {
            let actions = plan.steps().map(|step| step.action);
            let new = [Action::CreateDatabase, Action::CreateSchema];
            actions.filter(|action| new.contains(action)).count()
        };
        let accepted = changed(PasswordCheck::Accepted);
        assert!(creates(&accepted) >= 2, "{}", accepted.to_text());
        let waiting = changed(PasswordCheck::WrongPassword);
        assert_eq!(creates(&waiting), 0, "{}", waiting.to_text());
        let in_desk =
            |step: &Step| step.database.as_ref().is_some_and(|one| one.as_str() == "desk");
        assert!(!waiting.steps().any(in_desk), "{}", waiting.to_text());
        assert!(waiting.steps().any(|step| step.action == Action::CreateRole));
        assert!(waiting.pending.iter().any(in_desk));
    }

    /// The digest covers what is pending: a reviewer has seen it.
    #[test]
    fn digest_covers_option_and_pending_steps() {
        let drift = |observed: &mut crate::observed::Observed| {
            let role = observed.roles.get_mut(&RoleName::new_unchecked("shop_owner")).unwrap();
            role.create_database = true;
        };
        let one = plan(true, drift);
        assert_ne!(one.digest, plan(false, drift).digest);
        let mut other = one.clone();
        assert!(other.pending.pop().is_some());
        assert_ne!(one.digest, other.with_digest().digest);
    }
}
