//! Plans the memberships of roles.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::roles::forbidden_attributes;
use super::sql::Dependents;
use super::words::with_holder;
use super::{Action, ExecuteAs, Executor, Hazard, NoteKind, RefusalKind, Step, sql};
use crate::desired::{self, Credential};
use crate::name::{ApplicationName, RoleName};
use crate::observed::{self, Membership, RDS_IAM, RDS_SUPERUSER};
use crate::predefined_role;
use crate::probe::{MembershipRevocation, Probe, RevocationScope};

impl Planner<'_> {
    /// Grants the declared memberships of a role that exists, and revokes all others; `rds_iam` is
    /// declared by `auth = "iam"`. From PostgreSQL 16 on, several grantors can grant one membership,
    /// and each grant depends on the `ADMIN OPTION` of its grantor.
    pub(super) fn memberships(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let grants_depend_on_grantors = self.observed.major() >= 16;
        let is_revoked_with_grantor = |membership: &Membership| {
            grants_depend_on_grantors && self.desired.selects_role(&membership.grantor)
        };
        if self.desired.is_delegate(name) {
            let excess = seen.memberships.iter().filter(|one| !self.is_membership_of_delegate(one));
            for membership in excess.collect::<Vec<_>>() {
                self.revoke_membership(name, role, seen, membership, steps);
            }
            return;
        }
        let uses_iam = role.credential == Credential::Iam;
        let is_declared = |membership: &Membership| {
            uses_iam && membership.role.as_str() == RDS_IAM
                || role.memberships.contains(&membership.role)
        };
        let kept: Vec<&Membership> =
            seen.memberships.iter().filter(|one| !is_revoked_with_grantor(one)).collect();
        let is_in_rds_iam = |one: &&Membership| one.role.as_str() == RDS_IAM;
        // A role that is not yet in `rds_iam` joins it where its password is removed.
        let was_in_rds_iam = seen.memberships.iter().any(|one| is_in_rds_iam(&one));
        if uses_iam && was_in_rds_iam && !kept.iter().any(is_in_rds_iam) {
            self.join_rds_iam(name, role, steps);
        }
        for group in &role.memberships {
            if !self.may_be_member(name, role, group) {
                continue;
            }
            let mut existing = kept.iter().copied().filter(|one| one.role == *group);
            if !existing.clone().any(|one| one.inherit) {
                self.grant_membership(name, role, group, existing.next(), steps);
            }
        }
        for membership in kept {
            if !is_declared(membership) {
                self.revoke_membership(name, role, seen, membership, steps);
            } else if membership.admin {
                let scope = RevocationScope::AdminOption;
                self.revoke_from_membership(name, role, seen, membership, scope, steps);
            }
        }
    }

    /// Returns whether a role may be a member of a group, or refuses it: neither the group nor a role
    /// that it is a member of may be an administrator, or belong to an application. `rdsprov.toml`
    /// permits names, and not what the server has under them.
    pub(super) fn may_be_member(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        group: &RoleName,
    ) -> bool {
        let through = self.authority.roles_of(group);
        // Before PostgreSQL 15, each role can make a predefined role a member of itself. It gives away its
        // own privileges, and must not stop the members of the predefined role with that.
        let through = through.iter().filter(|one| {
            !predefined_role::is_predefined(group) || predefined_role::is_predefined(one)
        });
        // The same holds for every other group: the role of an application that reaches the group by itself
        // gives away its own privileges.
        let not_by_itself = match self.observed.major() {
            15.. => None,
            _ => Some(self.authority.roles_of_by_others(group)),
        };
        let counts = |one: &RoleName| not_by_itself.as_ref().is_none_or(|all| all.contains(one));
        let reason = |one: &RoleName| {
            let of_application =
                || self.application_of_group(one).filter(|_| one == group || counts(one));
            self.power_of_group(one).or_else(of_application)
        };
        let groups = std::iter::once(group).chain(through);
        let Some((reached, reason)) = groups.filter_map(|one| Some((one, reason(one)?))).next()
        else {
            return true;
        };
        let kind = RefusalKind::MembershipForbidden {
            role: name.clone(),
            group: group.clone(),
            through: (reached != group).then(|| reached.clone()),
            reason,
        };
        self.refuse(&role.application, kind);
        false
    }

    /// Returns why the role of an application must not be a member of a role, as the end of a sentence
    /// about the latter.
    fn power_of_group(&self, group: &RoleName) -> Option<String> {
        if predefined_role::controls_server(group) {
            return Some("gives control of the server".to_owned());
        }
        if *group == self.observed.administrator.name {
            return Some("is the administrator of this run".to_owned());
        }
        let seen = self.observed.roles.get(group)?;
        if self.is_delegate(seen) {
            return Some("is a delegate".to_owned());
        }
        let forbidden = forbidden_attributes(seen).next();
        forbidden
            .map(|(attribute, _)| format!("has {attribute}"))
            .or_else(|| self.administrator_power(group, seen))
    }

    /// Returns to which application a role belongs, as the end of a sentence about it.
    fn application_of_group(&self, group: &RoleName) -> Option<String> {
        let declared = self.desired.roles.get(group).map(|role| role.application.to_string());
        let marker = || self.observed.roles.get(group)?.marker().map(|marker| marker.application);
        let application = declared.or_else(marker)?;
        Some(format!("belongs to application {application}"))
    }

    /// Makes a role a member of a predefined role. An `existing` membership without
    /// `INHERIT OPTION` gets it.
    pub(super) fn grant_membership(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        group: &RoleName,
        existing: Option<&Membership>,
        steps: &mut Vec<Step>,
    ) {
        if !self.observed.roles.contains_key(group) {
            let kind = RefusalKind::MembershipRoleMissing {
                role: name.clone(),
                group: group.clone(),
                major: self.observed.major(),
            };
            self.refuse(&role.application, kind);
            return;
        }
        if !self.can_administer(group) {
            self.refuse_without_admin_option(&role.application, group);
            return;
        }
        let (object, statement) = match existing {
            None => ("membership of role", sql::grant_role(group, name)),
            Some(_) => ("INHERIT OPTION of role", sql::grant_role_with_inherit(group, name)),
        };
        let reach = predefined_role::reach(group);
        let members = reach.map(|reach| format!("; its members can {reach}")).unwrap_or_default();
        let summary = format!("{object} {name} in {group}{members}");
        let granted = Step::on_role(name, &role.application, Action::Grant, summary, [statement]);
        // From PostgreSQL 16 on, the creator of the role has ADMIN OPTION on it, which a server can count
        // as membership. The options of an existing membership do not matter for that.
        let reverting = (existing.is_none() && self.authority.rejects_passwords(group))
            .then(|| sql::revoke_granted(group, name, Dependents::Kept));
        let granted = granted.reverted_by(reverting.into_iter().collect());
        let rejects_password = existing.is_none()
            && self.observed.roles.contains_key(name)
            && self.authority.rejects_passwords(group);
        let granted = granted.for_membership_in(group).replacing(rejects_password);
        steps.push(granted.with_hazards(reach.map(|_| Hazard::ReachesBeyondDatabase)));
    }

    /// Returns the application of the revocation of a membership: that of the group, because the group, or a
    /// role that administers it, has granted the membership; without one, that of the grantor. A role that is
    /// not managed loses nothing before its home has adopted it.
    fn application_of_membership<'b>(
        &'b self,
        role: &'b desired::Role,
        seen: &observed::Role,
        membership: &Membership,
    ) -> &'b ApplicationName {
        if !self.desired.manages(seen.marker().as_ref()) {
            return &role.application;
        }
        let selected = |one: &RoleName| {
            let application = self.desired.roles.get(one).map(|role| &role.application);
            application.filter(|one| self.desired.is_selected(one))
        };
        let other = selected(&membership.role).or_else(|| selected(&membership.grantor));
        other.unwrap_or(&role.application)
    }

    /// Returns whether a managed role, or the clone of one, got a membership from a role that does not belong to
    /// its application, in a group that does not either. From PostgreSQL 16 on, a role with `CREATEROLE` can
    /// make each role a member of the roles that it has created.
    fn is_granted_by_others(
        &self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        membership: &Membership,
    ) -> bool {
        let is_own = |name: &RoleName| {
            let declared = self.desired.roles.get(name);
            declared.is_some_and(|one| one.application == role.application)
        };
        let grantor = &membership.grantor;
        let is_superuser = self.observed.roles.get(grantor).is_some_and(|one| one.superuser);
        (self.desired.manages(seen.marker().as_ref()) || self.role_of_clone(name).is_some())
            && !is_superuser
            && *grantor != self.observed.administrator.name
            && !is_own(grantor)
            && !is_own(&membership.role)
    }

    /// Returns whether a role that is not an administrator granted a membership in a role of its own, and not
    /// in a predefined role. It gives away its own privileges: a step that revokes them would be a hazard, and
    /// would need a lock on the grantor, with which it could stop the application.
    pub(super) fn is_given_away(&self, membership: &Membership) -> bool {
        let reached = self.authority.roles_of(&membership.role);
        let mut groups = std::iter::once(&membership.role).chain(&reached);
        let grantor = self.observed.roles.get(&membership.grantor);
        !groups.any(predefined_role::is_predefined)
            && !predefined_role::is_predefined(&membership.grantor)
            && grantor.is_some_and(|grantor| {
                // Before PostgreSQL 16, CREATEROLE administers all roles.
                let administers_all = grantor.create_role && self.observed.major() < 16;
                !grantor.superuser
                    && !administers_all
                    && !self.is_delegate(grantor)
                    && !self.authority.leads_to(grantor, RDS_SUPERUSER)
            })
    }

    fn revoke_membership(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        membership: &Membership,
        steps: &mut Vec<Step>,
    ) {
        let scope = RevocationScope::Membership;
        self.revoke_from_membership(name, role, seen, membership, scope, steps);
    }

    /// Revokes a membership, or a part of it.
    pub(super) fn revoke_from_membership(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        membership: &Membership,
        scope: RevocationScope,
        steps: &mut Vec<Step>,
    ) {
        let group = &membership.role;
        let application = self.application_of_membership(role, seen, membership).clone();
        let major = self.observed.major();
        let dependents: BTreeSet<&RoleName> = seen
            .granted
            .iter()
            .filter(|granted| major >= 16 && membership.admin && granted.role == *group)
            .map(|granted| &granted.member)
            .collect();
        let plain = MembershipRevocation {
            role: group.clone(),
            member: name.clone(),
            grantor: None,
            scope,
            cascade: !dependents.is_empty(),
        };
        let by_grantor =
            MembershipRevocation { grantor: Some(membership.grantor.clone()), ..plain.clone() };
        let unmanaged: Vec<&RoleName> = dependents
            .iter()
            .copied()
            .filter(|member| !self.desired.roles.contains_key(*member))
            .collect();
        let is_foreign = application == role.application
            && self.is_granted_by_others(name, role, seen, membership);
        let left = NoteKind::MembershipByOther {
            role: name.clone(),
            object: match scope {
                RevocationScope::Membership => "a membership".to_owned(),
                RevocationScope::AdminOption => "ADMIN OPTION".to_owned(),
            },
            group: group.clone(),
            grantor: membership.grantor.clone(),
        };
        // With ADMIN OPTION, the role has made others members. It must not keep its own login with that.
        let prevents_its_end = role.is_retired() && !unmanaged.is_empty();
        if is_foreign && self.is_given_away(membership) || prevents_its_end {
            self.note(left);
            return;
        }
        let administrator = &self.observed.administrator;
        // Only a superuser may revoke a membership in a superuser, also one that another role has granted before.
        let needs_superuser = !administrator.superuser
            && self.observed.roles.get(group).is_some_and(|group| group.superuser);
        let executor = match needs_superuser {
            true => Executor::Superuser,
            false => self.executor(&membership.grantor),
        };
        if !unmanaged.is_empty() {
            let again = unmanaged.iter().map(|member| sql::grant_role(group, member));
            // The grantor needs no `GRANTED BY`.
            let revocation = if executor == Executor::Superuser { &by_grantor } else { &plain };
            let statements: Vec<_> = again.chain([sql::revoke_membership(revocation)]).collect();
            self.refuse_with_fix(
                &application,
                RefusalKind::DependentMembership {
                    role: name.clone(),
                    group: group.clone(),
                    members: unmanaged.into_iter().cloned().collect(),
                },
                executor,
                statements,
            );
            return;
        }
        let of_administrator = membership.grantor == administrator.name;
        let authority = self.authority;
        let from_server = |revocation: &MembershipRevocation| {
            authority.if_server_allows(Probe::RevokeMembership(revocation.clone()))
        };
        let (execute_as, revocation) = if major < 16 {
            let may = administrator.superuser
                || (administrator.create_role && !needs_superuser)
                || self.check(from_server(&plain)).is_ok();
            (may.then_some(ExecuteAs::Administrator), plain)
        } else if administrator.superuser {
            (Some(ExecuteAs::Administrator), by_grantor)
        } else if of_administrator && !needs_superuser {
            (Some(ExecuteAs::Administrator), plain)
        } else if let Some(execute_as) =
            self.act_as(&membership.grantor).filter(|_| !needs_superuser)
        {
            (Some(execute_as), plain)
        } else {
            let may = self.check(from_server(&by_grantor)).is_ok();
            (may.then_some(ExecuteAs::Administrator), by_grantor)
        };
        let statement = sql::revoke_membership(&revocation);
        let object = match scope {
            RevocationScope::Membership => "membership of role",
            RevocationScope::AdminOption => "ADMIN OPTION of role",
        };
        match execute_as {
            Some(execute_as) => {
                let words = match dependents.into_iter().map(RoleName::as_str).collect::<Vec<_>>() {
                    none if none.is_empty() => String::new(),
                    some => format!(", and that of {}", with_holder(&some, name)),
                };
                let summary = format!("{object} {name} in {group}{words}");
                let revoked =
                    Step::on_role(name, &application, Action::Revoke, summary, vec![statement]);
                steps.push(revoked.executed_as(execute_as).with_hazards([Hazard::RevokesAccess]));
            }
            // A refusal would let these others stop the application.
            None if is_foreign => self.note(left),
            None => self.refuse_with_fix(
                &application,
                RefusalKind::MembershipNotRevocable {
                    role: name.clone(),
                    group: group.clone(),
                    grantor: membership.grantor.clone(),
                },
                executor,
                statement,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, SecretFindings, test_states};

    /// The role of another team keeps a membership until its own application has adopted the role.
    #[test]
    fn membership_of_a_role_that_is_not_managed_concerns_its_own_application() {
        let desired = test_states::desired_from(
            r#"
            [application_databases]
            hr = { database_name = "hr", username = "hr_owner", adopt = true }
            shop = { database_name = "shop", username = "shop_owner" }
            "#,
        );
        let marker = test_states::marker("shop", "shop_owner", "");
        let managed = test_states::marker("hr", "hr_owner", "");
        for (comment, application) in [(managed.as_str(), "shop"), ("", "hr")] {
            let mut observed = test_states::observed_with_role("shop_owner", &marker);
            let member = test_states::observed_with_role("hr_owner", comment).roles;
            observed.roles.extend(member);
            let group = RoleName::new_unchecked("shop_owner");
            let membership = Membership {
                role: group,
                grantor: observed.administrator.name.clone(),
                admin: false,
                inherit: true,
                set: true,
            };
            let member = observed.roles.get_mut(&RoleName::new_unchecked("hr_owner")).unwrap();
            member.memberships.push(membership);
            let plan = Plan::new(&desired, &observed, SecretFindings::default());
            let revoked: Vec<&str> = plan
                .steps()
                .filter(|step| {
                    step.summary.starts_with("membership of role hr_owner in shop_owner")
                })
                .map(|step| step.application.as_str())
                .collect();
            assert_eq!(revoked, [application], "{}", plan.to_text());
        }
    }
}
