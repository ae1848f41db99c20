//! Executes plans: the transactions in order, each of which is committed or rolled back as a whole.
//!
//! This module does not know how a plan is made or recorded.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;

use super::connect::Endpoint;
use super::connect_error::use_server_itself;
use super::execute::{Failure, FailureKind, ReplicationWarning, Request, execute};
use super::lock::Lock;
use super::lock_out;
use super::pooler;
use super::slots::SlotsWithOids;
use super::stop::{Stop, stopped};
use super::template::{self, TemplateWait};
use super::transaction_failure::{FailureCause, TransactionFailure, stopped_at};
use super::wait::{LockHolder, StatementWait, Watch, place, step_words};
use crate::hint::Hint;
use crate::name::DatabaseName;
use crate::plan::{Action, Hazard, Line, Plan, Scope, Slots, Step, Transaction};
use crate::secret_id::SecretId;
use crate::step_result::{StepResult, StepStatus};
use crate::text::visible;

/// The result of executing a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionOutcome {
    /// The result of each step.
    pub steps: Vec<StepResult>,
    /// Whether at least one transaction was committed or one secret was created.
    pub committed: bool,
    /// The message of the first failure; `None` if all steps succeeded.
    pub error: Option<String>,
    /// The step in which it occurred, if the plan was executed by transactions.
    pub failed_step: Option<FailedStep>,
    /// What to do about this failure, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
    /// Whether it occurred because the server accepts no changes: it is a reader or a standby.
    pub is_read_only: bool,
    /// The cause of this failure, if it has a code of its own.
    pub cause: Option<FailureCause>,
}

/// The step in which the execution of a plan failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStep {
    /// Where its transaction runs: `database shop`, or `roles and databases`.
    pub place: String,
    /// The step in words, with its application.
    pub step: String,
    /// The sessions that held the lock for which its statement has waited.
    pub holders: Vec<LockHolder>,
    /// Whether its statement took longer than the limit for statements.
    pub is_too_long: bool,
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

