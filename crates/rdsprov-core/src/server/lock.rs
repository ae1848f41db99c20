//! The lock that serializes runs on one server.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::connect::Session;
use super::wait::LockHolder;

/// The key of the advisory lock that serializes runs: the bytes of `rdsprov` and a zero byte.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"rdsprov\0");

const LOCK_HOLDER: &str = include_str!("queries/lock_holder.sql");

/// How long a run waits for the lock by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The lock of a run, which is held until this value is dropped.
///
/// Shared catalogs are changed over the connection that holds the lock. If the run is killed, the
/// next run therefore waits until the server has ended the statement of the killed run.
pub(crate) struct Lock(pub(crate) Session);

/// How a run waits for the lock.
#[non_exhaustive]
pub struct LockOptions<'a> {
    /// How long the run waits for another run; by default 10 minutes.
    pub timeout: Duration,
    /// What other runs show while they wait for this one, such as the run id.
    pub label: String,
    /// Called once if another run holds the lock, with its session if it is known.
    pub on_wait: &'a (dyn Fn(Option<&LockHolder>) + Sync),
}

impl Default for LockOptions<'_> {
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, label: String::new(), on_wait: &|_| {} }
    }
}

/// Why the lock was not taken.
pub(crate) enum LockError {
    /// Another run has held it for the whole time.
    Timeout(Option<LockHolder>),
    Server(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for LockError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// Takes the lock in the current database of a session.
pub(crate) async fn lock(session: Session, options: &LockOptions<'_>) -> Result<Lock, LockError> {
    let client = &session.client;
    let name = format!("rdsprov {}", options.label);
    client.execute("SELECT set_config('application_name', $1, false)", &[&name.trim()]).await?;
    let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK_KEY]).await?;
    if !row.try_get::<_, bool>(0)? {
        (options.on_wait)(holder(&session).await.as_ref());
        if options.timeout.is_zero() {
            return Err(LockError::Timeout(holder(&session).await));
        }
        // 0 would mean that the server waits without limit.
        let limit = options.timeout.as_millis().clamp(1, i32::MAX as u128).to_string();
        client.execute("SELECT set_config('lock_timeout', $1, false)", &[&limit]).await?;
        match client.execute("SELECT pg_advisory_lock($1)", &[&LOCK_KEY]).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                return Err(LockError::Timeout(holder(&session).await));
            }
            Err(error) => return Err(error.into()),
        }
    }
    session.limit_lock_waits().await?;
    Ok(Lock(session))
}

/// Returns the session that holds the lock, if the server shows it.
async fn holder(session: &Session) -> Option<LockHolder> {
    let row = session.client.query_opt(LOCK_HOLDER, &[&LOCK_KEY]).await.ok()??;
    serde_json::from_str(row.try_get(0).ok()?).ok()
}
