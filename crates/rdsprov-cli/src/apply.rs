//! `rdsprov apply`: what people see and are asked; the rest is the core's.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdsprov_core::audit::{Record, to_csv};
use rdsprov_core::plan::Plan;
use rdsprov_core::session::{
    self, Cancellation, Completion, Delegation, Frontend, Outcome, PlanSource,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ApplyArgs, DelegateArgs, Format, RecordingArgs};
use crate::{CliError, Exit, output, setup};

pub async fn run(options: &ApplyArgs) -> Result<Exit, CliError> {
    let config = session::config(options.common.config.as_deref())?;
    let frontend = TerminalFrontend {
        format: options.common.format,
        // Who saved a plan has had the time to read it.
        ask: !options.recording.yes && options.plan.is_none(),
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.common.env.clone(),
        plan_source: options.plan.clone().map_or(PlanSource::Any, PlanSource::File),
        keep_going: options.no_fail_fast,
        ..recording_options(&options.recording)
    };
    let setup = |config| setup::with_config(&options.common, config);
    report_outcome(
        session::apply(config, setup, &wanted, &frontend, &cancellation_on_signals()).await,
        AS_DECLARED,
    )
}

/// How a run says that it ended well.
const AS_DECLARED: &str = "done: the server is as declared";

/// `rdsprov delegate`.
pub async fn delegate(options: &DelegateArgs) -> Result<Exit, CliError> {
    let config = session::config(options.config.as_deref())?;
    let frontend = TerminalFrontend {
        format: options.format,
        ask: !options.recording.yes,
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.env.clone(),
        ..recording_options(&options.recording)
    };
    let delegation = Delegation {
        role: options.to.clone(),
        secret: options.to_secret.clone(),
        adopt: options.adopt,
    };
    report_outcome(
        session::delegate(config, delegation, &wanted, &frontend, &cancellation_on_signals()).await,
        AS_DECLARED,
    )
}

pub fn recording_options(options: &RecordingArgs) -> session::ApplyOptions {
    session::ApplyOptions {
        run_id: options.run_id.clone(),
        audit_output: options.audit_output.clone(),
        audit_ledger: options.audit_ledger.clone(),
        actor: options.actor.clone(),
        approver: options.approver.clone(),
        request_id: options.request_id.clone(),
        approval: std::env::var("ALLOW_DB_PROVISION").ok(),
        dry_run: options.dry_run,
        ..session::ApplyOptions::default()
    }
}

/// Says how a run ended, and gives its exit code.
pub fn report_outcome(outcome: Outcome, done: &str) -> Result<Exit, CliError> {
    if let Some(head) = &outcome.ledger_head {
        output::status(&format!("ledger: record {}, {}", head.sequence, head.hash));
    }
    match outcome.result {
        Ok(_) if outcome.committed && !output::flush() => return Err(records_lost()),
        Ok(Completion::Converged) => output::status(done),
        Ok(Completion::NothingToDo) => {}
        Ok(Completion::DryRun) => output::status("a dry run: nothing was changed"),
        Err(error) if outcome.committed => return Err(CliError::new(Exit::Partial, error)),
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// All was done, and who wanted to read of it on stdout cannot.
fn records_lost() -> CliError {
    let message = "all is done, and the records on stdout are not whole; --audit-output and --audit-ledger keep them in files";
    CliError::new(Exit::Partial, message)
}

/// What SIGINT and SIGTERM stop.
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

/// Plans go to stderr: stdout is for the records.
pub struct TerminalFrontend {
    pub format: Format,
    pub ask: bool,
    pub header_printed: AtomicBool,
}

impl Frontend for TerminalFrontend {
    fn on_plan(&self, plan: &Plan) {
        match crate::plan::format_plan(plan, self.format) {
            Ok(text) => output::status(text.trim_end()),
            Err(error) => output::status(&error.message),
        }
    }

    fn on_records(&self, records: &[Record]) {
        let text = to_csv(records);
        let rows = if self.header_printed.swap(true, Ordering::Relaxed) {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        output::write_stdout(rows);
    }

    /// On a terminal a person is asked; elsewhere the gates have said yes.
    async fn confirm(&self, _plan: &Plan) -> bool {
        if !self.ask || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return true;
        }
        let _ = write!(std::io::stderr(), "Apply this plan? Only \"yes\" will do it: ");
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        matches!(answer.await, Ok(Ok(answer)) if answer.trim() == "yes")
    }
}
