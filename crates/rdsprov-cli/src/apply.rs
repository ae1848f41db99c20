//! Implements `rdsprov apply` and `rdsprov delegate`: options, output and confirmation.
//! `rdsprov_core::session` applies the plan.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rdsprov_core::audit::{Columns, Command, Record, RunContext, to_csv};
use rdsprov_core::config::Config;
use rdsprov_core::definitions::Auth;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::name::DatabaseName;
use rdsprov_core::plan::{Action, Counts, Detail, Plan};
use rdsprov_core::run_report::RunReport;
use rdsprov_core::session::{
    self, Cancellation, Completion, Delegation, Frontend, Notice, Outcome, PlanSource, StopReason,
};
use rdsprov_core::step_result::StepStatus;
use rdsprov_core::text::visible;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{
    AdminAuthArg, ApplyArgs, AuditStdout, DelegateArgs, Format, LogFormat, RecordArgs,
    RecordingArgs,
};
use crate::error::{CliError, Exit};
use crate::metrics::Metrics;
use crate::output::counted;
use crate::rerun::Rerun;
use crate::wording::{APPROVAL, CommandWording, with_value};
use crate::{output, progress, setup, style};

pub async fn run(options: &ApplyArgs, detail: Detail) -> Result<Exit, CliError> {
    // A saved plan has been reviewed before.
    let ask = !options.recording.yes && options.plan.is_none();
    let config = options.common.config.as_deref();
    let view = View { command: Command::Apply, format: options.output.format, detail, ask };
    let (config, frontend) = TerminalFrontend::new(view, config, &options.recording)?;
    let mut wanted = session::ApplyOptions::default();
    wanted.run = run_options(&options.recording);
    wanted.run.server = (&options.server).into();
    wanted.run.server.only.clone_from(&options.selection.only);
    wanted.run.server.adopt_from.clone_from(&options.selection.restored.adopt_from);
    wanted.run.server.additive = options.additive.additive;
    wanted.run.environment.clone_from(&options.common.env);
    wanted.run.plan_source = options.plan.clone().map_or(PlanSource::Any, PlanSource::File);
    wanted.run.skip_preflight = options.skip_preflight;
    wanted.keep_going = options.no_fail_fast;
    wanted.confirm.clone_from(&options.confirm);
    let setup = setup::builder(&options.common, config);
    let outcome = session::apply(setup, &wanted, &frontend, &frontend.cancellation).await;
    let first = outcome.plans.first();
    let is_restricted = first.is_some_and(|plan| !plan.origin.only.is_empty());
    let is_additive = first.is_some_and(|plan| plan.origin.additive);
    let converged = if is_additive {
        "All additions are made; what takes access away stays pending."
    } else if is_restricted {
        "The selected applications are as declared."
    } else {
        "The server matches the definitions."
    };
    let summary = if first.is_some_and(|plan| plan.origin.retirement.is_some()) {
        frontend.retired(&outcome)
    } else {
        format!("{} {converged}", frontend.applied(&outcome))
    };
    report_outcome(outcome, &frontend, &summary)
}

/// Implements `rdsprov delegate`.
pub async fn delegate(options: &DelegateArgs, detail: Detail) -> Result<Exit, CliError> {
    let (format, ask) = (options.output.format, !options.recording.yes);
    let view = View { command: Command::Delegate, format, detail, ask };
    let (config, frontend) =
        TerminalFrontend::new(view, options.config.as_deref(), &options.recording)?;
    let mut wanted = run_options(&options.recording);
    wanted.server = (&options.server).into();
    wanted.server.adopt_from.clone_from(&options.restored.adopt_from);
    wanted.environment.clone_from(&options.env);
    wanted.server.new_secrets = (&options.new_secrets).into();
    let mut delegation = Delegation::new(&options.to);
    delegation.auth = match options.auth {
        AdminAuthArg::Password => Auth::Password,
        AdminAuthArg::Iam => Auth::Iam,
    };
    delegation.secret.clone_from(&options.to_secret);
    delegation.adopt = options.adopt;
    let outcome =
        session::delegate(config, delegation, &wanted, &frontend, &frontend.cancellation).await;
    let login = match &options.to_secret {
        Some(secret) => with_value("admin-secret", secret),
        None => {
            let user = with_value("admin-user", &options.to);
            format!("--admin-auth iam {user} --host HOST")
        }
    };
    let summary = format!(
        "{} {} can administer the server: use `{login}`.",
        frontend.applied(&outcome),
        options.to,
    );
    report_outcome(outcome, &frontend, &summary)
}

