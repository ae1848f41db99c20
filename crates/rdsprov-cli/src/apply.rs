//! Implements `rdsprov apply` and `rdsprov delegate`: options, output and confirmation.
//! `rdsprov_core::session` applies the plan.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rdsprov_core::audit::{Columns, Record, to_csv};
use rdsprov_core::config::SecretTags;
use rdsprov_core::definitions::Auth;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::plan::Plan;
use rdsprov_core::session::{
    self, Cancellation, Completion, Delegation, Frontend, Notice, Outcome, PlanSource,
};
use rdsprov_core::step_result::StepStatus;
use rdsprov_core::text::visible;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{
    AdminAuthArg, ApplyArgs, DelegateArgs, Format, LogFormat, RecordArgs, RecordingArgs,
};
use crate::error::{CliError, Exit};
use crate::output::counted;
use crate::{output, setup};

pub async fn run(options: &ApplyArgs) -> Result<Exit, CliError> {
    let config = session::config(options.common.config.as_deref())?;
    // A saved plan has been reviewed before.
    let ask = !options.recording.yes && options.plan.is_none();
    let frontend = TerminalFrontend::new(options.output.format, ask);
    let mut wanted = session::ApplyOptions::default();
    wanted.run = run_options(&options.recording);
    wanted.run.server = (&options.server).into();
    wanted.run.server.only.clone_from(&options.selection.only);
    wanted.run.server.adopt_from.clone_from(&options.selection.restored.adopt_from);
    wanted.run.environment.clone_from(&options.common.env);
    wanted.run.plan_source = options.plan.clone().map_or(PlanSource::Any, PlanSource::File);
    wanted.run.skip_preflight = options.skip_preflight;
    wanted.keep_going = options.no_fail_fast;
    let setup = setup::builder(&options.common, config);
    let outcome = session::apply(setup, &wanted, &frontend, &cancellation_on_signals()).await;
    let is_restricted = outcome.plans.first().is_some_and(|plan| !plan.origin.only.is_empty());
    let converged = if is_restricted {
        "The selected applications are as declared."
    } else {
        "The server matches the definitions."
    };
    let summary = format!("{} {converged}", frontend.applied(&outcome));
    report_outcome(outcome, &summary)
}

/// Implements `rdsprov delegate`.
pub async fn delegate(options: &DelegateArgs) -> Result<Exit, CliError> {
    let config = session::config(options.config.as_deref())?;
    let frontend = TerminalFrontend::new(options.output.format, !options.recording.yes);
    let mut wanted = run_options(&options.recording);
    wanted.server = (&options.server).into();
    wanted.server.adopt_from.clone_from(&options.restored.adopt_from);
    wanted.environment.clone_from(&options.env);
    wanted.server.new_secrets.kms_key.clone_from(&options.secret_kms_key);
    wanted.server.new_secrets.tags = SecretTags::new(options.secret_tags.iter().cloned());
    let mut delegation = Delegation::new(&options.to);
    delegation.auth = match options.auth {
        AdminAuthArg::Password => Auth::Password,
        AdminAuthArg::Iam => Auth::Iam,
    };
    delegation.secret.clone_from(&options.to_secret);
    delegation.adopt = options.adopt;
    let outcome =
        session::delegate(config, delegation, &wanted, &frontend, &cancellation_on_signals()).await;
    let login = match &options.to_secret {
        Some(secret) => format!("--admin-secret {secret}"),
        None => format!("--admin-auth iam --admin-user {} --host HOST", options.to),
    };
    let summary = format!(
        "{} {} can administer the server: use `{login}`.",
        frontend.applied(&outcome),
        options.to,
    );
    report_outcome(outcome, &summary)
}

/// Returns the options of the core for the flags that all commands with records have.
pub fn run_options(options: &RecordingArgs) -> session::RunOptions {
    let mut wanted = record_options(&options.records);
    wanted.approval = std::env::var("ALLOW_DB_PROVISION").ok();
    wanted.dry_run = options.dry_run;
    wanted
}

/// Returns the options of the core for the flags that concern records.
pub fn record_options(options: &RecordArgs) -> session::RunOptions {
    let mut wanted = session::RunOptions::default();
    wanted.run_id.clone_from(&options.run_id);
    wanted.audit_output.clone_from(&options.audit_output);
    wanted.audit_ledger.clone_from(&options.audit_ledger);
    wanted.actor.clone_from(&options.actor);
    wanted.approver.clone_from(&options.approver);
    wanted.request_id.clone_from(&options.request_id);
    wanted.lock_timeout = options.lock_timeout;
    wanted
}

