//! Opens and closes connections, and collects the notices of the server.
//!
//! The protection of a connection is decided in `tls`. This module does not know plans.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage, SimpleQueryStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::{ConnectError, Pooler, RejectionCause, WeakRequest, rejection_cause};
use super::network;
use super::silent_logins::SilentLogins;
use super::stream_guard::{Answers, GuardedConnector, GuardedStream, Login, StreamProblem};
use super::tls::{Peer, Protection, Tls, TlsProblem};
use crate::config::{
    ConnectTimeout, ConnectTo, MaxConnections, ObservationTimeout, StatementTimeout,
};
use crate::name::{DatabaseName, RoleName};
use crate::plan::{BEGIN_SESSION, session_settings};
use crate::secrets::{Password, TokenSource};
use crate::text::{os_reason, visible, without_middle};

/// The timeout for what ends a statement: a cancel request, or `ROLLBACK`.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(15);

/// How a role authenticates when it connects.
#[derive(Clone)]
pub enum Credentials {
    /// A password, which is never sent in cleartext over TLS.
    Password(Password),
    /// IAM tokens, of which each connection gets a new one.
    Token(TokenSource),
}

/// A server, and the role as which to connect.
#[derive(Clone)]
pub struct Endpoint {
    /// The host name or IP address of the server.
    pub host: String,
    /// The TCP port of the server.
    pub port: u16,
    /// The role that logs in.
    pub user: RoleName,
    /// How the role authenticates.
    pub credentials: Credentials,
    /// The protection of the connection.
    pub tls: Tls,
    /// The address to which connections go instead of the host.
    pub connect_to: Option<ConnectTo>,
    /// How long a connection may take.
    pub connect_timeout: ConnectTimeout,
    /// How long a statement may take.
    pub statement_timeout: StatementTimeout,
    /// How long the observation of one database may take.
    pub observation_timeout: ObservationTimeout,
    /// How many connections the run has at the same time, at most.
    pub max_connections: MaxConnections,
    /// The logins of the run that have no response.
    pub silent_logins: SilentLogins,
}

/// A session on the server, with the notices that the server has sent.
pub struct Session {
    /// The driver's handle of the connection.
    pub client: Client,
    received: Arc<Mutex<Received>>,
    connection: JoinHandle<()>,
    /// Whether the login has proved the password of the role.
    pub(crate) password_proved: bool,
    /// The process id in the key for cancel requests, if the server has sent a key.
    key: Option<i32>,
    /// Whether a connection pooler keeps the session of the server when this one ends.
    pub(crate) is_pooled: bool,
    /// A session that the pooler begins in the same database when this one ends.
    waiting: Option<Box<Session>>,
    /// Whether the server was in recovery when the session began: a reader or a standby.
    pub(crate) in_recovery: bool,
    /// The response to the statements with which the session began, until a snapshot waits for it.
    beginning: Mutex<Option<SimpleQueryStream>>,
}

/// How a session has begun.
enum Begun {
    /// It is independent of stored settings.
    Session { in_recovery: bool },
    /// Nothing has changed: its process is not the one of the key, so that a proxy has made the key.
    OtherProcess,
}

/// What a new session is asked. `SET default_transaction_read_only` succeeds on a standby, too.
const SERVER_STATE: &str = "SELECT pg_catalog.pg_is_in_recovery()";

/// What the server has sent in addition to the responses to statements.
#[derive(Default)]
struct Received {
    /// Notices since they were last taken. Of other notices than those of [`matters`], only the
    /// first [`MAX_NOTICES`] are kept.
    notices: Vec<DbError>,
    /// Why the connection was not read further.
    problem: Option<StreamProblem>,
}

/// The number of notices that are kept. A server can send any number.
const MAX_NOTICES: usize = 1000;

/// Returns whether a notice decides if a statement has succeeded.
fn matters(notice: &DbError) -> bool {
    [SqlState::WARNING_PRIVILEGE_NOT_GRANTED, SqlState::WARNING_PRIVILEGE_NOT_REVOKED]
        .contains(notice.code())
        || is_about_replication(notice)
}

