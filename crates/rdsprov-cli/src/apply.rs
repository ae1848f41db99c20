//! `rdsprov apply`: lock, observe, plan, gates, record the intent, execute, observe again.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Mutex;

use rdsprov_core::audit::{CsvWriter, Record, Status, Trail};
use rdsprov_core::gate::{self, Given};
use rdsprov_core::plan::{Plan, Step};
use rdsprov_core::server::{self, StepResult};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ApplyOptions, Format};
use crate::setup::{self, Setup};
use crate::{Exit, Stop};

pub async fn run(options: &ApplyOptions) -> Result<Exit, Stop> {
    let config = setup::config(options.common.config.as_deref())?;
    let output = options.audit_output.clone().or_else(|| config.audit.output.clone());
    let mut records = Records::open(output)?;
    let mut trail = Trail {
        environment: options.common.env.clone().unwrap_or_default(),
        build_id: options.build_id.clone(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let result = tokio::select! {
        result = recorded(options, config, &mut trail, &mut records) => result,
        name = stop_signal() => {
            let (exit, what) = if records.intent_written {
                (Exit::Partial, "what was committed stays, the rest was rolled back")
            } else {
                (Exit::Failed, "nothing was changed")
            };
            Err(Stop::new(exit, format!("stopped by {name}: {what}; run the same command again to go on")))
        }
    };
    if let Err(stop) = &result {
        let status = if stop.exit == Exit::Refused { Status::Refused } else { Status::Error };
        records.write(&[trail.run("apply", status, &stop.message)])?;
    }
    result
}

/// Waits for SIGINT or SIGTERM, and gives its name.
async fn stop_signal() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

async fn recorded(
    options: &ApplyOptions,
    config: rdsprov_core::config::Config,
    trail: &mut Trail,
    records: &mut Records,
) -> Result<Exit, Stop> {
    let refused = |error: &dyn ToString| Stop::new(Exit::Refused, error.to_string());
    let failed = |error: &dyn ToString| Stop::new(Exit::Failed, error.to_string());
    let setup = Setup::with_config(&options.common, config)?;
    trail.environment.clone_from(&setup.environment);
    let given = Given::parse(std::env::var("ALLOW_DB_PROVISION").ok().as_deref())
        .map_err(|error| refused(&error))?;
    if !options.dry_run {
        gate::before_contact(&setup.environment, setup.approval, &given)
            .map_err(|error| refused(&error))?;
    }

    let run = setup.open(&options.server, Some(&options.build_id)).await?;
    let lock = run.lock().await.map_err(|error| failed(&error))?;
    let mut plan = run.plan().await.map_err(|error| failed(&error))?;
    show(&plan, options.common.format)?;
    no_refusals(&plan)?;
    if options.dry_run {
        records.write(&trail.dry_run(&plan))?;
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
        if let Some(exit) = execute(options, &run, &lock, &plan, trail, records).await? {
            return Ok(exit);
        }
        let partial = |error: &dyn ToString| Stop::new(Exit::Partial, error.to_string());
        let again = run.plan().await.map_err(|error| partial(&error))?;
        if again.is_empty() && again.refusals.is_empty() {
            records.write(&trail.no_change(&plan))?;
            eprintln!("done: the server is as declared");
            return Ok(Exit::Done);
        }
        show(&again, options.common.format)?;
        if plan.unseen.is_empty() {
            break;
        }
        no_refusals(&again).map_err(|stop| partial(&stop.message))?;
        gate::check(&again, setup.approval, &given, &allowed).map_err(|error| partial(&error))?;
        plan = again;
    }
    Err(Stop::new(Exit::Partial, "a second look at the server finds more to do: see above"))
}

/// How many plans one run carries out at most.
const ROUNDS: usize = 2;

fn no_refusals(plan: &Plan) -> Result<(), Stop> {
    if plan.refusals.is_empty() {
        return Ok(());
    }
    let reasons: Vec<&str> = plan.refusals.iter().map(|r| r.message.as_str()).collect();
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
) -> Result<Option<Exit>, Stop> {
    records.intent(&trail.run("intent", Status::NotRun, &plan.digest))?;
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
        ..server::ApplyOptions::default()
    };
    let outcome = run.apply(lock, plan, &options.build_id, &settings).await;
    // A record that could not be kept ends the run only now: what is done is done.
    kept.into_inner().map_or(Ok(()), |(_, written)| written)?;
    if let Some(error) = outcome.error {
        records.write(&trail.no_change(plan))?;
        eprintln!(
            "error: {error}\nrun the same command again once the cause is mended: it goes on from here"
        );
        return Ok(Some(if outcome.committed { Exit::Partial } else { Exit::Failed }));
    }
    Ok(None)
}

/// The plan goes to stderr: stdout is for the records.
fn show(plan: &Plan, format: Format) -> Result<(), Stop> {
    let text = match format {
        Format::Text => plan.to_text(),
        Format::Sql => plan.to_sql(),
        Format::Json => plan.to_json().map_err(|error| Stop::new(Exit::Failed, error))? + "\n",
    };
    eprint!("{text}");
    Ok(())
}

/// On a terminal a person is asked; elsewhere the gates have said yes.
async fn agreed() -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return true;
    }
    eprint!("Apply this plan? Only \"yes\" will do it: ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    matches!(answer.await, Ok(Ok(answer)) if answer.trim() == "yes")
}

/// Where records go: always to stdout, and to a file where one is named.
struct Records {
    file: Option<CsvWriter>,
    header_printed: bool,
    intent_written: bool,
}

impl Records {
    fn open(path: Option<PathBuf>) -> Result<Self, Stop> {
        let file = path
            .map(|path| CsvWriter::append(&path))
            .transpose()
            .map_err(|error| Stop::new(Exit::Failed, error))?;
        Ok(Self { file, header_printed: false, intent_written: false })
    }

    /// To the file and to the disk, before anything is done; stdout gets the outcome only.
    fn intent(&mut self, record: &Record) -> Result<(), Stop> {
        self.append(std::slice::from_ref(record))?;
        self.intent_written = true;
        Ok(())
    }

    fn write(&mut self, records: &[Record]) -> Result<(), Stop> {
        let text = rdsprov_core::audit::to_csv(records);
        let rows = if self.header_printed {
            text.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            &text
        };
        print!("{rows}");
        self.header_printed = true;
        self.append(records)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), Stop> {
        let Some(file) = &mut self.file else { return Ok(()) };
        records
            .iter()
            .try_for_each(|record| file.write(record))
            .and_then(|()| file.sync())
            .map_err(|error| Stop::new(Exit::Failed, error))
    }
}
