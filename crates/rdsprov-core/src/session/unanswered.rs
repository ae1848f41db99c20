//! What a run does after a commit without a response: it looks for its changes, and records what it finds.

use std::time::Duration;

use super::apply::{Execution, Progress};
use super::error::Error;
use super::failure::StatementFailure;
use super::frontend::Frontend;
use super::notice::Notice;
use super::open::ServerOptions;
use super::setup::Setup;
use crate::audit::{Event, EventKind, Found, UnrecordedIntent};
use crate::plan::{Plan, Step};
use crate::step_result::{StepResult, StepStatus};

/// How long a run looks for changes to whose commit the server has not responded.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

impl<F: Frontend> Execution<'_, F> {
    /// Looks for the changes to whose commit the server has not responded, over new connections, and
    /// records what it finds. Returns the failure with what is known now. What cannot be found in time
    /// remains for the next run.
    pub(super) async fn look(
        &self,
        setup: &Setup,
        options: &ServerOptions,
        mut failure: Box<StatementFailure>,
        progress: &mut Progress,
    ) -> Error {
        let plan = tokio::select! {
            biased;
            () = self.cancellation.wait() => None,
            plan = tokio::time::timeout(LOOK_TIMEOUT, self.plan_again(setup, options, progress)) => {
                plan.ok().and_then(Result::ok)
            }
        };
        let Some(plan) = plan else { return Error::Statement(failure) };
        let recorder = &progress.recorder;
        let all = match self.records.unrecorded(&recorder.context).await {
            Ok(all) => all,
            Err(error) => return self.not_recorded(failure, &error.into()),
        };
        let is_unknown =
            |(_, result): &&(Step, StepResult)| matches!(result.status, StepStatus::Unknown(_));
        let unknown = progress.steps.iter().filter(is_unknown).map(|(step, _)| step);
        let of_run = all.into_iter().rfind(|intent| intent.run_id == recorder.context.run_id);
        let intent = of_run.unwrap_or_else(|| {
            UnrecordedIntent::without_ledger(&recorder.context, unknown.map(Into::into).collect())
        });
        if !intent.is_of_system(plan.origin.system_identifier.as_deref()) {
            let changes = failure.committed.unknown;
            self.frontend.on_notice(&Notice::OtherSystem { changes });
            return Error::Statement(failure);
        }
        let mut events = recorder.recovered(&plan, &intent);
        let found = |event: &Event| match event.kind {
            EventKind::Recovered { found, .. } => found,
            _ => Found::Unknown,
        };
        // Another plan may show it.
        events.retain(|event| found(event) != Found::Unknown);
        if let Err(error) = self.record(progress, &events).await {
            return self.not_recorded(failure, &error);
        }
        let done = events.iter().filter(|event| found(event) == Found::Done).count();
        let not_done = events.len() - done;
        let changes = failure.committed.unknown;
        failure.committed.committed += done;
        failure.committed.unknown = changes.saturating_sub(events.len());
        self.frontend.on_notice(&Notice::Looked { changes, done, not_done });
        Error::Statement(failure)
    }

    /// Plans over new connections, when no process of the run executes a statement any more.
    async fn plan_again(
        &self,
        setup: &Setup,
        options: &ServerOptions,
        progress: &Progress,
    ) -> Result<Plan, Error> {
        let mut provisioner = setup.open(options).await?;
        provisioner.until_ended(&progress.silent_processes).await?;
        let mut run = self.lock(setup, &mut provisioner, progress).await?;
        Ok(run.plan().await?.plan().clone())
    }

    /// Returns the failure of an execution, after a record about it could not be written.
    fn not_recorded(&self, failure: Box<StatementFailure>, error: &Error) -> Error {
        self.frontend.on_notice(&Notice::NotRecorded { error: error.to_string() });
        Error::Statement(failure)
    }
}
