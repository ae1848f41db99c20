//! The order of a rotation: choose the passwords, lock, observe, plan, check the gates, record the
//! intent, and replace one password after another.

use std::collections::BTreeSet;

use super::apply::{Execution, Operation, Outcome, Progress, run_operation};
use super::cancellation::Cancellation;
use super::error::{Error, no_refusals};
use super::failure::{Continuation, StatementFailure};
use super::frontend::Frontend;
use super::open::RunAws;
use super::run_options::{Completion, RunOptions};
use super::setup::{Setup, SetupBuilder};
use super::usage_error::UsageError;
use crate::gate::Approval;
use crate::operations::{AdminCredentials, RotateOptions, check_source};
use crate::plan::{SavedPlan, rotation};

/// Replaces the passwords of applications, one after another.
///
/// Gates and records are those of [`super::apply`]. This function builds the setup, so that its
/// errors are recorded, too.
pub async fn rotate<F: Frontend>(
    setup: SetupBuilder,
    applications: &[String],
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let audit = setup.configured_files();
    let setup = || setup.build();
    let operation = Operation::Rotate(applications);
    run_operation(audit, setup, options, frontend, cancellation, operation).await
}

impl<F: Frontend> Execution<'_, F> {
    pub(super) async fn rotate(
        &self,
        setup: &Setup,
        applications: &[String],
        saved: Option<&SavedPlan>,
        approval: &Approval,
        progress: &mut Progress,
    ) -> Result<Completion, Error> {
        let options = self.options;
        let server = &options.server;
        if server.secret_stage.is_some() {
            return Err(UsageError::StageOfRotation.into());
        }
        let mut desired = setup.desired(server.build_id.as_deref(), &server.allow, &[])?;
        desired.audit_table = setup.audit_table(server).cloned();
        let aws = RunAws::default();
        let login = setup.login(server, &aws).await?;
        let administrator = match &login {
            AdminCredentials::Secret(id) => Some(id),
            AdminCredentials::Token { .. } => None,
        };
        let rotations =
            rotation::choose(&desired, applications, administrator).map_err(Error::Rotation)?;
        let source = setup.secret_source(server, &aws).await?;
        check_source(&source).map_err(|error| Error::Rotation(vec![error]))?;
        let roles: BTreeSet<_> = rotations.iter().map(|rotation| &rotation.role).collect();

        let mut run = setup.open_for(server, desired.retain_roles(&roles), &source, login).await?;
        let address = run.server();
        progress.recorder.context.server = Some(address.clone());
        if let Some(saved) = saved {
            saved.check_server(&address)?;
        }
        let run = self.lock(setup, &mut run, progress).await?;
        let planned = run.plan_rotation(&rotations).await?;
        let plan = planned.plan().clone();
        self.show(progress, &plan);
        self.recover(progress, &plan).await?;
        no_refusals(&plan)?;
        if let Some(saved) = saved {
            saved.check_current(&plan)?;
        }
        if options.dry_run {
            self.record(progress, &progress.recorder.dry_run(&plan)).await?;
            return Ok(Completion::DryRun);
        }
        let allowed = server.allow.iter().copied().collect();
        setup.policy.check(&plan, approval, &allowed)?;
        self.records.create().await?;
        if !self.frontend.confirm(&plan).await {
            return Err(Error::NotConfirmed);
        }
        let stop = Some(self.cancellation.stop());
        let _executing = self.cancellation.executing();
        let audited = progress.recorder.context.names();
        let (outcome, committed) = self
            .reported(&plan, progress, async |listener| {
                let listener = Some(listener);
                planned.rotate(&RotateOptions { allowed, listener, stop, audited }).await
            })
            .await?;
        match &outcome.error {
            None => Ok(Completion::Converged),
            Some(message) => Err(Error::Statement(Box::new(StatementFailure {
                message: message.clone(),
                step: outcome.failed_step,
                committed,
                hint: outcome.hint,
                cause: outcome.cause,
                continuation: Continuation::RunAgain,
            }))),
        }
    }
}
