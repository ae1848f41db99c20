//! Carrying out a rotation, one password after another: create, set, test, finish.
//!
//! PostgreSQL has one password per role. From the commit that sets the new one until `AWSCURRENT` has moved,
//! who reads the secret gets one that does not log in; so whatever fails in between, or is told to stop, puts
//! the old one back. Only who is killed there cannot: then the next `apply` sets what is current again, or the
//! next rotation finds that what is pending logs in, and finishes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::apply::{
    ExecuteOptions, ExecutionOutcome, Report, StepResult, StepStatus, apply, stopped,
};
use super::provisioner::{Lock, Provisioner, RunError};
use super::{RunSlots, observe, password_check};
use crate::name::DatabaseName;
use crate::observed::{Observed, PasswordCheck};
use crate::plan::rotation::{ActivePassword, RotationState, restore};
use crate::plan::{Action, Plan, Refusal, SecretFindings, Step, Transaction};
use crate::rotation::{Rotation, RotationError};
use crate::secrets::aws::SecretsManager;
use crate::secrets::validate::mismatches;
use crate::secrets::{
    Password, RotationOwner, Secret, SecretError, SecretSource, Stages, Version, VersionsError,
};

/// How often the old password is tried to be put back.
const RESTORES: u32 = 3;

/// A rotation that was planned: what would be done, and the secrets that it is done with.
pub struct PlannedRotation {
    /// The plan: four steps for each password, or what is left of them.
    pub plan: Plan,
    candidates: Vec<Candidate>,
}

/// One password to be rotated, with what its secret says.
struct Candidate {
    state: RotationState,
    current: Version,
    pending: Option<Version>,
    /// Where the role may log in.
    login_database: DatabaseName,
}

/// How a rotation is carried out.
#[derive(Default)]
pub struct RotateOptions<'a> {
    /// Told of each password's steps as they end.
    pub report: Option<&'a Report<'a>>,
    /// Ends the rotation once it holds `true`: what is not finished is put back.
    pub stop: Option<watch::Receiver<bool>>,
}

/// Whether a source has versions to rotate by.
///
/// # Errors
/// [`RotationError::NoVersions`] where it has none.
pub fn check_source(source: &SecretSource) -> Result<(), RotationError> {
    manager(source).map(drop)
}

fn manager(source: &SecretSource) -> Result<&SecretsManager, RotationError> {
    match source {
        SecretSource::Aws(manager) => Ok(manager),
        SecretSource::Files(_) | SecretSource::Own(_) => Err(RotationError::NoVersions),
    }
}

impl Provisioner {
    /// Looks at secrets and roles, and plans. To be called with the lock held: who waited for another
    /// rotation reads what that one has left.
    ///
    /// # Errors
    /// Where the server or Secrets Manager cannot be asked. What is wrong with single secrets becomes
    /// refusals of the plan.
    pub async fn plan_rotation(&self, rotations: &[Rotation]) -> Result<PlannedRotation, RunError> {
        let observed = observe::shared(&self.admin_session, &[]).await?;
        let mut findings = SecretFindings::default();
        let mut candidates = Vec::new();
        for rotation in rotations {
            match self.candidate(rotation, &observed, &mut findings).await {
                Ok(candidate) => candidates.extend(candidate),
                Err(VersionsError::Source(error)) => return Err(error.into()),
                Err(VersionsError::Secret(error)) => findings.refusals.push(Refusal {
                    application: rotation.application.clone(),
                    message: error.to_string(),
                    remedy: "see to the secret, then run again".to_owned(),
                    manual_fix: None,
                }),
            }
        }
        let states: Vec<RotationState> =
            candidates.iter().map(|candidate| candidate.state.clone()).collect();
        let plan = |observed: &Observed| {
            Plan::for_rotation(&self.desired, observed, findings.clone(), &states)
        };
        Ok(PlannedRotation { plan: self.resolve_probes(observed, plan).await?.1, candidates })
    }