/// Returns whether a warning says that a statement is not replicated: `command will not be replicated to
/// the green instance`. Its SQLSTATE is not documented.
pub(super) fn is_about_replication(notice: &DbError) -> bool {
    let words = notice.message().to_lowercase();
    notice.severity() == "WARNING"
        && words.contains("will not be replicated")
        && words.contains("green")
}

/// Why a connection was not opened.
enum OpenError {
    Network(io::Error),
    /// TLS cannot verify a server of this name.
    NotAHostName,
    /// The connection is without TLS, and leaves this machine.
    NotLoopback,
    Driver(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

/// What makes a TCP connection to a TLS connection to the host.
type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;

/// How Rust begins the error of a host name that cannot be resolved.
const UNRESOLVED: &str = "failed to lookup address information: ";

fn is_unresolved(error: &io::Error) -> bool {
    os_reason(error).starts_with(UNRESOLVED)
}

/// Whether a server is proved to be the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerIdentity {
    Proved,
    Unproved,
}

impl Endpoint {
    /// Returns the endpoint for another role, without the client certificate of the administrator.
    ///
    /// With that certificate and `clientcert=verify-full`, PostgreSQL rejects the correct password
    /// of another role as wrong (28P01), and the password would be reset. Without it, PostgreSQL
    /// reports that a certificate is required (28000).
    #[must_use]
    pub fn as_role(&self, user: RoleName, password: Password) -> Self {
        Self {
            user,
            credentials: Credentials::Password(password),
            tls: self.tls.for_another_role(),
            connect_timeout: self.connect_timeout.after_an_answer(),
            ..self.clone()
        }
    }

    /// Returns the endpoint with less time for logins, for databases other than the administrator database:
    /// the server has answered before, and the owner of a database decides how long a login to it takes.
    pub(crate) fn for_further_logins(&self) -> Self {
        Self { connect_timeout: self.connect_timeout.after_an_answer(), ..self.clone() }
    }

    /// Returns how many databases are read or changed, or roles log in, at the same time. Through a pooler, each
    /// connection needs a second one for a moment.
    pub(crate) fn work(&self, admin_session: &Session) -> usize {
        match admin_session.is_pooled {
            true => (self.max_connections.work() / 2).max(1),
            false => self.max_connections.work(),
        }
    }

    /// Returns whether the server is proved to be the expected one: by its certificate, or because it has
    /// proved in a session that it knows the verifier of the password of the role.
    pub(crate) fn server_identity(&self, session: Option<&Session>) -> ServerIdentity {
        let is_verified = matches!(self.tls.0, Protection::Rustls { peer: Peer::Verified, .. });
        if is_verified || session.is_some_and(|session| session.password_proved) {
            ServerIdentity::Proved
        } else {
            ServerIdentity::Unproved
        }
    }

    /// Connects to a database and overrides the settings of the database and the role.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails.
    pub async fn connect(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let password = self.password().await?;
        self.in_time(database, Box::pin(self.connect_with(&password, database))).await
    }

    async fn connect_with(
        &self,
        password: &Password,
        database: &DatabaseName,
    ) -> Result<Session, ConnectError> {
        let mut session = self.open(password, database).await?;
        let key = session.key.ok_or_else(|| self.pooled(Pooler::WithoutKey))?;
        session.in_recovery = match self.begin(&session, database, Some(key)).await? {
            Begun::Session { in_recovery } => in_recovery,
            Begun::OtherProcess => {
                session.is_pooled = true;
                session.waiting = self.check_pooler(&session, database).await?.map(Box::new);
                match self.begin(&session, database, None).await? {
                    Begun::Session { in_recovery } => in_recovery,
                    Begun::OtherProcess => return Err(self.pooled(Pooler::Transactions)),
                }
            }
        };
        Ok(session)
    }

    /// Makes a session independent of stored settings.
    async fn begin(
        &self,
        session: &Session,
        database: &DatabaseName,
        key: Option<i32>,
    ) -> Result<Begun, ConnectError> {
        match session.begin(self.statement_timeout, key).await {
            Err(error) if key.is_some() && error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                Ok(Begun::OtherProcess)
            }
            result => result.map_err(|error| self.failed(session, database, &error)),
        }
    }

