//! Reads many databases, each over a connection of its own and in limited time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::error::SqlState;

use super::connect::{END_TIMEOUT, Endpoint, Session};
use super::connect_error::{ConnectError, RejectionCause};
use super::owner_login::OwnerSession;
use super::parameter::{Parameter, query_one};
use super::snapshot::ObserveError;
use super::wait::catalog_lock;
use crate::name::{DatabaseName, TEMPLATE};
use crate::text::{counted, visible};

/// The number of attempts in a database that has no connection left, after all others are closed.
const ATTEMPTS: u32 = 4;

/// The pause before each further attempt: the server ends a closed session a moment later.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the databases may take together on which only notes depend.
const UNDECLARED_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads each database as the administrator, several at the same time.
///
/// The administrator or the server may allow fewer connections (`CONNECTION LIMIT`,
/// `max_connections`). Databases without a connection are tried again, one after another.
///
/// The owner of a database decides how long its login and its queries take. So each database has limited
/// time, and all those that are not `needed` end before a common deadline: a role with `CREATEDB` can have
/// any number of them. They come last, and their time starts when the others are read. The logins without a
/// response to those that are needed have limited time together, too.
pub(crate) async fn in_each<T>(
    admin: &Endpoint,
    admin_session: &Session,
    databases: impl IntoIterator<Item = DatabaseName>,
    is_needed: impl Fn(&DatabaseName) -> bool,
    read: impl AsyncFn(&Session, &DatabaseName) -> Result<T, ObserveError>,
) -> Vec<(DatabaseName, Result<T, ObserveError>)> {
    let as_owner = async |_: &DatabaseName| None;
    in_each_as_owner(admin, admin_session, databases, is_needed, as_owner, read).await
}

/// Like [`in_each`], but reads each needed database in the session of its owner that `as_owner` returns. The
/// administrator reads it if there is none, and if the owner cannot read it.
pub(super) async fn in_each_as_owner<T>(
    admin: &Endpoint,
    admin_session: &Session,
    databases: impl IntoIterator<Item = DatabaseName>,
    is_needed: impl Fn(&DatabaseName) -> bool,
    as_owner: impl AsyncFn(&DatabaseName) -> Option<OwnerSession>,
    read: impl AsyncFn(&Session, &DatabaseName) -> Result<T, ObserveError>,
) -> Vec<(DatabaseName, Result<T, ObserveError>)> {
    let limit = admin.observation_timeout.duration();
    let (needed, others): (Vec<_>, Vec<_>) =
        databases.into_iter().partition(|name| is_needed(name));
    let reader = Reader { admin, admin_session, is_needed: true, as_owner, read };
    let mut results = reader.read_all(needed, || Deadline::after(limit)).await;
    let reader = Reader { is_needed: false, ..reader };
    let common = Deadline::after(UNDECLARED_TIMEOUT.min(limit));
    results.extend(reader.read_all(others, || common).await);
    results
}

/// The time at which a database must be read.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// The time from the start until then, for messages.
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// Waits for something until the deadline.
    async fn wait<T>(
        self,
        name: &DatabaseName,
        result: impl Future<Output = Result<T, ObserveError>>,
    ) -> Result<T, ObserveError> {
        let silent = || ObserveError::silent(format!("database {name}"), self.limit);
        timeout_at(self.at, result).await.unwrap_or_else(|_| Err(silent()))
    }

    fn has_passed(self) -> bool {
        Instant::now() >= self.at
    }
}

struct Reader<'a, O, R> {
    admin: &'a Endpoint,
    admin_session: &'a Session,
    /// Whether more than notes depends on the databases.
    is_needed: bool,
    as_owner: O,
    read: R,
}

