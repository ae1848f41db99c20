//! Plans the clone of a role: the second role between which Secrets Manager alternates.
//!
//! The rotation creates the clone and sets its password. The clone has the privileges of the role by
//! its membership only, and owns what an application creates as the clone. The application logs in as
//! the clone, so that what the clone has in addition is revoked like that of the role.

use super::planner::Planner;
use super::roles::expiry_differs;
use super::{Action, Hazard, NoteKind, RefusalKind, Step, sql};
use crate::desired::{self, Adoption};
use crate::name::RoleName;
use crate::observed::{self, PasswordCheck, RDS_SUPERUSER};
use crate::probe::RevocationScope;
use crate::rotation_clone::{CurrentUser, RotationClone};
use crate::secret_id::SecretId;

impl Planner<'_> {
    /// Returns the clone of a role, if it exists.
    pub(super) fn existing_clone(&self, role: &RoleName) -> Option<&RoleName> {
        let clone = self.observed.clones.get(role)?;
        self.is_known_clone(role, clone).then_some(&clone.name)
    }

    /// Returns whether a role has the membership of a clone: an administrator has granted it, as rotations
    /// do. Before PostgreSQL 15, a role can make any other role its member. From 16 on, so can each role
    /// with `ADMIN OPTION` on the granted role, and needs no power over the member: `CREATEROLE` alone does
    /// not make the grantor an administrator of the clone. A grantor that was dropped proves nothing.
    pub(super) fn is_member_as_clone(
        &self,
        (name, clone): (&RoleName, &observed::Role),
        of: &RoleName,
    ) -> bool {
        let old = self.observed.major() < 16;
        let administers_clone = |one: &observed::Membership| one.admin && one.role == *name;
        let is_administrator = |grantor: &RoleName| {
            *grantor == self.observed.administrator.name
                || self.observed.roles.get(grantor).is_some_and(|seen| {
                    seen.superuser
                        || self.is_delegate(seen)
                        || self.authority.leads_to(seen, RDS_SUPERUSER)
                        || seen.create_role
                            && (old || seen.memberships.iter().any(administers_clone))
                })
        };
        clone.memberships.iter().any(|one| one.role == *of && is_administrator(&one.grantor))
    }

    /// Returns whether the role with the name of a clone exists and is one: it has its membership, or the
    /// secret contains its password, which only a rotation sets, or the definitions adopt it.
    ///
    /// Who can write the secret of an application must not decide about the role of another person.
    fn is_known_clone(&self, role: &RoleName, clone: &RotationClone) -> bool {
        let observed = self.observed;
        let Some(seen) = observed.roles.get(&clone.name) else { return false };
        let has_password = clone.current == CurrentUser::Clone
            && observed.password_checks.get(role) == Some(&PasswordCheck::Accepted);
        self.is_member_as_clone((&clone.name, seen), role)
            || has_password
            || self.adopts_clone(role)
    }

    fn adopts_clone(&self, role: &RoleName) -> bool {
        self.desired.roles.get(role).is_some_and(|one| one.adoption == Adoption::Allowed)
    }

    /// Returns whether the privileges of a role are managed: it is declared, or the clone of a declared
    /// role. A clone has the privileges of its role by its membership, and none of its own.
    pub(super) fn has_managed_privileges(&self, role: &RoleName) -> bool {
        self.desired.roles.contains_key(role) || self.role_of_clone(role).is_some()
    }

    /// Returns the declared role whose clone a role is. The role of another application, which the plan
    /// refuses as a clone, is not one.
    pub(super) fn role_of_clone(&self, clone: &RoleName) -> Option<&RoleName> {
        let (role, one) = self.observed.clones.get_key_value(&RotationClone::role_for(clone)?)?;
        let seen = self.observed.roles.get(clone)?;
        let is_other = self.desired.roles.contains_key(clone)
            || *clone == self.observed.administrator.name
            || seen.marker().is_some();
        (one.name == *clone && !is_other && self.is_known_clone(role, one)).then_some(role)
    }

    /// Returns whether a plan compares a role as the clone of a declared role, so that it revokes what the
    /// role has in addition. Nothing else may leave a role out of the report of undeclared access: who writes
    /// the secret of one application could hide a role in the databases of all others.
    pub(super) fn is_compared_clone(&self, role: &RoleName, seen: &observed::Role) -> bool {
        seen.administered && seen.controllers.is_empty() && self.role_of_clone(role).is_some()
    }

    /// Returns whether a role is the clone of another one, or has its name and membership. For a role
    /// whose home is not selected, the secret that would show it is not read.
    pub(super) fn may_be_clone(&self, role: &RoleName, of: &RoleName) -> bool {
        let desired = self.desired;
        let has_membership = || {
            let seen = self.observed.roles.get(role);
            seen.is_some_and(|seen| self.is_member_as_clone((role, seen), of))
        };
        self.existing_clone(of) == Some(role)
            || desired.roles.contains_key(of)
                && !desired.selects_role(of)
                && !desired.roles.contains_key(role)
                && RotationClone::name_for(of).as_ref() == Some(role)
                && has_membership()
    }

    /// Plans the clone of a declared role, if its secret implies one: the membership that makes it a
    /// clone. Refuses a clone that does not exist and is needed, or that cannot be a clone, or that no
    /// rotation has created and the definitions do not adopt.
    pub(super) fn rotation_clone(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
    ) {
        let observed = self.observed;
        let (Some(clone), Some(secret)) = (observed.clones.get(name), role.secret()) else {
            return;
        };
        let is_known = self.is_known_clone(name, clone);
        let RotationClone { name: clone, current } = clone;
        if self.refuse_clone_of_application(name, role, clone) {
            return;
        }
        let Some(seen) = observed.roles.get(clone) else {
            if *current == CurrentUser::Clone {
                let (secret, role_name) = (secret.clone(), name.clone());
                let kind =
                    RefusalKind::CloneMissing { secret, role: role_name, clone: clone.clone() };
                self.refuse(&role.application, kind);
            }
            return;
        };
        if self.refuse_administrator(clone, role)
            || self.refuse_other_administrator(clone, &role.application, seen)
            || self.refuse_privileged(clone, &role.application, seen)
        {
            return;
        }
        if !seen.administered || !seen.controllers.is_empty() {
            // Without its membership, the rotation does not use it, and nothing else needs it yet.
            if *current == CurrentUser::Clone
                && !self.refuse_controlled_by_others(clone, &role.application, seen)
            {
                self.refuse_without_admin_option(&role.application, clone);
            }
            return;
        }
        if !is_known {
            let kind = RefusalKind::RoleNotManaged { role: clone.clone(), is_delegate: false };
            self.refuse(&role.application, kind);
            return;
        }
        self.membership_of_clone(name, role, clone, seen, steps);
        self.excess_of_clone(name, role, (clone, seen), steps);
        if *current == CurrentUser::Clone {
            self.password_of_clone(name, role, (clone, seen), secret);
        }
    }

    /// Returns the application to which a role belongs, that of the definitions or that of its marker, and
    /// whether it is one of another scope.
    fn application_of_role(&self, role: &RoleName) -> Option<(String, bool)> {
        let declared = self.desired.roles.get(role);
        let declared = declared.map(|role| (role.application.to_string(), false));
        let recorded = || {
            let marker = self.observed.roles.get(role)?.marker()?;
            let is_other_scope = self.desired.is_other_scope(marker.scope.as_deref());
            Some((marker.application, is_other_scope))
        };
        declared.or_else(recorded)
    }

    /// Refuses a role that becomes managed if its name and that of the role of another application are
    /// those of a role and its clone. Whoever may have the secret of the role rotated would set the
    /// password of the clone. Returns whether it refused.
    pub(super) fn refuse_name_of_clone(&mut self, name: &RoleName, role: &desired::Role) -> bool {
        let seen = self.observed.roles.get(name);
        if seen.is_some_and(|seen| self.desired.manages(seen.marker().as_ref())) {
            return false;
        }
        let pairs = [
            RotationClone::role_for(name).map(|of| (of, name.clone())),
            RotationClone::name_for(name).map(|clone| (name.clone(), clone)),
        ];
        for (of, clone) in pairs.into_iter().flatten() {
            let other = if of == *name { &clone } else { &of };
            let Some((application, is_other_scope)) = self.application_of_role(other) else {
                continue;
            };
            if application != role.application.as_str() || is_other_scope {
                let kind = RefusalKind::CloneOfApplication {
                    role: of,
                    clone,
                    application,
                    is_rotated: false,
                };
                self.refuse(&role.application, kind);
                return true;
            }
        }
        false
    }

    /// Refuses a clone that an application declares, or that is managed: the rotation would set the
    /// password of the role of another application. Returns whether it refused.
    fn refuse_clone_of_application(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        clone: &RoleName,
    ) -> bool {
        let Some((application, _)) = self.application_of_role(clone) else { return false };
        let declared = self.desired.roles.get(clone).map(|other| &other.application);
        let kind = RefusalKind::CloneOfApplication {
            role: name.clone(),
            clone: clone.clone(),
            application,
            is_rotated: true,
        };
        for one in [Some(&role.application), declared].into_iter().flatten() {
            if self.desired.is_selected(one) {
                self.refuse(one, kind.clone());
            }
        }
        true
    }

    fn membership_of_clone(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        clone: &RoleName,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let existing: Vec<_> = seen.memberships.iter().filter(|one| one.role == *name).collect();
        if existing.iter().any(|one| one.inherit) {
            return;
        }
        if !self.can_administer(name) {
            self.refuse_without_admin_option(&role.application, name);
            return;
        }
        let (object, statement) = match existing.first() {
            None => ("membership of role", sql::grant_role(name, clone)),
            Some(_) => ("INHERIT OPTION of role", sql::grant_role_with_inherit(name, clone)),
        };
        let summary = format!("{object} {clone} in {name}, whose clone it is");
        let granted = Step::on_role(clone, &role.application, Action::Grant, summary, [statement]);
        // The rotation grants the membership itself, so that it was revoked, or the role was not
        // created by the rotation.
        let adopts = existing.is_empty() && self.adopts_clone(name);
        let hazards = adopts.then_some(Hazard::Adopts).into_iter().chain([Hazard::WidensAccess]);
        steps.push(granted.for_membership_in(name).with_hazards(hazards));
    }

    /// Revokes what a clone has in addition to its role: other memberships, `ADMIN OPTION` on its role,
    /// and `CREATEDB`. The rotation creates the clone without the connection limit and the expiry of the role.
    fn excess_of_clone(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        (clone, seen): (&RoleName, &observed::Role),
        steps: &mut Vec<Step>,
    ) {
        for membership in &seen.memberships {
            let scope = if membership.role != *name {
                RevocationScope::Membership
            } else if membership.admin {
                RevocationScope::AdminOption
            } else {
                continue;
            };
            self.revoke_from_membership(clone, role, seen, membership, scope, steps);
        }
        // The application logs in as the clone, with the limits of the role. The clone needs no attribute with
        // which it could do more, and whether it may log in is a matter of the rotation.
        let compared = observed::Role {
            login: true,
            inherit: true,
            create_role: role.create_role,
            create_database: seen.create_database || role.create_database,
            ..seen.clone()
        };
        let mut changes = Vec::new();
        self.attributes(clone, role, &compared, &mut changes);
        if changes.is_empty() {
            return;
        }
        if !self.can_administer(clone) {
            self.refuse_without_admin_option(&role.application, clone);
            return;
        }
        if expiry_differs(role, &compared) {
            self.password_changes.insert(role.application.clone());
        }
        steps.append(&mut changes);
    }

    /// Reports the password of the secret if it is not known to be that of the clone.
    fn password_of_clone(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        (clone, seen): (&RoleName, &observed::Role),
        secret: &SecretId,
    ) {
        let reason = match self.observed.password_checks.get(name) {
            Some(PasswordCheck::WrongPassword) => {
                let kind = RefusalKind::ClonePasswordWrong {
                    secret: secret.clone(),
                    role: name.clone(),
                    clone: clone.clone(),
                };
                self.refuse(&role.application, kind);
                return;
            }
            Some(PasswordCheck::Inconclusive(reason)) => reason.clone(),
            None if !seen.login || seen.expired || seen.uses_iam_auth() => {
                "the role has NOLOGIN, a password that expired, or a membership in rds_iam"
                    .to_owned()
            }
            Some(PasswordCheck::Accepted | PasswordCheck::NotChecked | PasswordCheck::ToBeSet)
            | None => return,
        };
        self.note(NoteKind::PasswordNotChecked { role: clone.clone(), reason });
    }
}

#[cfg(test)]
mod tests;
