//! What the administrator may do, according to the catalogs and to the results of probes.
//!
//! This module only reads: it adds no steps and no refusals, and it executes no probes.

use std::collections::BTreeSet;

use super::MembershipOption;
use super::sql::RoleAttribute;
use crate::desired::Desired;
use crate::name::RoleName;
use crate::observed::{self, Observed, RDS_AD, RDS_IAM, RDS_SUPERUSER};
use crate::probe::{Probe, ProbeResult};

/// Whether the administrator may do something.
pub(super) enum Permission {
    Allowed,
    /// Denied, for this reason.
    Denied(String),
    /// The catalogs do not show it, and the probe was not executed yet.
    Unknown(Probe),
}

/// An attribute that the administrator needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdministratorAttribute {
    CreateRole,
    CreateDatabase,
}

impl AdministratorAttribute {
    pub fn sql(self) -> RoleAttribute {
        match self {
            Self::CreateRole => RoleAttribute::CreateRole(true),
            Self::CreateDatabase => RoleAttribute::CreateDatabase(true),
        }
    }
}

/// The two states, as far as they decide what the administrator may do.
#[derive(Clone, Copy)]
pub(super) struct Authority<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
}

impl Authority<'_> {
    /// Returns whether the administrator has this membership of a role already, directly or through
    /// other roles.
    pub fn is_member_already(&self, role: &RoleName, option: MembershipOption) -> bool {
        let administrator = &self.observed.administrator;
        administrator.superuser
            || *role == administrator.name
            || match option {
                MembershipOption::Set => self.reaches(role, |_, membership| membership.set),
                MembershipOption::Inherit => {
                    self.reaches(role, |_, membership| membership.set)
                        && self.reaches(role, |member, membership| {
                            membership.inherit && (self.observed.major() >= 16 || member.inherit)
                        })
                }
            }
    }

    /// Returns whether the administrator, once it is a member of a role, has the privileges of the
    /// role without `SET ROLE`. Before PostgreSQL 16, an administrator with `NOINHERIT` has not.
    pub fn may_have_privileges_of(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        *role == administrator.name
            || administrator.superuser
            || self.inherits_database_owner(&administrator.name)
    }

    /// Returns a role and the roles whose privileges it inherits. Memberships of declared roles do
    /// not count, because the plan revokes them.
    pub fn roles_inherited_by(&self, role: &RoleName) -> BTreeSet<RoleName> {
        let old = self.observed.major() < 16;
        let inherits = |member: &observed::Role, membership: &observed::Membership| {
            if old { member.inherit } else { membership.inherit }
        };
        let mut found = self.memberships_from(role, inherits);
        found.insert(role.clone());
        found
    }

    /// Returns whether a role inherits the privileges of `pg_database_owner`: before PostgreSQL 16,
    /// not with `NOINHERIT`. The plan sets `INHERIT` for declared roles.
    pub fn inherits_database_owner(&self, role: &RoleName) -> bool {
        self.observed.major() >= 16
            || self.desired.selects_role(role)
            || self.observed.roles.get(role).is_none_or(|seen| seen.inherit)
    }

    /// Returns whether memberships lead from a role to a group.
    pub fn leads_to(&self, role: &observed::Role, group: &str) -> bool {
        role.memberships.iter().any(|one| {
            one.role.as_str() == group
                || self.roles_of(&one.role).iter().any(|reached| reached.as_str() == group)
        })
    }

    /// Returns the roles of which a role is a member, directly or through others, also through declared ones:
    /// the plan revokes their memberships only if it may change these roles.
    pub fn roles_of(&self, role: &RoleName) -> BTreeSet<RoleName> {
        self.reached_from(role, |_, _| true, |_| false)
    }

    /// Returns the roles of which a role is a member, directly or through others, without the memberships that
    /// the granted roles have granted themselves.
    pub fn roles_of_by_others(&self, role: &RoleName) -> BTreeSet<RoleName> {
        let by_others = |_: &_, one: &observed::Membership| one.grantor != one.role;
        self.reached_from(role, by_others, |_| false)
    }

    /// Returns whether RDS rejects the passwords of the members of a role: it is `rds_iam` or `rds_ad`, or
    /// memberships lead from it to one of them.
    pub fn rejects_passwords(&self, role: &RoleName) -> bool {
        let seen = self.observed.roles.get(role);
        [RDS_IAM, RDS_AD].iter().any(|group| {
            role.as_str() == *group || seen.is_some_and(|seen| self.leads_to(seen, group))
        })
    }

    /// Returns whether memberships of one kind lead from the administrator to a role.
    fn reaches(
        &self,
        role: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
    ) -> bool {
        self.memberships_from(&self.observed.administrator.name, counts).contains(role)
    }

    /// Returns the roles that memberships of one kind lead to. Memberships of declared roles do not
    /// count, because the plan revokes them.
    fn memberships_from(
        &self,
        from: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
    ) -> BTreeSet<RoleName> {
        self.reached_from(from, counts, |name| self.desired.roles.contains_key(name))
    }

    /// Returns the roles that memberships of one kind lead to, without those of some roles.
    fn reached_from(
        &self,
        from: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
        is_left_out: impl Fn(&RoleName) -> bool,
    ) -> BTreeSet<RoleName> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(name) = next.pop() {
            let Some(member) = self.observed.roles.get(name) else { continue };
            if is_left_out(name) {
                continue;
            }
            for membership in member.memberships.iter().filter(|one| counts(member, one)) {
                if reached.insert(membership.role.clone()) {
                    next.push(&membership.role);
                }
            }
        }
        reached
    }

    /// Returns whether the administrator may alter and grant a role. From PostgreSQL 16 on, RDS may
    /// allow more to members of `rds_superuser` than the catalogs show: then a probe decides.
    pub fn may_administer(&self, role: &RoleName) -> Permission {
        let administrator = &self.observed.administrator;
        let declared = self.desired.roles.contains_key(role);
        let denied = |reason: &str| Permission::Denied(format!("role {role} {reason}"));
        let Some(seen) = self.observed.roles.get(role) else {
            let exists_later = administrator.superuser || declared;
            return if exists_later { Permission::Allowed } else { denied("does not exist") };
        };
        if administrator.superuser {
            Permission::Allowed
        } else if seen.superuser {
            denied("is a superuser")
        } else if seen.is_member_of_administrator && !self.desired.selects_role(role) {
            // Memberships cannot form a circle (0LP01); a declared role loses its memberships first.
            denied("is a member of the administrator")
        } else if seen.administrator_has_admin_option
            || self.observed.major() < 16 && administrator.create_role
        {
            Permission::Allowed
        } else {
            self.if_server_allows(Probe::GrantRole(role.clone()))
        }
    }

    /// Returns whether the administrator has an attribute. RDS may allow to members of `rds_superuser`
    /// what the attribute allows: then a probe decides.
    pub fn has_attribute(&self, attribute: AdministratorAttribute) -> Permission {
        let administrator = &self.observed.administrator;
        let (held, probe) = match attribute {
            AdministratorAttribute::CreateRole => (administrator.create_role, Probe::CreateRole),
            AdministratorAttribute::CreateDatabase => {
                (administrator.create_database, Probe::CreateDatabase)
            }
        };
        if administrator.superuser || held {
            Permission::Allowed
        } else {
            self.if_server_allows(probe)
        }
    }

    /// Returns whether the administrator may act as a role. Before PostgreSQL 16, `CREATEROLE` lets it
    /// make itself a member of `rds_superuser`, which no plan uses.
    pub fn may_act_as(&self, role: &RoleName) -> Permission {
        if self.is_member_already(role, MembershipOption::Set) {
            Permission::Allowed
        } else if role.as_str() == RDS_SUPERUSER {
            Permission::Denied(format!("the administrator is not a member of {RDS_SUPERUSER}"))
        } else {
            self.may_administer(role)
        }
    }

    /// Returns whether the server allows a change that the catalogs deny. It can only be allowed to a
    /// member of `rds_superuser`.
    pub fn if_server_allows(&self, probe: Probe) -> Permission {
        if self.observed.administrator.rds_superuser {
            self.answer(probe)
        } else {
            Permission::Denied("the administrator is not a member of rds_superuser".to_owned())
        }
    }

    /// Returns the answer of the server to a probe.
    pub fn answer(&self, probe: Probe) -> Permission {
        match self.observed.probe_results.get(&probe) {
            Some(ProbeResult::Allowed) => Permission::Allowed,
            Some(ProbeResult::Denied(reason)) => Permission::Denied(reason.clone()),
            None => Permission::Unknown(probe),
        }
    }
}
