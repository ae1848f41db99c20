//! Opens and closes connections, and collects the notices of the server.
//!
//! The protection of a connection is decided in `tls`. This module does not know plans.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::stream_guard::{Answers, GuardedConnector, GuardedStream, StreamProblem};
use super::tls::{Identity, Peer, Protection, Tls, TlsProblem};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::name::{DatabaseName, RoleName};
use crate::plan::{BEGIN_SESSION, session_settings};
use crate::secrets::scram::ACCEPTED_ITERATIONS;
use crate::secrets::{Password, TokenError, TokenSource};
use crate::text::os_reason;

/// A connection cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No IAM token could be created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// TLS is disabled, and an IAM token is sent in cleartext.
    #[error("an IAM token cannot be sent to {host} without TLS")]
    TokenWithoutTls {
        /// The name or address of the host.
        host: String,
    },
    /// The server is not verified, and could use the IAM token to log in elsewhere.
    #[error("an IAM token cannot be sent to {host}: TLS mode `require` does not verify the server")]
    TokenToUnverifiedServer {
        /// The name or address of the host.
        host: String,
    },
    /// TLS is disabled for a host that is not a loopback address.
    #[error("TLS cannot be disabled for {host}, which is not a loopback address")]
    TlsDisabledForRemoteHost {
        /// The name or address of the host.
        host: String,
    },
    /// The connection could not be protected. No login was attempted.
    #[error("cannot connect to {host}:{port} over TLS: {problem}")]
    Tls {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// The reason, which also decides the code and the hints.
        problem: TlsProblem,
    },
    /// The server asked for the cleartext password, and could store it.
    #[error(
        "cannot connect to {host}:{port} as {user}: the server asks for the cleartext password"
    )]
    CleartextPasswordRequested {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// The role that logs in.
        user: RoleName,
    },
    /// The server asked for an answer from which the password could be guessed.
    #[error("cannot connect to {host}:{port} as {user}: the server asks for {request}")]
    WeakAuthenticationRequested {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// The role that logs in.
        user: RoleName,
        /// What the server asked for.
        request: WeakRequest,
    },
    /// The server or the network rejected the connection.
    #[error("cannot connect to {host}:{port}, database {database}, as {user}: {reason}")]
    Rejected {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// The database of the connection.
        database: DatabaseName,
        /// The role that logs in.
        user: RoleName,
        /// The message of the server with its SQLSTATE, or the error of the network.
        reason: String,
        /// The SQLSTATE, if the server sent one.
        code: Option<SqlState>,
        /// What is known about the cause beyond the SQLSTATE.
        cause: Option<RejectionCause>,
    },
}

