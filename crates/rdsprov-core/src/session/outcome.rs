//! The record of how a run has ended.

use super::cancellation::Cancellation;
use super::error::{Error, Kind};
use super::frontend::Frontend;
use super::left_out_reasons::all_refused;
use super::notice::Notice;
use super::record_files::ConfiguredFiles;
use super::records::Records;
use super::run_options::{Completion, RunOptions};
use crate::audit::{Command, Event, EventRecorder, FailureCodes, Status};
use crate::plan::Plan;

/// Returns the outcome of a run.
pub(super) fn outcome_event(
    recorder: &EventRecorder,
    result: Result<&Completion, &Error>,
    committed: bool,
) -> Event {
    let succeeded = |status| recorder.outcome(status, "", FailureCodes::default(), false);
    match result {
        Ok(Completion::Converged) => succeeded(Status::Success),
        Ok(Completion::NothingToDo | Completion::AlreadyApplied) => succeeded(Status::NoChange),
        Ok(Completion::DryRun) => succeeded(Status::DryRun),
        Err(error) => {
            let status = match error.kind() {
                Kind::Refused if !committed || error.is_about_left_out() => Status::Refused,
                _ => Status::Error,
            };
            // The record of the failed step contains the message already.
            let already_recorded = matches!(error, Error::Statement(_));
            // The error names one refusal, because the plan above it contains all. The record does not.
            let message = match error {
                Error::Refused(refusals) => all_refused(refusals),
                _ => error.to_string(),
            };
            recorder.outcome(status, &message, error.failure_codes(), already_recorded)
        }
    }
}

/// Records the failure of a run that was not started, with the plan that was made for it.
///
/// A record that cannot be written is a notice: the failure of the run is more useful.
pub(super) async fn record_failure<F: Frontend>(
    files: ConfiguredFiles,
    error: &Error,
    plan: Option<&Plan>,
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
) {
    let mut context = options.context();
    if let Some(plan) = plan {
        context.server.clone_from(&plan.origin.server);
        context.definitions.clone_from(&plan.origin.definitions);
        context.plan = Some(plan.digest.clone());
    }
    let command = Command::Apply;
    let recorder = EventRecorder { context, command, ..EventRecorder::default() };
    let (csv, ledger, _) =
        files.destinations(options.audit_output.as_ref(), options.audit_ledger.as_ref());
    let (records, opened) =
        Records::open(frontend, cancellation, csv, ledger, recorder.clone()).await;
    let event = outcome_event(&recorder, Err(error), false);
    let written = records.write(&recorder.context, &[event]).await;
    let errors = [opened.err().map(Error::from), written.err().map(Error::from)];
    for error in errors.into_iter().flatten() {
        frontend.on_notice(&Notice::NotRecorded { error: error.to_string() });
    }
}
