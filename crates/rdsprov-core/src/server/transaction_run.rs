//! Executes the lines of a transaction in one session, several in one round trip.
//!
//! Lines that are sent together form a *flight*. The server executes them in their order and answers
//! each of them, so that a failure still names its statement. A flight has no `COMMIT` after other
//! lines: what a transaction has done is known before it is committed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio::time::{sleep, timeout};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::conflict_time::ConflictTime;
use super::connect::Endpoint;
use super::connect::Session;
use super::execute::{
    Failure, FailureKind, ReplicationWarning, Request, execute, hiding_keys, text_to_send, warning,
};
use super::execution_options::{ExecuteOptions, Fault};
use super::lock::Lock;
use super::stop::stopped;
use super::template::TemplateWait;
use super::transaction_failure::{FailureCause, TransactionFailure, stopped_at};
use super::wait::Watch;
use super::workers::Workers;
use crate::hint::Hint;
use crate::plan::{Line, Moment, Plan, Scope, Slots, Statement, Transaction};
use crate::secret_id::SecretId;
use crate::text::{counted, without_middle};

/// How long a run that was stopped waits for the end of a statement whose effect would not be known
/// otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the server has time to end a transaction before its statement is cancelled again.
const CANCELLED_AGAIN: Duration = Duration::from_secs(1);

/// Without its session, the run has no lock any more, and another run can change the same database.
const LOCK_LOST: &str =
    "the session with the lock of the run has ended, so the transaction is not committed";

/// What the execution of each transaction needs.
pub(super) struct Execution<'a> {
    /// The plan with the transactions.
    pub plan: &'a Plan,
    pub admin: &'a Endpoint,
    pub logins: &'a [Endpoint],
    pub lock: &'a Lock,
    /// The session for changes of shared catalogs.
    pub session: &'a Session,
    pub workers: &'a Workers<'a>,
    pub slots: &'a (dyn Slots + Sync),
    pub options: &'a ExecuteOptions<'a>,
    pub template: &'a TemplateWait,
    pub conflicts: &'a ConflictTime,
}

/// The number of lines that are sent together. A cancel request can arrive between two statements, and
/// then the server executes those that were sent after them.
const MAX_LINES: usize = 500;

/// Splits a script into flights.
///
/// The lines up to the first change are a flight of their own: if `BEGIN` failed, each change after it
/// would be committed by itself.
pub(super) fn flights(script: &[Line<'_>], one_by_one: bool) -> Vec<Range<usize>> {
    let mut flights: Vec<Range<usize>> = Vec::new();
    for number in 0..script.len() {
        let is_continued = flights.last().is_some_and(|flight| {
            let earlier = flight.start..number;
            let kind = |line: &Line<'_>| LineKind::of(*line);
            let together = kind(&script[flight.start]) == kind(&script[number]);
            !one_by_one
                && together
                && kind(&script[number]) != LineKind::Alone
                && earlier.len() < MAX_LINES
        });
        match flights.last_mut() {
            Some(flight) if is_continued => flight.end = number + 1,
            _ => flights.push(number..number + 1),
        }
    }
    flights
}

/// With which others a line is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineKind {
    /// With none.
    Alone,
    /// With those that change nothing, at the beginning of the transaction.
    Beginning,
    /// With those that can change something.
    Changing,
}

impl LineKind {
    fn of(line: Line<'_>) -> Self {
        match line {
            Line::Before(_) | Line::Commit => Self::Alone,
            Line::Begin
            | Line::StoreMemberships
            | Line::RememberOid(_)
            | Line::StoreOid(_)
            | Line::VerifyIdentities(_, Moment::Start) => Self::Beginning,
            Line::VerifyIdentities(_, Moment::End)
            | Line::GrantMembership(..)
            | Line::GrantUsage(_)
            | Line::SetRole(_)
            | Line::ResetRole
            | Line::Step(..)
            | Line::Joint(..)
            | Line::RevokeUsage(_)
            | Line::RevokeMembership(_)
            | Line::RestoreMembership { .. }
            | Line::VerifyMemberships
            | Line::CreateAuditTable(_)
            | Line::VerifyAuditTable(_)
            | Line::WriteAuditRows(..) => Self::Changing,
        }
    }
}

/// The progress of a transaction, over all its executions.
pub(super) struct TransactionProgress<'a> {
    pub durations: &'a mut [Duration],
    /// Whether the statement before the transaction (`CREATE DATABASE`) was executed.
    pub created: bool,
    /// The OID of the new database.
    pub oid: Option<u32>,
    /// Whether the next execution sends each line by itself.
    pub one_by_one: bool,
}