    /// Waits for a connection, for as long as one may take. Its future is boxed: those of a run contain
    /// many of them, and a thread can have a small stack.
    async fn in_time<T>(
        &self,
        database: &DatabaseName,
        connection: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let (limit, started) = (self.connect_timeout.duration(), Instant::now());
        let result =
            timeout(limit, connection).await.unwrap_or_else(|_| Err(self.silent(database)));
        let milliseconds = started.elapsed().as_millis();
        match &result {
            Ok(_) => {
                let user = &self.user;
                tracing::debug!("{user} logged in to database {database} in {milliseconds} ms");
            }
            Err(error) => {
                let (user, error) = (&self.user, visible(&error.to_string()));
                tracing::debug!(
                    "{user} did not log in to database {database} after {milliseconds} ms: {error}"
                );
            }
        }
        result
    }

    /// Returns the error of a statement with which a session begins.
    pub(super) fn failed(
        &self,
        session: &Session,
        database: &DatabaseName,
        error: &tokio_postgres::Error,
    ) -> ConnectError {
        match session.problem().filter(|_| error.is_closed()) {
            Some(problem) => {
                let cause = RejectionCause::NotPostgres;
                self.unreachable(database, problem.to_string(), Some(cause))
            }
            None => self.guarded(database, error, session.password_proved),
        }
    }

    /// Connects to a database and executes no statement.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails.
    pub(crate) async fn log_in(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let password = self.password().await?;
        self.in_time(database, Box::pin(self.open(&password, database))).await
    }

    /// Returns the password of the role, or an IAM token, whose credentials have a limit of their own.
    async fn password(&self) -> Result<Password, ConnectError> {
        match &self.credentials {
            Credentials::Password(password) => Ok(password.clone()),
            Credentials::Token(source) => {
                match &self.tls.0 {
                    Protection::Disabled => {
                        let host = self.host.clone();
                        return Err(ConnectError::TokenWithoutTls { host });
                    }
                    Protection::Rustls { peer: Peer::Unverified, .. } => {
                        let host = self.host.clone();
                        return Err(ConnectError::TokenToUnverifiedServer { host });
                    }
                    Protection::Rustls { peer: Peer::Verified, .. } => {}
                }
                Ok(source.token(&self.host, self.port, self.user.as_str()).await?)
            }
        }
    }

    /// Opens a connection and logs in.
    async fn open(
        &self,
        password: &Password,
        database: &DatabaseName,
    ) -> Result<Session, ConnectError> {
        if matches!(self.tls.0, Protection::Disabled) && !self.is_loopback() {
            return Err(ConnectError::TlsDisabledForRemoteHost { host: self.host.clone() });
        }
        let mut config = tokio_postgres::Config::new();
        config
            .user(self.user.as_str())
            .password(password.expose())
            .dbname(database.as_str())
            .application_name("rdsprov");
        let login = Arc::<Login>::default();
        let rejected = |error: tokio_postgres::Error| match TlsProblem::from_error(&error) {
            Some(problem) => {
                ConnectError::Tls { host: self.host.clone(), port: self.port, problem }
            }
            // Before PostgreSQL 18, the server cannot read a very long verifier during a login.
            None if error.code() == Some(&SqlState::INTERNAL_ERROR)
                && login.challenge_failed.load(Ordering::Relaxed) =>
            {
                ConnectError::WeakAuthenticationRequested {
                    host: self.host.clone(),
                    port: self.port,
                    user: self.user.clone(),
                    request: WeakRequest::Unusable,
                }
            }
            None => {
                let password_proved = login.password_proved.load(Ordering::Relaxed);
                self.guarded(database, &error, password_proved)
            }
        };
        let received = Arc::default();
        let answers = match &self.credentials {
            Credentials::Password(_) => Answers::Scram,
            Credentials::Token(_) => Answers::ScramOrCleartext,
        };
        let limit = self.statement_timeout.without_response();
        let opened = async {
            let stream = self.connect_to_address().await.map_err(OpenError::Network)?;
            let login = login.clone();
            match &self.tls.0 {
                Protection::Disabled => {
                    let peer = stream.peer_addr().map_err(OpenError::Network)?;
                    if !peer.ip().is_loopback() {
                        return Err(OpenError::NotLoopback);
                    }
                    config.ssl_mode(SslMode::Disable);
                    let guarded = GuardedStream::new(stream, answers, login, limit);
                    let (client, connection) = config.connect_raw(guarded, NoTls).await?;
                    Ok((client, keep_notices(connection, &received)))
                }
                Protection::Rustls { connector, .. } => {
                    config.ssl_mode(SslMode::Require);
                    let connector = self.tls_connector(connector)?;
                    let guarded = GuardedConnector { connector, answers, login, limit };
                    let (client, connection) = config.connect_raw(stream, guarded).await?;
                    Ok((client, keep_notices(connection, &received)))
                }
            }
        };
        let (client, connection) = opened.await.map_err(|error| match error {
            OpenError::Driver(error) => rejected(error),
            OpenError::Network(error) => {
                let cause = is_unresolved(&error).then_some(RejectionCause::NameNotResolved);
                self.unreachable(database, self.reason(&error), cause)
            }
            OpenError::NotAHostName => {
                let reason = "TLS needs a host name or an IP address".to_owned();
                self.unreachable(database, reason, None)
            }
            OpenError::NotLoopback => {
                ConnectError::TlsDisabledForRemoteHost { host: self.host.clone() }
            }
        })?;
        Ok(Session {
            client,
            received,
            connection,
            password_proved: login.password_proved.load(Ordering::Relaxed),
            key: login.process_id.get().copied(),
            in_recovery: false,
            is_pooled: false,
            waiting: None,
            beginning: Mutex::default(),
        })
    }

