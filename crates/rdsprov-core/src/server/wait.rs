//! What statements wait for: the lock, and the sessions that hold it.
//!
//! [`Watch`] asks the server over a second connection while a statement waits.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connect::{Endpoint, Session};
use super::parameter::{Parameter, query_one};
use crate::name::{DatabaseName, TEMPLATE, literal};
use crate::plan::{Scope, Step, Transaction};
use crate::text::visible;

const LOCK_WAIT: &str = include_str!("queries/lock_wait.sql");
const CATALOG_LOCK: &str = include_str!("queries/catalog_lock.sql");

/// How long the server may take to name the sessions that lock a catalog.
const CATALOG_LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the server is asked what a statement waits for.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a statement is executed before the server is asked what it waits for.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// How long a statement is executed before the caller is told.
const REPORTED_AFTER: Duration = Duration::from_secs(5);

/// How often the server is asked whether a process has ended.
const PROCESS_INTERVAL: Duration = Duration::from_millis(100);

/// How often a second connection is tried.
const MAX_CONNECTIONS: u32 = 3;

/// Waits until none of these processes of the server belongs to a session of the administrator any more. The
/// connection of a session may be lost while its process still executes a statement.
pub(crate) async fn until_ended(
    session: &Session,
    processes: &[i32],
) -> Result<(), tokio_postgres::Error> {
    const REMAINING: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity
        WHERE pid = $1 AND usename = session_user";
    for process in processes {
        while query_one(&session.client, REMAINING, &[process]).await?.try_get::<_, i64>(0)? > 0 {
            tokio::time::sleep(PROCESS_INTERVAL).await;
        }
    }
    Ok(())
}

/// A session that holds a lock for which another session waits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LockHolder {
    /// The process id of the session; 0 for a prepared transaction.
    pub pid: i32,
    /// The role of the session.
    pub user: Option<String>,
    /// The `application_name` of the session. Runs of rdsprov put their run id into it.
    pub application: Option<String>,
    /// The IP address of the client.
    pub address: Option<String>,
    /// The start of the transaction, or of the session if no transaction is open, in UTC.
    pub since: Option<String>,
    /// The identifier of the prepared transaction, if it is one and the server shows it.
    #[serde(default)]
    pub prepared: Option<String>,
}

impl LockHolder {
    /// Returns the statement that ends the session or the prepared transaction.
    pub(super) fn end(&self) -> String {
        match &self.prepared {
            Some(transaction) => format!("ROLLBACK PREPARED {}", literal(transaction)),
            None => format!("SELECT pg_terminate_backend({})", self.pid),
        }
    }

    /// Returns what to do about the session or the prepared transaction, if the server shows which one it is.
    pub(crate) fn advice(&self) -> Option<String> {
        let end = self.end();
        match &self.prepared {
            Some(_) => Some(format!(
                "as its owner or a superuser, in its database, end the prepared transaction: {end}"
            )),
            None if self.pid == 0 => None,
            None => Some(format!(
                "wait until the transaction of pid {} has ended, or end its session: {end}",
                self.pid
            )),
        }
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.prepared {
            Some(transaction) => {
                write!(f, "the prepared transaction {}", visible(&literal(transaction)))?;
            }
            None if self.pid == 0 => return f.write_str("a prepared transaction"),
            None => write!(f, "pid {}", self.pid)?,
        }
        let details = [
            ("role ", &self.user),
            ("application ", &self.application),
            ("from ", &self.address),
            ("since ", &self.since),
        ];
        let details: Vec<String> = details
            .into_iter()
            .filter_map(|(word, value)| Some(format!("{word}{}", visible(value.as_ref()?))))
            .collect();
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

/// What a session waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LockWait {
    /// The locked object, such as `table public.customers`; `None` if it is not known.
    pub object: Option<String>,
    /// The sessions that hold the lock; empty if the session does not wait for a lock.
    pub holders: Vec<LockHolder>,
}

impl fmt::Display for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders: Vec<String> = self.holders.iter().map(ToString::to_string).collect();
        let object = self.object.as_deref().map_or("a lock".into(), visible);
        write!(f, "{object}, held by {}", holders.join(" and "))
    }
}

