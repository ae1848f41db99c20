//! The restriction of a plan to selected applications.
//!
//! A restricted plan covers the roles that have their homes in selected applications, and the
//! databases that selected applications use. In these
//! databases, the other applications are declared as well, so that nothing of theirs is revoked;
//! but their steps, refusals and notes are left out. A selected application whose steps depend on a
//! step that is left out is refused.

use super::acl::Revoke;
use super::planner::Planner;
use super::{Action, NoteKind, RefusalKind, Step};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::privilege::AccessLevel;

/// The numbers of refusals and notes before a database is planned.
pub(super) struct FindingCounts {
    refusals: usize,
    notes: usize,
}

impl Planner<'_> {
    /// Refuses an application that depends on what another application declares.
    pub(super) fn refuse_not_selected(
        &mut self,
        application: &ApplicationName,
        needed: &ApplicationName,
        reason: &str,
    ) {
        if self.desired.is_selected(application) {
            let (reason, needed) = (reason.to_owned(), needed.clone());
            self.refuse(application, RefusalKind::ApplicationNotSelected { reason, needed });
        }
    }

    /// Refuses the selected applications of a database if they depend on a step of the application
    /// that declares the database, and this application is not selected. Returns whether it refused.
    pub(super) fn refuse_left_out(
        &mut self,
        database: &desired::Database,
        reason: impl Fn() -> String,
    ) -> bool {
        let needed = &database.application;
        if self.desired.is_selected(needed) {
            return false;
        }
        for access in database.access.values() {
            self.refuse_not_selected(&access.application, needed, &reason());
        }
        true
    }

    /// Refuses a selected application if a revocation from the role of another application would
    /// also end an undeclared privilege of its role: the revocation is left out.
    pub(super) fn refuse_shared_revocation(
        &mut self,
        database: &desired::Database,
        revoke: &Revoke,
    ) {
        let Some(grantor) = revoke.grantee.role() else { return };
        let needed = self.application_of_privilege(Some(grantor), database).clone();
        if self.desired.is_selected(&needed) {
            return;
        }
        for role in revoke.dependents.iter().filter_map(|dependent| dependent.role()) {
            let application = self.application_of_privilege(Some(role), database).clone();
            let reason = format!(
                "role {role} has an undeclared privilege through a grant option of role {grantor}"
            );
            self.refuse_not_selected(&application, &needed, &reason);
        }
    }

    /// Leaves out of the steps in a database those of applications that are not selected. Refuses
    /// the selected applications whose steps depend on one of them. A teardown retains the steps on
    /// the roles of its build.
    pub(super) fn retain_selected<const N: usize>(
        &mut self,
        name: &DatabaseName,
        lists: [&mut Vec<Step>; N],
    ) {
        if self.desired.torn_down_build.is_some() {
            // The database is declared only so that the roles of the build lose what they have in it.
            let roles = &self.desired.roles;
            let is_of_build =
                |step: &mut Step| step.role.as_ref().is_some_and(|role| roles.contains_key(role));
            for list in lists {
                list.retain_mut(is_of_build);
            }
            return;
        }
        if self.desired.only.is_empty() {
            return;
        }
        let mut left_out = Vec::new();
        let mut retained = Vec::new();
        for list in lists {
            left_out
                .extend(list.extract_if(.., |step| !self.desired.is_selected(&step.application)));
            retained.extend(list.iter().cloned());
        }
        for step in &retained {
            if let Some(other) = left_out.iter().find(|other| depends_on(step, other)) {
                let reason = match other.action {
                    Action::Adopt => format!("database {name} is not managed by rdsprov yet"),
                    _ => format!("database {name} is not as declared"),
                };
                self.refuse_not_selected(&step.application, &other.application, &reason);
            }
            for role in step.memberships().into_keys().chain(step.role.clone()) {
                self.refuse_missing_role(&role, step);
            }
        }
    }

    /// Refuses a step for a role whose home is not selected, if the role does not exist or is not
    /// managed: only the plan of its home checks whether it may be adopted.
    fn refuse_missing_role(&mut self, role: &RoleName, step: &Step) {
        let declared = self.desired.roles.get(role).map(|role| &role.application);
        let Some(home) = declared.filter(|home| !self.desired.is_selected(home)) else { return };
        let reason = match self.observed.roles.get(role) {
            None => format!("role {role} does not exist"),
            Some(seen) if !self.desired.manages(seen.marker().as_ref()) => {
                format!("role {role} is not managed by rdsprov yet")
            }
            Some(_) => return,
        };
        self.refuse_not_selected(&step.application, home, &reason);
    }

    /// Returns the numbers of refusals and notes, for [`Self::retain_findings`].
    pub(super) fn count_findings(&self) -> FindingCounts {
        FindingCounts { refusals: self.findings.refusals.len(), notes: self.findings.notes.len() }
    }

    /// Leaves out the refusals and notes about a database that do not concern a selected
    /// application. A refusal because of which the plan does not contain all steps in the database
    /// becomes one of the first selected application.
    pub(super) fn retain_findings(
        &mut self,
        before: &FindingCounts,
        name: &DatabaseName,
        database: &desired::Database,
    ) {
        self.retain_selected_findings(before, database);
        let desired = self.desired;
        let mut selected =
            database.access.values().filter(|access| desired.is_selected(&access.application));
        if !selected.all(|access| access.level == AccessLevel::None) {
            return;
        }
        // The owner of a database can prevent that it is read or changed. This does not prevent the end of
        // logins and memberships.
        for refusal in self.findings.refusals.split_off(before.refusals) {
            let database = name.clone();
            // A retirement selects no application that would have to be selected as well.
            let reason = match refusal.kind {
                RefusalKind::ApplicationNotSelected { reason, .. } => reason,
                _ => refusal.message(),
            };
            self.note(NoteKind::UndeclaredDatabaseUnreadable { database, reason });
        }
    }

    fn retain_selected_findings(&mut self, before: &FindingCounts, database: &desired::Database) {
        let desired = self.desired;
        let Some(entry) = desired.selected_entry(database).filter(|_| !desired.only.is_empty())
        else {
            return;
        };
        for refusal in self.findings.refusals.split_off(before.refusals) {
            if desired.is_selected(&refusal.application) {
                self.findings.refusals.push(refusal);
            } else if refusal.application == database.application && refusal.kind.hides_steps()
                || matches!(refusal.kind, RefusalKind::DependentGrant { .. })
            {
                self.refuse_with(entry, refusal.kind, refusal.remedy);
            }
        }
        let notes = self.findings.notes.split_off(before.notes);
        let is_retained = |kind: &NoteKind| {
            kind.subject()
                .is_none_or(|role| desired.is_selected(self.application_for(role, database)))
        };
        let notes: Vec<_> = notes.into_iter().filter(|note| is_retained(&note.0)).collect();
        self.findings.notes.extend(notes);
    }
}

