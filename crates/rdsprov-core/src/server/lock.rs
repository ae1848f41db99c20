//! The lock that serializes runs on one server.
//!
//! Any role that can connect to a database can hold any advisory lock in it. So a run does not
//! wait for a key, but for sessions: the lock of a run is an advisory lock of the class
//! [`CLASS`], with any second key, that a session of an *administrator* holds. Such locks of other
//! roles are ignored and reported. Further sessions in which a run changes something hold locks of the class,
//! too, each in its own database: a run that was killed has ended when the last of them has.
//!
//! A run first takes a lock of the class (it announces itself), and then reads which other
//! administrators hold one. If no other does, the run has the lock. Otherwise it releases its
//! lock and tries again later. Of two runs, one reads after both have announced themselves, so they
//! never both have the lock. Both can fail to get it at first; random pauses let one of them go first.
//!
//! An administrator, here, is a superuser, a role with `CREATEROLE`, `rds_superuser`, the role of
//! this run, or a member of one of them. Other roles cannot change roles, and no application's role
//! is one: the definitions cannot declare `CREATEROLE` or such a membership. From PostgreSQL 16 on, a role
//! with `CREATEROLE` can only change roles on which it has `ADMIN OPTION`. It is an administrator if it also
//! has `CREATEDB`, or `ADMIN OPTION` on the owner of a database.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_postgres::Client;

use super::connect::{Endpoint, Session, describe_error};
use super::parameter::{Parameter, query_one};
use super::snapshot::RawText;
use super::wait::LockHolder;
use crate::name::{DatabaseName, LOCK_DATABASE};

/// The first key of the advisory locks of runs: the bytes of `rdsp`.
const CLASS: i32 = i32::from_be_bytes(*b"rdsp");

/// Releases the lock of a session.
const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock_all()";

const LOCK_HOLDERS: &str = include_str!("queries/lock_holders.sql");

/// Tries to take a lock of the class $1 that no other session holds. The second key is the process
/// id of the session, or a random number if $2 is true, because other roles can hold any key.
const ANNOUNCE: &str = "WITH key AS MATERIALIZED (SELECT CASE WHEN $2 \
     THEN (random() * 2147483647)::int ELSE pg_catalog.pg_backend_pid() END AS key) \
     SELECT key, pg_catalog.pg_try_advisory_lock($1, key) FROM key";

/// Names the session for other runs ($1), and has the server end it about half a minute after the
/// machine of the run has disappeared. By default, RDS ends it, and with it the lock, after about 6
/// minutes. A server that cannot set these parameters has none of them, or ignores the values.
const PREPARE: &str = "SELECT set_config('application_name', $1, false), \
     (SELECT count(set_config(s.name, v.value, false)) FROM pg_settings s JOIN (VALUES \
     ('tcp_keepalives_idle', '15'), ('tcp_keepalives_interval', '5'), \
     ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '30000')) v(name, value) \
     ON v.name = s.name WHERE s.context = 'user')";

/// How many second keys are tried. The lock table of the server has space for some thousand locks.
const MAX_KEYS: u32 = 100;

/// How long the statements of one attempt may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a run waits for the lock by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The shortest time for which a run tries to take the lock: two runs that start at the same moment
/// see each other, although none of them has the lock.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The first and the longest pause between two attempts, without its random part.
const PAUSES: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(500));

/// The lock of a run, which is held until this value is dropped.
///
/// Shared catalogs are changed over the connection that holds the lock, and over those that [`Lock::join`]
/// opens. If the run is killed, the next run therefore waits until the server has ended the statements of
/// the killed run.
pub(crate) struct Lock {
    pub(crate) session: Session,
    /// The name of the run for other runs.
    name: String,
}

impl Lock {
    /// Uses a session without a lock for one change.
    pub(crate) fn without_lock(session: Session) -> Self {
        Self { session, name: String::new() }
    }