/// What an execution calls, so that the caller can record and show its progress.
pub trait Listener: Sync {
    /// Called before each transaction with its steps. `Break` ends the run before the transaction.
    fn before(&self, _transaction: &Transaction) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called with the results of each transaction, also of those that were not executed. `Break`
    /// ends the run before the next transaction.
    fn after(&self, _steps: &[Step], _results: &[StepResult]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called once for a statement that is executed for longer than 5 seconds.
    fn waiting(&self, _wait: &StatementWait) {}
}

impl Listener for () {}

/// Options for the execution of a plan.
#[derive(Default)]
#[non_exhaustive]
pub struct ExecuteOptions<'a> {
    /// Whether the transactions of other databases are executed after one has failed.
    pub keep_going: bool,
    /// Called before each statement. Only tests set it.
    pub(crate) interrupt: Option<&'a Interrupt<'a>>,
    /// The hazards that are allowed. Without `degrades_blue_green`, a warning that a statement is not
    /// replicated to the green environment ends its transaction.
    pub allowed: BTreeSet<Hazard>,
    /// Called before and after each transaction.
    pub listener: Option<&'a dyn Listener>,
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

/// How long a run that was stopped waits for the end of a statement whose effect would not be known
/// otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// The end of the message of [`Line::VerifyMemberships`], if the administrator has a new membership.
const MEMBERSHIP: &str = "(2D000)";

/// The end of the message if a new database has copied objects of other roles.
const COPIED_OBJECTS: &str = "from template1 (55000)";

/// The maximum number of executions of a transaction that conflicts with other sessions.
const MAX_EXECUTIONS: u32 = 5;

/// Executes a plan whose new secrets were created before. Errors are in the outcome.
///
/// `logins` are the roles that must still be able to log in after a transaction that could prevent it.
pub async fn apply(
    plan: &Plan,
    admin: &Endpoint,
    logins: &[Endpoint],
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let listener = options.listener.unwrap_or(&());
    // A secret is created before the first statement, and is kept if a statement fails.
    let is_created = |step: &Step| step.action == Action::CreateSecret;
    let mut outcome =
        ExecutionOutcome { committed: plan.steps().any(is_created), ..ExecutionOutcome::default() };
    let template = TemplateWait::new(options.stop.clone());
    let creates_databases = plan.transactions.iter().any(|one| one.before.is_some());
    let mut ended = false;
    if creates_databases && let Some(reason) = pooler::without_new_databases(admin, &lock.0).await {
        ended = true;
        outcome.error = Some(reason);
        outcome.hint = Some(use_server_itself());
    } else if creates_databases {
        let sessions = template.until_free(&lock.0).await;
        // With `keep_going`, the other databases do not need the template.
        if !sessions.is_empty() && !options.keep_going {
            ended = true;
            outcome.error = Some(template::in_use(&sessions));
            outcome.hint = Some(template::advice(&sessions));
        }
    }
    let mut unfinished: Vec<DatabaseName> = Vec::new();
    let mut oids: BTreeMap<DatabaseName, u32> = BTreeMap::new();
    for transaction in &plan.transactions {
        let database_is_unfinished =
            matches!(&transaction.scope, Scope::Database(name) if unfinished.contains(name));
        ended = ended || !database_is_unfinished && listener.before(transaction).is_break();
        let failure = if ended || database_is_unfinished {
            None
        } else {
            let slots = SlotsWithOids { slots, oids: &oids };
            let major = plan.server_major;
            let mut executed =
                repeated(transaction, major, admin, lock, &slots, options, &template).await;
            if executed.failure.is_none()
                && lock_out::is_possible(transaction)
                && let Some(message) =
                    lock_out::revert_if_locked_out(transaction, major, logins, lock, &slots).await
            {
                executed.reverted(transaction, message);
            }
            Some(executed)
        };
        let at = Timestamp::now();
        let results: Vec<StepResult> = match &failure {
            None => transaction
                .steps
                .iter()
                .map(|step| {
                    let created = is_created(step);
                    let status = if created { StepStatus::Success } else { StepStatus::NotRun };
                    StepResult { status, duration: Duration::ZERO, at }
                })
                .collect(),
            Some(executed) => {
                let steps = transaction.steps.iter().zip(&executed.durations).enumerate();
                steps
                    .map(|(number, (step, duration))| {
                        let status = if is_created(step) {
                            StepStatus::Success
                        } else {
                            executed.status(number)
                        };
                        StepResult { status, duration: *duration, at }
                    })
                    .collect()
            }
        };
        ended |= listener.after(&transaction.steps, &results).is_break();
        outcome.steps.extend(results);
        let Some(Executed { created, oid, failure, reverted, .. }) = failure else { continue };
        if let (Scope::NewDatabase(name), Some(oid)) = (&transaction.scope, oid) {
            oids.insert(name.clone(), oid);
        }
        let committed = failure.as_ref().is_none_or(|failure| failure.may_be_committed);
        outcome.committed |= created.is_some() || committed || !reverted.is_empty();
        if let Some(failure) = failure {
            if let Scope::NewDatabase(name) = &transaction.scope {
                unfinished.push(name.clone());
            }
            ended |= failure.ends_run || !options.keep_going || transaction.scope == Scope::Cluster;
            // Without its session, the run has no lock any more.
            ended |= lock.0.client.is_closed();
            if outcome.error.is_none() {
                outcome.failed_step = transaction.steps.get(failure.step).map(|step| FailedStep {
                    place: place(&transaction.scope),
                    step: step_words(step),
                    holders: failure
                        .wait
                        .as_ref()
                        .map(|wait| wait.holders.clone())
                        .unwrap_or_default(),
                    is_too_long: failure.is_too_long,
                });
                outcome.hint = failure.hint();
                outcome.is_read_only = failure.is_read_only;
                outcome.cause = failure.cause;
                outcome.error = Some(failure.message);
            }
        }
    }
    outcome
}

/// The result of a transaction after all its executions.
struct Executed {
    durations: Vec<Duration>,
    /// The database that the statement before the transaction has created.
    created: Option<DatabaseName>,
    /// The OID of the database of the transaction, if it is a new one.
    oid: Option<u32>,
    failure: Option<TransactionFailure>,
    /// The steps that were reverted after the commit.
    reverted: BTreeSet<usize>,
}

impl Executed {
    /// Records that the steps that could prevent a login were reverted after the commit.
    fn reverted(&mut self, transaction: &Transaction, message: String) {
        let steps = transaction.steps.iter().enumerate();
        self.reverted = steps
            .filter(|(_, step)| !step.reverting.is_empty())
            .map(|(number, _)| number)
            .collect();
        let first = self.reverted.first().copied().unwrap_or_default();
        let failure = TransactionFailure::at(first, message).ending_the_run();
        self.failure = Some(TransactionFailure { cause: Some(FailureCause::LockedOut), ..failure });
    }

