//! Who can execute the statements of a refusal, and the statements that give the administrator
//! what it lacks.
//!
//! A statement is printed only for a role that can execute it. RDS gives no user a superuser.

use super::planner::Planner;
use super::sql::{self, Line, RoleAttribute, Statement};
use super::{Executor, ManualFix, Memberships, Remedy, Scope, Step};
use crate::name::{ApplicationName, RoleName};
use crate::observed::RDS_SUPERUSER;
use crate::probe::{MembershipRevocation, RevocationScope};

impl Planner<'_> {
    /// Returns the executor of what only this role can do.
    pub(super) fn executor(&self, role: &RoleName) -> Executor {
        if *role == self.observed.administrator.name {
            Executor::Administrator
        } else if self.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
            Executor::Superuser
        } else {
            Executor::Role(role.clone())
        }
    }

    /// Returns the executor of what the administrator may not do and a member of `rds_superuser`
    /// may: the master user, unless the administrator is such a member or the server is not one of RDS.
    pub(super) fn more_powerful(&self) -> Executor {
        let is_rds = self.observed.roles.keys().any(|name| name.as_str() == RDS_SUPERUSER);
        if self.observed.administrator.rds_superuser || !is_rds {
            Executor::Superuser
        } else {
            Executor::MasterUser
        }
    }

    /// Returns who can grant or alter a role: the administrator, or a role that has
    /// `ADMIN OPTION` on it.
    pub(super) fn who_administers(&mut self, role: &RoleName) -> Executor {
        if self.can_administer(role) {
            return Executor::Administrator;
        }
        let holders = self.observed.roles.iter().filter(|(name, seen)| {
            !seen.superuser
                && **name != self.observed.administrator.name
                && seen.memberships.iter().any(|one| one.admin && one.role == *role)
        });
        // A role that can log in is easier to act as.
        match holders.max_by_key(|(_, seen)| (seen.login, seen.create_role)) {
            Some((holder, _)) => Executor::Role(holder.clone()),
            None => self.more_powerful(),
        }
    }

    /// Returns the statement after which the administrator can alter, grant and act as a role. From
    /// PostgreSQL 16 on, the administrator gets none of the privileges of the role: if the
    /// role is a member of `rds_iam`, RDS would reject the password of the administrator.
    pub(super) fn remedy_for_authority(&mut self, role: &RoleName) -> Remedy {
        let observed = self.observed;
        let administrator = &observed.administrator.name;
        let Some(seen) = observed.roles.get(role).filter(|seen| !seen.superuser) else {
            return Remedy::None;
        };
        if seen.is_member_of_administrator && !self.desired.roles.contains_key(role) {
            // Memberships cannot form a circle.
            let direct = seen.memberships.iter().find(|one| one.role == *administrator);
            let Some(membership) = direct else { return Remedy::None };
            let executor = if observed.major() < 16 && observed.administrator.create_role {
                Executor::Administrator
            } else {
                self.executor(&membership.grantor)
            };
            let revocation = MembershipRevocation {
                role: administrator.clone(),
                member: role.clone(),
                grantor: None,
                scope: RevocationScope::Membership,
                cascade: false,
            };
            return Remedy::Run(executor, sql::revoke_membership(&revocation).into());
        }
        if observed.major() < 16 {
            let statement = sql::alter_role(administrator, &[RoleAttribute::CreateRole(true)]);
            return Remedy::Run(self.more_powerful(), statement.into());
        }
        let statement = sql::grant_administration(role, administrator);
        Remedy::Run(self.who_administers(role), statement.into())
    }

    /// Returns all statements after which the administrator can alter, grant and act as a role, in their order; `None`
    /// if only a superuser can give it this, or no statement does.
    pub(super) fn steps_to_authority(
        &mut self,
        role: &RoleName,
    ) -> Option<Vec<(Executor, ManualFix)>> {
        let first = self.remedy_for_authority(role);
        let seen = self.observed.roles.get(role)?;
        let is_circle = seen.is_member_of_administrator && !self.desired.roles.contains_key(role);
        let by_create_role = self.observed.major() < 16;
        let suffices = if by_create_role {
            self.observed.administrator.create_role
        } else {
            seen.administrator_has_admin_option
        };
        let mut remedies = vec![first];
        if is_circle && !suffices {
            let administrator = &self.observed.administrator.name;
            remedies.push(if by_create_role {
                let statement = sql::alter_role(administrator, &[RoleAttribute::CreateRole(true)]);
                Remedy::Run(self.more_powerful(), statement.into())
            } else {
                let statement = sql::grant_administration(role, administrator);
                Remedy::Run(self.who_administers(role), statement.into())
            });
        }
        let step = |remedy| match remedy {
            Remedy::Run(executor, fix) => {
                (executor != Executor::Superuser).then_some((executor, fix))
            }
            Remedy::None | Remedy::RunLater(..) => None,
        };
        remedies.into_iter().map(step).collect()
    }

    /// Returns statements for the administrator, in a transaction with the temporary memberships
    /// that they need.
    pub(super) fn fix_by_administrator(
        &self,
        statements: Vec<Statement>,
        memberships: Memberships,
    ) -> ManualFix {
        let needs_transaction = statements.len() > 1
            || memberships
                .iter()
                .any(|(role, option)| !self.authority.is_member_already(role, *option));
        if !needs_transaction {
            return statements.into();
        }
        let application = ApplicationName::for_delegates();
        let step = Step::new(super::Action::Grant, &application, String::new(), statements)
            .with_memberships(memberships);
        let Some(transaction) = self.transaction(Scope::Cluster, vec![step]) else {
            return Vec::new().into();
        };
        let of_check = |line: &Line<'_>| {
            matches!(
                line,
                Line::StoreMemberships | Line::VerifyMemberships | Line::VerifyIdentities(..)
            )
        };
        let major = self.observed.major();
        let lines = transaction.script().into_iter().filter(|line| !of_check(line));
        lines.map(|line| line.statement(major).into_owned()).collect::<Vec<_>>().into()
    }
}
