//! Applies the plan of a locked run.

use std::collections::BTreeSet;

use super::error::{PlanRefused, RunError};
use super::plan::Planned;
use super::provisioner::Locked;
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::plan::{Action, Plan};
use crate::server::ExecuteOptions;
use crate::server::apply::{ExecutionOutcome, apply, outcome_not_started};
use crate::server::deletions::SecretDeletion;
use crate::server::earlier_look::EarlierLook;
use crate::server::lock::Lock;
use crate::step_result::StepStatus;

/// The plan of a locked run, which can be applied.
///
/// [`PlannedApply::apply`] consumes it: each plan is applied once, with the secrets for which it was
/// made, and with the lock of its own server.
///
/// ```compile_fail,E0382
/// # use rdsprov_core::operations::PlannedApply;
/// # use rdsprov_core::server::ExecuteOptions;
/// # async fn apply(planned: PlannedApply<'_>) {
/// let options = ExecuteOptions::default();
/// let _ = planned.apply("build 7", &options).await;
/// let _ = planned.apply("build 7", &options).await;
/// # }
/// ```
pub struct PlannedApply<'a> {
    planned: Planned<'a>,
    lock: &'a Lock,
}

impl Locked<'_> {
    /// Plans as [`Provisioner::plan`](super::Provisioner::plan) does. The plan can be applied.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the server cannot be observed or a secret source fails.
    pub async fn plan(&mut self) -> Result<PlannedApply<'_>, RunError> {
        Ok(PlannedApply { planned: self.run.plan().await?, lock: &self.lock })
    }
}

impl PlannedApply<'_> {
    /// Returns the plan that [`PlannedApply::apply`] executes.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.planned.plan()
    }

    /// Returns whether the server has a database.
    pub(crate) fn has_database(&self, name: &DatabaseName) -> bool {
        self.planned.has_database(name)
    }

    /// Leaves applications out of the plan: see [`Plan::without`].
    pub fn leave_out(&mut self, applications: &BTreeSet<ApplicationName>) {
        self.planned.plan = self.planned.plan.without(applications);
    }

    /// Creates the new secrets and executes the plan. Errors of statements are in the outcome.
    ///
    /// # Errors
    /// Returns [`PlanRefused`] without any change if the plan contains refusals.
    pub async fn apply(
        self,
        build_id: &str,
        options: &ExecuteOptions<'_>,
    ) -> Result<ExecutionOutcome, PlanRefused> {
        let Self { planned, lock } = self;
        PlanRefused::check(planned.plan())?;
        planned.run.applied = true;
        // Before the first statement: a password that is set but not stored would be lost.
        if let Err(error) = planned.run.secrets.create_new().await {
            let message = error.to_string();
            let plan = planned.plan();
            let mut outcome =
                outcome_not_started(plan, Action::CreateSecret, &message, options).await;
            outcome.hint = Some(Hint::joined(&error.hints()));
            return Ok(outcome);
        }
        let audited_run = planned.audited_run(build_id, &options.audited);
        let slots = planned.slots(build_id).with_verifiers(planned.plan()).audited_as(audited_run);
        let (plan, admin) = (planned.plan(), &planned.run.admin);
        let mut logins = vec![admin.clone()];
        let desired = &planned.run.desired;
        if lock.session.is_pooled {
            // A pooler checks passwords itself, so that a login proves nothing about the server.
            logins.clear();
        } else if let Some((name, role)) = desired.delegate()
            && let Some(secret) = role.secret().and_then(|id| planned.run.secrets.valid().get(id))
        {
            logins.push(admin.as_role(name.clone(), secret.password.clone()));
        }
        let window = desired.deletes_secrets;
        let source = &planned.run.secrets.source;
        let deletion = window.map(|window| SecretDeletion { source, window });
        let outcome = apply(plan, admin, &logins, lock, &slots, deletion.as_ref(), options).await;
        let results = plan.steps().zip(&outcome.steps);
        let created = results
            .filter(|(step, result)| {
                step.action == Action::CreateRole
                    && step.sets_password()
                    && result.status == StepStatus::Success
            })
            .filter_map(|(step, _)| step.role.clone());
        let created: Vec<RoleName> = created.collect();
        planned.run.created.extend(created);
        // After a failure, the state of the server is not known.
        let Planned { run, observed, plan } = planned;
        let is_complete = outcome.error.is_none() && outcome.silent_processes.is_empty();
        run.earlier = is_complete.then(|| EarlierLook::before(&plan, observed));
        Ok(outcome)
    }
}
