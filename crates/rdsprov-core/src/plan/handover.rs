//! What becomes of a database's objects when it gets another owner.

use std::collections::BTreeSet;

use super::acl::with_owner;
use super::inside::Inside;
use super::sql::{self, Statement, Target};
use super::{Acting, Action, Hazard, MembershipOption, Step};
use crate::access::{Privilege, Privileges};
use crate::name::{DatabaseName, RoleName};
use crate::observed::{AclItem, Contents, Grantee};

/// The contents after all that one role owns has gone to another.
pub(super) fn with_another_owner(contents: &Contents, from: &RoleName, to: &RoleName) -> Contents {
    let mut contents = contents.clone();
    let hand_over = |owner: &mut RoleName, acl: &mut Vec<AclItem>| {
        if owner == from {
            *acl = with_owner(acl, from, to);
            owner.clone_from(to);
        }
    };
    for schema in contents.schemas.values_mut() {
        hand_over(&mut schema.owner, &mut schema.acl);
        for group in &mut schema.relations {
            hand_over(&mut group.owner, &mut group.acl);
        }
        for columns in &mut schema.columns {
            hand_over(&mut columns.owner, &mut columns.acl);
        }
    }
    for object in &mut contents.objects {
        hand_over(&mut object.owner, &mut object.acl);
    }
    contents
}

impl Inside<'_, '_> {
    /// What the old owner has in the database goes to the new one. `REASSIGN OWNED` would also move the
    /// other databases of the old owner: they are out of its hands for as long as the transaction lasts.
    pub(super) fn hand_over(&mut self, from: &RoleName, contents: &Contents) {
        let to = self.owner.clone();
        let statements = if *from == self.planner.observed.administrator.name {
            contents
                .of_administrator
                .iter()
                .map(|object| sql::change_object_owner(&object.kind, &object.identity, &to))
                .collect()
        } else {
            self.reassign(from, &to)
        };
        if statements.is_empty() {
            return;
        }
        let borrowed =
            [from, &to].map(|role| (role.clone(), MembershipOption::Inherit)).into_iter().collect();
        self.steps.push(Step {
            action: Action::ReassignOwned,
            application: self.database.application.clone(),
            role: Some(to.clone()),
            database: Some(self.name.clone()),
            summary: format!("what {from} owns in database {} goes to {to}", self.name),
            acting: Acting::Administrator,
            borrowed,
            passage: None,
            statements,
            hazards: BTreeSet::from([Hazard::ChangesOwner]),
        });
    }

    pub(super) fn reassign(&self, from: &RoleName, to: &RoleName) -> Vec<Statement> {
        let administrator = &self.planner.observed.administrator.name;
        let desired = &self.planner.desired.databases;
        // Those that the old owner will have when this transaction runs, the cluster's being done.
        let becomes = |name: &DatabaseName| desired.get(name).and_then(|one| one.owner.as_ref());
        let mut others: BTreeSet<&DatabaseName> = self
            .planner
            .observed
            .databases
            .iter()
            .filter(|(name, seen)| becomes(name).unwrap_or(&seen.owner) == from)
            .map(|(name, _)| name)
            .collect();
        others.extend(desired.keys().filter(|name| becomes(name) == Some(from)));
        let connect = Privileges::from([Privilege::Connect]);
        let mut statements: Vec<Statement> =
            others.iter().map(|other| sql::change_owner(other, administrator)).collect();
        statements.push(sql::reassign_owned(from, to));
        for other in others {
            statements.push(sql::change_owner(other, from));
            let had = self.planner.observed.databases.get(other).is_none_or(|seen| {
                seen.acl.iter().any(|item| item.grantee == Grantee::Role(administrator.clone()))
            });
            if desired.contains_key(other) || had {
                let target = Target::Database(other.clone());
                let grantee = Grantee::Role(administrator.clone());
                statements.push(sql::grant(&connect, &target, &grantee));
            }
        }
        statements
    }
}
