//! The plan of a rotation: Secrets Manager's four steps for each password, of which only the second is a
//! statement. What stands in the way of setting a password stands in its way, too; other drift does not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::planner::Planner;
use super::{
    Action, FORMAT_VERSION, Hazard, Memberships, Plan, Scope, SecretFindings, Statement, Step,
    Transaction, sql,
};
use crate::desired::Desired;
use crate::name::ApplicationName;
use crate::observed::{Observed, RDS_IAM};
use crate::rotation::Rotation;

/// Where the rotation of one password stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationState {
    /// Whose, and where it is kept.
    pub rotation: Rotation,
    /// The version that is `AWSCURRENT`.
    pub current: String,
    /// The version that is `AWSPENDING`, where a rotation was begun.
    pub pending: Option<String>,
    /// Which of them the server has.
    pub active_password: ActivePassword,
    /// Who else rotates the secret, in words.
    pub rotation_owner: Option<String>,
}

/// Which password logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivePassword {
    /// That of the version that is current.
    Current,
    /// That of the version that is pending.
    Pending,
    /// Another one.
    Neither,
    /// It cannot be told, and why.
    Unknown(String),
}

impl Plan {
    /// What a rotation would do.
    #[must_use]
    pub fn for_rotation(
        desired: &Desired,
        observed: &Observed,
        findings: SecretFindings,
        states: &[RotationState],
    ) -> Self {
        let (desired, observed) = only_passwords(desired, observed, states);
        let mut planner = Planner::new(&desired, &observed, findings);
        // The statements are not needed: each password is set in a transaction of its own.
        let settable: BTreeSet<_> = planner
            .roles()
            .into_iter()
            .filter(|step| step.action == Action::SetPassword)
            .filter_map(|step| step.role)
            .collect();
        let mut transactions = Vec::new();
        for state in states {
            planner.stands_in_the_way(state);
            if settable.contains(&state.rotation.role) {
                transactions.push(transaction(state));
            }
            planner.findings.notes.extend(shared(state));
        }
        let mut notes = BTreeSet::new();
        planner.findings.notes.retain(|note| notes.insert(note.clone()));
        let plan = Self {
            format_version: FORMAT_VERSION,
            environment: desired.environment.clone(),
            digest: String::new(),
            observed: String::new(),
            server_major: observed.major(),
            transactions,
            refusals: planner.findings.refusals,
            orphaned: Vec::new(),
            undeclared: Vec::new(),
            notes: planner.findings.notes,
            deferred: Vec::new(),
            applications: Vec::new(),
            probes: planner.probes.into_inner(),
        };
        plan.with_digest(&desired, &observed)
    }
}

/// The two states, made to differ in nothing but the passwords.
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
        // What is not managed is not taken over on the way.
        role.adopt = false;
        if let Some(seen) = observed.roles.get_mut(name) {
            seen.memberships.retain(|membership| membership.role.as_str() == RDS_IAM);
            seen.memberships.iter_mut().for_each(|membership| membership.admin = false);
        }
    }
    (desired, observed)
}

impl Planner<'_> {
    /// What `apply` would have to do first, or somebody else.
    fn stands_in_the_way(&mut self, state: &RotationState) {
        let Rotation { role, secret, application, .. } = &state.rotation;
        let refused = self.is_refused(&state.rotation);
        let apply = || "run `rdsprov apply` first".to_owned();
        let seen = self.observed.roles.get(role);
        if let Some(rotation_owner) = &state.rotation_owner {
            self.refuse(
                application,
                format!("secret {secret} is rotated already: {rotation_owner}"),
                "let that rotate it (aws secretsmanager rotate-secret), or end it first (aws secretsmanager cancel-rotate-secret)".to_owned(),
            );
        }
        match seen {
            None if !refused => self.refuse(
                application,
                format!("role {role} does not exist on this server"),
                "run `rdsprov apply` first: it makes the role with the password that is current"
                    .to_owned(),
            ),
            Some(seen) if seen.uses_iam_auth() => self.refuse(
                application,
                format!("role {role} is a member of {RDS_IAM}, and logs in with no password yet"),
                apply(),
            ),
            Some(seen) if !seen.login || seen.expired => self.refuse(
                application,
                format!(
                    "role {role} may not log in (NOLOGIN, or VALID UNTIL is past): a new password could not be tested"
                ),
                apply(),
            ),
            Some(_) if !refused => {
                if let ActivePassword::Unknown(reason) = &state.active_password {
                    self.refuse(
                        application,
                        format!(
                            "whether role {role} can log in cannot be told, and so no new password could be tested: {reason}"
                        ),
                        "see to that first; nothing was changed".to_owned(),
                    );
                }
            }
            _ => {}
        }
    }

    fn is_refused(&self, rotation: &Rotation) -> bool {
        let of = |application| rotation.applications().any(|one| one == application);
        self.findings.refusals.iter().any(|refusal| of(&refusal.application))
    }
}

/// One password is one transaction in the plan: what of it is a statement holds or does not.
fn transaction(state: &RotationState) -> Transaction {
    let RotationState { rotation, current, pending, active_password, .. } = state;
    let Rotation { role, secret, .. } = rotation;
    let version = pending.as_ref().map_or_else(
        || "the version made above".to_owned(),
        |version| format!("version {version}"),
    );
    let create = (Action::CreatePending, format!("a new password in {secret}, as AWSPENDING"));
    let set = (Action::SetPassword, format!("role {role}, password from {secret} ({version})"));
    let test = (Action::TestPassword, format!("role {role} logs in with it"));
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
    let statements: Vec<Statement> =
        sets.then(|| sql::set_password(role, secret)).into_iter().collect();
    let hazards = (action == Action::SetPassword).then_some(Hazard::ResetsPassword);
    Step {
        role: Some(role.clone()),
        hazards: hazards.into_iter().collect(),
        ..Step::plain(action, application, summary, statements)
    }
}

/// What is done where a rotation fails after the password was set: the one that is current is put back.
#[must_use]
pub fn restore(state: &RotationState) -> Step {
    let Rotation { role, secret, .. } = &state.rotation;
    let summary = format!("role {role}, password from {secret} (version {}) again", state.current);
    step(state, Action::RestorePassword, summary)
}

fn shared(state: &RotationState) -> Option<String> {
    let Rotation { role, secret, others, .. } = &state.rotation;
    (!others.is_empty()).then(|| {
        let applications = state.rotation.applications();
        let names: Vec<&str> = applications.map(ApplicationName::as_str).collect();
        format!(
            "{} log in as role {role} with secret {secret}: one rotation is for all of them",
            names.join(" and ")
        )
    })
}
