//! Executes one transaction: all its lines in order, again after a conflict, and without the applications
//! whose steps fail.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::connect::{Endpoint, Session};
use super::execute::{Failure, FailureKind, ReplicationWarning, Request, execute, pause_after};
use super::execution_options::{ExecuteOptions, Fault};
use super::lock::Lock;
use super::lock_out::{self, LockedOut, Logins};
use super::stop::stopped;
use super::template::TemplateWait;
use super::transaction_failure::{FailureCause, TransactionFailure, stopped_at};
use super::wait::{StatementWait, Watch};
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName};
use crate::plan::{Line, Plan, Scope, Slots, Transaction};
use crate::secret_id::SecretId;
use crate::step_result::StepStatus;
use crate::text::{visible, without_middle};

/// How long a run that was stopped waits for the end of a statement whose effect would not be known
/// otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Without its session, the run has no lock any more, and another run can change the same database.
const LOCK_LOST: &str =
    "the session with the lock of the run has ended, so the transaction is not committed";

/// The result of a transaction after all its executions.
pub(super) struct Executed {
    pub results: Vec<(StepStatus, Duration)>,
    /// Whether at least a part is committed, or may be.
    pub committed: bool,
    /// The OID of the database of the transaction, if it is a new one.
    pub oid: Option<u32>,
    pub failures: Vec<TransactionFailure>,
}

impl Executed {
    pub(super) fn nothing(transaction: &Transaction) -> Self {
        let results = vec![(StepStatus::NotRun, Duration::ZERO); transaction.steps.len()];
        Self { results, committed: false, oid: None, failures: Vec::new() }
    }
}

/// The result of some steps of a transaction.
struct Attempt {
    durations: Vec<Duration>,
    /// The database that the statement before the transaction has created.
    created: Option<DatabaseName>,
    oid: Option<u32>,
    failure: Option<TransactionFailure>,
    /// The steps that were reverted after the commit.
    reverted: BTreeSet<usize>,
}