    /// Opens another session for changes of shared catalogs. It holds a lock of the class, as the session
    /// with the lock does, so that other runs wait for it, too. Returns nothing if this fails.
    pub(super) async fn join(&self, admin: &Endpoint) -> Option<Session> {
        let database = DatabaseName::new_unchecked(LOCK_DATABASE);
        let session = admin.for_further_logins().connect(&database).await.ok()?;
        let prepared = async {
            let client = &session.client;
            let name: &str = &self.name;
            let parameters: [&dyn Parameter; 1] = [&name];
            tokio::try_join!(
                async { Ok(query_one(client, PREPARE, &parameters).await?) },
                announce(client),
                async { Ok(session.limit_lock_waits().await?) }
            )
        };
        let prepared: Result<_, LockError> =
            tokio::time::timeout(STATEMENT_TIMEOUT, prepared).await.ok()?;
        prepared.ok().filter(|_| !session.in_recovery && !session.is_pooled)?;
        Some(session)
    }

    /// Has a session in another database hold a lock of the class. Does not wait for the response. If another
    /// role holds the same key in this database, the next run does not wait for this session.
    pub(super) async fn announce_in_database(
        session: &Session,
    ) -> Result<(), tokio_postgres::Error> {
        let announce =
            format!("SELECT pg_catalog.pg_try_advisory_lock({CLASS}, pg_catalog.pg_backend_pid())");
        session.client.simple_query_raw(&announce).await.map(|_| ())
    }

    /// Has a session release its lock of the class. Does not wait for the response.
    pub(super) async fn release(session: &Session) {
        // An error is ignored: the server releases the lock at the end of the session.
        let _ = session.client.simple_query_raw(UNLOCK).await;
    }

    /// Ends a session that [`Self::join`] has opened. The server releases its lock before it ends.
    pub(super) async fn leave(session: Session) {
        // An error is ignored: the server releases the lock at the end of the session.
        let unlocked = session.client.batch_execute(UNLOCK);
        let _ = tokio::time::timeout(STATEMENT_TIMEOUT, unlocked).await;
        session.end().await;
    }
}

/// How a run waits for the lock.
#[non_exhaustive]
pub struct LockOptions<'a> {
    /// How long the run waits for another run; by default 10 minutes.
    pub timeout: Duration,
    /// What other runs show while they wait for this one, such as the run id.
    pub label: String,
    /// Called for each other run that holds the lock meanwhile, with its session if it is known.
    pub on_wait: &'a (dyn Fn(Option<&LockHolder>) + Sync),
    /// Called once if sessions of roles that are not administrators hold locks like those of runs.
    /// The run ignores them.
    pub on_ignored: &'a (dyn Fn(&[LockHolder]) + Sync),
}

impl LockOptions<'_> {
    /// Returns the name of the session for other runs.
    fn name(&self) -> String {
        format!("rdsprov {}", self.label).trim().to_owned()
    }
}

impl Default for LockOptions<'_> {
    fn default() -> Self {
        let timeout = DEFAULT_TIMEOUT;
        Self { timeout, label: String::new(), on_wait: &|_| {}, on_ignored: &|_| {} }
    }
}

/// Why the lock was not taken.
pub(crate) enum LockError {
    /// Another run has held it for the whole time.
    Timeout(Option<LockHolder>),
    /// A statement failed.
    Server(String),
}

impl LockError {
    fn no_response() -> Self {
        Self::Server(format!("no response within {} s", STATEMENT_TIMEOUT.as_secs()))
    }
}

impl From<tokio_postgres::Error> for LockError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(describe_error(&error))
    }
}

/// A session that holds a lock of the class.
#[derive(Deserialize)]
struct Announced {
    #[serde(flatten)]
    session: LockHolder,
    administrator: bool,
}

/// The other sessions that hold locks of the class.
struct Others {
    runs: Vec<LockHolder>,
    ignored: Vec<LockHolder>,
}

