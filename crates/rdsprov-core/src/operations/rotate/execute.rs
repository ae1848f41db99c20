//! Executes a rotation, one password after another, each in four steps: create, set, test, finish.
//!
//! A PostgreSQL role has one password. After the new password is set and until `AWSCURRENT` is
//! moved, the current version of the secret contains a password that the server rejects. If a step
//! fails or the run is cancelled in this interval, the current password is therefore restored.
//! After SIGKILL this is not possible. Then the next `apply` sets the password of the current
//! version, or the next rotation detects that the pending password is active, and finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use strum::IntoEnumIterator as _;

use super::plan::{Candidate, PlannedRotation, manager};
use super::steps::{StepFailure, create_pending, make_current, new_password_accepted};
use crate::audit_table::{AuditedRun, RunNames};
use crate::hint;
use crate::hint::Operation;
use crate::operations::error::PlanRefused;
use crate::plan::rotation::{ActivePassword, RotationState, restore};
use crate::plan::{Action, Hazard, Plan, PrivilegedAttribute, Step, Transaction};
use crate::secrets::{Secret, SecretError, SecretsManager};
use crate::server::apply::{ExecutionOutcome, apply};
use crate::server::lock::Lock;
use crate::server::slots::RunSlots;
use crate::server::stop::{Stop, stopped};
use crate::server::{ExecuteOptions, Listener};
use crate::step_result::{StepResult, StepStatus};

/// The number of further attempts to restore the current password, each over a new connection.
const RESTORE_RETRIES: u32 = 3;

/// Options for the execution of a rotation.
#[derive(Default)]
#[non_exhaustive]
pub struct RotateOptions<'a> {
    /// The hazards that are allowed; see [`ExecuteOptions::allowed`].
    pub allowed: BTreeSet<Hazard>,
    /// Called before and after the steps of each password.
    pub listener: Option<&'a dyn Listener>,
    /// Ends the rotation: a password that is set but not finished is restored.
    pub stop: Option<Stop>,
    /// What names the run in the rows of the audit table.
    pub audited: RunNames,
}

impl PlannedRotation<'_> {
    /// Executes the rotation, one password after another, until the first failure.
    ///
    /// Errors of steps are in the outcome. Its `committed` is `true` if at least one password or
    /// secret version has changed.
    ///
    /// # Errors
    /// Returns [`PlanRefused`] without any change if the plan contains refusals.
    pub async fn rotate(
        self,
        options: &RotateOptions<'_>,
    ) -> Result<ExecutionOutcome, PlanRefused> {
        PlanRefused::check(&self.plan)?;
        let mut outcome = ExecutionOutcome::default();
        let manager = match manager(&self.run.secrets.source) {
            Ok(manager) => manager,
            Err(error) => {
                return Ok(ExecutionOutcome { error: Some(error.to_string()), ..outcome });
            }
        };
        let listener = options.listener.unwrap_or(&());
        let mut ended = false;
        for candidate in &self.candidates {
            let role = Some(&candidate.state.rotation.role);
            let of_role = |transaction: &&Transaction| {
                transaction.steps.iter().any(|step| step.role.as_ref() == role)
            };
            let Some(transaction) = self.plan.transactions.iter().find(of_role) else {
                continue;
            };
            let mut steps = transaction.steps.clone();
            ended =
                ended || outcome.error.is_some() || listener.before(transaction).await.is_break();
            let results = if ended {
                steps.iter().map(|_| step_result(StepStatus::NotRun, Duration::ZERO)).collect()
            } else {
                let (allowed, audited) = (&options.allowed, &options.audited);
                let rotation_run =
                    RotationRun { planned: &self, manager, candidate, allowed, audited };
                rotation_run.run(transaction, &mut steps, options.stop.clone(), &mut outcome).await
            };
            ended |= listener.after(transaction, &steps, &results).await.is_break();
            outcome.steps.extend(results);
        }
        Ok(outcome)
    }
}