/// One execution of a transaction.
pub(super) struct TransactionRun<'r, 'p> {
    execution: &'r Execution<'r>,
    session: &'r Session,
    transaction: &'r Transaction,
    script: &'r [Line<'r>],
    watch: &'r Watch<'r>,
    progress: &'r mut TransactionProgress<'p>,
    /// The process of the server that executes the statements.
    process: i32,
    /// Whether `BEGIN` was executed.
    open: bool,
}

impl<'r, 'p> TransactionRun<'r, 'p> {
    pub async fn new(
        execution: &'r Execution<'r>,
        session: &'r Session,
        (transaction, script): (&'r Transaction, &'r [Line<'r>]),
        watch: &'r Watch<'r>,
        progress: &'r mut TransactionProgress<'p>,
    ) -> Self {
        let process = session.process().await.unwrap_or_default();
        let open = false;
        Self { execution, session, transaction, script, watch, progress, process, open }
    }

    /// Executes all lines.
    pub async fn execute(mut self) -> Result<(), TransactionFailure> {
        let created = self.progress.created;
        let one_by_one = self.progress.one_by_one || self.execution.options.one_by_one;
        for flight in flights(self.script, one_by_one) {
            match self.script[flight.start] {
                Line::Before(_) if created => {}
                _ if flight.len() == 1 => Box::pin(self.execute_line(flight.start)).await?,
                _ => Box::pin(self.execute_flight(flight)).await?,
            }
        }
        Ok(())
    }

    fn statement(&self, number: usize) -> Cow<'r, Statement> {
        self.script[number].statement(self.execution.plan.server_major)
    }

    fn replication(&self) -> ReplicationWarning {
        ReplicationWarning::new(&self.execution.options.allowed)
    }

    /// Returns the steps of a line; of a line around the steps, those of the next line that has any, or
    /// the last step.
    fn steps_at(&self, number: usize) -> Range<usize> {
        let end = self.transaction.steps.len();
        let next = self.script[number..].iter().map(|line| line.steps());
        next.into_iter().find(|steps| !steps.is_empty()).unwrap_or(end.saturating_sub(1)..end)
    }

    /// Returns the fault that a test injects instead of a statement.
    fn fault(&self, statement: &Statement) -> Option<Fault> {
        let interrupt = self.execution.options.interrupt?;
        match interrupt(&statement.redacted()) {
            ControlFlow::Continue(()) => None,
            ControlFlow::Break(fault) => Some(fault),
        }
    }

    /// Returns the end of a run that a test kills. Nothing more is sent to the server, which then finds
    /// the connection closed, as after SIGKILL.
    fn killed(&self, number: usize, statement: &Statement) -> TransactionFailure {
        let message = format!("interrupted before: {}", statement.redacted());
        TransactionFailure::at(self.steps_at(number), message).ending_the_run()
    }

    fn sent(&self, number: usize) {
        self.watch.sent(number, self.script[number].steps(), self.process);
    }

    fn ended(&mut self, number: usize, started: Instant) {
        self.watch.ended();
        let durations = self.progress.durations.get_mut(self.script[number].steps());
        let durations = durations.unwrap_or_default();
        // Steps with one statement share its time.
        let steps = u32::try_from(durations.len()).unwrap_or(u32::MAX).max(1);
        let elapsed = started.elapsed() / steps;
        for duration in durations {
            *duration += elapsed;
        }
    }

    /// Notes what a line has done.
    fn succeeded(&mut self, number: usize, value: Option<String>) {
        match self.script[number] {
            Line::RememberOid(_) => self.progress.oid = value.and_then(|oid| oid.parse().ok()),
            Line::Before(_) => self.progress.created = true,
            Line::Begin => self.open = true,
            _ => {}
        }
    }

    /// Executes lines that are sent together.
    async fn execute_flight(&mut self, numbers: Range<usize>) -> Result<(), TransactionFailure> {
        let session = self.session;
        self.check_lock(numbers.start).await?;
        let statements: Vec<Cow<'_, Statement>> =
            numbers.clone().map(|number| self.statement(number)).collect();
        let statements: Vec<&Statement> = statements.iter().map(|one| &**one).collect();
        let keys = match hiding_keys(session, &statements).await {
            Ok(keys) => keys,
            Err(failure) => {
                let of_password = statements.iter().position(|one| one.secret().is_some());
                let number = numbers.start + of_password.unwrap_or_default();
                return Err(self.failed(number, Instant::now(), failure).await);
            }
        };
        let mut keys = keys.into_iter();
        let mut texts = Vec::with_capacity(statements.len());
        let mut killed = None;
        for (number, statement) in numbers.clone().zip(&statements) {
            let text = match self.fault(statement) {
                None => text_to_send(statement, self.execution.slots, &mut keys),
                Some(Fault::Sent(other)) => Ok(other.to_owned()),
                Some(Fault::Killed) => {
                    killed = Some(self.killed(number, statement));
                    break;
                }
            };
            match text {
                Ok(text) => texts.push(text),
                Err(failure) => return Err(self.failed(number, Instant::now(), failure).await),
            }
        }
        let _ = session.take_notices();
        let sent = Instant::now();
        let count = counted(texts.len(), "statement");
        let mut responses = Vec::with_capacity(texts.len());
        for text in texts {
            // Does not wait for a response.
            responses.push(session.client.simple_query_raw(&text).await);
        }
        if let Some(killed) = killed {
            return Err(killed);
        }
        for (number, response) in numbers.clone().zip(responses) {
            self.sent(number);
            let started = Instant::now();
            let value = async { first_value(response?).await };
            let result = tokio::select! {
                biased;
                result = value => result,
                () = stopped(self.execution.options.stop.clone()) => {
                    return Err(Box::pin(self.stopped(number)).await);
                }
            };
            self.ended(number, started);
            match result {
                Ok(value) => self.succeeded(number, value),
                Err(error) => {
                    let failure = Failure::of(session, &error);
                    return Err(self.failed(number, started, failure).await);
                }
            }
        }
        // Without their texts, which can contain verifiers.
        tracing::debug!("executed {count} together in {} ms", sent.elapsed().as_millis());
        match warning(session, self.replication()) {
            None => Ok(()),
            // The lines are executed again, one by one.
            Some(failure) => {
                let failure = Failure { kind: FailureKind::OneOfSeveral, ..failure };
                Err(self.failed(numbers.start, Instant::now(), failure).await)
            }
        }
    }

    /// Fails if the run has no lock any more, at the beginning and before the end of a transaction in another
    /// session than that of the lock.
    async fn check_lock(&self, number: usize) -> Result<(), TransactionFailure> {
        let of_lock = &self.execution.lock.session;
        let is_boundary =
            matches!(self.script[number], Line::Before(_) | Line::Begin | Line::Commit);
        if !std::ptr::eq(self.session, of_lock) && is_boundary && of_lock.client.is_closed() {
            self.roll_back().await;
            let failure = TransactionFailure::at(self.steps_at(number), LOCK_LOST.to_owned());
            return Err(failure.ending_the_run());
        }
        Ok(())
    }

    async fn roll_back(&self) {
        if self.open {
            self.session.roll_back().await;
        }
    }

    /// Cancels the current statement, and ends the transaction.
    async fn stopped(&self, number: usize) -> TransactionFailure {
        let cancel = || self.execution.admin.cancel(self.session);
        cancel().await;
        let again = async {
            loop {
                sleep(CANCELLED_AGAIN).await;
                cancel().await;
            }
        };
        // The server executes `ROLLBACK` after the cancelled statement has ended. A request that arrives
        // between two statements cancels none.
        tokio::select! {
            () = self.session.roll_back() => {}
            () = again => {}
        }
        stopped_at(self.steps_at(number), &self.statement(number).redacted())
    }

    /// Executes one line.
    async fn execute_line(&mut self, number: usize) -> Result<(), TransactionFailure> {
        let (session, line) = (self.session, self.script[number]);
        let statement = self.statement(number);
        let request = match self.fault(&statement) {
            None => Request::Statement(&statement),
            Some(Fault::Sent(other)) => Request::Fault(other),
            Some(Fault::Killed) => return Err(self.killed(number, &statement)),
        };
        self.check_lock(number).await?;
        let _ = session.take_notices();
        let started = Instant::now();
        self.sent(number);
        let creates = matches!(self.transaction.scope, Scope::NewDatabase(_));
        let is_creation = creates && matches!(line, Line::Before(_));
        let template = is_creation.then_some(self.execution.template);
        let slots = self.execution.slots;
        let execution = execute(session, &request, slots, template, self.replication());
        tokio::pin!(execution);
        let result = tokio::select! {
            biased;
            result = &mut execution => Some(result),
            () = stopped(self.execution.options.stop.clone()) => None,
        };
        let steps = self.steps_at(number);
        let text = || statement.redacted();
        let result = match (result, line) {
            (Some(result), _) => result,
            // A commit is not cancelled: what it has done would not be known.
            (None, Line::Commit) => match timeout(STOP_TIMEOUT, execution).await {
                Ok(result) => result,
                Err(_) => {
                    return Err(stopped_at(steps, &text()).maybe_committed(&line, self.process));
                }
            },
            (None, Line::Before(_)) => {
                self.execution.admin.cancel(session).await;
                let result = timeout(STOP_TIMEOUT, execution).await;
                self.progress.created = matches!(result, Ok(Ok(_)));
                let failure = stopped_at(steps, &text());
                return Err(match result {
                    Err(_) | Ok(Err(Failure { kind: FailureKind::NoResponse, .. })) => {
                        failure.maybe_committed(&line, self.process)
                    }
                    Ok(Ok(_)) if !creates => failure.maybe_committed(&line, self.process),
                    Ok(_) => failure,
                });
            }
            (None, _) => return Err(Box::pin(self.stopped(number)).await),
        };
        self.ended(number, started);
        match result {
            Ok(value) => {
                self.succeeded(number, value);
                Ok(())
            }
            Err(failure) => Err(self.failed(number, started, failure).await),
        }
    }

    /// Ends the transaction, and returns why it failed.
    async fn failed(
        &mut self,
        number: usize,
        started: Instant,
        failure: Failure,
    ) -> TransactionFailure {
        let Failure { mut message, kind, code, hint, exchanged } = failure;
        // The server has aborted the transaction already.
        self.roll_back().await;
        let (line, statement) = (self.script[number], self.statement(number));
        let (waited, wait) = self.watch.waited(number);
        let wait = wait.filter(|_| kind == FailureKind::Conflict);
        if let Some(wait) = &wait {
            message += &format!(", after {} s of waiting for {wait}", waited.as_secs());
        }
        let failure = TransactionFailure::at(self.steps_at(number), String::new()).of(self.session);
        let is_too_long = failure.is_too_long
            || kind == FailureKind::Cancelled
                && started.elapsed() >= self.execution.admin.statement_timeout.duration();
        // The message of a check says what is the reason.
        let has_changed = kind == FailureKind::Changed;
        let is_gained = line == Line::VerifyMemberships
            && code == Some(SqlState::INVALID_TRANSACTION_TERMINATION);
        // The first step of a new database verifies what was copied.
        let has_copied_objects = matches!(self.transaction.scope, Scope::NewDatabase(_))
            && line.steps() == (0..1)
            && code == Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        if !(has_changed || is_gained || has_copied_objects) {
            // The check of code is very long.
            let text = without_middle(statement.redacted());
            message += &format!("; the statement was: {text}");
        }
        // A hook of the server, such as `passwordcheck` or that of pg_tle, has refused it.
        let refused = || statement.secret().filter(|_| kind == FailureKind::PasswordRefused);
        let hint = hint.or_else(|| refused().map(other_password));
        let applications = match &exchanged {
            Some(exchanged) => self.transaction.applications_of(exchanged),
            None if has_changed => BTreeSet::new(),
            None => self.transaction.applications_of_line(line),
        };
        let cause = match kind {
            // The server warns of each other change, too.
            FailureKind::NotReplicated => Some(FailureCause::NotReplicated),
            FailureKind::ReadOnly => Some(FailureCause::ReadOnly),
            _ => None,
        };
        // The warning follows the execution of a statement.
        self.progress.created |=
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
        match (kind, line) {
            (FailureKind::NotReplicated, Line::Commit)
            | (FailureKind::NoResponse, Line::Commit | Line::Before(_)) => {
                failure.maybe_committed(&line, self.process)
            }
            _ => failure,
        }
    }
}

/// Returns the first value of the response to a statement; `None` without rows.
async fn first_value(
    response: tokio_postgres::SimpleQueryStream,
) -> Result<Option<String>, tokio_postgres::Error> {
    let mut response = std::pin::pin!(response);
    let mut value = None;
    while let Some(message) = response.try_next().await? {
        if let (None, SimpleQueryMessage::Row(row)) = (&value, message) {
            value = row.get(0).map(str::to_owned);
        }
    }
    Ok(value)
}

/// Returns what to do if the server refuses the password of a secret.
fn other_password(secret: &SecretId) -> Hint {
    format!("store a password that the server accepts in secret {secret}, then run again").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_before_its_results_are_known() {
        let statement = Statement::sample("CREATE DATABASE shop");
        let step = Line::Step(0, &statement);
        let script = [
            Line::Before(&statement),
            Line::Begin,
            Line::StoreMemberships,
            step,
            Line::ResetRole,
            step,
            Line::VerifyMemberships,
            Line::Commit,
        ];
        assert_eq!(flights(&script, false), [0..1, 1..3, 3..7, 7..8]);
        let single: Vec<Range<usize>> = (0..8).map(|number| number..number + 1).collect();
        assert_eq!(flights(&script, true), single);
    }

    #[test]
    fn flights_are_limited() {
        let statement = Statement::sample("GRANT shop TO CURRENT_USER");
        let script = vec![Line::Step(0, &statement); MAX_LINES + 1];
        assert_eq!(flights(&script, false), [0..MAX_LINES, MAX_LINES..MAX_LINES + 1]);
    }
}