    fn status(&self, step: usize) -> StepStatus {
        let Some(failure) = &self.failure else { return StepStatus::Success };
        if !self.reverted.is_empty() {
            return match self.reverted.contains(&step) {
                true => StepStatus::Error(failure.message.clone()),
                false => StepStatus::Success,
            };
        }
        match step.cmp(&failure.step) {
            Ordering::Less if failure.may_be_committed => StepStatus::Unknown(None),
            Ordering::Equal if failure.may_be_committed => {
                StepStatus::Unknown(Some(failure.message.clone()))
            }
            Ordering::Less => {
                let remains = self.created.as_ref().filter(|_| step == 0).map(remains);
                StepStatus::RolledBack { remains }
            }
            Ordering::Equal => StepStatus::Error(failure.message.clone()),
            Ordering::Greater => StepStatus::NotRun,
        }
    }
}

/// Returns what `CREATE DATABASE` leaves if the transaction after it fails.
fn remains(database: &DatabaseName) -> String {
    format!(
        "the new database {} remains, which only the administrator can enter; the next run \
         continues with it",
        visible(database.as_str())
    )
}

/// Executes a transaction, and repeats it after a conflict with another session.
#[allow(clippy::too_many_arguments, reason = "each is another part of the run")]
async fn repeated(
    transaction: &Transaction,
    server_major: u32,
    admin: &Endpoint,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
    template: &TemplateWait,
) -> Executed {
    let report = |wait: &StatementWait| options.listener.unwrap_or(&()).waiting(wait);
    let watch = Watch::new(admin, transaction, &report);
    let mut durations = vec![Duration::ZERO; transaction.steps.len()];
    let mut progress = TransactionProgress { durations: &mut durations, created: false, oid: None };
    let executions = async {
        for execution in 1.. {
            let result = run(
                transaction,
                server_major,
                admin,
                lock,
                slots,
                options,
                &watch,
                template,
                &mut progress,
            )
            .await;
            match result {
                Err(failure) if failure.is_conflict && execution < MAX_EXECUTIONS => {}
                result => return result.err(),
            }
            tokio::time::sleep(Duration::from_millis(100 * u64::from(execution))).await;
        }
        None
    };
    let mut failure = tokio::select! {
        biased;
        failure = executions => failure,
        never = watch.run() => match never {},
    };
    let created = match &transaction.scope {
        Scope::NewDatabase(name) if progress.created => Some(name.clone()),
        _ => None,
    };
    if let (Some(failure), Some(name)) = (&mut failure, &created)
        && !failure.may_be_committed
    {
        failure.message = if failure.message.ends_with(COPIED_OBJECTS) {
            format!("{}; drop the new database before the next run", failure.message)
        } else {
            format!("{}; {}", failure.message, remains(name))
        };
    }
    let oid = progress.oid;
    Executed { durations, created, oid, failure, reverted: BTreeSet::new() }
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
        // The run ends anyway.
        let _ = options.listener.unwrap_or(&()).after(&transaction.steps, &results);
        outcome.steps.extend(results);
    }
    outcome
}

/// Returns what to do if the server refuses the password of a secret.
fn other_password(secret: &SecretId) -> Hint {
    format!("store a password that the server accepts in secret {secret}, then run again").into()
}

/// The progress of a transaction, over all its executions.
struct TransactionProgress<'a> {
    durations: &'a mut [Duration],
    /// Whether the statement before the transaction (`CREATE DATABASE`) was executed.
    created: bool,
    /// The OID of the new database.
    oid: Option<u32>,
}