/// Returns the options of the core for the flags that all commands with records have.
pub fn run_options(options: &RecordingArgs) -> session::RunOptions {
    let mut wanted = record_options(&options.records);
    wanted.approval = std::env::var(APPROVAL).ok();
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

/// Returns whether the records of a run are written to stdout.
pub fn shows_records(
    options: &RecordingArgs,
    config: &Config,
    format: Format,
) -> Result<bool, CliError> {
    let names_file = options.records.audit_output.is_some() || config.audit.output.is_some();
    match options.stdout.audit_stdout.unwrap_or(AuditStdout::Auto) {
        AuditStdout::Always if format == Format::Json => {
            Err(CliError::usage("stdout cannot contain the records and a JSON document")
                .with_hint("leave out --audit-stdout always: the document contains the records"))
        }
        AuditStdout::Always => Ok(true),
        AuditStdout::Never => Ok(false),
        AuditStdout::Auto => {
            Ok(format == Format::Text && !names_file && !std::io::stdout().is_terminal())
        }
    }
}

/// Prints how a run ended, and returns its exit code. `summary` is the last line after a success.
pub fn report_outcome(
    outcome: Outcome,
    frontend: &TerminalFrontend,
    summary: &str,
) -> Result<Exit, CliError> {
    if frontend.is_asking.load(Ordering::Relaxed) {
        // What follows does not continue the line of the question.
        output::message("");
    }
    if let Some(head) = &outcome.ledger_head {
        output::status(&format!("Last ledger record: {}, {}", head.sequence, head.hash));
    }
    let exit = match frontend.is_asking.load(Ordering::Relaxed) && !outcome.committed {
        true => Exit::Interrupted,
        false => outcome.exit_code(),
    };
    let rerun = match &outcome.result {
        Err(session::Error::Gate(gate)) => {
            outcome.plans.last().and_then(|plan| Rerun::passing(gate, plan))
        }
        _ => None,
    };
    let report = || {
        let mut report = RunReport::new(&outcome, exit, &CommandWording);
        if let (Some(error), Some(rerun)) = (report.errors.last_mut(), &rerun) {
            error.hints.push(rerun.hint([" `", "`"]));
        }
        report
    };
    if let Some(path) = &frontend.metrics_file {
        let scope = outcome.recorder.context.scope.as_deref();
        Metrics::of_run(&report(), scope).write(path, frontend.created.elapsed());
    }
    if frontend.view.format == Format::Json {
        write_report(&report())?;
    }
    match outcome.result {
        Ok(_) if outcome.committed && !output::flush() => return Err(records_lost()),
        Ok(Completion::Converged) => output::message(summary),
        Ok(Completion::NothingToDo) => {}
        Ok(Completion::AlreadyApplied) => {
            output::status("This plan has already been applied; nothing is left to do.");
        }
        Ok(Completion::DryRun) => output::status("Dry run: nothing was changed."),
        Err(error) => return Err(CliError { exit, rerun, ..error.into() }),
    }
    Ok(Exit::Done)
}

/// Returns the error of a run that has not started. With the format JSON, it is also in a document on stdout.
pub fn reported(command: Command, format: Format, error: CliError) -> CliError {
    if format == Format::Json {
        let (context, wording) = (RunContext::default(), &CommandWording);
        let report = RunReport::failed(command, error.exit, &error.errors, &context, wording);
        if let Err(internal) = write_report(&report) {
            return internal;
        }
    }
    error
}

fn write_report(report: &RunReport) -> Result<(), CliError> {
    output::write_stdout(&(report.to_json().map_err(CliError::internal)? + "\n"));
    Ok(())
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
    cancellation.cancel(StopReason::Signal);
}

/// What a run shows, and whether it asks for confirmation.
pub struct View {
    pub command: Command,
    pub format: Format,
    pub detail: Detail,
    pub ask: bool,
}

/// Prints plans to stderr and records to stdout, and asks for confirmation on a terminal.
pub struct TerminalFrontend {
    view: View,
    /// Whether the records are written to stdout.
    shows_records: bool,
    /// The file for the metrics of the run.
    metrics_file: Option<PathBuf>,
    /// When the run began.
    created: Instant,
    /// What SIGINT and SIGTERM trigger.
    pub cancellation: Arc<Cancellation>,
    /// Whether the user is asked, and has not answered.
    is_asking: AtomicBool,
    header_printed: AtomicBool,
    /// The time of the confirmation, from which the duration of the run is measured.
    started: OnceLock<Instant>,
}

impl TerminalFrontend {
    /// Reads the configuration, and returns it with a front end.
    ///
    /// # Errors
    /// Returns the error of the configuration or of the options. With the format JSON, it is also in a
    /// document on stdout.
    pub fn new(
        view: View,
        config: Option<&Path>,
        options: &RecordingArgs,
    ) -> Result<(Config, Self), CliError> {
        let read = session::config(config).map_err(CliError::from).and_then(|config| {
            let shows_records = shows_records(options, &config, view.format)?;
            Ok((config, shows_records))
        });
        let (config, shows_records) =
            read.map_err(|error| reported(view.command, view.format, error))?;
        let frontend = Self {
            view,
            shows_records,
            metrics_file: options.metrics.metrics_file.clone(),
            created: Instant::now(),
            cancellation: cancellation_on_signals(),
            is_asking: AtomicBool::new(false),
            header_printed: AtomicBool::new(false),
            started: OnceLock::new(),
        };
        Ok((config, frontend))
    }

    /// Returns the sentence that counts the changes of a run, such as "Applied 10
    /// changes in 1.2 s on db1:5432 (dev): 8 added, 2 changed, 0 revoked."
    pub fn applied(&self, outcome: &Outcome) -> String {
        let is_applied = |status: &StepStatus| matches!(status, StepStatus::Success);
        let count = outcome.steps.iter().filter(|(_, result)| is_applied(&result.status)).count();
        let place = outcome.plans.first().map(|plan| format!(" {}", plan.place()));
        let mut counts = Counts::default();
        outcome.plans.iter().for_each(|plan| counts += plan.counts());
        format!(
            "Applied {} in {}{}: {}.",
            counted(count, "change"),
            self.elapsed(),
            place.unwrap_or_default(),
            counts.done()
        )
    }

    /// Returns the last line of a successful run that has retired applications.
    pub fn retired(&self, outcome: &Outcome) -> String {
        let applications = outcome.plans.first().map_or(0, |plan| plan.origin.only.len());
        let drops_roles = outcome.steps.iter().any(|(step, _)| step.action == Action::DropRole);
        let roles = match drops_roles {
            true => String::new(),
            false => format!(
                " The roles of {} cannot log in. In the managed databases that the plan compares, they have privileges only on what they own.",
                counted(applications, "application")
            ),
        };
        format!("{}{roles}{}", self.applied(outcome), dropped(outcome))
    }

    /// Asks a question. If a signal ends the run, the question has no end.
    async fn ask(&self, question: &str, expected: &str) -> bool {
        self.is_asking.store(true, Ordering::Relaxed);
        let confirmed = ask_for(question, expected).await;
        self.is_asking.store(false, Ordering::Relaxed);
        confirmed
    }

    /// Returns whether the user is asked for confirmation.
    fn asks(&self) -> bool {
        self.view.ask && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
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
        // With JSON, the document on stdout contains the plan.
        let format = match self.view.format {
            Format::Json => Format::Text,
            format => format,
        };
        // A plan in the format of another program is the result of the run, unless stdout has the records.
        let is_result = format != Format::Text && !self.shows_records;
        match crate::plan::format_plan(plan, format, self.view.detail) {
            Ok(text) if is_result => output::write_stdout(&text),
            Ok(text) if self.asks() => output::message(text.trim_end()),
            Ok(text) => output::status(text.trim_end()),
            Err(error) => error.print(LogFormat::Text),
        }
    }

    fn on_notice(&self, notice: &Notice) {
        output::status(&format!("note: {}", visible(&notice.to_string())));
    }

    fn on_records(&self, records: &[Record]) {
        if !self.shows_records {
            return;
        }
        let text = to_csv(records, Columns::Run);
        let rows = if self.header_printed.swap(true, Ordering::Relaxed) {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        output::write_stdout(rows);
    }

    /// Asks the user, if there is a terminal. Without one, the approval gate has decided.
    async fn confirm(&self, plan: &Plan) -> bool {
        let question = format!("Apply this plan {}: {}?", plan.place(), plan.counts());
        let confirmed = !self.asks() || self.ask(&question, "yes").await;
        self.started.get_or_init(Instant::now);
        confirmed
    }

    /// Asks for the name of the database on a terminal, also with `--yes`.
    async fn confirm_drop(&self, database: &DatabaseName) -> bool {
        let name = visible(database.as_str());
        let question = format!("Database {name} will be dropped, with all its data.");
        std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
            && self.ask(&question, database.as_str()).await
    }
}

/// Returns a sentence that names the databases and roles which a run has dropped.
pub fn dropped(outcome: &Outcome) -> String {
    let names = outcome.steps.iter().filter_map(|(step, result)| {
        let is_applied = matches!(result.status, StepStatus::Success);
        let name = match step.action {
            Action::DropDatabase => format!("database {}", step.database.as_ref()?),
            Action::DropRole => format!("role {}", step.role.as_ref()?),
            _ => return None,
        };
        is_applied.then(|| visible(&name))
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() { String::new() } else { format!(" Dropped: {}.", names.join(", ")) }
}

/// Asks a question. Every answer but this one means no.
pub async fn ask_for(question: &str, expected: &str) -> bool {
    progress::end();
    let (question, expected_text) = (visible(question), visible(expected));
    let prompt = format!("Enter \"{expected_text}\" to confirm:");
    let _ = write!(std::io::stderr(), "{} ", style::question(&question, &prompt));
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let Ok(Ok(answer)) = answer.await else { return false };
    let answer = answer.trim();
    let is_near = expected.to_lowercase().starts_with(&answer.to_lowercase());
    if answer != expected && is_near && !answer.is_empty() {
        output::message(&format!("hint: only the answer \"{expected_text}\" confirms"));
    }
    answer == expected
}
