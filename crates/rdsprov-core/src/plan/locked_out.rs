//! Finds the roles that can connect to a database through PUBLIC only.

use std::collections::BTreeSet;

use super::planner::Planner;
use crate::desired;
use crate::name::RoleName;
use crate::observed::Acl;
use crate::privilege::Privilege;

/// A database from which the plan revokes the privileges of PUBLIC.
pub(super) struct ClosedDatabase<'a> {
    pub owner: &'a RoleName,
    pub acl: &'a Acl,
    /// The declaration of the database; `None` for a plugin database.
    pub declared: Option<&'a desired::Database>,
}

impl Planner<'_> {
    /// Returns the roles with `LOGIN` that cannot connect to a database any more once PUBLIC has no
    /// `CONNECT` on it.
    pub(super) fn locked_out(&self, closed: &ClosedDatabase<'_>) -> BTreeSet<RoleName> {
        let desired = self.desired;
        let declared = closed.declared.into_iter().flat_map(|database| &database.access);
        // The plan grants nothing to the roles of other applications.
        let declared = declared.filter(|(_, access)| desired.is_selected(&access.application));
        let declared = declared.map(|(role, _)| role);
        // Roles that are declared elsewhere lose the privileges that they have here.
        let loses =
            |role: &RoleName| desired.roles.contains_key(role) && desired.selects_role(role);
        let granted = closed
            .acl
            .iter()
            .filter(|item| item.privilege == Privilege::Connect)
            .filter_map(|item| item.grantee.role())
            .filter(|role| closed.declared.is_none() || !loses(role));
        let mut connects: BTreeSet<&RoleName> = declared.chain(granted).collect();
        connects.extend([closed.owner, &self.observed.administrator.name]);
        let roles = self.observed.roles.iter().filter(|(name, seen)| {
            seen.login
                && !seen.superuser
                && !self.authority.roles_inherited_by(name).iter().any(|one| connects.contains(one))
        });
        roles.map(|(name, _)| name.clone()).collect()
    }
}
