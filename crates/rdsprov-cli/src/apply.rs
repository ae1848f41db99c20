//! `rdsprov apply`: lock, observe, plan, gates, record the intent, execute, observe again.

use std::path::PathBuf;

use rdsprov_core::audit::{CsvWriter, Record, Status, Trail};
use rdsprov_core::gate::{self, Given};
use rdsprov_core::server;

use crate::args::ApplyOptions;
use crate::setup::Setup;
use crate::{Exit, Stop};

pub async fn run(options: &ApplyOptions) -> Result<Exit, Stop> {
    let setup = Setup::new(&options.common)?;
    let refused = |error: &dyn ToString| Stop::new(Exit::Refused, error.to_string());
    let given = Given::parse(std::env::var("ALLOW_DB_PROVISION").ok().as_deref())
        .map_err(|error| refused(&error))?;
    let trail = Trail {
        environment: setup.environment.clone(),
        build_id: options.build_id.clone(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let output = options.audit_output.clone().or_else(|| setup.config.audit.output.clone());
    let mut records = Records::open(output)?;

    if !options.dry_run
        && let Err(error) = gate::before_contact(&setup.environment, setup.approval, &given)
    {
        records.write(&[trail.run("apply", Status::Refused, &error.to_string())])?;
        return Err(refused(&error));
    }
    let result = connected(options, &setup, &given, &trail, &mut records).await;
    if let Err(stop) = &result {
        let status = if stop.exit == Exit::Refused { Status::Refused } else { Status::Error };
        records.write(&[trail.run("apply", status, &stop.message)])?;
    }
    result
}

async fn connected(
    options: &ApplyOptions,
    setup: &Setup,
    given: &Given,
    trail: &Trail,
    records: &mut Records,
) -> Result<Exit, Stop> {
    let failed = |error: &dyn ToString| Stop::new(Exit::Failed, error.to_string());
    let run = setup.open(&options.server, Some(&options.build_id)).await?;
    let _lock = run.lock().await.map_err(|error| failed(&error))?;
    let plan = run.plan().await.map_err(|error| failed(&error))?;
    eprint!("{}", plan.to_text());
    if !plan.refusals.is_empty() {
        let reasons: Vec<String> = plan.refusals.iter().map(|r| r.message.clone()).collect();
        return Err(Stop::new(Exit::Refused, format!("refused: {}", reasons.join("; "))));
    }
    if options.dry_run {
        records.write(&trail.dry_run(&plan))?;
        return Ok(Exit::Done);
    }
    let allowed = options.allow.iter().copied().collect();
    gate::check(&plan, setup.approval, given, &allowed)
        .map_err(|error| Stop::new(Exit::Refused, error))?;
    if plan.is_empty() {
        records.write(&trail.no_change(&plan))?;
        return Ok(Exit::Done);
    }
    records.intent(&trail.run("intent", Status::NotRun, &plan.digest))?;
    let settings = server::ApplyOptions {
        keep_going: options.no_fail_fast,
        ..server::ApplyOptions::default()
    };
    let outcome = run.apply(&plan, &options.build_id, &settings).await;
    records.write(&trail.outcome(&plan, &outcome))?;
    if let Some(error) = outcome.error {
        eprintln!(
            "error: {error}\nrun the same command again once the cause is mended: it goes on from here"
        );
        return Ok(if outcome.committed { Exit::Partial } else { Exit::Failed });
    }
    let again = run.plan().await.map_err(|error| failed(&error))?;
    if again.is_empty() && again.refusals.is_empty() {
        eprintln!("done: the server is as declared");
        Ok(Exit::Done)
    } else {
        records.write(&[trail.run("converge", Status::Error, "a second look finds more to do")])?;
        eprintln!("error: a second look finds more to do:\n{}", again.to_text());
        Ok(Exit::Partial)
    }
}

/// Where records go: always to stdout, and to a file where one is named.
struct Records {
    file: Option<CsvWriter>,
    header_printed: bool,
}

impl Records {
    fn open(path: Option<PathBuf>) -> Result<Self, Stop> {
        let file = path
            .map(|path| CsvWriter::append(&path))
            .transpose()
            .map_err(|error| Stop::new(Exit::Failed, error))?;
        Ok(Self { file, header_printed: false })
    }

    /// To the file and to the disk, before anything is done; stdout gets the outcome only.
    fn intent(&mut self, record: &Record) -> Result<(), Stop> {
        self.append(std::slice::from_ref(record))
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