impl ConnectError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Token(error) => error.code(),
            Self::TokenWithoutTls { .. } | Self::TokenToUnverifiedServer { .. } => {
                ErrorCode::TokenNeedsTls
            }
            Self::TlsDisabledForRemoteHost { .. } => ErrorCode::TlsRequired,
            Self::Tls { problem, .. } => problem.code(),
            Self::CleartextPasswordRequested { .. } => ErrorCode::CleartextPasswordRequested,
            Self::WeakAuthenticationRequested { .. } => ErrorCode::WeakAuthenticationRequested,
            Self::Rejected { cause: Some(RejectionCause::NoResponse), .. } => {
                ErrorCode::ServerNotResponding
            }
            Self::Rejected {
                code:
                    Some(SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
                ..
            } => ErrorCode::AuthenticationFailed,
            Self::Rejected { .. } => ErrorCode::CannotConnect,
        }
    }

    /// Returns the SQLSTATE, if the server sent one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Rejected { code: Some(code), .. } => Some(code.code()),
            _ => None,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Token(error) => return error.hints(),
            Self::TokenWithoutTls { .. } | Self::TokenToUnverifiedServer { .. } => {
                hint!["use ", (Opt::Tls, "verify-full")]
            }
            Self::TlsDisabledForRemoteHost { .. } => {
                hint!["use ", (Opt::Tls, "verify-full"), " or ", (Opt::Tls, "require")]
            }
            Self::Tls { problem, .. } => return problem.hints(),
            Self::CleartextPasswordRequested { user, .. } => {
                format!("use `scram-sha-256` for {user} in `pg_hba.conf`").into()
            }
            Self::WeakAuthenticationRequested { user, request: WeakRequest::Md5, .. } => format!(
                "set `password_encryption` to `scram-sha-256` on the server, set the password of \
                 {user} again, and use `scram-sha-256` in `pg_hba.conf`"
            )
            .into(),
            Self::WeakAuthenticationRequested {
                user,
                request: WeakRequest::Iterations(_),
                ..
            } => format!(
                "set `scram_iterations` to a number from {} to {} on the server, and set the \
                 password of {user} again",
                ACCEPTED_ITERATIONS.start(),
                ACCEPTED_ITERATIONS.end()
            )
            .into(),
            Self::Rejected { cause: Some(cause), .. } => cause.hint(),
            Self::Rejected { code: Some(SqlState::INVALID_PASSWORD), .. } => hint![
                "check the secret of the administrator, or name another one with ",
                Opt::AdminSecret
            ],
            Self::Rejected { code: None, .. } => {
                "check that the server runs, and that its security group and the network let this machine in"
                    .into()
            }
            Self::Rejected {
                code: Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
                user,
                ..
            } => format!(
                "check that {user} has LOGIN, that `pg_hba.conf` allows it to log in, and that it \
                 is a member of rds_iam if it uses an IAM token"
            )
            .into(),
            Self::Rejected { code: Some(SqlState::INVALID_CATALOG_NAME), .. } => {
                hint!["name an existing database with ", Opt::Dbname]
            }
            Self::Rejected { code: Some(SqlState::TOO_MANY_CONNECTIONS), .. } => {
                "run again when other sessions have ended, or raise `max_connections`".into()
            }
            Self::Rejected {
                code: Some(SqlState::INSUFFICIENT_PRIVILEGE), database, user, ..
            } => format!("grant CONNECT on database {database} to {user}").into(),
            Self::Rejected { .. } => "check the log of the server, then run again".into(),
        }]
    }
}

/// A request for an answer from which a server could guess the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakRequest {
    /// An MD5 hash of the password.
    Md5,
    /// A SCRAM proof with a number of iterations that is too small or too large.
    Iterations(u32),
}

impl fmt::Display for WeakRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5 => f.write_str("an MD5 hash of the password"),
            Self::Iterations(number) => write!(f, "a SCRAM proof with {number} iterations"),
        }
    }
}

/// What is known about the cause of a rejected connection beyond its SQLSTATE. PostgreSQL has one
/// SQLSTATE for several causes; its English messages tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionCause {
    /// The TCP connection was accepted, and nothing was received in time.
    NoResponse,
    /// `clientcert=verify-full`: the password may be right, and the certificate names another role.
    PossiblyCertificateName,
    /// The server requires a client certificate, and none is configured.
    CertificateRequired,
    /// The server requires a client certificate, and the configured one
    /// belongs to the administrator.
    CertificateWithheld,
    /// The common name of the client certificate is not the name of the role.
    CertificateName,
    /// The server requires TLS.
    TlsRequired,
    /// The server sends what no PostgreSQL server sends: too much, or no message.
    NotPostgres,
}

impl RejectionCause {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(self) -> Hint {
        match self {
            Self::NoResponse | Self::NotPostgres => {
                "check that a PostgreSQL server listens on this host and port".into()
            }
            Self::PossiblyCertificateName => "check the password, and that the common name of \
                the client certificate is the name of the role"
                .into(),
            Self::CertificateRequired => hint![
                "name a client certificate of a CA that the server trusts with ",
                Opt::ClientCert,
                " and ",
                Opt::ClientKey
            ],
            Self::CertificateWithheld => "allow the role to log in without a client certificate: \
                the configured one belongs to the administrator, and is not used for another role"
                .into(),
            Self::CertificateName => "use a client certificate with the name of the role as \
                common name, or map the name in `pg_ident.conf`"
                .into(),
            Self::TlsRequired => hint!["use ", (Opt::Tls, "verify-full")],
        }
    }
}

