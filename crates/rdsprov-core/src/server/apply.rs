//! Carrying out a plan: its transactions in order, each whole or not at all.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;

use super::connect::{Endpoint, Session, describe_error};
use super::provisioner::Lock;
use crate::name::DatabaseName;
use crate::plan::{Action, Plan, Scope, Slots, Statement, Step, Transaction};

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
pub struct ExecutionOutcome {
    /// Each step's result.
    pub steps: Vec<StepResult>,
    /// Whether any transaction was committed, or a secret made.
    pub committed: bool,
    /// The first failure.
    pub error: Option<String>,
}

/// What happens in the place of a statement: how tests show that nothing is left half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The run ends without a word to the server, as by a kill.
    Killed,
    /// The server gets this statement instead, and fails.
    Sent(&'static str),
}

/// Called with each statement before it is sent, its slots unfilled; may put a fault in its place.
pub type Interrupt<'a> = dyn Fn(&str) -> ControlFlow<Fault> + Sync + 'a;

/// Called after each transaction with its steps and what became of them.
pub type Report<'a> = dyn Fn(&[Step], &[StepResult]) + Sync + 'a;

/// How a plan is carried out.
#[derive(Default)]
pub struct ExecuteOptions<'a> {
    /// Whether later transactions are tried after one has failed.
    pub keep_going: bool,
    /// A look at each statement beforehand.
    pub interrupt: Option<&'a Interrupt<'a>>,
    /// Told of each transaction as it ends.
    pub report: Option<&'a Report<'a>>,
    /// Ends the run where it stands once it holds `true`: the statement under way is cancelled, its
    /// transaction rolled back.
    pub stop: Option<watch::Receiver<bool>>,
}

/// How a transaction ended without success.
struct TransactionFailure {
    /// The step at fault, where it was one.
    step: Option<usize>,
    message: String,
    /// The run ends here, whatever the options say.
    ends: bool,
    /// Somebody else changed the same catalog row: the transaction may be tried again.
    raced: bool,
}

/// How often a transaction is tried that lost a race.
const RACES: u32 = 5;

/// Carries out a plan whose secrets are made already. What went wrong is in the outcome.
pub async fn apply(
    plan: &Plan,
    admin: &Endpoint,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome = ExecutionOutcome { steps: Vec::new(), committed: false, error: None };
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
        // A secret was made before anything was said to the server, and stays whatever that says.
        let is_made = |step: &Step| step.action == Action::CreateSecret;
        outcome.committed |= transaction.steps.iter().any(is_made);
        let mut durations = vec![Duration::ZERO; count];
        let mut progress = TransactionProgress { durations: &mut durations, created: false };
        let mut races = 0;
        let result = loop {
            let result =
                run(transaction, plan.server_major, admin, lock, slots, options, &mut progress)
                    .await;
            races += 1;
            if !matches!(&result, Err(failure) if failure.raced) || races == RACES {
                break result;
            }
            tokio::time::sleep(Duration::from_millis(100 * u64::from(races))).await;
        };
        outcome.committed |= progress.created;
        let failure = result.err();
        let at = Timestamp::now();
        let steps = transaction.steps.iter().zip(durations).enumerate();
        let results = steps.map(|(number, (step, duration))| {
            let status = match failure.as_ref().filter(|_| !is_made(step)) {
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
            stopped = failure.ends || !options.keep_going || transaction.scope == Scope::Cluster;
            outcome.error.get_or_insert(failure.message);
        }
    }
    outcome
}

/// What becomes of a plan where a step fails that has to be done before anything is said to the server.
pub(super) fn outcome_not_started(
    plan: &Plan,
    action: Action,
    message: &str,
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome =
        ExecutionOutcome { steps: Vec::new(), committed: false, error: Some(message.to_owned()) };
    for transaction in &plan.transactions {
        let results = transaction.steps.iter().map(|step| StepResult {
            status: if step.action == action {
                StepStatus::Error(message.to_owned())
            } else {
                StepStatus::NotRun
            },
            duration: Duration::ZERO,
            at: Timestamp::now(),
        });
        let results: Vec<StepResult> = results.collect();
        if let Some(report) = options.report {
            report(&transaction.steps, &results);
        }
        outcome.steps.extend(results);
    }
    outcome
}

/// How far a transaction has come, over all its tries.
struct TransactionProgress<'a> {
    durations: &'a mut [Duration],
    /// Whether what runs before it has run.
    created: bool,
}

