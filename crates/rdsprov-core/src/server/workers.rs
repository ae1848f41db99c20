//! The sessions of transactions that are executed side by side.
//!
//! New databases are created in the session with the lock, and in further sessions that hold the lock in
//! common with it (see [`Lock::join`]). Each transaction in a database has a session of its own.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::error::SqlState;

use super::connect::{Endpoint, Session};
use super::connect_error::ConnectError;
use super::execution_options::ExecuteOptions;
use super::lock::Lock;
use super::lock_out;
use crate::name::{DatabaseName, RoleName, TEMPLATE};
use crate::plan::{Plan, Scope, Transaction};

/// The number of new databases from which on one more session pays, and the number for each further one.
const FIRST_WORKER: usize = 8;
const NEXT_WORKER: usize = 32;

/// The largest number of further sessions.
const MAX_WORKERS: usize = 7;

/// The number of attempts in a database that has no connection left, after all others are closed.
const ATTEMPTS: u32 = 4;

/// The pause before each further attempt: the server ends a closed session a moment later.
const PAUSE: Duration = Duration::from_millis(200);

/// Splits the transactions of a plan into groups. The transactions of one group can be executed in any order,
/// and at the same time; groups cannot.
pub(super) fn groups<'a>(plan: &'a Plan, options: &ExecuteOptions<'_>) -> Vec<&'a [Transaction]> {
    let all = &plan.transactions;
    let mut groups = Vec::new();
    let mut start = 0;
    let mut roles = BTreeSet::new();
    for (number, transaction) in all.iter().enumerate() {
        let of_steps = transaction.steps.iter().flat_map(|step| step.memberships().into_keys());
        let own: BTreeSet<RoleName> =
            of_steps.chain(transaction.memberships.keys().cloned()).collect();
        // A test that injects faults counts the statements of the run.
        let is_together = options.interrupt.is_none()
            && is_independent(transaction)
            && is_independent(&all[start])
            && std::mem::discriminant(&transaction.scope) == std::mem::discriminant(&all[start].scope)
            // The administrator is a member of a role in one transaction at a time.
            && own.is_disjoint(&roles);
        if !is_together {
            groups.extend((start < number).then(|| &all[start..number]));
            start = number;
            roles.clear();
        }
        roles.extend(own);
    }
    groups.extend((start < all.len()).then(|| &all[start..]));
    groups
}

/// Returns whether a transaction concerns one database, and nothing that other transactions need.
fn is_independent(transaction: &Transaction) -> bool {
    match &transaction.scope {
        Scope::NewDatabase(_) => !lock_out::is_possible(transaction),
        Scope::Database(name) => name.as_str() != TEMPLATE && !lock_out::is_possible(transaction),
        Scope::Cluster | Scope::DroppedDatabase(_) | Scope::Secrets => false,
    }
}

/// The sessions of the transactions of one group.
pub(super) struct Workers<'a> {
    lock: &'a Lock,
    /// The number of sessions that are opened in addition to the one with the lock.
    more: usize,
    free: Mutex<Vec<Worker>>,
    available: Semaphore,
    /// The number of transactions in databases that are executed at the same time.
    width: usize,
    in_databases: Semaphore,
    /// Limits the sessions in which transactions ask what their statements wait for.
    watching: Semaphore,
}

/// A session that changes shared catalogs.
enum Worker {
    Lock,
    Own(Box<Session>),
}

/// A session that one transaction uses.
pub(super) struct Used<'a> {
    workers: &'a Workers<'a>,
    worker: Worker,
}

impl<'a> Workers<'a> {
    /// Returns the session with the lock only, until [`Self::open`] has opened more.
    pub fn new(admin: &Endpoint, lock: &'a Lock, group: &[Transaction]) -> Self {
        let width = admin.work(&lock.session);
        let creates = |one: &&Transaction| matches!(one.scope, Scope::NewDatabase(_));
        let more = match group.iter().filter(creates).count() {
            // A pooler may not have enough sessions of the server.
            _ if lock.session.is_pooled => 0,
            0..FIRST_WORKER => 0,
            number => (number / NEXT_WORKER).clamp(1, MAX_WORKERS).min(width - 1),
        };
        Self {
            lock,
            more,
            free: Mutex::new(vec![Worker::Lock]),
            available: Semaphore::new(1),
            width,
            in_databases: Semaphore::new(width),
            // The connections that this group does not need.
            watching: Semaphore::new(1 + width - group.len().clamp(1, width)),
        }
    }

    /// Returns how many transactions of a group are executed at the same time.
    pub fn width(&self, group: &[Transaction]) -> usize {
        match group.first().map(|one| &one.scope) {
            Some(Scope::Database(_)) => self.width,
            _ => 1 + self.more,
        }
    }

    /// Returns what allows a transaction to ask what its statement waits for.
    pub fn watching(&self) -> &Semaphore {
        &self.watching
    }

    fn free(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the further sessions. Without one of them, the run takes longer.
    pub async fn open(&self, admin: &Endpoint) {
        let open = async |_| {
            if let Some(session) = self.lock.join(admin).await {
                self.free().push(Worker::Own(Box::new(session)));
                self.available.add_permits(1);
            }
        };
        join_all((0..self.more).map(open)).await;
    }

    /// Waits for a session in which no other transaction is executed.
    pub async fn take(&'a self) -> Used<'a> {
        if let Ok(permit) = self.available.acquire().await {
            permit.forget();
        }
        let worker = self.free().pop().unwrap_or(Worker::Lock);
        Used { workers: self, worker }
    }

    /// Ends the further sessions, which no other run has to wait for then.
    pub async fn close(self) {
        let free = self.free.into_inner().unwrap_or_else(PoisonError::into_inner);
        let close = async |worker| {
            if let Worker::Own(session) = worker {
                Lock::leave(*session).await;
            }
        };
        join_all(free.into_iter().map(close)).await;
    }

    /// Connects to the database of a transaction. If the server or the database has no connection left,
    /// waits until the other transactions of the group have ended.
    pub async fn connect(
        &self,
        admin: &Endpoint,
        name: &DatabaseName,
    ) -> Result<(Session, Option<SemaphorePermit<'_>>), ConnectError> {
        let permit = self.in_databases.acquire().await.ok();
        let mut connected = admin.connect_to_application(name).await;
        let is_full = |connected: &Result<Session, ConnectError>| {
            let error = connected.as_ref().err();
            error.is_some_and(|one| one.sqlstate() == Some(SqlState::TOO_MANY_CONNECTIONS.code()))
        };
        if !is_full(&connected) {
            return Ok((connected?, permit));
        }
        drop(permit);
        let all = u32::try_from(self.width).unwrap_or(u32::MAX);
        let alone = self.in_databases.acquire_many(all).await.ok();
        for attempt in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE * attempt).await;
            connected = admin.connect_to_application(name).await;
            if !is_full(&connected) {
                break;
            }
        }
        Ok((connected?, alone))
    }
}

impl Used<'_> {
    /// Returns the session.
    pub fn session(&self) -> &Session {
        match &self.worker {
            Worker::Lock => &self.workers.lock.session,
            Worker::Own(session) => session,
        }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let worker = std::mem::replace(&mut self.worker, Worker::Lock);
        // The state of a session that the server has ended is not known.
        if let Worker::Own(session) = &worker
            && session.client.is_closed()
        {
            return;
        }
        self.workers.free().push(worker);
        self.workers.available.add_permits(1);
    }
}