/// The timeout for a connection, including TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Finds the cause of a rejected connection. The server sends the same SQLSTATE for most of them;
/// its message tells them apart if the server language is English.
fn rejection_cause(
    code: Option<&SqlState>,
    reason: &str,
    identity: &Identity,
) -> Option<RejectionCause> {
    match (code, identity) {
        // With `clientcert=verify-full`, PostgreSQL returns 28P01 also for a correct password if
        // the common name of the certificate is another role.
        (Some(&SqlState::INVALID_PASSWORD), Identity::Sent { .. }) => {
            Some(RejectionCause::PossiblyCertificateName)
        }
        (Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), identity) => {
            if reason.starts_with("connection requires a valid client certificate") {
                Some(match identity {
                    Identity::Withheld => RejectionCause::CertificateWithheld,
                    Identity::None | Identity::Sent { .. } => RejectionCause::CertificateRequired,
                })
            } else if reason.starts_with("certificate authentication failed") {
                Some(RejectionCause::CertificateName)
            } else if reason.contains("no encryption") {
                Some(RejectionCause::TlsRequired)
            } else {
                None
            }
        }
        _ => None,
    }
}

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
}

/// A session on the server, with the notices that the server has sent.
pub struct Session {
    /// The driver's handle of the connection.
    pub client: Client,
    received: Arc<Mutex<Received>>,
    connection: JoinHandle<()>,
    /// Whether the server has requested authentication.
    pub(crate) auth_requested: bool,
}

/// What the server has sent beside the responses to statements.
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
}

/// Why a connection was not opened.
enum OpenError {
    Network(io::Error),
    Driver(tokio_postgres::Error),
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
            ..self.clone()
        }
    }

    /// Connects to a database and overrides the settings of the database and the role.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails.
    pub async fn connect(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let session = self.log_in(database).await?;
        let begun = timeout(CONNECT_TIMEOUT, session.begin()).await;
        begun.map_err(|_| self.silent(database))?.map_err(|error| {
            match session.problem().filter(|_| error.is_closed()) {
                Some(problem) => {
                    let cause = RejectionCause::NotPostgres;
                    self.unreachable(database, problem.to_string(), Some(cause))
                }
                None => self.guarded(database, &error),
            }
        })?;
        Ok(session)
    }

    /// Connects to a database and executes no statement.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails.
    pub(crate) async fn log_in(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let password = match &self.credentials {
            Credentials::Password(password) => password.clone(),
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
                source.token(&self.host, self.port, self.user.as_str()).await?
            }
        };
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(self.user.as_str())
            .password(password.expose())
            .dbname(database.as_str())
            .application_name("rdsprov")
            .connect_timeout(CONNECT_TIMEOUT)
            // Detects a server that disappears without closing the connection.
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        let rejected = |error: tokio_postgres::Error| match TlsProblem::from_error(&error) {
            Some(problem) => {
                ConnectError::Tls { host: self.host.clone(), port: self.port, problem }
            }
            None => self.guarded(database, &error),
        };
        let received = Arc::default();
        let auth_requested = Arc::new(AtomicBool::new(false));
        let answers = match &self.credentials {
            Credentials::Password(_) => Answers::Scram,
            Credentials::Token(_) => Answers::ScramOrCleartext,
        };
        let opened = match &self.tls.0 {
            Protection::Disabled => {
                let loopback = self.host == "localhost"
                    || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                if !loopback {
                    return Err(ConnectError::TlsDisabledForRemoteHost { host: self.host.clone() });
                }
                config.ssl_mode(SslMode::Disable);
                let address = (self.host.as_str(), self.port);
                let opened = async {
                    let stream = TcpStream::connect(address).await.map_err(OpenError::Network)?;
                    // The driver does so, too.
                    stream.set_nodelay(true).map_err(OpenError::Network)?;
                    let guarded = GuardedStream::new(stream, answers, auth_requested.clone());
                    let opened = config.connect_raw(guarded, NoTls).await;
                    let (client, connection) = opened.map_err(OpenError::Driver)?;
                    Ok((client, keep_notices(connection, &received)))
                };
                timeout(CONNECT_TIMEOUT, opened).await
            }
            Protection::Rustls { connector, .. } => {
                config.ssl_mode(SslMode::Require);
                let connector = connector.clone();
                let auth_requested = auth_requested.clone();
                let guarded = GuardedConnector { connector, answers, auth_requested };
                let opened = async {
                    let opened = config.connect(guarded).await;
                    let (client, connection) = opened.map_err(OpenError::Driver)?;
                    Ok((client, keep_notices(connection, &received)))
                };
                timeout(CONNECT_TIMEOUT, opened).await
            }
        };
        let opened = opened.map_err(|_| self.silent(database))?;
        let (client, connection) = opened.map_err(|error| match error {
            OpenError::Driver(error) => rejected(error),
            OpenError::Network(error) => self.unreachable(database, os_reason(&error), None),
        })?;
        let auth_requested = auth_requested.load(Ordering::Relaxed);
        Ok(Session { client, received, connection, auth_requested })
    }

    /// Returns the error of a connection that the guard of the stream, the server or the network has
    /// ended.
    fn guarded(&self, database: &DatabaseName, error: &tokio_postgres::Error) -> ConnectError {
        let (host, port, user) = (self.host.clone(), self.port, self.user.clone());
        let request = match StreamProblem::from_error(error) {
            None => return self.rejected(database, error),
            Some(StreamProblem::Cleartext) => {
                return ConnectError::CleartextPasswordRequested { host, port, user };
            }
            Some(StreamProblem::Md5) => WeakRequest::Md5,
            Some(StreamProblem::Iterations(number)) => WeakRequest::Iterations(number),
            Some(problem) => {
                let cause = RejectionCause::NotPostgres;
                return self.unreachable(database, problem.to_string(), Some(cause));
            }
        };
        ConnectError::WeakAuthenticationRequested { host, port, user, request }
    }

    /// Returns the error of a server that does not answer.
    fn silent(&self, database: &DatabaseName) -> ConnectError {
        let reason = format!("no response within {} s", CONNECT_TIMEOUT.as_secs());
        self.unreachable(database, reason, Some(RejectionCause::NoResponse))
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
        }
    }

    fn rejected(&self, database: &DatabaseName, error: &tokio_postgres::Error) -> ConnectError {
        ConnectError::Rejected {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            cause: rejection_cause(error.code(), &describe_error(error), self.tls.identity()),
            reason: describe_error(error),
            code: error.code().cloned(),
        }
    }

    /// Cancels the statement that a session executes.
    pub(crate) async fn cancel(&self, session: &Session) {
        let token = session.client.cancel_token();
        // An error is ignored: the statement may have ended in the meantime.
        let _ = match &self.tls.0 {
            Protection::Disabled => {
                let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
                let Ok(stream) = stream else { return };
                token.cancel_query_raw(stream, NoTls).await
            }
            Protection::Rustls { connector, .. } => token.cancel_query(connector.clone()).await,
        };
    }
}