/// Returns whether a step in a database is possible or correct only after another one, whose
/// application is not selected.
fn depends_on(step: &Step, other: &Step) -> bool {
    match other.action {
        Action::Adopt
        | Action::CreateDatabase
        | Action::AlterDatabase
        | Action::AlterSchema
        | Action::ReassignOwned => true,
        // The privilege with which the step is executed.
        Action::Grant => {
            other.role.as_ref().is_some_and(|role| step.memberships().contains_key(role))
        }
        _ => false,
    }
}

impl RefusalKind {
    /// Returns whether the planner does not compare everything in the database after this refusal,
    /// so that steps of other applications can be missing.
    fn hides_steps(&self) -> bool {
        !matches!(
            self,
            Self::AccessNotDeclared { .. }
                | Self::StepOfOtherRole { .. }
                | Self::SchemaUsageMissing { .. }
                | Self::ObjectNotTransferable { .. }
                | Self::ObjectsOfDeclaredRole { .. }
                | Self::ObjectsOfPredefinedRole { .. }
                | Self::SettingRejected { .. }
                | Self::SettingNotResettable { .. }
        )
    }
}

impl NoteKind {
    /// Returns the role that a note about a database is about, if it is about a single one.
    fn subject(&self) -> Option<&RoleName> {
        match self {
            Self::PrivilegeThroughPublic { role, .. } | Self::LargeObjectsOwned { role, .. } => {
                Some(role)
            }
            Self::UndeclaredAccess { access, .. } => Some(&access.role),
            Self::ObjectsOfAdministrator { owner, .. } => Some(owner),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