    /// Opens a TCP connection to the server.
    async fn connect_to_address(&self) -> io::Result<TcpStream> {
        match &self.connect_to {
            None => network::connect(&self.host, self.port).await,
            Some(to) => network::connect(to.address(), to.port().unwrap_or(self.port)).await,
        }
    }

    /// Returns the connector that verifies the server by its host name.
    fn tls_connector(&self, connector: &MakeRustlsConnect) -> Result<RustlsConnect, OpenError> {
        let mut connector = connector.clone();
        MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, &self.host)
            .map_err(|_| OpenError::NotAHostName)
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Returns the reason of the operating system, with the address if it is not that of the host.
    fn reason(&self, error: &io::Error) -> String {
        let reason = os_reason(error);
        let reason = match reason.strip_prefix(UNRESOLVED) {
            Some(reason) => format!("the host name cannot be resolved ({reason})"),
            None => reason,
        };
        match &self.connect_to {
            Some(to) => format!("{to}: {reason}"),
            None => reason,
        }
    }

    /// Returns the error of a connection that the guard of the stream, the server or the network has
    /// ended.
    fn guarded(
        &self,
        database: &DatabaseName,
        error: &tokio_postgres::Error,
        password_proved: bool,
    ) -> ConnectError {
        let (host, port, user) = (self.host.clone(), self.port, self.user.clone());
        let request = match StreamProblem::from_error(error) {
            None => return self.rejected(database, error, password_proved),
            Some(StreamProblem::Cleartext) => {
                return ConnectError::CleartextPasswordRequested { host, port, user };
            }
            Some(StreamProblem::Md5) => WeakRequest::Md5,
            Some(StreamProblem::Iterations(number)) => WeakRequest::Iterations(number),
            Some(StreamProblem::Scram) => WeakRequest::Unusable,
            Some(problem) => {
                let cause = RejectionCause::NotPostgres;
                return self.unreachable(database, problem.to_string(), Some(cause));
            }
        };
        ConnectError::WeakAuthenticationRequested { host, port, user, request }
    }

    /// Returns the error of a server that does not answer.
    fn silent(&self, database: &DatabaseName) -> ConnectError {
        let reason = format!("no response within {}", self.connect_timeout);
        self.unreachable(database, reason, Some(RejectionCause::NoResponse))
    }

    /// Returns the error of a login that was not tried, because many others have no response.
    pub(super) fn not_tried(&self, database: &DatabaseName) -> ConnectError {
        let reason = "not tried, because too many databases do not respond".to_owned();
        self.unreachable(database, reason, Some(RejectionCause::NoResponse))
    }