/// A statement that is executed for longer than 5 seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementWait {
    /// Where the statement is executed: `database shop`, or `roles and databases`.
    pub place: String,
    /// The step in words, with its application, and the number of other steps of the statement; `None` for a
    /// statement around the steps.
    pub step: Option<String>,
    /// The time since the statement was sent first, without pauses.
    pub waited: Duration,
    /// What it waits for.
    pub wait: LockWait,
}

impl fmt::Display for StatementWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.waited.as_secs();
        let step = self.step.as_deref().unwrap_or("the transaction");
        if self.wait.holders.is_empty() {
            return write!(
                f,
                "{step} ({}): the statement has been running for {seconds} s",
                self.place
            );
        }
        write!(f, "{step} ({}): waiting for {seconds} s for {}", self.place, self.wait)
    }
}

/// The statement that is executed, and how long each statement of the transaction has taken.
#[derive(Default)]
struct State {
    /// The line of the script, its steps, the process id of its session, and when it was sent.
    current: Option<(usize, Range<usize>, i32, Instant)>,
    /// The time that each line took in earlier executions of the transaction.
    earlier: BTreeMap<usize, Duration>,
    reported: BTreeSet<usize>,
    /// What each line has waited for.
    waits: BTreeMap<usize, LockWait>,
}

impl State {
    fn locked(&self) -> Duration {
        self.waits.keys().filter_map(|line| self.earlier.get(line)).sum()
    }
}

/// Watches the statements of one transaction, over all its executions.
pub(super) struct Watch<'a> {
    admin: &'a Endpoint,
    /// Limits the sessions that ask.
    asking: &'a Semaphore,
    transaction: &'a Transaction,
    report: &'a (dyn Fn(&StatementWait) + Sync),
    state: Mutex<State>,
}

