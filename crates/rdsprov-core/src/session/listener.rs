//! Records and shows the progress of an execution, and stops it if a record cannot be written.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::Error;
use super::failure::{Committed, Continuation, NoSpaceForRecords, NotRecorded};
use super::frontend::Frontend;
use super::notice::Notice;
use super::records::{NotWritten, Records};
use crate::Timestamp;
use crate::audit::{AuditError, Event, EventRecorder, FailureCodes, Status};
use crate::plan::{Plan, Scope, Step, Transaction};
use crate::server::wait::{place, step_words};
use crate::server::{Listener, ListenerFuture, StatementWait};
use crate::step_result::{StepResult, StepStatus};

/// The space for an error message and for the outcome of the run, in bytes.
const SPACE_FOR_MESSAGES: u64 = 16 * 1024;

/// Records and shows the progress of the execution of one plan.
pub(super) struct RunListener<'a, F> {
    pub frontend: &'a F,
    pub records: &'a Records<'a, F>,
    pub recorder: &'a EventRecorder,
    pub plan: &'a Plan,
    pub state: Mutex<State>,
}

/// What has happened so far.
#[derive(Default)]
pub(super) struct State {
    /// The steps with their results, in order.
    pub steps: Vec<(Step, StepResult)>,
    /// The numbers of the transactions that have started, and whose results are not recorded yet.
    started: BTreeSet<usize>,
    failure: Option<Failure>,
}

enum Failure {
    NoSpace { error: AuditError, place: String },
    NotWritten { not_written: NotWritten, place: String, changes: Vec<String> },
}

impl<F> RunListener<'_, F> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of a transaction in the plan. The plan that is executed is a copy of it.
    fn number(&self, transaction: &Transaction) -> usize {
        let all = &self.plan.transactions;
        all.iter().position(|one| one == transaction).unwrap_or(all.len())
    }

    /// Returns events that are at least as long as those of some transactions and of the end of the run.
    fn expected(&self, transactions: &[&Transaction]) -> Vec<Event> {
        let result = StepResult {
            status: StepStatus::RolledBack { remains: None },
            duration: Duration::MAX,
            at: Timestamp::now(),
        };
        let of_transaction = |one: &&Transaction| {
            self.recorder.results(&one.steps, &vec![result.clone(); one.steps.len()])
        };
        let mut events: Vec<Event> = transactions.iter().flat_map(of_transaction).collect();
        events.extend(self.recorder.no_change(self.plan));
        // A complete run also records the definitions.
        events.push(self.recorder.outcome(Status::Success, "", FailureCodes::default(), false));
        events
    }
}

