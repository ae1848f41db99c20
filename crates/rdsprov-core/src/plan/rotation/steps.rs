//! Plans a rotation: the four steps of Secrets Manager for each password. Only the second one
//! is an SQL statement.
//!
//! If `apply` could not set the password, the rotation is refused, too. Other drift
//! does not prevent it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::selection::Rotation;
use crate::desired::Desired;
use crate::observed::Observed;
use crate::plan::planner::Planner;
use crate::plan::{
    Action, Hazard, Memberships, NoteKind, Plan, RefusalKind, Scope, SecretFindings, Step,
    Transaction, sql,
};

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
    /// The host and port in the secret, if they are not those of the server.
    pub foreign_endpoint: Option<String>,
}

/// The version of a secret whose password the server accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivePassword {
    /// The version with the stage `AWSCURRENT`.
    Current,
    /// The version with the stage `AWSPENDING`.
    Pending,
    /// Neither of them: the server has another password.
    Neither,
    /// Not known, for this reason.
    Unknown(String),
}

impl Plan {
    /// Plans a rotation. It changes passwords only, and ignores all other differences.
    #[must_use]
    pub fn for_rotation(
        desired: &Desired,
        observed: &Observed,
        findings: SecretFindings,
        states: &[RotationState],
    ) -> Self {
        let mut planner = Planner::new(desired, observed, findings);
        let mut transactions = Vec::new();
        for state in states {
            if planner.may_rotate(state) {
                transactions.push(planner.rotation_transaction(state));
            }
            if let Some(note) = shared(state) {
                planner.note(note);
            }
        }
        let steps: Vec<Step> =
            transactions.iter().flat_map(|one| one.steps.iter().cloned()).collect();
        planner.check_password_rules(&steps);
        planner.check_blue_green(&mut transactions);
        planner.audit(&mut transactions);
        planner.into_plan(transactions, Vec::new())
    }
}

impl Planner<'_> {
    /// Returns whether a password can be rotated, or refuses it if `apply` or AWS must
    /// make it possible first.
    fn may_rotate(&mut self, state: &RotationState) -> bool {
        let Rotation { role: name, secret, application, .. } = &state.rotation;
        let Some(role) = self.desired.roles.get(name) else { return false };
        let seen = self.observed.roles.get(name);
        let may_set_password = match seen {
            Some(seen) => self.may_set_password(name, role, seen),
            None => !self.refuse_renamed(name, role),
        };
        let refused = self.is_refused(&state.rotation);
        if let Some(rotation_owner) = &state.rotation_owner {
            let (secret, rotation_owner) = (secret.clone(), rotation_owner.clone());
            self.refuse(application, RefusalKind::RotatedByAws { secret, rotation_owner });
        }
        if self.refuse_secret_of_other_role(role, |other| other != name) {
            return false;
        }
        if let Some((other, of)) = state.rotation.shared_with.first()
            && !self.marker_names_secret(name, secret)
        {
            let (secret, other, of) = (secret.clone(), other.clone(), of.to_string());
            let kind = RefusalKind::SecretOfOtherRole { secret, other, application: of };
            self.refuse(application, kind);
            return false;
        }
        let role = name.clone();
        let kind = match (seen, &state.active_password) {
            (None, _) if !refused => RefusalKind::RoleMissing { role },
            (Some(seen), _) if let Some((recorded, declared)) = self.other_home(name, seen) => {
                RefusalKind::RoleMarkerDiffers { role, recorded, declared }
            }
            (Some(seen), _) if seen.uses_iam_auth() => RefusalKind::RoleUsesIam { role },
            (Some(seen), _) if !seen.login || seen.expired => RefusalKind::RoleCannotLogIn { role },
            (Some(_), ActivePassword::Unknown(reason)) if !refused => {
                RefusalKind::LoginUnverified { role, reason: reason.clone() }
            }
            (Some(_), ActivePassword::Neither)
                if let Some(endpoint) = state.foreign_endpoint.clone() =>
            {
                let (secret, version) = (secret.clone(), None);
                RefusalKind::SecretOfOtherServer { secret, version, role, endpoint }
            }
            (seen, _) => return may_set_password && seen.is_some(),
        };
        self.refuse(application, kind);
        false
    }

    fn is_refused(&self, rotation: &Rotation) -> bool {
        let of = |application| rotation.applications().any(|one| one == application);
        self.findings.refusals.iter().any(|refusal| of(&refusal.application))
    }

    /// Returns the transaction of one password.
    fn rotation_transaction(&self, state: &RotationState) -> Transaction {
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
        let steps =
            steps.into_iter().map(|(action, summary)| rotation_step(state, action, summary));
        let steps: Vec<Step> = steps.collect();
        Transaction {
            scope: Scope::Cluster,
            before: None,
            memberships: Memberships::new(),
            memberships_to_restore: BTreeMap::new(),
            identities: self.identities(&Scope::Cluster, &steps),
            audit: None,
            steps,
        }
    }
}

fn rotation_step(state: &RotationState, action: Action, summary: String) -> Step {
    let Rotation { role, secret, application, .. } = &state.rotation;
    let sets = matches!(action, Action::SetPassword | Action::RestorePassword);
    let statements = sets.then(|| sql::set_password(role, secret));
    let hazard = (action == Action::SetPassword).then_some(Hazard::ResetsPassword);
    Step::on_role(role, application, action, summary, statements).with_hazards(hazard)
}

/// Returns the step after a rotation that failed when the password was set: it
/// restores the current password.
#[must_use]
pub fn restore(state: &RotationState) -> Step {
    let Rotation { role, secret, .. } = &state.rotation;
    let summary = format!("role {role}, password from {secret} (version {})", state.current);
    rotation_step(state, Action::RestorePassword, summary)
}

fn shared(state: &RotationState) -> Option<NoteKind> {
    let Rotation { role, secret, others, .. } = &state.rotation;
    (!others.is_empty()).then(|| NoteKind::SecretShared {
        secret: secret.clone(),
        role: role.clone(),
        applications: state.rotation.applications().cloned().collect(),
    })
}
