//! `rdsprov apply`: lock, observe, plan, gates, record the intent, execute, observe again.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdsprov_core::audit::{CsvWriter, Record, Status, Trail};
use rdsprov_core::config::Approval;
use rdsprov_core::gate::{self, GateError, Given};
use rdsprov_core::plan::{Plan, Step};
use rdsprov_core::server::{self, StepResult};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::{ApplyOptions, Format};
use crate::setup::{self, Setup};
use crate::{Exit, Stop, say};

pub async fn run(options: &ApplyOptions) -> Result<Exit, Stop> {
    let config = setup::config(options.common.config.as_deref())?;
    let output = options.audit_output.clone().or_else(|| config.audit.output.clone());
    let mut records = Records::open(output)?;
    let mut trail = Trail {
        environment: options.common.env.clone().unwrap_or_default(),
        build_id: options.server.build_id.clone().unwrap_or_default(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let interruption = Interruption::listen();
    let result = tokio::select! {
        biased;
        result = recorded(options, config, &mut trail, &mut records, &interruption) => result,
        () = interruption.outside_of_work() => {
            let exit = if records.committed { Exit::Partial } else { Exit::Failed };
            Err(interruption.stop(exit))
        }
    };
    if let Err(stop) = &result {
        let status = if stop.exit == Exit::Refused { Status::Refused } else { Status::Error };
        records.write(&[trail.run("apply", status, &stop.message)])?;
    }
    result
}

/// SIGINT and SIGTERM. While a plan is carried out, that ends by itself where it stands; at any other time
/// nothing is lost by ending at once.
pub struct Interruption {
    pub told: watch::Receiver<bool>,
    pub working: AtomicBool,
}

impl Interruption {
    pub fn listen() -> Self {
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let _ = tell.send(true);
            // Dropped, the channel would say that nobody will ever tell.
            std::future::pending::<()>().await;
        });
        Self { told, working: AtomicBool::new(false) }
    }

    pub async fn outside_of_work(&self) {
        let mut told = self.told.clone();
        if told.wait_for(|told| *told).await.is_err() {
            std::future::pending::<()>().await;
        }
        while self.working.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn stop(&self, exit: Exit) -> Stop {
        let what = if exit == Exit::Partial {
            "what was committed stays, the rest was rolled back"
        } else {
            "nothing was changed"
        };
        Stop::new(exit, format!("stopped by a signal: {what}; run the same command again to go on"))
    }
}

async fn recorded(
    options: &ApplyOptions,
    config: rdsprov_core::config::Config,
    trail: &mut Trail,
    records: &mut Records,
    interruption: &Interruption,
) -> Result<Exit, Stop> {
    let refused = |error: &dyn ToString| Stop::new(Exit::Refused, error.to_string());
    let failed = |error: &dyn ToString| Stop::new(Exit::Failed, error.to_string());
    let setup = Setup::with_config(&options.common, config)?;
    trail.environment.clone_from(&setup.environment);
    let approval = std::env::var("ALLOW_DB_PROVISION").ok();
    let given = match Given::parse(approval.as_deref()) {
        // Nobody asks.
        Err(_) if options.dry_run || setup.approval == Approval::None => Given::Nothing,
        given => given.map_err(|error| refused(&error))?,
    };
    if !options.dry_run {
        gate::before_contact(&setup.environment, setup.approval, &given)
            .map_err(|error| refused(&error))?;
    }

    let run = setup.open(&options.server).await?;
    let lock = run.lock().await.map_err(|error| failed(&error))?;
    let mut plan = run.plan().await.map_err(|error| failed(&error))?;
    show(&plan, options.common.format)?;
    no_refusals(&plan)?;
    if options.dry_run {
        records.write(&trail.dry_run(&plan))?;
        say::talk("a dry run: nothing was changed");
        return Ok(Exit::Done);
    }
    let allowed = options.server.allow.iter().copied().collect();
    gate::check(&plan, setup.approval, &given, &allowed).map_err(|error| refused(&error))?;
    if plan.is_empty() {
        records.write(&trail.no_change(&plan))?;
        return Ok(Exit::Done);
    }
    if !options.yes && !agreed().await {
        return Err(refused(&"nobody said yes; nothing was changed"));
    }
    // What could not be seen before the first plan had run is a second plan's; then all was seen.
    for _ in 0..ROUNDS {
        if let Some(exit) =
            execute(options, &run, &lock, &plan, trail, records, interruption).await?
        {
            return Ok(exit);
        }
        let partial = |error: &dyn ToString| Stop::new(Exit::Partial, error.to_string());
        let again = run.plan().await.map_err(|error| partial(&error))?;
        if again.is_empty() && again.refusals.is_empty() {
            records.write(&trail.no_change(&plan))?;
            say::talk("done: the server is as declared");
            return Ok(Exit::Done);
        }
        show(&again, options.common.format)?;
        if plan.unseen.is_empty() {
            break;
        }
        no_refusals(&again).map_err(|stop| partial(&stop.message))?;
        gate::check(&again, setup.approval, &given, &allowed).map_err(|error| match error {
            GateError::Stale { digest, .. } => partial(&format!(
                "the plan approved is carried out; what could be seen only then asks for an approval of its own: read it above, set ALLOW_DB_PROVISION={digest}, and run again"
            )),
            error => partial(&error),
        })?;
        plan = again;
    }
    Err(Stop::new(Exit::Partial, "a second look at the server finds more to do: see above"))
}

/// How many plans one run carries out at most.
const ROUNDS: usize = 2;

pub fn no_refusals(plan: &Plan) -> Result<(), Stop> {
    if plan.refusals.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> =
        plan.refusals.iter().map(|r| format!("{}: {}", r.application, r.message)).collect();
    Err(Stop::new(Exit::Refused, format!("refused: {}", reasons.join("; "))))
}

/// Records the intent and carries a plan out; an exit code where that ended badly.
async fn execute(
    options: &ApplyOptions,
    run: &server::Run,
    lock: &server::Lock,
    plan: &Plan,
    trail: &Trail,
    records: &mut Records,
    interruption: &Interruption,
) -> Result<Option<Exit>, Stop> {
    records.write(&[trail.run("intent", Status::NotRun, &plan.digest)])?;
    let kept = Mutex::new((&mut *records, Ok(())));
    let report = |steps: &[Step], results: &[StepResult]| {
        if let Ok(mut kept) = kept.lock() {
            let written = kept.0.write(&trail.results(steps, results));
            kept.1 = std::mem::replace(&mut kept.1, Ok(())).and(written);
        }
    };
    let settings = server::ApplyOptions {
        keep_going: options.no_fail_fast,
        report: Some(&report),
        stop: Some(interruption.told.clone()),
        ..server::ApplyOptions::default()
    };
    interruption.working.store(true, Ordering::Relaxed);
    let outcome = run.apply(lock, plan, &trail.build_id, &settings).await;
    interruption.working.store(false, Ordering::Relaxed);
    // A record that could not be kept ends the run only now: what is done is done.
    let written = kept.into_inner().map_or(Ok(()), |(_, written)| written);
    records.committed |= outcome.committed;
    let exit = if records.committed { Exit::Partial } else { Exit::Failed };
    written.map_err(|stop| Stop { exit, ..stop })?;
    let Some(error) = outcome.error else { return Ok(None) };
    records.write(&trail.no_change(plan))?;
    if *interruption.told.borrow() {
        return Err(interruption.stop(exit));
    }
    say::talk(&format!(
        "error: {error}\nrun the same command again once the cause is mended: it goes on from here"
    ));
    Ok(Some(exit))
}

/// The plan goes to stderr: stdout is for the records.
pub fn show(plan: &Plan, format: Format) -> Result<(), Stop> {
    say::talk(crate::plan::shown(plan, format)?.trim_end());
    Ok(())
}

/// On a terminal a person is asked; elsewhere the gates have said yes.
pub async fn agreed() -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return true;
    }
    let _ = write!(std::io::stderr(), "Apply this plan? Only \"yes\" will do it: ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    matches!(answer.await, Ok(Ok(answer)) if answer.trim() == "yes")
}

/// Where records go: to a file where one is named, and then always to stdout.
pub struct Records {
    file: Option<CsvWriter>,
    header_printed: bool,
    /// Whether anything was committed in this run.
    pub committed: bool,
}

impl Records {
    pub fn open(path: Option<PathBuf>) -> Result<Self, Stop> {
        let file = path
            .map(|path| CsvWriter::append(&path))
            .transpose()
            .map_err(|error| Stop::new(Exit::Failed, error))?;
        Ok(Self { file, header_printed: false, committed: false })
    }

    /// On disk first: who reads stdout may be gone.
    pub fn write(&mut self, records: &[Record]) -> Result<(), Stop> {
        if let Some(file) = &mut self.file {
            records
                .iter()
                .try_for_each(|record| file.write(record))
                .and_then(|()| file.sync())
                .map_err(|error| Stop::new(Exit::Failed, error))?;
        }
        let text = rdsprov_core::audit::to_csv(records);
        let rows = if self.header_printed {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        say::result(rows);
        self.header_printed = true;
        Ok(())
    }
}