/// The rotation of one password.
struct RotationRun<'a> {
    planned: &'a PlannedRotation<'a>,
    manager: &'a SecretsManager,
    candidate: &'a Candidate,
    allowed: &'a BTreeSet<Hazard>,
    audited: &'a RunNames,
}

impl RotationRun<'_> {
    /// Executes the steps in order. If one fails after the password was set, restores the current
    /// password, which is added as a further step.
    async fn run(
        &self,
        transaction: &Transaction,
        steps: &mut Vec<Step>,
        stop: Option<Stop>,
        outcome: &mut ExecutionOutcome,
    ) -> Vec<StepResult> {
        let mut pending = self.candidate.pending.as_ref().map(|version| version.secret.clone());
        // Whether the pending password may be active on the server while AWSCURRENT
        // is the other one.
        let mut pending_may_be_active =
            self.candidate.state.active_password == ActivePassword::Pending;
        let mut results = Vec::new();
        let mut failure: Option<StepFailure> = None;
        for step in &transaction.steps {
            if failure.is_some() {
                results.push(step_result(StepStatus::NotRun, Duration::ZERO));
                continue;
            }
            let started = Instant::now();
            let result = if stop.as_ref().is_some_and(Stop::is_requested) {
                Err("stopped by a signal".to_owned().into())
            } else {
                self.step(step, transaction, &mut pending, stop.clone()).await
            };
            let status = match result {
                Ok(()) => {
                    outcome.committed |= step.action == Action::CreatePending;
                    pending_may_be_active |= step.action == Action::SetPassword;
                    StepStatus::Success
                }
                Err(error) => {
                    let message = error.message.clone();
                    pending_may_be_active |= error.may_be_committed;
                    outcome.cause = error.cause;
                    outcome.failed_step.clone_from(&error.step);
                    failure = Some(error);
                    StepStatus::Error(message)
                }
            };
            results.push(step_result(status, started.elapsed()));
        }
        let role = &self.candidate.state.rotation.role;
        match failure {
            None => outcome.committed = true,
            Some(failure) if !pending_may_be_active => {
                let message = failure.message;
                outcome.error =
                    Some(format!("{message}; the password of role {role} was not changed"));
                outcome.hint = failure.hint;
            }
            Some(failure) => {
                let started = Instant::now();
                let step = restore(&self.candidate.state);
                let result = self.restore_password(&step, transaction).await;
                let StepFailure { message, hint, .. } = failure;
                let status = match result {
                    Ok(()) => {
                        outcome.error = Some(format!(
                            "{message}; the current password of role {role} was restored"
                        ));
                        outcome.hint = hint;
                        StepStatus::Success
                    }
                    Err(StepFailure { message: reason, .. }) => {
                        outcome.committed = true;
                        outcome.error = Some(format!(
                            "{message}; the current password of role {role} could not be restored: {reason}"
                        ));
                        outcome.hint =
                            Some(hint!["run ", Operation::Apply, " to set the current password"]);
                        StepStatus::Error(reason)
                    }
                };
                steps.push(step);
                results.push(step_result(status, started.elapsed()));
            }
        }
        results
    }

    async fn step(
        &self,
        step: &Step,
        transaction: &Transaction,
        pending: &mut Option<Secret>,
        stop: Option<Stop>,
    ) -> Result<(), StepFailure> {
        if step.action == Action::CreatePending {
            let created = tokio::select! {
                biased;
                created = self.create() => created,
                () = stopped(stop) => Err("stopped by a signal".to_owned().into()),
            };
            *pending = Some(created?);
            return Ok(());
        }
        let Some(pending) = pending else {
            return Err("no version is pending".to_owned().into());
        };
        match step.action {
            Action::SetPassword => {
                self.set(self.planned.lock, step, transaction, pending, stop).await
            }
            Action::TestPassword => tokio::select! {
                biased;
                tested = self.test(pending) => tested,
                () = stopped(stop) => Err("stopped by a signal".to_owned().into()),
            },
            // Not cancelled: otherwise it would be unknown which version is current.
            _ => self.finish(pending).await,
        }
    }

    /// Creates the pending version: a copy of the current version with a new password.
    async fn create(&self) -> Result<Secret, StepFailure> {
        let minimum_length = self.planned.run.secrets.minimum_length;
        let current = &self.candidate.current;
        create_pending(self.manager, current, minimum_length, None).await
    }

    /// Sets a password in one transaction with one step.
    async fn set(
        &self,
        lock: &Lock,
        step: &Step,
        transaction: &Transaction,
        secret: &Secret,
        stop: Option<Stop>,
    ) -> Result<(), StepFailure> {
        let mut single = Transaction { steps: vec![step.clone()], ..transaction.clone() };
        if step.action == Action::RestorePassword {
            // The role must not keep a password that is not current, whatever has changed, and another
            // role that has its name now must not get this password.
            single.identities.databases.clear();
            for identity in single.identities.roles.values_mut() {
                identity.attributes = PrivilegedAttribute::iter().collect();
            }
        }
        let plan = Plan { transactions: vec![single], ..self.planned.plan.clone() };
        let secrets = BTreeMap::from([(secret.id.clone(), secret.clone())]);
        let iterations = self.planned.iterations;
        let audited_run = AuditedRun {
            environment: &self.planned.plan.environment,
            build_id: &self.audited.build_id,
            run_id: &self.audited.run_id,
            plan: &self.planned.plan.digest,
            actor: &self.audited.actor,
        };
        let slots = RunSlots::new(&secrets, "", iterations).audited_as(audited_run);
        let mut allowed = self.allowed.clone();
        if step.action == Action::RestorePassword {
            allowed.insert(Hazard::DegradesBlueGreen);
        }
        let options = ExecuteOptions { stop, allowed, ..ExecuteOptions::default() };
        let outcome =
            apply(&plan, &self.planned.run.admin, &[], lock, &slots, None, &options).await;
        StepFailure::of(outcome).map_or(Ok(()), Err)
    }

    /// Logs in with the new password.
    async fn test(&self, pending: &Secret) -> Result<(), StepFailure> {
        let Candidate { state, login_databases, platform, .. } = self.candidate;
        let role = &state.rotation.role;
        let place = (login_databases.as_slice(), *platform);
        let result = self.planned.run.try_login(&state.rotation, place, &pending.password).await;
        new_password_accepted(role, result)
    }

    /// Moves `AWSCURRENT` to the new version.
    async fn finish(&self, pending: &Secret) -> Result<(), StepFailure> {
        let RotationState { rotation, current, .. } = &self.candidate.state;
        let id = &rotation.secret;
        let Some(version) = &pending.version else {
            return Err(SecretError::NoValue { id: id.clone() }.into());
        };
        make_current(self.manager, id, current, version).await
    }

    /// Sets the password of the current version again, over a new connection if necessary.
    async fn restore_password(
        &self,
        step: &Step,
        transaction: &Transaction,
    ) -> Result<(), StepFailure> {
        let current = &self.candidate.current.secret;
        let mut result = self.set(self.planned.lock, step, transaction, current, None).await;
        for attempt in 1..=RESTORE_RETRIES {
            if result.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await;
            result = self.restore_in_new_session(step, transaction).await;
        }
        result
    }

    async fn restore_in_new_session(
        &self,
        step: &Step,
        transaction: &Transaction,
    ) -> Result<(), StepFailure> {
        let current = &self.candidate.current.secret;
        let session = self.planned.run.connect_to_lock_database().await;
        let session = session.map_err(|error| error.to_string())?;
        session.limit_lock_waits().await.map_err(|error| error.to_string())?;
        self.set(&Lock::without_lock(session), step, transaction, current, None).await
    }
}

fn step_result(status: StepStatus, duration: Duration) -> StepResult {
    StepResult { status, duration, at: Timestamp::now() }
}
