//! Makes the JSON document about a run.

use super::apply::Outcome;
use super::exit_code::ExitCode;
use super::run_options::Completion;
use crate::audit::{Command, RunContext};
use crate::diagnostic::{Diagnostic, ReportedError};
use crate::hint::Wording;
use crate::plan::Counts;
use crate::run_report::{RunReport, RunStatus};
use crate::step_result::StepStatus;

/// The version of the JSON form.
const FORMAT_VERSION: u32 = 1;

impl RunReport {
    /// Creates the report of a run.
    #[must_use]
    pub fn new(outcome: &Outcome, exit: ExitCode, wording: &dyn Wording) -> Self {
        let context = &outcome.recorder.context;
        let errors = outcome.result.as_ref().err().map(super::Error::diagnostics);
        let mut report = Self::failed(
            outcome.recorder.command,
            exit,
            &errors.unwrap_or_default(),
            context,
            wording,
        );
        match outcome.result {
            Ok(Completion::Converged) => report.status = RunStatus::Applied,
            Ok(Completion::NothingToDo) => report.status = RunStatus::NoChange,
            Ok(Completion::AlreadyApplied) => report.status = RunStatus::AlreadyApplied,
            Ok(Completion::DryRun) => report.status = RunStatus::DryRun,
            Err(_) => {}
        }
        for plan in &outcome.plans {
            report.planned += plan.counts();
        }
        let is_done = |status: &StepStatus| *status == StepStatus::Success;
        report.committed = outcome.steps.iter().filter(|(_, one)| is_done(&one.status)).count();
        report.plan = outcome.plans.first().cloned();
        report.records.clone_from(&outcome.records);
        report.ledger_head.clone_from(&outcome.ledger_head);
        report
    }

    /// Creates the report of a run that has failed before it made a plan.
    #[must_use]
    pub fn failed(
        command: Command,
        exit: ExitCode,
        errors: &[Diagnostic],
        context: &RunContext,
        wording: &dyn Wording,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            command,
            status: match exit {
                ExitCode::Refused => RunStatus::Refused,
                ExitCode::Partial => RunStatus::Partial,
                ExitCode::Usage => RunStatus::Invalid,
                ExitCode::Interrupted => RunStatus::Interrupted,
                ExitCode::Done | ExitCode::Failed | ExitCode::Pending => RunStatus::Failed,
            },
            exit_code: exit.number(),
            environment: context.environment.clone(),
            build_id: context.build_id.clone(),
            run_id: context.run_id.clone(),
            server: context.server.clone(),
            digest: context.plan.clone(),
            planned: Counts::default(),
            committed: 0,
            errors: errors.iter().map(|one| ReportedError::new(one, wording)).collect(),
            plan: None,
            records: Vec::new(),
            ledger_head: None,
        }
    }
}