async fn run(
    transaction: &Transaction,
    server_major: u32,
    admin: &Endpoint,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
    progress: &mut TransactionProgress<'_>,
) -> Result<(), TransactionFailure> {
    let own;
    let session = match &transaction.scope {
        Scope::Database(name) => {
            let failed = |message: String| TransactionFailure {
                step: None,
                message,
                ends: false,
                raced: false,
            };
            own = admin.connect(name).await.map_err(|error| failed(error.to_string()))?;
            own.limit_lock_waits().await.map_err(|error| failed(describe_error(&error)))?;
            &own
        }
        Scope::Cluster | Scope::NewDatabase(_) => &lock.0,
    };
    let _ = session.take_notices();
    let mut open = false;
    let script = transaction.script(server_major);
    let done = usize::from(progress.created);
    for (step, statement) in script.into_iter().skip(done) {
        let text = statement.redacted();
        let statement = match options.interrupt.map(|interrupt| interrupt(&text)) {
            None | Some(ControlFlow::Continue(())) => statement,
            Some(ControlFlow::Break(Fault::Sent(other))) => Statement::Sql(other.to_owned()),
            // Nothing is said to the server: as after a kill, it finds the connection gone.
            Some(ControlFlow::Break(Fault::Killed)) => {
                return Err(TransactionFailure {
                    step,
                    message: format!("interrupted before: {text}"),
                    ends: true,
                    raced: false,
                });
            }
        };
        let started = Instant::now();
        let result = tokio::select! {
            biased;
            result = execute(session, &statement, slots, !open) => result,
            () = stopped(options.stop.clone()) => {
                admin.cancel(session).await;
                // Answered only when the server is done with the statement.
                let _ = session.client.batch_execute("ROLLBACK").await;
                return Err(TransactionFailure {
                    step,
                    message: format!("stopped at: {text}"),
                    ends: true,
                    raced: false,
                });
            }
        };
        if let Some(duration) = step.and_then(|step| progress.durations.get_mut(step)) {
            *duration += started.elapsed();
        }
        match result {
            Ok(()) => {
                progress.created |= !open && transaction.before.as_ref() == Some(&statement);
                open |= text == "BEGIN";
            }
            Err((message, raced)) => {
                if open {
                    // The server ends a failed transaction whatever becomes of this.
                    let _ = session.client.batch_execute("ROLLBACK").await;
                }
                return Err(TransactionFailure {
                    step,
                    message: format!("{message}; the statement was: {text}"),
                    ends: false,
                    raced,
                });
            }
        }
    }
    Ok(())
}

/// Waits until the run is told to stop.
pub(super) async fn stopped(stop: Option<watch::Receiver<bool>>) {
    let is_stopped = match stop {
        Some(mut stop) => stop.wait_for(|stop| *stop).await.is_ok(),
        None => false,
    };
    if !is_stopped {
        std::future::pending::<()>().await;
    }
}

/// How often CREATE DATABASE is tried while somebody is connected to the template (55006).
const TEMPLATE_BUSY_TRIES: u32 = 5;

const TEMPLATE_USERS: &str = include_str!("queries/template_users.sql");

/// Whether an error is that of two sessions that change one catalog row at once: 40001 and 40P01, and
/// where the catalogs have no better way to say it, XX000 and a unique index of theirs. A lock that was
/// not to be had in time (55P03) may be, too, once those who waited behind it have had their turn.
fn is_race(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    let code = error.code();
    *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || (*code == SqlState::INTERNAL_ERROR && error.message().contains("concurrently"))
        || (*code == SqlState::UNIQUE_VIOLATION
            && error.constraint().is_some_and(|index| index.starts_with("pg_")))
}

/// Runs one statement; an error is its message, and whether it was a race.
async fn execute(
    session: &Session,
    statement: &Statement,
    slots: &(dyn Slots + Sync),
    retry_busy: bool,
) -> Result<(), (String, bool)> {
    let text = statement.executable(slots).map_err(|error| (error.to_string(), false))?;
    let mut tries = 0;
    loop {
        let sent = match statement {
            // Of a batch the driver logs the text, for whoever listens: and here a verifier stands in it.
            Statement::Password { .. } => session.client.execute_typed(&text, &[]).await.map(drop),
            _ => session.client.batch_execute(&text).await,
        };
        let Err(error) = sent else { break };
        let busy = retry_busy && error.code() == Some(&SqlState::OBJECT_IN_USE);
        if busy && tries < TEMPLATE_BUSY_TRIES {
            tries += 1;
            tokio::time::sleep(Duration::from_millis(200 * u64::from(tries))).await;
            continue;
        }
        let mut message = describe_error(&error);
        if busy && let Ok(row) = session.client.query_one(TEMPLATE_USERS, &[]).await {
            let users: String = row.try_get(0).unwrap_or_default();
            message = format!("{message}; connected to it: {users}");
        }
        return Err((message, is_race(&error)));
    }
    // A grant that granted nothing (01007) and a revoke that revoked nothing (01006) only warn.
    let warning = session.take_notices().into_iter().find(|notice| {
        *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_GRANTED
            || *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_REVOKED
    });
    match warning {
        Some(warning) => Err((format!("{} ({})", warning.message(), warning.code().code()), false)),
        None => Ok(()),
    }
}
