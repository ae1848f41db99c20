//! Executes one transaction: all its lines in order, again after a conflict, and without the applications
//! whose steps fail.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::conflict_time::SHORT_LOCK_TIMEOUT;
use super::connect::Session;
use super::execute::{FailureKind, pause_after};
use super::lock::Lock;
use super::lock_out::{self, LockedOut, Logins};
use super::transaction_failure::{FailureCause, TransactionFailure};
use super::transaction_run::{Execution, TransactionProgress, TransactionRun};
use super::wait::{StatementWait, Watch};
use crate::name::{ApplicationName, DatabaseName};
use crate::plan::{Scope, Transaction};
use crate::step_result::StepStatus;
use crate::text::visible;

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
    /// Whether the statement before the transaction has dropped a database: what follows is its audit row.
    dropped: bool,
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
        let failure = TransactionFailure::at(first..first + 1, message);
        let failure = TransactionFailure { hint, ..failure };
        self.failure = Some(failure.because_of(FailureCause::LockedOut));
    }

    fn status(&self, step: usize) -> StepStatus {
        let Some(failure) = &self.failure else { return StepStatus::Success };
        if self.dropped {
            return StepStatus::Success;
        }
        if !self.reverted.is_empty() {
            return match self.reverted.contains(&step) {
                true => StepStatus::Error(failure.message.clone()),
                false => StepStatus::Success,
            };
        }
        let of_failed = match failure.steps.contains(&step) {
            true => Ordering::Equal,
            false => step.cmp(&failure.steps.start),
        };
        match of_failed {
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
        committed || self.dropped || self.created.is_some() || !self.reverted.is_empty()
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

impl Execution<'_> {
    /// Executes a transaction without the steps of applications that have failed.
    ///
    /// All applications share the transaction of roles and databases. With `keep_going`, a step that
    /// fails there concerns its application only: its role can hold locks on what the step changes. So
    /// the transaction is executed again without this application, and without those that depend on it:
    /// their steps would rely on a role that was not created, or that has its old password.
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
                && !lock.session.client.is_closed();
            if let Some(failure) = &mut attempt.failure {
                failure.is_of_applications =
                    can_continue && !failure.ends_run && !failure.applications.is_empty();
                if failure.is_of_applications {
                    let step = part.step_of(&failure.applications, failure.steps.start);
                    if step != failure.steps.start {
                        failure.steps = step..step + 1;
                    }
                }
            }
            for (number, (index, duration)) in numbers.iter().zip(&attempt.durations).enumerate() {
                executed.results[*index] = (attempt.status(number), *duration);
            }
            executed.committed |= attempt.is_committed();
            executed.oid = attempt.oid;
            let Some(mut failure) = attempt.failure else { return executed };
            let whole = |step: usize| numbers.get(step).copied().unwrap_or_default();
            failure.steps = whole(failure.steps.start)..whole(failure.steps.end - 1) + 1;
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

    /// Executes a transaction, and repeats it after a conflict with another session, as long as the run has time
    /// for conflicts.
    async fn repeated(&self, transaction: &Transaction) -> Attempt {
        let report = |wait: &StatementWait| self.options.listener.unwrap_or(&()).waiting(wait);
        let watch = Watch::new(self.admin, self.workers.watching(), transaction, &report);
        let mut durations = vec![Duration::ZERO; transaction.steps.len()];
        let mut progress = TransactionProgress {
            durations: &mut durations,
            created: false,
            oid: None,
            one_by_one: false,
        };
        let executions = async {
            let mut execution = 1;
            let mut counted = Duration::ZERO;
            loop {
                let started = Instant::now();
                let result = self.run(transaction, &watch, &mut progress).await;
                let kind = result.as_ref().err().and_then(|failure| failure.kind);
                if kind == Some(FailureKind::Conflict) {
                    self.conflicts.add(started.elapsed());
                    counted = watch.locked();
                } else {
                    // A role can give up each lock just before the statement fails, in each of its databases.
                    self.conflicts.add(watch.locked().saturating_sub(counted));
                    counted = watch.locked();
                }
                match result {
                    Err(failure) if failure.kind == Some(FailureKind::OneOfSeveral) => {
                        progress.one_by_one = true;
                        continue;
                    }
                    Err(failure)
                        if failure.kind.is_some_and(|kind| kind.can_be_repeated(execution))
                            && !self.conflicts.is_exhausted() => {}
                    result => return result.err(),
                }
                pause_after(execution).await;
                execution += 1;
            }
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
        let dropped = matches!(transaction.scope, Scope::DroppedDatabase(_)) && progress.created;
        if let Some(failure) = failure.as_mut().filter(|_| dropped) {
            failure.message =
                format!("{}; the database is dropped, without an audit row", failure.message);
        }
        let oid = progress.oid;
        Attempt { durations, created, oid, dropped, failure, reverted: BTreeSet::new() }
    }

    /// Executes one transaction on the connection that its scope requires.
    async fn run(
        &self,
        transaction: &Transaction,
        watch: &Watch<'_>,
        progress: &mut TransactionProgress<'_>,
    ) -> Result<(), TransactionFailure> {
        let Scope::Database(name) = &transaction.scope else {
            return Box::pin(self.run_in(self.session, transaction, watch, progress)).await;
        };
        let connected = self.workers.connect(self.admin, name).await;
        let (own, _permit) =
            connected.map_err(|error| TransactionFailure::at(0..1, error.to_string()))?;
        let result = if own.in_recovery {
            let failure = TransactionFailure::at(0..1, self.admin.read_only().to_string());
            Err(failure.because_of(FailureCause::ReadOnly))
        } else if let Err(error) = prepare(&own).await {
            Err(TransactionFailure::at(0..1, own.describe(&error)).of(&own))
        } else {
            Box::pin(self.run_in(&own, transaction, watch, progress)).await
        };
        Lock::release(&own).await;
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
        if self.conflicts.is_exhausted() {
            let limited = session.client.simple_query_raw(SHORT_LOCK_TIMEOUT).await;
            limited.map_err(|error| {
                TransactionFailure::at(0..1, session.describe(&error)).of(session)
            })?;
        }
        let script = transaction.script();
        let run = TransactionRun::new(self, session, (transaction, &script), watch, progress).await;
        run.execute().await
    }
}

/// Prepares a session in a database for a transaction. Does not wait for the server.
async fn prepare(session: &Session) -> Result<(), tokio_postgres::Error> {
    Lock::announce_in_database(session).await?;
    session.limit_lock_waits().await
}
