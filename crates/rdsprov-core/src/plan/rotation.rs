//! The plan of a rotation: Secrets Manager's four steps for each password, of which only the second is a
//! statement. What stands in the way of setting a password stands in its way, too; other drift does not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::diff::Planner;
use super::{
    Action, FORMAT_VERSION, Findings, Hazard, Memberships, Plan, Scope, Statement, Step,
    Transaction, sql,
};
use crate::desired::Desired;
use crate::name::ApplicationName;
use crate::observed::{Observed, RDS_IAM};
use crate::rotation::Rotation;

/// Where the rotation of one password stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose, and where it is kept.
    pub rotation: Rotation,
    /// The version that is `AWSCURRENT`.
    pub current: String,
    /// The version that is `AWSPENDING`, where a rotation was begun.
    pub pending: Option<String>,
    /// Which of them the server has.
    pub held: Held,
    /// Who else rotates the secret, in words.
    pub keeper: Option<String>,
}

/// Which password logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
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
    pub fn of_rotation(
        desired: &Desired,
        observed: &Observed,
        findings: Findings,
        standings: &[Standing],
    ) -> Self {
        let (desired, observed) = only_passwords(desired, observed, standings);
        let mut planner = Planner::new(&desired, &observed, findings);
        // The statements are not needed: each password is set in a transaction of its own.
        let settable: BTreeSet<_> = planner
            .roles()
            .into_iter()
            .filter(|step| step.action == Action::SetPassword)
            .filter_map(|step| step.role)
            .collect();
        let mut transactions = Vec::new();
        for standing in standings {
            planner.stands_in_the_way(standing);
            if settable.contains(&standing.rotation.role) {
                transactions.push(transaction(standing));
            }
            planner.findings.notes.extend(shared(standing));
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
            unseen: Vec::new(),
            applications: Vec::new(),
            open_questions: planner.open_questions.into_inner(),
        };
        plan.sealed(&desired, &observed)
    }
}

/// The two states, made to differ in nothing but the passwords.
fn only_passwords(
    desired: &Desired,
    observed: &Observed,
    standings: &[Standing],
) -> (Desired, Observed) {
    let chosen: BTreeSet<_> = standings.iter().map(|standing| &standing.rotation.role).collect();
    let mut desired = desired.narrowed_to(&chosen);
    desired.databases.clear();
    let mut observed = observed.clone();
    observed.logins =
        chosen.iter().map(|role| ((*role).clone(), crate::observed::Login::ToBeSet)).collect();
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
    fn stands_in_the_way(&mut self, standing: &Standing) {
        let Rotation { role, secret, application, .. } = &standing.rotation;
        let refused = self.is_refused(&standing.rotation);
        let apply = || "run `rdsprov apply` first".to_owned();
        let seen = self.observed.roles.get(role);
        if let Some(keeper) = &standing.keeper {
            self.refuse(
                application,
                format!("secret {secret} is rotated already: {keeper}"),
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
            Some(seen) if seen.comes_with_token() => self.refuse(
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
                if let Held::Unknown(reason) = &standing.held {
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
fn transaction(standing: &Standing) -> Transaction {
    let Standing { rotation, current, pending, held, .. } = standing;
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
    let steps = match (pending, held) {
        (None, _) => vec![create, set, test, finish],
        (Some(_), Held::Pending) => vec![test, finish],
        (Some(_), _) => vec![set, test, finish],
    };
    let steps = steps.into_iter().map(|(action, summary)| step(standing, action, summary));
    Transaction {
        scope: Scope::Cluster,
        before: None,
        memberships: Memberships::new(),
        restored: std::collections::BTreeMap::new(),
        steps: steps.collect(),
    }
}

fn step(standing: &Standing, action: Action, summary: String) -> Step {
    let Rotation { role, secret, application, .. } = &standing.rotation;
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
pub fn restore(standing: &Standing) -> Step {
    let Rotation { role, secret, .. } = &standing.rotation;
    let summary =
        format!("role {role}, password from {secret} (version {}) again", standing.current);
    step(standing, Action::RestorePassword, summary)
}

fn shared(standing: &Standing) -> Option<String> {
    let Rotation { role, secret, others, .. } = &standing.rotation;
    (!others.is_empty()).then(|| {
        let applications = standing.rotation.applications();
        let names: Vec<&str> = applications.map(ApplicationName::as_str).collect();
        format!(
            "{} log in as role {role} with secret {secret}: one rotation is for all of them",
            names.join(" and ")
        )
    })
}