    /// Reads the versions of a secret, and asks the server which of them it has.
    async fn candidate(
        &self,
        rotation: &Rotation,
        observed: &Observed,
        findings: &mut SecretFindings,
    ) -> Result<Option<Candidate>, VersionsError> {
        let Some(declared) = self.desired.roles.get(&rotation.role) else { return Ok(None) };
        let SecretSource::Aws(manager) = &self.source else { return Ok(None) };
        let id = &rotation.secret;
        let Stages { current: current_id, pending: pending_id, rotation_owner } =
            manager.stages(id).await?;
        let current = manager.version(id, &current_id).await?;
        let pending = match &pending_id {
            Some(version) => Some(manager.version(id, version).await?),
            None => None,
        };
        // How long the one is that goes does not matter any more.
        let versions = pending.iter().map(|version| (version, self.minimum_length));
        for (version, minimum_length) in versions.chain([(&current, 0)]) {
            let wrong = mismatches(&self.desired, &rotation.role, &version.secret, minimum_length);
            findings.refusals.extend(wrong.into_iter().map(|(message, remedy)| Refusal {
                application: rotation.application.clone(),
                message: match &version.secret.version {
                    Some(version) => format!("{message} (version {version})"),
                    None => message,
                },
                remedy: remedy.to_owned(),
                manual_fix: None,
            }));
        }
        let login_database =
            password_check::login_database(&self.desired, observed, &rotation.role).clone();
        let active_password =
            if password_check::can_verify_password(observed, &rotation.role, declared) {
                self.active_password(rotation, &login_database, &current, pending.as_ref()).await
            } else {
                ActivePassword::Neither
            };
        let rotation_owner = rotation_owner.map(|rotation_owner| match rotation_owner {
            RotationOwner::Rotation => "Secrets Manager's own rotation is on".to_owned(),
            RotationOwner::Service(name) => format!("it belongs to the service {name}"),
        });
        let state = RotationState {
            rotation: rotation.clone(),
            current: current_id,
            pending: pending_id,
            active_password,
            rotation_owner,
        };
        Ok(Some(Candidate { state, current, pending, login_database }))
    }

    async fn active_password(
        &self,
        rotation: &Rotation,
        login_database: &DatabaseName,
        current: &Version,
        pending: Option<&Version>,
    ) -> ActivePassword {
        let versions = pending.map(|version| (version, ActivePassword::Pending));
        for (version, active_password) in
            versions.into_iter().chain([(current, ActivePassword::Current)])
        {
            match self.try_login(rotation, login_database, &version.secret.password).await {
                PasswordCheck::Accepted => return active_password,
                PasswordCheck::Inconclusive(reason) => return ActivePassword::Unknown(reason),
                PasswordCheck::WrongPassword
                | PasswordCheck::NotChecked
                | PasswordCheck::ToBeSet => {}
            }
        }
        ActivePassword::Neither
    }

    async fn try_login(
        &self,
        rotation: &Rotation,
        login_database: &DatabaseName,
        password: &Password,
    ) -> PasswordCheck {
        let target = self.admin.as_role(rotation.role.clone(), password.clone());
        password_check::login(&target, login_database).await
    }

    /// Carries out what was planned, one password after another; the first failure ends it. What went wrong
    /// is in the outcome. `committed` there says that something is another way now than it was.
    pub async fn rotate(
        &self,
        lock: &Lock,
        planned: &PlannedRotation,
        options: &RotateOptions<'_>,
    ) -> ExecutionOutcome {
        let mut outcome = ExecutionOutcome { steps: Vec::new(), committed: false, error: None };
        let manager = match manager(&self.source) {
            Ok(manager) => manager,
            Err(error) => return ExecutionOutcome { error: Some(error.to_string()), ..outcome },
        };
        for candidate in &planned.candidates {
            let role = Some(&candidate.state.rotation.role);
            let of_role = |transaction: &&Transaction| {
                transaction.steps.iter().any(|step| step.role.as_ref() == role)
            };
            let Some(transaction) = planned.plan.transactions.iter().find(of_role) else {
                continue;
            };
            let mut steps = transaction.steps.clone();
            let results = if outcome.error.is_some() {
                steps.iter().map(|_| ended(StepStatus::NotRun, Duration::ZERO)).collect()
            } else {
                let rotation_run =
                    RotationRun { run: self, manager, lock, plan: &planned.plan, candidate };
                rotation_run.run(transaction, &mut steps, options.stop.clone(), &mut outcome).await
            };
            if let Some(report) = options.report {
                report(&steps, &results);
            }
            outcome.steps.extend(results);
        }
        outcome
    }
}

