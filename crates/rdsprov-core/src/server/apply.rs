//! Executes plans: the transactions in order, each of which is committed or rolled back as a whole.
//!
//! This module does not know how a plan is made or recorded.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::connect::{Endpoint, Session, describe_error};
use super::lock::Lock;
use super::stop::{Stop, stopped};
use crate::hint::Hint;
use crate::name::DatabaseName;
use crate::plan::{Action, Line, Plan, Scope, Slots, Statement, Step, Transaction};
use crate::step_result::{StepResult, StepStatus};

/// The result of executing a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionOutcome {
    /// The result of each step.
    pub steps: Vec<StepResult>,
    /// Whether at least one transaction was committed or one secret was created.
    pub committed: bool,
    /// The message of the first failure; `None` if all steps succeeded.
    pub error: Option<String>,
    /// What to do about this failure, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
}

/// A failure that a test injects instead of a statement, to verify how interrupted runs end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "test-faults"), allow(dead_code, reason = "only tests inject faults"))]
pub enum Fault {
    /// The run ends and sends nothing to the server, as after SIGKILL.
    Killed,
    /// This statement, which fails, is sent instead.
    Sent(&'static str),
}

/// A callback before each statement, which receives its text with unfilled slots and
/// can inject a [`Fault`].
pub type Interrupt<'a> = dyn Fn(&str) -> ControlFlow<Fault> + Sync + 'a;

/// A callback after each transaction, which receives its steps and their results.
pub type Report<'a> = dyn Fn(&[Step], &[StepResult]) + Sync + 'a;

/// Options for the execution of a plan.
#[derive(Default)]
#[non_exhaustive]
pub struct ExecuteOptions<'a> {
    /// Whether the transactions of other databases are executed after one has failed.
    pub keep_going: bool,
    /// Called before each statement. Only tests set it.
    pub(crate) interrupt: Option<&'a Interrupt<'a>>,
    /// Called after each transaction.
    pub report: Option<&'a Report<'a>>,
    /// Ends the run: the current statement is cancelled, and its transaction is rolled back.
    pub stop: Option<Stop>,
}

#[cfg(feature = "test-faults")]
#[doc(hidden)]
impl<'a> ExecuteOptions<'a> {
    /// Returns options for a test that injects faults.
    #[must_use]
    pub fn interrupted_by(interrupt: &'a Interrupt<'a>) -> Self {
        Self { interrupt: Some(interrupt), ..Self::default() }
    }
}

/// Why a transaction failed.
struct TransactionFailure {
    /// The index of the failed step; `None` if the failure was outside of a step.
    step: Option<usize>,
    message: String,
    /// Whether the run ends in spite of `keep_going`.
    ends_run: bool,
    /// Whether the transaction can be repeated, because another session changed
    /// the same catalog row.
    is_conflict: bool,
}

/// The maximum number of executions of a transaction that conflicts with other sessions.
const MAX_EXECUTIONS: u32 = 5;

/// Executes a plan whose new secrets were created before. Errors are in the outcome.
pub async fn apply(
    plan: &Plan,
    admin: &Endpoint,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome = ExecutionOutcome::default();
    let mut ended = false;
    let mut unfinished: Vec<DatabaseName> = Vec::new();
    for transaction in &plan.transactions {
        let count = transaction.steps.len();
        let database_is_unfinished =
            matches!(&transaction.scope, Scope::Database(name) if unfinished.contains(name));
        let mut finish = |results: Vec<StepResult>| {
            if let Some(report) = options.report {
                report(&transaction.steps, &results);
            }
            outcome.steps.extend(results);
        };
        if ended || database_is_unfinished {
            let not_run = StepResult {
                status: StepStatus::NotRun,
                duration: Duration::ZERO,
                at: Timestamp::now(),
            };
            finish(vec![not_run; count]);
            continue;
        }
        // A secret is created before the first statement, and is kept if a statement fails.
        let is_created = |step: &Step| step.action == Action::CreateSecret;
        outcome.committed |= transaction.steps.iter().any(is_created);
        let mut durations = vec![Duration::ZERO; count];
        let mut progress = TransactionProgress { durations: &mut durations, created: false };
        let mut executions = 0;
        let result = loop {
            let result =
                run(transaction, plan.server_major, admin, lock, slots, options, &mut progress)
                    .await;
            executions += 1;
            if !matches!(&result, Err(failure) if failure.is_conflict)
                || executions == MAX_EXECUTIONS
            {
                break result;
            }
            tokio::time::sleep(Duration::from_millis(100 * u64::from(executions))).await;
        };
        outcome.committed |= progress.created;
        let failure = result.err();
        let at = Timestamp::now();
        let steps = transaction.steps.iter().zip(durations).enumerate();
        let results = steps.map(|(number, (step, duration))| {
            let status = match failure.as_ref().filter(|_| !is_created(step)) {
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
            ended = failure.ends_run || !options.keep_going || transaction.scope == Scope::Cluster;
            outcome.error.get_or_insert(failure.message);
        }
    }
    outcome
}

/// Returns the outcome of a plan whose execution could not start, because an action that precedes
/// the first statement failed.
pub(crate) fn outcome_not_started(
    plan: &Plan,
    action: Action,
    message: &str,
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome =
        ExecutionOutcome { error: Some(message.to_owned()), ..ExecutionOutcome::default() };
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

/// The progress of a transaction, over all its executions.
struct TransactionProgress<'a> {
    durations: &'a mut [Duration],
    /// Whether the statement before the transaction (`CREATE DATABASE`) was executed.
    created: bool,
}

/// Executes one transaction on the connection that its scope requires.
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
                ends_run: false,
                is_conflict: false,
            };
            own = admin.connect(name).await.map_err(|error| failed(error.to_string()))?;
            own.limit_lock_waits().await.map_err(|error| failed(describe_error(&error)))?;
            &own
        }
        Scope::Cluster | Scope::NewDatabase(_) => &lock.0,
    };
    let _ = session.take_notices();
    let mut open = false;
    let created = progress.created;
    let is_done = |line: &Line<'_>| created && matches!(line, Line::Before(_));
    for line in transaction.script().into_iter().filter(|line| !is_done(line)) {
        let step = line.step();
        let statement = line.statement(server_major);
        let text = statement.redacted();
        let request = match options.interrupt.map(|interrupt| interrupt(&text)) {
            None | Some(ControlFlow::Continue(())) => Request::Statement(&statement),
            Some(ControlFlow::Break(Fault::Sent(other))) => Request::Fault(other),
            // Nothing is sent to the server, which then finds the connection
            // closed, as after SIGKILL.
            Some(ControlFlow::Break(Fault::Killed)) => {
                return Err(TransactionFailure {
                    step,
                    message: format!("interrupted before: {text}"),
                    ends_run: true,
                    is_conflict: false,
                });
            }
        };
        let started = Instant::now();
        let result = tokio::select! {
            biased;
            result = execute(session, &request, slots, matches!(line, Line::Before(_))) => result,
            () = stopped(options.stop.clone()) => {
                admin.cancel(session).await;
                // The server executes `ROLLBACK` after the cancelled statement has ended.
                let _ = session.client.batch_execute("ROLLBACK").await;
                return Err(TransactionFailure {
                    step,
                    message: format!("stopped at: {text}"),
                    ends_run: true,
                    is_conflict: false,
                });
            }
        };
        if let Some(duration) = step.and_then(|step| progress.durations.get_mut(step)) {
            *duration += started.elapsed();
        }
        match result {
            Ok(()) => {
                progress.created |= matches!(line, Line::Before(_));
                open |= line == Line::Begin;
            }
            Err((message, is_conflict)) => {
                if open {
                    // An error is ignored: the server has aborted the transaction already.
                    let _ = session.client.batch_execute("ROLLBACK").await;
                }
                // The message of the check says which membership is the reason.
                let is_complete = line == Line::VerifyMemberships && message.ends_with(MEMBERSHIP);
                let message = if is_complete {
                    message
                } else {
                    format!("{message}; the statement was: {text}")
                };
                return Err(TransactionFailure { step, message, ends_run: false, is_conflict });
            }
        }
    }
    Ok(())
}

