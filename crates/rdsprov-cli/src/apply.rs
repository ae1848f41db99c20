//! `rdsprov apply`: what people see and are asked; the rest is the core's.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdsprov_core::audit::{Record, to_csv};
use rdsprov_core::plan::Plan;
use rdsprov_core::session::{self, Delegation, Done, Front, Interruption, Outcome, Planned};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ApplyOptions, DelegateOptions, Format, Recording};
use crate::{Exit, Stop, say, setup};

pub async fn run(options: &ApplyOptions) -> Result<Exit, Stop> {
    let config = session::config(options.common.config.as_deref())?;
    let front = Talk {
        format: options.common.format,
        // Who saved a plan has had the time to read it.
        ask: !options.recording.yes && options.plan.is_none(),
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.common.env.clone(),
        planned: options.plan.clone().map_or(Planned::Any, Planned::File),
        keep_going: options.no_fail_fast,
        ..recorded(&options.recording)
    };
    let setup = |config| setup::with_config(&options.common, config);
    ended(session::apply(config, setup, &wanted, &front, &listening()).await, AS_DECLARED)
}

/// How a run says that it ended well.
const AS_DECLARED: &str = "done: the server is as declared";

/// `rdsprov delegate`.
pub async fn delegate(options: &DelegateOptions) -> Result<Exit, Stop> {
    let config = session::config(options.config.as_deref())?;
    let front = Talk {
        format: options.format,
        ask: !options.recording.yes,
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.env.clone(),
        ..recorded(&options.recording)
    };
    let delegation = Delegation {
        role: options.to.clone(),
        secret: options.to_secret.clone(),
        adopt: options.adopt,
    };
    ended(session::delegate(config, delegation, &wanted, &front, &listening()).await, AS_DECLARED)
}

pub fn recorded(options: &Recording) -> session::ApplyOptions {
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
pub fn ended(outcome: Outcome, done: &str) -> Result<Exit, Stop> {
    if let Some(head) = &outcome.ledger_head {
        say::talk(&format!("ledger: record {}, {}", head.sequence, head.hash));
    }
    match outcome.ended {
        Ok(_) if outcome.committed && !say::all_is_said() => return Err(records_lost()),
        Ok(Done::Converged) => say::talk(done),
        Ok(Done::NothingToDo) => {}
        Ok(Done::DryRun) => say::talk("a dry run: nothing was changed"),
        Err(error) if outcome.committed => return Err(Stop::new(Exit::Partial, error)),
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// All was done, and who wanted to read of it on stdout cannot.
fn records_lost() -> Stop {
    let message = "all is done, and the records on stdout are not whole; --audit-output and --audit-ledger keep them in files";
    Stop::new(Exit::Partial, message)
}

/// What SIGINT and SIGTERM stop.
pub fn listening() -> Arc<Interruption> {
    let interruption = Arc::new(Interruption::default());
    tokio::spawn(listen(interruption.clone()));
    interruption
}

async fn listen(interruption: Arc<Interruption>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    interruption.tell();
}

/// Plans go to stderr: stdout is for the records.
pub struct Talk {
    pub format: Format,
    pub ask: bool,
    pub header_printed: AtomicBool,
}

impl Front for Talk {
    fn planned(&self, plan: &Plan) {
        match crate::plan::shown(plan, self.format) {
            Ok(text) => say::talk(text.trim_end()),
            Err(stop) => say::talk(&stop.message),
        }
    }

    fn recorded(&self, records: &[Record]) {
        let text = to_csv(records);
        let rows = if self.header_printed.swap(true, Ordering::Relaxed) {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        say::result(rows);
    }

    /// On a terminal a person is asked; elsewhere the gates have said yes.
    async fn agrees(&self, _plan: &Plan) -> bool {
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