/// The rotation of one password.
struct RotationRun<'a> {
    run: &'a Provisioner,
    manager: &'a SecretsManager,
    lock: &'a Lock,
    plan: &'a Plan,
    candidate: &'a Candidate,
}

/// Why a step failed, in words.
type StepFailure = String;

impl RotationRun<'_> {
    /// The steps in order, and where one fails, the way back: that becomes a step of its own.
    async fn run(
        &self,
        transaction: &Transaction,
        steps: &mut Vec<Step>,
        stop: Option<watch::Receiver<bool>>,
        outcome: &mut ExecutionOutcome,
    ) -> Vec<StepResult> {
        let mut pending = self.candidate.pending.as_ref().map(|version| version.secret.clone());
        // Whether the server may have the pending password while the other one is current.
        let mut set = self.candidate.state.active_password == ActivePassword::Pending;
        let mut results = Vec::new();
        let mut failure = None;
        for step in &transaction.steps {
            if failure.is_some() {
                results.push(ended(StepStatus::NotRun, Duration::ZERO));
                continue;
            }
            let started = Instant::now();
            let result = if stop.as_ref().is_some_and(|stop| *stop.borrow()) {
                Err("stopped by a signal".to_owned())
            } else {
                set |= step.action == Action::SetPassword;
                self.step(step, transaction, &mut pending, stop.clone()).await
            };
            let status = match result {
                Ok(()) => StepStatus::Success,
                Err(message) => {
                    failure = Some(message.clone());
                    StepStatus::Error(message)
                }
            };
            results.push(ended(status, started.elapsed()));
        }
        let role = &self.candidate.state.rotation.role;
        match failure {
            None => outcome.committed = true,
            Some(failure) if !set => {
                outcome.error =
                    Some(format!("{failure}; the password of role {role} is as it was"));
            }
            Some(failure) => {
                let started = Instant::now();
                let step = restore(&self.candidate.state);
                let result = self.restore_password(&step, transaction).await;
                let (status, what) = match result {
                    Ok(()) => {
                        let what =
                            format!("the password of role {role} that is current was put back");
                        (StepStatus::Success, what)
                    }
                    Err(error) => {
                        outcome.committed = true;
                        let what = format!(
                            "and the password of role {role} that is current could not be put back: {error}; run `rdsprov apply`, which sets it"
                        );
                        (StepStatus::Error(error), what)
                    }
                };
                outcome.error = Some(format!("{failure}; {what}"));
                steps.push(step);
                results.push(ended(status, started.elapsed()));
            }
        }
        results
    }

    async fn step(
        &self,
        step: &Step,
        transaction: &Transaction,
        pending: &mut Option<Secret>,
        stop: Option<watch::Receiver<bool>>,
    ) -> Result<(), StepFailure> {
        if step.action == Action::CreatePending {
            let created = tokio::select! {
                biased;
                created = self.create() => created,
                () = stopped(stop) => Err("stopped by a signal".to_owned()),
            };
            *pending = Some(created?);
            return Ok(());
        }
        let Some(pending) = pending else {
            return Err("no version is pending".to_owned());
        };
        match step.action {
            Action::SetPassword => self.set(self.lock, step, transaction, pending, stop).await,
            Action::TestPassword => tokio::select! {
                biased;
                tested = self.test(pending) => tested,
                () = stopped(stop) => Err("stopped by a signal".to_owned()),
            },
            // Not ended half-way: nobody would know which version is current.
            _ => self.finish(pending).await,
        }
    }

    /// A new password beside all else that the current version says.
    async fn create(&self) -> Result<Secret, StepFailure> {
        let text_of = |error: &dyn ToString| error.to_string();
        let id = &self.candidate.state.rotation.secret;
        let current = &self.candidate.current;
        let password =
            Password::generate(self.run.minimum_length).map_err(|error| text_of(&error))?;
        let text = current.with_password(&password).map_err(|error| text_of(&error))?;
        let version = self.manager.put_pending(id, text).await.map_err(|error| text_of(&error))?;
        Ok(Secret { password, version: Some(version), ..current.secret.clone() })
    }

    /// One transaction with the verifier of a password.
    async fn set(
        &self,
        lock: &Lock,
        step: &Step,
        transaction: &Transaction,
        secret: &Secret,
        stop: Option<watch::Receiver<bool>>,
    ) -> Result<(), StepFailure> {
        let alone = Transaction { steps: vec![step.clone()], ..transaction.clone() };
        let plan = Plan { transactions: vec![alone], ..self.plan.clone() };
        let secrets = BTreeMap::from([(secret.id.clone(), secret.clone())]);
        let iterations = self.run.iterations.load(Ordering::Relaxed);
        let slots = RunSlots { secrets: &secrets, build_id: "", iterations };
        let options = ExecuteOptions { stop, ..ExecuteOptions::default() };
        let outcome = apply(&plan, &self.run.admin, lock, &slots, &options).await;
        outcome.error.map_or(Ok(()), Err)
    }

    async fn test(&self, pending: &Secret) -> Result<(), StepFailure> {
        let Candidate { state, login_database, .. } = self.candidate;
        let role = &state.rotation.role;
        match self.run.try_login(&state.rotation, login_database, &pending.password).await {
            PasswordCheck::Accepted => Ok(()),
            PasswordCheck::Inconclusive(reason) => {
                Err(format!("role {role} cannot log in with the new password: {reason}"))
            }
            PasswordCheck::WrongPassword | PasswordCheck::NotChecked | PasswordCheck::ToBeSet => {
                Err(format!(
                    "the server does not take the new password of role {role}; somebody else has set another"
                ))
            }
        }
    }

    /// Moves `AWSCURRENT`. An answer that got lost is asked for.
    async fn finish(&self, pending: &Secret) -> Result<(), StepFailure> {
        let RotationState { rotation, current, .. } = &self.candidate.state;
        let id = &rotation.secret;
        let Some(version) = &pending.version else {
            return Err(SecretError::NoValue { id: id.clone() }.to_string());
        };
        let Err(error) = self.manager.make_current(id, current, version).await else {
            return Ok(());
        };
        match self.manager.stages(id).await {
            Ok(stages) if stages.current == *version => Ok(()),
            Ok(stages) if stages.current == *current => Err(error.to_string()),
            Ok(stages) => Err(format!(
                "{error}; secret {id} has another current version meanwhile ({}): run `rdsprov apply`, which sets its password",
                stages.current
            )),
            Err(_) => Err(format!(
                "{error}; and which version is AWSCURRENT cannot be asked: run `rdsprov apply` once it can, which sets the password of that one"
            )),
        }
    }

    /// The password that is current, back on the server; over another connection where this one is gone.
    async fn restore_password(
        &self,
        step: &Step,
        transaction: &Transaction,
    ) -> Result<(), StepFailure> {
        let current = &self.candidate.current.secret;
        let mut result = self.set(self.lock, step, transaction, current, None).await;
        for tried in 1..=RESTORES {
            if result.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(u64::from(tried))).await;
            result = match self.run.shared_database().await {
                Ok(session) => self.set(&Lock(session), step, transaction, current, None).await,
                Err(error) => Err(error.to_string()),
            };
        }
        result
    }
}

fn ended(status: StepStatus, duration: Duration) -> StepResult {
    StepResult { status, duration, at: Timestamp::now() }
}
