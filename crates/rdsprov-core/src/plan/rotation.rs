//! Plans a rotation: the four steps of Secrets Manager for each password. Only the second one is an SQL statement.
//!
//! If `apply` could not set the password, the rotation is refused, too. Other drift does not
//! prevent it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::planner::Planner;
use super::{
    Action, Hazard, Memberships, NoteKind, Plan, RefusalKind, Scope, SecretFindings, Step,
    Transaction, sql,
};
use crate::desired::Desired;
use crate::observed::{Observed, RDS_IAM};
use crate::rotation::Rotation;

/// The state of the rotation of one password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationState {
    /// The role and its secret.
    pub rotation: Rotation,
    /// The version id with the stage `AWSCURRENT`.
    pub current: String,
    /// The version id with the stage `AWSPENDING`, if a rotation was started.
    pub pending: Option<String>,
    /// The version whose password the server accepts.
    pub active_password: ActivePassword,
    /// The AWS feature or service that rotates the secret, in words.
    pub rotation_owner: Option<String>,
}

/// The version of a secret whose password the server accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivePassword {
    /// The current version.
    Current,
    /// The pending version.
    Pending,
    /// Neither of them: the server has another password.
    Neither,
    /// Not known, for this reason.
    Unknown(String),
}

impl Plan {
    /// Plans a rotation.
    #[must_use]
    pub fn for_rotation(
        desired: &Desired,
        observed: &Observed,
        findings: SecretFindings,
        states: &[RotationState],
    ) -> Self {
        let (desired, observed) = only_passwords(desired, observed, states);
        let mut planner = Planner::new(&desired, &observed, findings);
        // Only the roles are used: each password is set in a separate transaction.
        let settable: BTreeSet<_> = planner
            .roles()
            .into_iter()
            .filter(|step| step.action == Action::SetPassword)
            .filter_map(|step| step.role)
            .collect();
        let mut transactions = Vec::new();
        for state in states {
            planner.refuse_rotation(state);
            if settable.contains(&state.rotation.role) {
                transactions.push(transaction(state));
            }
            if let Some(note) = shared(state) {
                planner.note(note);
            }
        }
        let plan = planner.into_plan(transactions);
        plan.with_digest(&desired, &observed)
    }
}

/// Returns the two states without any difference except the passwords.
fn only_passwords(
    desired: &Desired,
    observed: &Observed,
    states: &[RotationState],
) -> (Desired, Observed) {
    let chosen: BTreeSet<_> = states.iter().map(|state| &state.rotation.role).collect();
    let mut desired = desired.retain_roles(&chosen);
    desired.databases.clear();
    let mut observed = observed.clone();
    observed.password_checks = chosen
        .iter()
        .map(|role| ((*role).clone(), crate::observed::PasswordCheck::ToBeSet))
        .collect();
    for (name, role) in &mut desired.roles {
        // A rotation does not adopt roles.
        role.adopt = false;
        if let Some(seen) = observed.roles.get_mut(name) {
            seen.memberships.retain(|membership| membership.role.as_str() == RDS_IAM);
            seen.memberships.iter_mut().for_each(|membership| membership.admin = false);
        }
    }
    (desired, observed)
}

impl Planner<'_> {
    /// Refuses a rotation that `apply` or AWS must make possible first.
    fn refuse_rotation(&mut self, state: &RotationState) {
        let Rotation { role, secret, application, .. } = &state.rotation;
        let refused = self.is_refused(&state.rotation);
        let seen = self.observed.roles.get(role);
        if let Some(rotation_owner) = &state.rotation_owner {
            let (secret, rotation_owner) = (secret.clone(), rotation_owner.clone());
            self.refuse(application, RefusalKind::RotatedByAws { secret, rotation_owner });
        }
        let role = role.clone();
        let kind = match seen {
            None if !refused => RefusalKind::RoleMissing { role },
            Some(seen) if seen.uses_iam_auth() => RefusalKind::RoleUsesIam { role },
            Some(seen) if !seen.login || seen.expired => RefusalKind::RoleCannotLogIn { role },
            Some(_) if !refused => match &state.active_password {
                ActivePassword::Unknown(reason) => {
                    RefusalKind::LoginUnverified { role, reason: reason.clone() }
                }
                _ => return,
            },
            _ => return,
        };
        self.refuse(application, kind);
    }

    fn is_refused(&self, rotation: &Rotation) -> bool {
        let of = |application| rotation.applications().any(|one| one == application);
        self.findings.refusals.iter().any(|refusal| of(&refusal.application))
    }
}

/// Returns the transaction of one password.
fn transaction(state: &RotationState) -> Transaction {
    let RotationState { rotation, current, pending, active_password, .. } = state;
    let Rotation { role, secret, .. } = rotation;
    let version = pending
        .as_ref()
        .map_or_else(|| "the new version".to_owned(), |version| format!("version {version}"));
    let create = (Action::CreatePending, format!("new password in {secret}, as AWSPENDING"));
    let set = (Action::SetPassword, format!("role {role}, password from {secret} ({version})"));
    let test = (Action::TestPassword, format!("role {role} logs in with the new password"));
    let finish = (
        Action::FinishRotation,
        format!("AWSCURRENT of {secret} moves from version {current} to {version}"),
    );
    let steps = match (pending, active_password) {
        (None, _) => vec![create, set, test, finish],
        (Some(_), ActivePassword::Pending) => vec![test, finish],
        (Some(_), _) => vec![set, test, finish],
    };
    let steps = steps.into_iter().map(|(action, summary)| step(state, action, summary));
    Transaction {
        scope: Scope::Cluster,
        before: None,
        memberships: Memberships::new(),
        memberships_to_restore: std::collections::BTreeMap::new(),
        steps: steps.collect(),
    }
}

fn step(state: &RotationState, action: Action, summary: String) -> Step {
    let Rotation { role, secret, application, .. } = &state.rotation;
    let sets = matches!(action, Action::SetPassword | Action::RestorePassword);
    let statements = sets.then(|| sql::set_password(role, secret));
    let hazard = (action == Action::SetPassword).then_some(Hazard::ResetsPassword);
    Step::new(action, application, summary, statements).for_role(role).with_hazards(hazard)
}

/// Returns the step after a rotation that failed when the password was set: it restores the current password.
#[must_use]
pub fn restore(state: &RotationState) -> Step {
    let Rotation { role, secret, .. } = &state.rotation;
    let summary = format!("role {role}, password from {secret} (version {})", state.current);
    step(state, Action::RestorePassword, summary)
}

fn shared(state: &RotationState) -> Option<NoteKind> {
    let Rotation { role, secret, others, .. } = &state.rotation;
    (!others.is_empty()).then(|| NoteKind::SecretShared {
        secret: secret.clone(),
        role: role.clone(),
        applications: state.rotation.applications().cloned().collect(),
    })
}