    /// Returns the error of a proxy that does not keep the session of the server.
    pub(super) fn pooled(&self, pooler: Pooler) -> ConnectError {
        ConnectError::Pooled { host: self.host.clone(), port: self.port, pooler }
    }

    /// Returns the error of a server that accepts no changes.
    pub(crate) fn read_only(&self) -> ConnectError {
        ConnectError::ServerReadOnly { host: self.host.clone(), port: self.port }
    }

    fn unreachable(
        &self,
        database: &DatabaseName,
        reason: String,
        cause: Option<RejectionCause>,
    ) -> ConnectError {
        ConnectError::Rejected {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            reason,
            code: None,
            cause,
            password_proved: false,
        }
    }

    fn rejected(
        &self,
        database: &DatabaseName,
        error: &tokio_postgres::Error,
        password_proved: bool,
    ) -> ConnectError {
        ConnectError::Rejected {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            cause: rejection_cause(error.code(), &describe_error(error), self.tls.identity()),
            reason: describe_error(error),
            code: error.code().cloned(),
            password_proved,
        }
    }

    /// Cancels the statement that a session executes.
    pub(crate) async fn cancel(&self, session: &Session) {
        let token = session.client.cancel_token();
        let request = async {
            let Ok(stream) = self.connect_to_address().await else { return };
            // An error is ignored: the statement may have ended in the meantime.
            let _ = match &self.tls.0 {
                Protection::Disabled => token.cancel_query_raw(stream, NoTls).await,
                Protection::Rustls { connector, .. } => match self.tls_connector(connector) {
                    Ok(connector) => token.cancel_query_raw(stream, connector).await,
                    Err(_) => return,
                },
            };
        };
        let _ = timeout(END_TIMEOUT, request).await;
    }
}

/// Limits how long a statement waits for a lock, because other sessions queue
/// behind a waiting statement.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

/// Returns the process of a session.
pub(super) const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";