/// Takes the lock in the current database of a session.
pub(crate) async fn lock(session: Session, options: &LockOptions<'_>) -> Result<Lock, LockError> {
    match take(&session, options).await {
        Ok(()) => Ok(Lock { session, name: options.name() }),
        // The driver only knows that the connection was closed.
        Err(LockError::Server(reason)) => {
            Err(LockError::Server(session.problem().map_or(reason, |problem| problem.to_string())))
        }
        Err(error) => Err(error),
    }
}

async fn take(session: &Session, options: &LockOptions<'_>) -> Result<(), LockError> {
    let client = &session.client;
    query_one(client, PREPARE, &[&options.name().as_str()]).await?;
    let started = Instant::now();
    let timeout = options.timeout.max(SHORTEST_TIMEOUT);
    let mut pause = PAUSES.0;
    let mut reported_ignored = false;
    let mut reported_holder = None;
    loop {
        let attempt = tokio::time::timeout(STATEMENT_TIMEOUT, attempt(client)).await;
        let others = attempt.map_err(|_| LockError::no_response())??;
        if !others.ignored.is_empty() && !std::mem::replace(&mut reported_ignored, true) {
            (options.on_ignored)(&others.ignored);
        }
        let Some(holder) = others.runs.first() else { break };
        // A holder that is gone is not shown any more; another run may have taken its place.
        if reported_holder.replace(holder.pid) != Some(holder.pid) {
            (options.on_wait)(Some(holder));
        }
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(LockError::Timeout(Some(holder.clone())));
        }
        tokio::time::sleep(randomized(pause).min(left)).await;
        pause = (pause * 2).min(PAUSES.1);
    }
    session.limit_lock_waits().await?;
    Ok(())
}

/// Returns the run that holds the lock in the current database of a session, if there is one. Takes no
/// lock.
pub(crate) async fn holder(session: &Session) -> Result<Option<LockHolder>, LockError> {
    let others = tokio::time::timeout(STATEMENT_TIMEOUT, others(&session.client)).await;
    let others = others.map_err(|_| LockError::no_response())??;
    Ok(others.runs.into_iter().next())
}

/// Tries once to take the lock. It is taken if no other run is returned.
///
/// Each statement is a transaction of its own, so that a waiting run holds no snapshot, and sees
/// the current sessions.
async fn attempt(client: &Client) -> Result<Others, LockError> {
    // While another run has the lock, this one does not announce itself: two waiting runs would
    // keep each other from taking it.
    let others = others(client).await?;
    if !others.runs.is_empty() {
        return Ok(others);
    }
    let key = announce(client).await?;
    let others = self::others(client).await?;
    if !others.runs.is_empty() {
        query_one(client, "SELECT pg_catalog.pg_advisory_unlock($1, $2)", &[&CLASS, &key]).await?;
    }
    Ok(others)
}

/// Takes a lock of the class, and returns its second key.
async fn announce(client: &Client) -> Result<i32, LockError> {
    for number in 0..MAX_KEYS {
        let row = query_one(client, ANNOUNCE, &[&CLASS, &(number > 0)]).await?;
        if row.try_get(1)? {
            return Ok(row.try_get(0)?);
        }
    }
    Err(LockError::Server(format!("other sessions hold {MAX_KEYS} of its keys")))
}

async fn others(client: &Client) -> Result<Others, LockError> {
    let row = query_one(client, LOCK_HOLDERS, &[&CLASS]).await?;
    // The names of roles and clients can be in any encoding.
    let announced = row.try_get::<_, RawText>(0)?.decode();
    let announced: Vec<Announced> =
        serde_json::from_str(&announced).map_err(|error| LockError::Server(error.to_string()))?;
    let (runs, ignored): (Vec<_>, Vec<_>) =
        announced.into_iter().partition(|one| one.administrator);
    let sessions = |all: Vec<Announced>| all.into_iter().map(|one| one.session).collect();
    Ok(Others { runs: sessions(runs), ignored: sessions(ignored) })
}

/// Returns between once and twice a pause.
fn randomized(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers, runs that start at the same moment only take longer.
    let _ = getrandom::fill(&mut byte);
    pause + pause * u32::from(byte[0]) / 255
}
