//! Plans the clone of a role: the second role between which Secrets Manager alternates.
//!
//! The rotation creates the clone and sets its password. The clone has the privileges of the role by
//! its membership only, and owns what an application creates as the clone.

use super::planner::Planner;
use super::{Action, Hazard, NoteKind, RefusalKind, Step, sql};
use crate::desired;
use crate::name::RoleName;
use crate::observed::{self, PasswordCheck};
use crate::rotation_clone::{CurrentUser, RotationClone};
use crate::secret_id::SecretId;

impl Planner<'_> {
    /// Returns the clone of a role, if it exists.
    pub(super) fn existing_clone(&self, role: &RoleName) -> Option<&RoleName> {
        let clone = &self.observed.clones.get(role)?.name;
        self.observed.roles.contains_key(clone).then_some(clone)
    }

    /// Returns whether a role is the clone of another one, or has its name and membership. For a role
    /// whose home is not selected, the secret that would show it is not read.
    pub(super) fn may_be_clone(&self, role: &RoleName, of: &RoleName) -> bool {
        let desired = self.desired;
        let has_membership = || {
            let seen = self.observed.roles.get(role);
            seen.is_some_and(|seen| seen.memberships.iter().any(|one| one.role == *of))
        };
        self.existing_clone(of) == Some(role)
            || desired.roles.contains_key(of)
                && !desired.selects_role(of)
                && !desired.roles.contains_key(role)
                && RotationClone::name_for(of).as_ref() == Some(role)
                && has_membership()
    }

    /// Plans the clone of a declared role, if its secret implies one: the membership that makes it a
    /// clone. Refuses a clone that does not exist and is needed, or that cannot be a clone.
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
        self.membership_of_clone(name, role, clone, seen, steps);
        if *current == CurrentUser::Clone {
            self.password_of_clone(name, role, (clone, seen), secret);
        }
    }

    /// Refuses a clone that an application declares, or that is managed: the rotation would set the
    /// password of the role of another application. Returns whether it refused.
    fn refuse_clone_of_application(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        clone: &RoleName,
    ) -> bool {
        let declared = self.desired.roles.get(clone).map(|other| &other.application);
        let marker = self.observed.roles.get(clone).and_then(observed::Role::marker);
        let recorded = marker.map(|marker| marker.application);
        let Some(application) = declared.map(ToString::to_string).or(recorded) else {
            return false;
        };
        let kind = RefusalKind::CloneOfApplication {
            role: name.clone(),
            clone: clone.clone(),
            application,
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
        steps.push(granted.for_membership_in(name).with_hazards([Hazard::WidensAccess]));
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