impl<F: Frontend> RunListener<'_, F> {
    async fn reserve(&self, transaction: &Transaction) -> ControlFlow<()> {
        let place = place(&transaction.scope);
        let all = &self.plan.transactions;
        let number = self.number(transaction);
        let done: usize = all.iter().take(number).map(|one| one.steps.len()).sum();
        let started: Vec<&Transaction> = {
            let mut state = self.state();
            state.started.insert(number);
            state.started.iter().filter_map(|number| all.get(*number)).collect()
        };
        let of = self.plan.steps().count();
        let next = done + transaction.steps.len();
        let steps =
            if next == done + 1 { format!("{next}") } else { format!("{} to {next}", done + 1) };
        let message = format!("applying {steps} of {of} steps, {place}");
        tracing::info!("{message}");
        // An error message contains the statement that failed, and quotes are escaped in JSON. The
        // records of the step and of the run contain the message.
        let message_of = |one: &&Transaction| {
            let statements = one.steps.iter().flat_map(|step| &step.statements);
            let longest = statements.map(|one| one.redacted().len()).max().unwrap_or_default();
            SPACE_FOR_MESSAGES + 4 * longest as u64
        };
        let more = started.iter().map(message_of).sum();
        let expected = self.expected(&started);
        match self.records.reserve(&self.recorder.context, expected, more).await {
            Ok(()) => {
                self.frontend.on_begin(transaction, &message);
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.state().failure.get_or_insert(Failure::NoSpace { error, place });
                ControlFlow::Break(())
            }
        }
    }

    async fn record(
        &self,
        transaction: &Transaction,
        steps: &[Step],
        results: &[StepResult],
    ) -> ControlFlow<()> {
        let events = self.recorder.results(steps, results);
        let written = self.records.write(&self.recorder.context, &events).await;
        self.state().started.remove(&self.number(transaction));
        let flow = self.recorded(&transaction.scope, steps, results, written);
        for (step, result) in steps.iter().zip(results) {
            self.frontend.on_step(step, result);
        }
        flow
    }

    /// Keeps the results of steps, and whether their records were written.
    fn recorded(
        &self,
        scope: &Scope,
        steps: &[Step],
        results: &[StepResult],
        written: Result<(), NotWritten>,
    ) -> ControlFlow<()> {
        let mut state = self.state();
        state.steps.extend(steps.iter().cloned().zip(results.iter().cloned()));
        let Err(not_written) = written else { return ControlFlow::Continue(()) };
        let is_committed = |result: &StepResult| result.status == StepStatus::Success;
        let both = steps.iter().zip(results);
        let changes: Vec<String> = both
            .filter(|(_, result)| is_committed(result))
            .map(|(step, _)| step_words(step))
            .collect();
        let place = place(scope);
        match &mut state.failure {
            // Those of transactions that were executed at the same time.
            Some(Failure::NotWritten { not_written: earlier, place: places, changes: all })
                if !all.is_empty() && !changes.is_empty() =>
            {
                earlier.written_to.retain(|path| not_written.written_to.contains(path));
                *places = format!("{places}, {place}");
                all.extend(changes);
            }
            // Changes that were not recorded are more important than an earlier failure.
            failure if failure.is_none() || !changes.is_empty() => {
                *failure = Some(Failure::NotWritten { not_written, place, changes });
            }
            _ => {}
        }
        ControlFlow::Break(())
    }
}

impl<F: Frontend> Listener for RunListener<'_, F> {
    fn before<'a>(&'a self, transaction: &'a Transaction) -> ListenerFuture<'a> {
        Box::pin(self.reserve(transaction))
    }

    fn after<'a>(
        &'a self,
        transaction: &'a Transaction,
        steps: &'a [Step],
        results: &'a [StepResult],
    ) -> ListenerFuture<'a> {
        Box::pin(self.record(transaction, steps, results))
    }

    fn waiting(&self, wait: &StatementWait) {
        self.frontend.on_notice(&Notice::WaitingForStatement(wait.clone()));
    }
}

impl State {
    /// Returns the number of changes that were committed.
    pub fn committed(&self) -> Committed {
        let is_committed = |(_, result): &&(Step, StepResult)| result.status == StepStatus::Success;
        let committed = self.steps.iter().filter(is_committed).count();
        let is_unknown =
            |(_, result): &&(Step, StepResult)| matches!(result.status, StepStatus::Unknown(_));
        let unknown = self.steps.iter().filter(is_unknown).count();
        Committed { committed, unknown, total: self.steps.len() }
    }

    /// Returns the error of a run whose records could not be written, if it has no other error.
    pub fn failure(
        &mut self,
        execution_failed: bool,
        continuation: Continuation,
        frontend: &impl Frontend,
    ) -> Result<(), Error> {
        let committed = self.committed();
        match self.failure.take() {
            None => Ok(()),
            Some(Failure::NoSpace { error, place }) => {
                Err(NoSpaceForRecords { error, place, committed, continuation }.into())
            }
            Some(Failure::NotWritten { not_written, place, changes }) => {
                let NotWritten { error, written_to } = not_written;
                if !changes.is_empty() {
                    let recorded_in = written_to;
                    return Err(NotRecorded {
                        error,
                        changes,
                        recorded_in,
                        place,
                        committed,
                        continuation,
                    }
                    .into());
                }
                if execution_failed {
                    // The failure of the statement is more useful than that of its record.
                    frontend.on_notice(&Notice::NotRecorded { error: error.to_string() });
                    return Ok(());
                }
                Err(error.into())
            }
        }
    }
}