impl<O, R> Reader<'_, O, R>
where
    O: AsyncFn(&DatabaseName) -> Option<OwnerSession>,
{
    async fn read_all<T>(
        &self,
        databases: Vec<DatabaseName>,
        deadline: impl Fn() -> Deadline,
    ) -> Vec<(DatabaseName, Result<T, ObserveError>)>
    where
        R: AsyncFn(&Session, &DatabaseName) -> Result<T, ObserveError>,
    {
        let deadline = &deadline;
        let (total, done) = (databases.len(), &AtomicUsize::new(0));
        if total > 0 {
            tracing::info!("reading {}", counted(total, "database"));
        }
        let mut results: Vec<_> = stream::iter(databases)
            .map(async |name| {
                // Boxed, because a thread can have a small stack.
                let result = Box::pin(self.read_one(&name, deadline())).await;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::info!("read database {name}, {done} of {total}");
                (name, result)
            })
            .buffered(self.admin.work(self.admin_session))
            .collect()
            .await;
        for (name, result) in &mut results {
            for attempt in 0..ATTEMPTS {
                if !matches!(result, Err(error) if is_out_of_connections(error)) {
                    break;
                }
                tokio::time::sleep(PAUSE * attempt).await;
                *result = Box::pin(self.read_one(name, deadline())).await;
            }
            if let Err(error) = result {
                name_holders(self.admin_session, name, error).await;
            }
        }
        results
    }

    async fn read_one<T>(&self, name: &DatabaseName, deadline: Deadline) -> Result<T, ObserveError>
    where
        R: AsyncFn(&Session, &DatabaseName) -> Result<T, ObserveError>,
    {
        if self.is_needed
            && let Some(result) = self.read_as_owner(name, deadline).await
        {
            return result;
        }
        let connect = async {
            let session = match self.is_needed {
                true => self.admin.connect_to_application(name).await?,
                false => self.admin.for_further_logins().connect(name).await?,
            };
            let process = session.process().await;
            Ok((session, process))
        };
        let (session, process) = deadline.wait(name, connect).await?;
        let result = deadline.wait(name, (self.read)(&session, name)).await;
        if deadline.has_passed() {
            self.end_session(name, process).await;
        } else if name.as_str() == TEMPLATE {
            session.leave_pool().await;
        }
        result
    }

    /// Reads a database as its owner; `None` if the administrator has to.
    async fn read_as_owner<T>(
        &self,
        name: &DatabaseName,
        deadline: Deadline,
    ) -> Option<Result<T, ObserveError>>
    where
        R: AsyncFn(&Session, &DatabaseName) -> Result<T, ObserveError>,
    {
        let as_owner = async { Ok((self.as_owner)(name).await) };
        let owner = match deadline.wait(name, as_owner).await {
            Ok(owner) => owner?,
            Err(error) => return Some(Err(error)),
        };
        let result = deadline.wait(name, (self.read)(&owner.session, name)).await;
        if deadline.has_passed() {
            owner.cancel().await;
            return Some(result);
        }
        match result {
            // The owner can end its sessions, and a superuser can hide catalogs from it.
            Err(ObserveError::Query { reason, .. }) => {
                tracing::debug!(
                    "the owner of database {name} cannot read it: {}",
                    visible(&reason)
                );
                None
            }
            result => Some(result),
        }
    }

    /// Ends a session whose query takes too long: the server would execute the query until its end, also
    /// without a client, and in the template, the session would prevent every new database.
    async fn end_session(&self, name: &DatabaseName, process: Option<i32>) {
        const END: &str =
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE pid = $1 AND datname = $2 AND usename = current_user";
        let parameters: [&dyn Parameter; 2] = [&process, &name.as_str()];
        // An error is ignored: the database is not read in any case.
        let _ = timeout(END_TIMEOUT, query_one(&self.admin_session.client, END, &parameters)).await;
    }
}

/// Adds the sessions that lock a catalog of a database to an error that they have caused.
async fn name_holders(admin_session: &Session, name: &DatabaseName, error: &mut ObserveError) {
    match error {
        ObserveError::Locked { wait, .. } => *wait = catalog_lock(admin_session, Some(name)).await,
        // A login reads catalogs, too, and before it the server has no `lock_timeout`.
        ObserveError::Connect(ConnectError::Rejected {
            cause: Some(RejectionCause::NoResponse),
            reason,
            ..
        }) => {
            if let Some(wait) = catalog_lock(admin_session, Some(name)).await {
                *reason = format!("{reason}, waiting for {wait}");
            }
        }
        _ => {}
    }
}

fn is_out_of_connections(error: &ObserveError) -> bool {
    matches!(error, ObserveError::Connect(error)
        if error.sqlstate() == Some(SqlState::TOO_MANY_CONNECTIONS.code()))
}