/// Executes one transaction on the connection that its scope requires.
#[allow(clippy::too_many_arguments, reason = "each is another part of the run")]
async fn run(
    transaction: &Transaction,
    server_major: u32,
    admin: &Endpoint,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    options: &ExecuteOptions<'_>,
    watch: &Watch<'_>,
    template: &TemplateWait,
    progress: &mut TransactionProgress<'_>,
) -> Result<(), TransactionFailure> {
    let own;
    let session = match &transaction.scope {
        Scope::Database(name) => {
            let connected = admin.connect(name).await;
            own = connected.map_err(|error| TransactionFailure::at(0, error.to_string()))?;
            if own.in_recovery {
                let failure = TransactionFailure::at(0, admin.read_only().to_string());
                return Err(TransactionFailure { is_read_only: true, ..failure }.ending_the_run());
            }
            own.limit_lock_waits()
                .await
                .map_err(|error| TransactionFailure::at(0, own.describe(&error)).of(&own))?;
            &own
        }
        Scope::Cluster | Scope::NewDatabase(_) => &lock.0,
    };
    let failed = |error: tokio_postgres::Error| {
        TransactionFailure::at(0, session.describe(&error)).of(session)
    };
    let pid: i32 = session
        .client
        .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let _ = session.take_notices();
    let mut open = false;
    let created = progress.created;
    let script = transaction.script();
    let last = transaction.steps.len().saturating_sub(1);
    for (number, line) in script.iter().enumerate() {
        if created && matches!(line, Line::Before(_)) {
            continue;
        }
        let step = line.step();
        let failed_step = script[number..].iter().find_map(|line| line.step()).unwrap_or(last);
        let statement = line.statement(server_major);
        let text = statement.redacted();
        let request = match options.interrupt.map(|interrupt| interrupt(&text)) {
            None | Some(ControlFlow::Continue(())) => Request::Statement(&statement),
            Some(ControlFlow::Break(Fault::Sent(other))) => Request::Fault(other),
            // Nothing is sent to the server, which then finds the connection
            // closed, as after SIGKILL.
            Some(ControlFlow::Break(Fault::Killed)) => {
                let message = format!("interrupted before: {text}");
                return Err(TransactionFailure::at(failed_step, message).ending_the_run());
            }
        };
        let started = Instant::now();
        watch.sent(number, step, pid);
        let template = matches!(line, Line::Before(_)).then_some(template);
        let replication = ReplicationWarning::new(&options.allowed);
        let execution = execute(session, &request, slots, template, replication);
        tokio::pin!(execution);
        let result = tokio::select! {
            biased;
            result = &mut execution => Some(result),
            () = stopped(options.stop.clone()) => None,
        };
        let result = match (result, line) {
            (Some(result), _) => result,
            // A commit is not cancelled: what it has done would not be known.
            (None, Line::Commit) => match timeout(STOP_TIMEOUT, execution).await {
                Ok(result) => result,
                Err(_) => return Err(stopped_at(failed_step, &text).maybe_committed(line)),
            },
            (None, Line::Before(_)) => {
                admin.cancel(session).await;
                let result = timeout(STOP_TIMEOUT, execution).await;
                progress.created = matches!(result, Ok(Ok(_)));
                let failure = stopped_at(failed_step, &text);
                return Err(match result {
                    Err(_) | Ok(Err(Failure { kind: FailureKind::NoResponse, .. })) => {
                        failure.maybe_committed(line)
                    }
                    Ok(_) => failure,
                });
            }
            (None, _) => {
                admin.cancel(session).await;
                // The server executes `ROLLBACK` after the cancelled statement has ended.
                session.roll_back().await;
                return Err(stopped_at(failed_step, &text));
            }
        };
        watch.ended();
        if let Some(duration) = step.and_then(|step| progress.durations.get_mut(step)) {
            *duration += started.elapsed();
        }
        match result {
            Ok(value) => {
                if matches!(line, Line::RememberOid(_)) {
                    progress.oid = value.and_then(|oid| oid.parse().ok());
                }
                progress.created |= matches!(line, Line::Before(_));
                open |= *line == Line::Begin;
            }
            Err(Failure { mut message, kind, hint }) => {
                if open {
                    // The server has aborted the transaction already.
                    session.roll_back().await;
                }
                let (waited, wait) = watch.waited(number);
                let wait = wait.filter(|_| kind == FailureKind::Conflict);
                if let Some(wait) = &wait {
                    message += &format!(", after {} s of waiting for {wait}", waited.as_secs());
                }
                let failure = TransactionFailure::at(failed_step, String::new()).of(session);
                let is_too_long = failure.is_too_long
                    || kind == FailureKind::Cancelled
                        && started.elapsed() >= admin.statement_timeout.duration();
                // The message of a check says what is the reason.
                let has_changed = kind == FailureKind::Changed;
                let is_read_only = kind == FailureKind::ReadOnly;
                let is_complete = has_changed
                    || *line == Line::VerifyMemberships && message.ends_with(MEMBERSHIP)
                    || message.ends_with(COPIED_OBJECTS);
                if !is_complete {
                    message += &format!("; the statement was: {text}");
                }
                // A hook of the server, such as `passwordcheck` or that of pg_tle, has refused it.
                let refused =
                    || statement.secret().filter(|_| kind == FailureKind::PasswordRefused);
                let hint = hint.or_else(|| refused().map(other_password));
                let is_conflict = kind == FailureKind::Conflict;
                // The server warns of each other change, too.
                let is_not_replicated = kind == FailureKind::NotReplicated;
                // The warning follows the execution of a statement.
                progress.created |= is_not_replicated && matches!(line, Line::Before(_));
                let failure = TransactionFailure {
                    message,
                    wait,
                    hint,
                    is_conflict,
                    is_too_long,
                    has_changed,
                    is_read_only,
                    ends_run: failure.ends_run || is_read_only || is_not_replicated,
                    cause: is_not_replicated.then_some(FailureCause::NotReplicated),
                    ..failure
                };
                return Err(match (kind, line) {
                    (FailureKind::NotReplicated, Line::Commit) => failure.maybe_committed(line),
                    (FailureKind::NoResponse, Line::Commit | Line::Before(_)) => {
                        failure.maybe_committed(line)
                    }
                    _ => failure,
                });
            }
        }
    }
    Ok(())
}
