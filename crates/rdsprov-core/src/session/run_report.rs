//! The JSON document about a run that was applied, refused or failed.

use schemars::JsonSchema;
use serde::Serialize;

use super::apply::Outcome;
use super::exit_code::ExitCode;
use super::run_options::Completion;
use crate::audit::{Command, LedgerHead, Record, RunContext};
use crate::diagnostic::{Diagnostic, ReportedError};
use crate::hint::Wording;
use crate::named_enum::named_enum;
use crate::plan::{Counts, Plan};
use crate::step_result::StepStatus;
use crate::text::pretty_json;

/// The version of the JSON form.
const FORMAT_VERSION: u32 = 1;

named_enum! {
    /// How a run ended.
    "snake_case" pub enum RunStatus {
        /// The plan was applied, and the server is as declared.
        Applied,
        /// There was nothing to do.
        NoChange,
        /// The saved plan was applied before.
        AlreadyApplied,
        /// The run has ended before the plan was applied, as the option `dry_run` requires.
        DryRun,
        /// A rule or a gate forbids the plan. Nothing was changed, except what `committed` counts.
        Refused,
        /// The run has failed, and nothing was changed.
        Failed,
        /// The run has failed after a part was committed.
        Partial,
        /// The options, the configuration or the definitions are invalid.
        Invalid,
        /// The user interrupted the question whether to apply the plan.
        Interrupted,
    }
}

/// The result of a run of `apply`, `rotate` or `delegate`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct RunReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The command.
    pub command: Command,
    /// How the run ended.
    pub status: RunStatus,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The name of the environment; empty if the run has failed before it was known.
    pub environment: String,
    /// The build id, or an empty text.
    pub build_id: String,
    /// The run id; empty if the run has failed before its options were read.
    pub run_id: String,
    /// The server, as `host:port`; `null` if it is not known.
    pub server: Option<String>,
    /// The digest of the last plan, which an approval can name; `null` without a plan.
    pub digest: Option<String>,
    /// The steps of the plans by what they do.
    pub planned: Counts,
    /// The number of steps that were committed.
    pub committed: usize,
    /// The errors; empty after a success.
    pub errors: Vec<ReportedError>,
    /// The first plan; `null` if none was made.
    pub plan: Option<Plan>,
    /// The records, as the CSV file contains them.
    pub records: Vec<Record>,
    /// The last record of the ledger; `null` without a ledger.
    pub ledger_head: Option<LedgerHead>,
}

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

    /// Returns the document in JSON.
    ///
    /// # Errors
    /// Returns an error if a value cannot be serialized.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }
}