/// The number of repetitions of `CREATE DATABASE` while other sessions use the template (55006).
const TEMPLATE_BUSY_RETRIES: u32 = 5;

/// The end of the message of [`Line::VerifyMemberships`], if the administrator has a new membership.
const MEMBERSHIP: &str = "(2D000)";

const TEMPLATE_USERS: &str = include_str!("queries/template_users.sql");

/// Returns whether an error is caused by another session that changes the same catalog row, so that
/// a repetition can succeed.
///
/// PostgreSQL reports 40001 or 40P01, and for some catalogs XX000 ("tuple concurrently
/// updated") or a violation of a unique index of the catalog (23505). A lock timeout (55P03)
/// can also succeed later.
fn is_concurrent_change(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    let code = error.code();
    *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::LOCK_NOT_AVAILABLE
        // Another session may have granted the membership to the administrator.
        || *code == SqlState::INVALID_TRANSACTION_TERMINATION
        || (*code == SqlState::INTERNAL_ERROR && error.message().contains("concurrently"))
        || (*code == SqlState::UNIQUE_VIOLATION
            && error.constraint().is_some_and(|index| index.starts_with("pg_")))
}

/// What is sent to the server.
enum Request<'a> {
    Statement(&'a Statement),
    /// The text that a test sends instead.
    Fault(&'static str),
}

/// Executes one statement. An error contains the message, and whether another session caused it.
async fn execute(
    session: &Session,
    request: &Request<'_>,
    slots: &(dyn Slots + Sync),
    retry_busy: bool,
) -> Result<(), (String, bool)> {
    let (text, contains_verifier) = match request {
        Request::Statement(statement) => {
            let text = statement.executable(slots).map_err(|error| (error.to_string(), false))?;
            (text, statement.secret().is_some())
        }
        Request::Fault(text) => ((*text).to_owned(), false),
    };
    let mut retries = 0;
    loop {
        // The driver logs the text of a batch.
        let sent = if contains_verifier {
            session.client.execute_typed(&text, &[]).await.map(drop)
        } else {
            session.client.batch_execute(&text).await
        };
        let Err(error) = sent else { break };
        let busy = retry_busy && error.code() == Some(&SqlState::OBJECT_IN_USE);
        if busy && retries < TEMPLATE_BUSY_RETRIES {
            retries += 1;
            tokio::time::sleep(Duration::from_millis(200 * u64::from(retries))).await;
            continue;
        }
        let mut message = describe_error(&error);
        if busy && let Ok(row) = session.client.query_one(TEMPLATE_USERS, &[]).await {
            let users: String = row.try_get(0).unwrap_or_default();
            message = format!("{message}; connected to it: {users}");
        }
        return Err((message, is_concurrent_change(&error)));
    }
    // `GRANT` (01007) and `REVOKE` (01006) without any effect succeed with a warning only.
    let warning = session.take_notices().into_iter().find(|notice| {
        *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_GRANTED
            || *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_REVOKED
    });
    match warning {
        Some(warning) => Err((format!("{} ({})", warning.message(), warning.code().code()), false)),
        None => Ok(()),
    }
}