/// Limits how long a statement waits for a lock, because other sessions queue
/// behind a waiting statement.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

/// The timeout for a graceful disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Makes the session independent of the role and the settings that are stored for the role, the
    /// database or the server.
    async fn begin(&self) -> Result<(), tokio_postgres::Error> {
        let statements = format!("{}; {}", BEGIN_SESSION.join("; "), session_settings());
        self.client.batch_execute(&statements).await
    }

    /// Sends Terminate and waits briefly; otherwise the server logs a connection reset.
    pub(crate) async fn end(self) {
        drop(self.client);
        // If the server does not respond, the connection is dropped after the timeout.
        let _ = timeout(DISCONNECT_TIMEOUT, self.connection).await;
    }

    /// Sets `lock_timeout` for the rest of the session.
    pub(crate) async fn limit_lock_waits(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(LOCK_TIMEOUT).await
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
    pub(super) fn describe(&self, error: &tokio_postgres::Error) -> String {
        match self.problem().filter(|_| error.is_closed()) {
            Some(problem) => problem.to_string(),
            None => describe_error(error),
        }
    }
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
        return format!("{}{detail} ({})", error.message(), error.code().code());
    }
    // The driver's own words add nothing to an error of the operating system.
    let mut source = std::error::Error::source(error);
    if let Some(cause) = source.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        let reason = os_reason(cause);
        return match reason.strip_prefix("failed to lookup address information: ") {
            Some(reason) => format!("the host name cannot be resolved ({reason})"),
            None => reason,
        };
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