/// Prints how a run ended, and returns its exit code. `summary` is the last line after a success.
pub fn report_outcome(outcome: Outcome, summary: &str) -> Result<Exit, CliError> {
    if let Some(head) = &outcome.ledger_head {
        output::status(&format!("Last ledger record: {}, {}", head.sequence, head.hash));
    }
    let exit = outcome.exit_code();
    match outcome.result {
        Ok(_) if outcome.committed && !output::flush() => return Err(records_lost()),
        Ok(Completion::Converged) => output::status(summary),
        Ok(Completion::NothingToDo) => {}
        Ok(Completion::AlreadyApplied) => {
            output::status("This plan has already been applied; nothing is left to do.");
        }
        Ok(Completion::DryRun) => output::status("Dry run: nothing was changed."),
        Err(error) => return Err(CliError { exit, ..error.into() }),
    }
    Ok(Exit::Done)
}

/// Returns the error for records that could not be written to stdout, although the run succeeded.
pub fn records_lost() -> CliError {
    let fact = "all changes were made, but the records on stdout are incomplete";
    CliError::new(Exit::Partial, ErrorCode::OutputIncomplete, fact)
        .with_hint("keep the records in files with --audit-output and --audit-ledger")
}

/// Returns a cancellation that SIGINT and SIGTERM trigger.
pub fn cancellation_on_signals() -> Arc<Cancellation> {
    let cancellation = Arc::new(Cancellation::default());
    tokio::spawn(cancel_on_signal(cancellation.clone()));
    cancellation
}

async fn cancel_on_signal(cancellation: Arc<Cancellation>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cancellation.cancel();
}

/// Prints plans to stderr and records to stdout, and asks for confirmation on a terminal.
pub struct TerminalFrontend {
    format: Format,
    ask: bool,
    header_printed: AtomicBool,
    /// The time of the confirmation, from which the duration of the run is measured.
    started: OnceLock<Instant>,
}

impl TerminalFrontend {
    /// Returns a front end that prints plans in `format`, and asks for confirmation
    /// if `ask` is set.
    pub fn new(format: Format, ask: bool) -> Self {
        Self { format, ask, header_printed: AtomicBool::new(false), started: OnceLock::new() }
    }

    /// Returns the sentence that counts the changes of a run, such as "Applied 10
    /// changes in 1.2 s."
    pub fn applied(&self, outcome: &Outcome) -> String {
        let is_applied = |status: &StepStatus| matches!(status, StepStatus::Success);
        let count = outcome.steps.iter().filter(|(_, result)| is_applied(&result.status)).count();
        format!("Applied {} in {}.", counted(count, "change"), self.elapsed())
    }

    /// Returns the time since the confirmation, in seconds.
    pub fn elapsed(&self) -> String {
        let elapsed = self.started.get().map_or(0.0, |started| started.elapsed().as_secs_f64());
        // "0.0 s" would read as if nothing had been measured.
        format!("{:.1} s", elapsed.max(0.1))
    }
}

impl Frontend for TerminalFrontend {
    fn on_plan(&self, plan: &Plan) {
        match crate::plan::format_plan(plan, self.format) {
            Ok(text) => output::status(text.trim_end()),
            Err(error) => error.print(LogFormat::Text),
        }
    }

    fn on_notice(&self, notice: &Notice) {
        output::status(&format!("note: {}", visible(&notice.to_string())));
    }

    fn on_records(&self, records: &[Record]) {
        let text = to_csv(records, Columns::Run);
        let rows = if self.header_printed.swap(true, Ordering::Relaxed) {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        output::write_stdout(rows);
    }

    /// Asks the user, if there is a terminal. Without one, the approval gate has decided.
    async fn confirm(&self, _plan: &Plan) -> bool {
        let confirmed = !self.ask
            || !std::io::stdin().is_terminal()
            || !std::io::stderr().is_terminal()
            || ask_user("Apply this plan?").await;
        self.started.get_or_init(Instant::now);
        confirmed
    }
}

/// Asks a question. Every answer but "yes" means no.
pub async fn ask_user(question: &str) -> bool {
    let _ = write!(std::io::stderr(), "{question} Enter \"yes\" to confirm: ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    matches!(answer.await, Ok(Ok(answer)) if answer.trim() == "yes")
}