/// The timeout for a graceful disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Makes the session independent of the role and the settings that are stored for the role, the
    /// database or the server.
    ///
    /// Fails (22012) without any effect if its process is not the one of the key: a pooler may give
    /// the session of the server, with these settings, to other clients. The statements are one
    /// implicit transaction, and one round trip.
    async fn begin(
        &self,
        limit: StatementTimeout,
        key: Option<i32>,
    ) -> Result<Begun, tokio_postgres::Error> {
        let statements = beginning(limit, key);
        let in_recovery = self.ask(&statements).await?.as_deref() == Some("t");
        Ok(Begun::Session { in_recovery })
    }

    /// Sends what makes the session independent of stored settings. A [`Snapshot`] waits for the response
    /// together with that of its first query, and returns nothing if it is an error.
    ///
    /// Until then, a stored `search_path` can have a query execute code of the owner of the database. So this is
    /// for sessions of this owner only, which could execute the code itself. The server ends each query after
    /// `limit`.
    ///
    /// [`Snapshot`]: super::snapshot::Snapshot
    pub(super) async fn begin_soon(
        &self,
        limit: StatementTimeout,
    ) -> Result<(), tokio_postgres::Error> {
        let response = self.client.simple_query_raw(&beginning(limit, None)).await?;
        *self.beginning.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
        Ok(())
    }

    /// Waits for the response to the statements of [`Self::begin_soon`], once.
    pub(super) async fn begun(&self) -> Result<(), tokio_postgres::Error> {
        let response = self.beginning.lock().unwrap_or_else(PoisonError::into_inner).take();
        match response {
            Some(response) => response.try_for_each(|_| std::future::ready(Ok(()))).await,
            None => Ok(()),
        }
    }

    /// Executes statements, and returns the first value of the last row.
    pub(crate) async fn ask(&self, query: &str) -> Result<Option<String>, tokio_postgres::Error> {
        let results = self.client.simple_query(query).await?;
        let last_row = results.iter().rev().find_map(|result| match result {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(last_row.and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Returns the process of the server that executes the statements of the session, if it is known.
    pub(super) async fn process(&self) -> Option<i32> {
        if !self.is_pooled {
            return self.key;
        }
        // The key is that of the pooler.
        self.ask(PROCESS).await.ok().flatten()?.parse().ok()
    }

    /// Has the server end the session if a pooler would keep it. A session in the template that is
    /// kept prevents every new database (55006).
    pub(crate) async fn leave_pool(&self) {
        const END: &str = "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())";
        if self.is_pooled {
            for session in std::iter::once(self).chain(self.waiting.as_deref()) {
                // The server ends the connection instead of a response.
                let _ = timeout(END_TIMEOUT, session.client.batch_execute(END)).await;
            }
        }
    }

    /// Sends Terminate and waits briefly; otherwise the server logs a connection reset.
    pub(crate) async fn end(self) {
        drop(self.client);
        // If the server does not respond, the connection is dropped after the timeout.
        let _ = timeout(DISCONNECT_TIMEOUT, self.connection).await;
    }

    /// Ends the transaction of a statement that was cancelled. Does not wait longer for a server that
    /// does not respond.
    pub(crate) async fn roll_back(&self) {
        // An error is ignored: the server rolls back when the connection ends.
        let _ = timeout(END_TIMEOUT, self.client.batch_execute("ROLLBACK")).await;
    }

    /// Returns whether the server has not responded in time, so that the connection was ended.
    pub(super) fn was_silent(&self) -> bool {
        matches!(self.problem(), Some(StreamProblem::Silence(_)))
    }

    /// Sets `lock_timeout` for the rest of the session. Does not wait for the response: it fails only if
    /// the connection does.
    pub(crate) async fn limit_lock_waits(&self) -> Result<(), tokio_postgres::Error> {
        self.client.simple_query_raw(LOCK_TIMEOUT).await.map(|_| ())
    }

    /// Returns the notices and warnings that the server has sent since the last call.
    ///
    /// `GRANT` and `REVOKE` without any effect succeed with a warning (01007, 01006).
    #[must_use]
    pub fn take_notices(&self) -> Vec<DbError> {
        let received = self.received.lock();
        received.map(|mut received| std::mem::take(&mut received.notices)).unwrap_or_default()
    }

    /// Returns why the connection was not read further.
    pub(super) fn problem(&self) -> Option<StreamProblem> {
        self.received.lock().ok().and_then(|received| received.problem)
    }

    /// Describes the error of a statement, like [`describe_error`].
    pub(crate) fn describe(&self, error: &tokio_postgres::Error) -> String {
        match self.problem().filter(|_| error.is_closed()) {
            Some(problem) => problem.to_string(),
            None => describe_error(error),
        }
    }
}

/// Returns the statements that make a session independent of stored settings. With the process of the key for
/// cancel requests, they fail in another process, so that no setting changes there.
fn beginning(limit: StatementTimeout, key: Option<i32>) -> String {
    let check = key.map(|key| format!("SELECT 1 / (pg_backend_pid() = {key})::int; "));
    format!(
        "{}; {}{}; SET statement_timeout = {}; {SERVER_STATE}",
        BEGIN_SESSION.join("; "),
        check.unwrap_or_default(),
        session_settings(),
        limit.duration().as_millis()
    )
}

/// Starts a task that reads from a connection until it ends, and collects the notices.
fn keep_notices<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    received: &Arc<Mutex<Received>>,
) -> JoinHandle<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let received = received.clone();
    tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            let Ok(mut received) = received.lock() else { break };
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    let others = received.notices.len() < MAX_NOTICES;
                    if others || matters(&notice) && received.notices.len() < 2 * MAX_NOTICES {
                        received.notices.push(notice);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    received.problem = StreamProblem::from_error(&error);
                    break;
                }
            }
        }
    })
}

/// Returns the message, detail and SQLSTATE of a server error. For other errors, returns the chain
/// of causes in one line.
pub(crate) fn describe_error(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let reason = without_middle(format!("{}{detail}", error.message()));
        return format!("{reason} ({})", error.code().code());
    }
    // The driver's own words add nothing to an error of the operating system.
    let mut source = std::error::Error::source(error);
    if let Some(cause) = source.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        return os_reason(cause);
    }
    let mut text = error.to_string();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
