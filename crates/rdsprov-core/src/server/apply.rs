//! Carrying out a plan: its transactions in order, each whole or not at all.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::connect::{Session, Target, chain};
use crate::name::DatabaseName;
use crate::plan::{Plan, Scope, Slots, Statement, Step, Transaction};

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStatus {
    /// It was committed.
    Success,
    /// It failed, or what it is in one transaction with did.
    Error(String),
    /// It was not tried.
    NotRun,
}

/// One step's result; in the order of [`Plan::steps`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// What became of it.
    pub status: StepStatus,
    /// How long its own statements took.
    pub duration: Duration,
    /// When that was known.
    pub at: Timestamp,
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Each step's result.
    pub steps: Vec<StepResult>,
    /// Whether any transaction was committed.
    pub committed: bool,
    /// The first failure.
    pub error: Option<String>,
}

/// Called with each statement before it is sent, its slots unfilled; may stop the run there as a kill would.
pub type Interrupt<'a> = dyn Fn(&str) -> ControlFlow<()> + Sync + 'a;

/// Called after each transaction with its steps and what became of them.
pub type Report<'a> = dyn Fn(&[Step], &[StepResult]) + Sync + 'a;

/// How a plan is carried out.
#[derive(Default)]
pub struct ApplyOptions<'a> {
    /// Whether later transactions are tried after one has failed.
    pub keep_going: bool,
    /// A look at each statement beforehand.
    pub interrupt: Option<&'a Interrupt<'a>>,
    /// Told of each transaction as it ends.
    pub report: Option<&'a Report<'a>>,
}

/// How a transaction ended without success.
struct Failure {
    /// The step at fault, where it was one.
    step: Option<usize>,
    message: String,
    /// Killed: the connection is to be dropped as it is.
    interrupted: bool,
}

/// Carries out a plan. What went wrong is in the outcome.
pub async fn apply(
    plan: &Plan,
    admin: &Target,
    home: &Session,
    slots: &(dyn Slots + Sync),
    options: &ApplyOptions<'_>,
) -> Outcome {
    let mut outcome = Outcome { steps: Vec::new(), committed: false, error: None };
    let mut stopped = false;
    let mut unfinished: Vec<DatabaseName> = Vec::new();
    for transaction in &plan.transactions {
        let count = transaction.steps.len();
        let waits_for_another =
            matches!(&transaction.scope, Scope::Database(name) if unfinished.contains(name));
        let mut finish = |results: Vec<StepResult>| {
            if let Some(report) = options.report {
                report(&transaction.steps, &results);
            }
            outcome.steps.extend(results);
        };
        if stopped || waits_for_another {
            let not_run = StepResult {
                status: StepStatus::NotRun,
                duration: Duration::ZERO,
                at: Timestamp::now(),
            };
            finish(vec![not_run; count]);
            continue;
        }
        let mut durations = vec![Duration::ZERO; count];
        let result =
            run(transaction, plan.server_major, admin, home, slots, options, &mut durations).await;
        let failure = result.err();
        let at = Timestamp::now();
        let results = durations.into_iter().enumerate().map(|(number, duration)| {
            let status = match &failure {
                None => StepStatus::Success,
                Some(failure) if failure.step.is_none_or(|step| step == number) => {
                    StepStatus::Error(failure.message.clone())
                }
                Some(_) => StepStatus::NotRun,
            };
            StepResult { status, duration, at }
        });
        finish(results.collect());
        outcome.committed |= failure.is_none();
        if let Some(failure) = failure {
            if let Scope::NewDatabase(name) = &transaction.scope {
                unfinished.push(name.clone());
            }
            stopped =
                failure.interrupted || !options.keep_going || transaction.scope == Scope::Cluster;
            outcome.error.get_or_insert(failure.message);
        }
    }
    outcome
}

async fn run(
    transaction: &Transaction,
    server_major: u32,
    admin: &Target,
    home: &Session,
    slots: &(dyn Slots + Sync),
    options: &ApplyOptions<'_>,
    durations: &mut [Duration],
) -> Result<(), Failure> {
    let own;
    let session = match &transaction.scope {
        Scope::Database(name) => {
            own = admin.connect(name).await.map_err(|error| Failure {
                step: None,
                message: error.to_string(),
                interrupted: false,
            })?;
            &own
        }
        Scope::Cluster | Scope::NewDatabase(_) => home,
    };
    let _ = session.take_notices();
    let mut open = false;
    for (step, statement) in transaction.script(server_major) {
        let shown = statement.shown();
        if options.interrupt.is_some_and(|look| look(&shown).is_break()) {
            // Nothing is said to the server: as after a kill, it finds the connection gone.
            return Err(Failure {
                step,
                message: format!("interrupted before: {shown}"),
                interrupted: true,
            });
        }
        let started = Instant::now();
        let result = execute(session, &statement, slots, !open).await;
        if let Some(duration) = step.and_then(|step| durations.get_mut(step)) {
            *duration += started.elapsed();
        }
        match result {
            Ok(()) => open |= shown == "BEGIN",
            Err(message) => {
                if open {
                    // The server ends a failed transaction whatever becomes of this.
                    let _ = session.client.batch_execute("ROLLBACK").await;
                }
                return Err(Failure {
                    step,
                    message: format!("{message}; the statement was: {shown}"),
                    interrupted: false,
                });
            }
        }
    }
    Ok(())
}

/// How often CREATE DATABASE is tried while somebody is connected to the template (55006).
const TEMPLATE_BUSY_TRIES: u32 = 5;

async fn execute(
    session: &Session,
    statement: &Statement,
    slots: &(dyn Slots + Sync),
    retry_busy: bool,
) -> Result<(), String> {
    let text = statement.executable(slots).map_err(|error| error.to_string())?;
    let mut tries = 0;
    loop {
        match session.client.batch_execute(&text).await {
            Ok(()) => break,
            Err(error)
                if retry_busy
                    && error.code() == Some(&SqlState::OBJECT_IN_USE)
                    && tries < TEMPLATE_BUSY_TRIES =>
            {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(200 * u64::from(tries))).await;
            }
            Err(error) => return Err(chain(&error)),
        }
    }
    // A grant that granted nothing (01007) and a revoke that revoked nothing (01006) only warn.
    let warning = session.take_notices().into_iter().find(|notice| {
        *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_GRANTED
            || *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_REVOKED
    });
    match warning {
        Some(warning) => Err(format!("{} ({})", warning.message(), warning.code().code())),
        None => Ok(()),
    }
}
