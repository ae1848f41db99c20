//! Finds the roles that have access to a database through PUBLIC only.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::step::LostThroughPublic;
use crate::desired;
use crate::name::RoleName;
use crate::observed::Acl;
use crate::privilege::{Privilege, Privileges};

/// A database from which the plan revokes the privileges of PUBLIC.
pub(super) struct ClosedDatabase<'a> {
    pub owner: &'a RoleName,
    pub acl: &'a Acl,
    /// The declaration of the database; `None` for a plugin database.
    pub declared: Option<&'a desired::Database>,
}

impl Planner<'_> {
    /// Returns the roles that lose access to a database once PUBLIC does not have these privileges on it.
    pub(super) fn lost_through_public(
        &self,
        closed: &ClosedDatabase<'_>,
        privileges: &Privileges,
    ) -> LostThroughPublic {
        let without = |privilege| self.without_public(closed, privilege);
        let mut lost = LostThroughPublic::default();
        if privileges.contains(&Privilege::Temporary) {
            let disconnected = without(Privilege::Connect);
            // An administrator can give it to itself.
            let is_administrator = |name: &&RoleName| {
                let seen = self.observed.roles.get(*name);
                seen.is_some_and(|seen| self.administrator_power(name, seen).is_some())
            };
            let temporary = without(Privilege::Temporary);
            let temporary = temporary.difference(&disconnected);
            lost.temporary = temporary.filter(|name| !is_administrator(name)).cloned().collect();
        }
        if privileges.contains(&Privilege::Connect) {
            lost.connect = without(Privilege::Connect);
        }
        lost
    }

    /// Returns the roles with `LOGIN` that do not have a privilege on a database after the plan, except through
    /// PUBLIC.
    fn without_public(
        &self,
        closed: &ClosedDatabase<'_>,
        privilege: Privilege,
    ) -> BTreeSet<RoleName> {
        let desired = self.desired;
        let declared = closed.declared.map(desired::Database::privileges).unwrap_or_default();
        // The plan grants nothing to the roles of other applications.
        let is_selected = |role: &RoleName| {
            let access = closed.declared.and_then(|database| database.access.get(role));
            access.is_some_and(|access| desired.is_selected(&access.application))
        };
        let declared = declared
            .iter()
            .filter(|(role, privileges)| is_selected(role) && privileges.contains(&privilege))
            .map(|(role, _)| role);
        // Roles that are declared elsewhere lose the privileges that they have here.
        let loses =
            |role: &RoleName| desired.roles.contains_key(role) && desired.selects_role(role);
        let granted = closed
            .acl
            .iter()
            .filter(|item| item.privilege == privilege)
            .filter_map(|item| item.grantee.role())
            .filter(|role| closed.declared.is_none() || !loses(role));
        let mut holders: BTreeSet<&RoleName> = declared.chain(granted).collect();
        // The plan grants the administrator CONNECT, with which it acts as the owner.
        holders.extend([closed.owner, &self.observed.administrator.name]);
        let roles = self.observed.roles.iter().filter(|(name, seen)| {
            seen.login
                && !seen.superuser
                && !self.authority.roles_inherited_by(name).iter().any(|one| holders.contains(one))
        });
        roles.map(|(name, _)| name.clone()).collect()
    }
}