impl Attempt {
    /// Records that the steps that could prevent a login were reverted after the commit.
    fn reverted(&mut self, transaction: &Transaction, LockedOut { message, hint }: LockedOut) {
        let steps = transaction.steps.iter().enumerate();
        self.reverted = steps
            .filter(|(_, step)| !step.reverting.is_empty())
            .map(|(number, _)| number)
            .collect();
        let first = self.reverted.first().copied().unwrap_or_default();
        let failure = TransactionFailure { hint, ..TransactionFailure::at(first, message) };
        self.failure = Some(failure.because_of(FailureCause::LockedOut));
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

    fn is_committed(&self) -> bool {
        let committed = self.failure.as_ref().is_none_or(|failure| failure.may_be_committed);
        committed || self.created.is_some() || !self.reverted.is_empty()
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

/// What the execution of each transaction needs.
pub(super) struct Execution<'a> {
    /// The plan with the transactions.
    pub plan: &'a Plan,
    pub admin: &'a Endpoint,
    pub logins: &'a [Endpoint],
    pub lock: &'a Lock,
    pub slots: &'a (dyn Slots + Sync),
    pub options: &'a ExecuteOptions<'a>,
    pub template: &'a TemplateWait,
}

impl Execution<'_> {
    /// Executes a transaction without the steps of applications that have failed.
    ///
    /// All applications share the transaction of roles and databases. With `keep_going`, a step that
    /// fails there concerns its application only: its role can hold locks on what the step changes. So
    /// the transaction is executed again without this application, and without those that share its
    /// role or its database: their steps would rely on a role that was not created, or that has its
    /// old password.
    pub(super) async fn without_failing(
        &self,
        transaction: &Transaction,
        failing: &mut BTreeSet<ApplicationName>,
    ) -> Executed {
        let mut executed = Executed::nothing(transaction);
        loop {
            let numbers: Vec<usize> = (0..transaction.steps.len())
                .filter(|number| !failing.contains(&transaction.steps[*number].application))
                .collect();
            let part = if numbers.len() == transaction.steps.len() {
                Cow::Borrowed(transaction)
            } else if let Some(part) = transaction.clone().without(failing) {
                Cow::Owned(part)
            } else {
                return executed;
            };
            let Self { plan, logins, lock, slots, .. } = *self;
            let major = plan.server_major;
            let logins = match lock_out::is_possible(&part) {
                true => Some(Logins::before(&part, logins).await),
                false => None,
            };
            let mut attempt = self.repeated(&part).await;
            if attempt.failure.is_none()
                && let Some(logins) = &logins
                && let Some(locked_out) =
                    lock_out::revert_if_locked_out(&part, major, logins, lock, slots).await
            {
                attempt.reverted(&part, locked_out);
            }
            let can_continue = self.options.keep_going
                && transaction.scope == Scope::Cluster
                && !lock.0.client.is_closed();
            if let Some(failure) = &mut attempt.failure {
                failure.is_of_applications =
                    can_continue && !failure.ends_run && !failure.applications.is_empty();
                if failure.is_of_applications {
                    failure.step = part.step_of(&failure.applications, failure.step);
                }
            }
            for (number, (index, duration)) in numbers.iter().zip(&attempt.durations).enumerate() {
                executed.results[*index] = (attempt.status(number), *duration);
            }
            executed.committed |= attempt.is_committed();
            executed.oid = attempt.oid;
            let Some(mut failure) = attempt.failure else { return executed };
            failure.step = numbers.get(failure.step).copied().unwrap_or_default();
            let is_of_applications = failure.is_of_applications;
            if is_of_applications {
                failing.extend(plan.with_dependents(&failure.applications));
            }
            executed.failures.push(failure);
            if !is_of_applications {
                return executed;
            }
        }
    }

    /// Executes a transaction, and repeats it after a conflict with another session.
    async fn repeated(&self, transaction: &Transaction) -> Attempt {
        let report = |wait: &StatementWait| self.options.listener.unwrap_or(&()).waiting(wait);
        let watch = Watch::new(self.admin, transaction, &report);
        let mut durations = vec![Duration::ZERO; transaction.steps.len()];
        let mut progress =
            TransactionProgress { durations: &mut durations, created: false, oid: None };
        let executions = async {
            for execution in 1.. {
                match self.run(transaction, &watch, &mut progress).await {
                    Err(failure)
                        if failure.kind.is_some_and(|kind| kind.can_be_repeated(execution)) => {}
                    result => return result.err(),
                }
                pause_after(execution).await;
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
            failure.message = if failure.has_copied_objects {
                format!("{}; drop the new database before the next run", failure.message)
            } else {
                format!("{}; {}", failure.message, remains(name))
            };
        }
        let oid = progress.oid;
        Attempt { durations, created, oid, failure, reverted: BTreeSet::new() }
    }

    /// Executes one transaction on the connection that its scope requires.
    async fn run(
        &self,
        transaction: &Transaction,
        watch: &Watch<'_>,
        progress: &mut TransactionProgress<'_>,
    ) -> Result<(), TransactionFailure> {
        let Scope::Database(name) = &transaction.scope else {
            return Box::pin(self.run_in(&self.lock.0, transaction, watch, progress)).await;
        };
        let connected = self.admin.connect_to_application(name).await;
        let own = connected.map_err(|error| TransactionFailure::at(0, error.to_string()))?;
        let result = if own.in_recovery {
            let failure = TransactionFailure::at(0, self.admin.read_only().to_string());
            Err(failure.because_of(FailureCause::ReadOnly))
        } else if let Err(error) = own.limit_lock_waits().await {
            Err(TransactionFailure::at(0, own.describe(&error)).of(&own))
        } else {
            Box::pin(self.run_in(&own, transaction, watch, progress)).await
        };
        own.leave_pool().await;
        result
    }

    /// Executes one transaction in a session.
    async fn run_in(
        &self,
        session: &Session,
        transaction: &Transaction,
        watch: &Watch<'_>,
        progress: &mut TransactionProgress<'_>,
    ) -> Result<(), TransactionFailure> {
        let Self { admin, lock, slots, options, .. } = *self;
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
            let statement = line.statement(self.plan.server_major);
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
            let is_in_database = matches!(transaction.scope, Scope::Database(_));
            let is_boundary = matches!(line, Line::Begin | Line::Commit);
            if is_in_database && is_boundary && lock.0.client.is_closed() {
                if open {
                    session.roll_back().await;
                }
                let failure = TransactionFailure::at(failed_step, LOCK_LOST.to_owned());
                return Err(failure.ending_the_run());
            }
            let started = Instant::now();
            watch.sent(number, step, pid);
            let creates = matches!(transaction.scope, Scope::NewDatabase(_));
            let is_creation = creates && matches!(line, Line::Before(_));
            let template = is_creation.then_some(self.template);
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
                        Ok(Ok(_)) if !creates => failure.maybe_committed(line),
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
                Err(Failure { mut message, kind, code, hint, exchanged }) => {
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
                    let is_gained = *line == Line::VerifyMemberships
                        && code == Some(SqlState::INVALID_TRANSACTION_TERMINATION);
                    // The first step of a new database verifies what was copied.
                    let has_copied_objects = matches!(transaction.scope, Scope::NewDatabase(_))
                        && step == Some(0)
                        && code == Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
                    if !(has_changed || is_gained || has_copied_objects) {
                        // The check of code is very long.
                        let text = without_middle(text);
                        message += &format!("; the statement was: {text}");
                    }
                    // A hook of the server, such as `passwordcheck` or that of pg_tle, has refused it.
                    let refused =
                        || statement.secret().filter(|_| kind == FailureKind::PasswordRefused);
                    let hint = hint.or_else(|| refused().map(other_password));
                    let applications = match &exchanged {
                        Some(exchanged) => transaction.applications_of(exchanged),
                        None if has_changed => BTreeSet::new(),
                        None => transaction.applications_of_line(*line),
                    };
                    let cause = match kind {
                        // The server warns of each other change, too.
                        FailureKind::NotReplicated => Some(FailureCause::NotReplicated),
                        FailureKind::ReadOnly => Some(FailureCause::ReadOnly),
                        _ => None,
                    };
                    // The warning follows the execution of a statement.
                    progress.created |=
                        kind == FailureKind::NotReplicated && matches!(line, Line::Before(_));
                    let failure = TransactionFailure {
                        message,
                        wait,
                        hint,
                        kind: Some(kind),
                        is_too_long,
                        has_copied_objects,
                        applications,
                        ends_run: failure.ends_run || cause.is_some(),
                        cause,
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