impl<'a> Watch<'a> {
    pub fn new(
        admin: &'a Endpoint,
        asking: &'a Semaphore,
        transaction: &'a Transaction,
        report: &'a (dyn Fn(&StatementWait) + Sync),
    ) -> Self {
        Self { admin, asking, transaction, report, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the script is sent to a session.
    pub fn sent(&self, line: usize, steps: Range<usize>, pid: i32) {
        self.state().current = Some((line, steps, pid, Instant::now()));
    }

    /// The line has ended.
    pub fn ended(&self) {
        let mut state = self.state();
        if let Some((line, _, _, started)) = state.current.take() {
            *state.earlier.entry(line).or_default() += started.elapsed();
        }
    }

    /// Returns how long a line has been executed over all executions, and what it has waited for.
    pub fn waited(&self, line: usize) -> (Duration, Option<LockWait>) {
        let state = self.state();
        let waited = state.earlier.get(&line).copied().unwrap_or_default();
        (waited, state.waits.get(&line).cloned())
    }

    /// Returns how long the lines that have waited for a lock have been executed, over all executions.
    pub fn locked(&self) -> Duration {
        self.state().locked()
    }

    /// Asks the server what the current statement waits for, until the future is dropped.
    pub async fn run(&self) -> Infallible {
        let mut session = None;
        let mut connections = 0;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let current = {
                let state = self.state();
                state.current.clone().map(|(line, steps, pid, started)| {
                    let earlier = state.earlier.get(&line).copied().unwrap_or_default();
                    (line, steps, pid, earlier + started.elapsed())
                })
            };
            let Some((line, steps, pid, waited)) = current else { continue };
            if waited < ASKED_AFTER {
                continue;
            }
            if session.is_none()
                && connections < MAX_CONNECTIONS
                && let Ok(permit) = self.asking.try_acquire()
            {
                connections += 1;
                session = self.connect().await.map(|session| (session, permit));
            }
            if let Some((session, _)) = &session
                && let Some(wait) = lock_wait(session, pid).await
                && !wait.holders.is_empty()
            {
                self.state().waits.insert(line, wait);
            }
            let mut state = self.state();
            if waited >= REPORTED_AFTER && state.reported.insert(line) {
                let wait = state.waits.get(&line).cloned().unwrap_or_default();
                drop(state);
                (self.report)(&StatementWait {
                    place: place(&self.transaction.scope),
                    step: self.transaction.steps.get(steps).and_then(steps_in_words),
                    waited,
                    wait,
                });
            }
        }
    }

    /// Connects to the database of the transaction, in which the names of its objects are known. Those
    /// in the template stay unknown.
    async fn connect(&self) -> Option<Session> {
        let administration = DatabaseName::new_unchecked(crate::name::LOCK_DATABASE);
        let database = match &self.transaction.scope {
            // A pooler would keep a session in the template, which prevents every new database.
            Scope::Database(name) if name.as_str() != TEMPLATE => name,
            _ => &administration,
        };
        // Without a connection, only the names of the sessions are missing in messages.
        self.admin.connect(database).await.ok()
    }
}

async fn lock_wait(session: &Session, pid: i32) -> Option<LockWait> {
    let row = query_one(&session.client, LOCK_WAIT, &[&pid]).await.ok()?;
    serde_json::from_str(row.try_get(0).ok()?).ok()
}

/// Returns the sessions that lock a catalog of a database, or one that all databases share, so that no
/// session can read it; `None` if there are none, or if the server does not name them.
///
/// Catalogs have the same OIDs in all databases. The session of the administrator is in a database in which
/// no other role can lock them.
pub(crate) async fn catalog_lock(
    session: &Session,
    database: Option<&DatabaseName>,
) -> Option<LockWait> {
    let database = database.map(DatabaseName::as_str);
    let parameters: [&dyn Parameter; 1] = [&database];
    let query = query_one(&session.client, CATALOG_LOCK, &parameters);
    let row = timeout(CATALOG_LOCK_TIMEOUT, query).await.ok()?.ok()?;
    let wait: LockWait = serde_json::from_str(row.try_get(0).ok()?).ok()?;
    (!wait.holders.is_empty()).then_some(wait)
}

/// Returns where a transaction runs, as messages name it.
pub(crate) fn place(scope: &Scope) -> String {
    match scope {
        Scope::Cluster => "roles and databases".to_owned(),
        Scope::Secrets => "Secrets Manager".to_owned(),
        Scope::NewDatabase(name) | Scope::DroppedDatabase(name) | Scope::Database(name) => {
            format!("database {}", visible(name.as_str()))
        }
    }
}

/// Returns the steps of one statement in words: the first one, and how many others there are.
pub(super) fn steps_in_words(steps: &[Step]) -> Option<String> {
    let (first, others) = steps.split_first()?;
    let first = step_words(first);
    Some(match others.len() {
        0 => first,
        1 => format!("{first} and 1 other step"),
        others => format!("{first} and {others} other steps"),
    })
}

/// Returns a step in words, with its application.
pub(crate) fn step_words(step: &Step) -> String {
    format!("{} of application {}", visible(&step.words()), step.application)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Statement};

    #[test]
    fn time_of_lines_that_waited_counts() {
        let seconds = Duration::from_secs;
        let state = State {
            earlier: [(1, seconds(2)), (2, seconds(5)), (3, seconds(1))].into(),
            waits: [(1, LockWait::default()), (3, LockWait::default())].into(),
            ..State::default()
        };
        assert_eq!(state.locked(), seconds(3));
    }

    #[test]
    fn steps_of_one_statement_are_counted() {
        let grant = |role: &str| {
            let application = crate::name::ApplicationName::new(role).unwrap();
            Step::<Statement>::sample(
                Action::Grant,
                &application,
                &format!("SELECT on table t to {role}"),
            )
        };
        let steps = ["a", "b", "c"].map(grant);
        let words = |count: usize| steps_in_words(&steps[..count]);
        assert_eq!(words(0), None);
        let first = "grant SELECT on table t to a of application a";
        assert_eq!(words(1).unwrap(), first);
        assert_eq!(words(2).unwrap(), format!("{first} and 1 other step"));
        assert_eq!(words(3).unwrap(), format!("{first} and 2 other steps"));
    }
}
