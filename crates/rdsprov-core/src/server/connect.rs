//! Opens and closes connections, and collects the notices of the server.
//!
//! The protection of a connection is decided in `tls`. This module does not know plans.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, NoTls, Socket};

use super::auth_guard::{AuthGuardConnector, is_cleartext_request};
#[cfg(feature = "aws")]
use super::tls::Peer;
use super::tls::{Identity, Protection, Tls, TlsProblem};
use crate::name::{DatabaseName, RoleName};
use crate::secrets::Password;
#[cfg(feature = "aws")]
use crate::secrets::token::{TokenError, TokenSource};

/// Why a connection could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no token.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token is sent as it is.
    #[cfg(feature = "aws")]
    #[error("a token of IAM is sent as it is: it needs TLS; use verify-full")]
    TokenInTheClear,
    /// A token goes to whoever is there.
    #[cfg(feature = "aws")]
    #[error(
        "a token of IAM is sent as it is, and with TLS mode require to whoever answers at {host}, who could log in with it; use --tls verify-full"
    )]
    TokenToAnybody {
        /// The host.
        host: String,
    },
    /// Without TLS only loopback is spoken to.
    #[error("{host} is not loopback: TLS cannot be disabled for it; use verify-full or require")]
    PlainToStranger {
        /// The host.
        host: String,
    },
    /// The connection could not be protected; nobody has logged in.
    #[error("cannot connect to {host}:{port} over TLS: {problem}")]
    Tls {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why, and what to do.
        problem: TlsProblem,
    },
    /// A password is told to nobody as it is.
    #[error(
        "cannot connect to {host}:{port} as {user}: the server asks for the password itself, and could keep what it got; let pg_hba.conf say scram-sha-256 for {user}"
    )]
    CleartextPasswordRequested {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The role.
        user: RoleName,
    },
    /// The server, or the way to it, said no.
    #[error("cannot connect to {host}:{port}, database {database}, as {user}: {reason}{remedy}")]
    Refused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The database.
        database: DatabaseName,
        /// The role.
        user: RoleName,
        /// What was said.
        reason: String,
        /// The server's error code, where it was the server.
        code: Option<SqlState>,
        /// What to do, where that is known.
        remedy: &'static str,
    },
}

/// The timeout for a connection, including TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns what the user can do if the server rejects the authentication.
///
/// The SQLSTATE is 28000 for most cases, so the message distinguishes them. With another
/// `lc_messages`, the result is empty.
fn remedy(code: Option<&SqlState>, reason: &str, identity: &Identity) -> &'static str {
    match (code, identity) {
        // With `clientcert=verify-full`, PostgreSQL returns 28P01 also for a correct password if
        // the common name of the certificate is another role.
        (Some(&SqlState::INVALID_PASSWORD), Identity::Sent { .. }) => {
            "; PostgreSQL says so, too, where the common name of the client certificate is not the role's"
        }
        (Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), identity) => {
            let wants_certificate =
                reason.starts_with("connection requires a valid client certificate");
            if wants_certificate && matches!(identity, Identity::Withheld) {
                "; the client certificate is the administrator's, and is not shown for another role"
            } else if wants_certificate {
                "; give one that the server's CA has issued, with --client-cert and --client-key"
            } else if reason.starts_with("certificate authentication failed") {
                "; the client certificate has to name the role as its common name, or pg_ident.conf to map the one to the other"
            } else if reason.contains("no encryption") {
                "; the server wants TLS: use --tls verify-full"
            } else {
                ""
            }
        }
        _ => "",
    }
}

/// How a role authenticates when it connects.
#[derive(Clone)]
pub enum Credentials {
    /// A password, which is never sent in cleartext over TLS.
    Password(Password),
    /// IAM tokens, of which each connection gets a new one.
    #[cfg(feature = "aws")]
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
    notices: Arc<Mutex<Vec<DbError>>>,
    connection: JoinHandle<()>,
    /// Whether the server has requested authentication. Always `true` without TLS, where the guard
    /// does not inspect the messages.
    pub(super) auth_requested: bool,
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
        session
            .client
            .batch_execute(SETTINGS)
            .await
            .map_err(|error| self.refused(database, &error))?;
        Ok(session)
    }

    /// Connects to a database and executes no statement.
    ///
    /// # Errors
    /// Returns a [`ConnectError`] if the connection, TLS or the authentication fails.
    pub(super) async fn log_in(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let password = match &self.credentials {
            Credentials::Password(password) => password.clone(),
            #[cfg(feature = "aws")]
            Credentials::Token(source) => {
                match &self.tls.0 {
                    Protection::Disabled => return Err(ConnectError::TokenInTheClear),
                    Protection::Rustls { peer: Peer::Unverified, .. } => {
                        let host = self.host.clone();
                        return Err(ConnectError::TokenToAnybody { host });
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
        let refused = |error: tokio_postgres::Error| match TlsProblem::from_error(&error) {
            Some(problem) => {
                ConnectError::Tls { host: self.host.clone(), port: self.port, problem }
            }
            None if is_cleartext_request(&error) => ConnectError::CleartextPasswordRequested {
                host: self.host.clone(),
                port: self.port,
                user: self.user.clone(),
            },
            None => self.refused(database, &error),
        };
        let timed_out = |_| ConnectError::Refused {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            reason: format!(
                "somebody is there, and gives no answer within {} s",
                CONNECT_TIMEOUT.as_secs()
            ),
            code: None,
            remedy: "; see whether a server of PostgreSQL listens there, or something on the way is stuck",
        };
        let notices = Arc::default();
        let auth_requested = Arc::new(AtomicBool::new(false));
        let opened = match &self.tls.0 {
            Protection::Disabled => {
                let loopback = self.host == "localhost"
                    || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                if !loopback {
                    return Err(ConnectError::PlainToStranger { host: self.host.clone() });
                }
                // The guard wraps TLS streams only. Without TLS, whether the server requests
                // authentication is unknown, so a successful login counts as a proof.
                auth_requested.store(true, Ordering::Relaxed);
                config.ssl_mode(SslMode::Disable);
                timeout(CONNECT_TIMEOUT, open(&config, NoTls, &notices)).await
            }
            Protection::Rustls { connector, .. } => {
                config.ssl_mode(SslMode::Require);
                let connector = connector.clone();
                match &self.credentials {
                    Credentials::Password(_) => {
                        let guarded = AuthGuardConnector {
                            connector,
                            auth_requested: auth_requested.clone(),
                        };
                        timeout(CONNECT_TIMEOUT, open(&config, guarded, &notices)).await
                    }
                    // RDS requests an IAM token as a cleartext password, so the guard is not used.
                    #[cfg(feature = "aws")]
                    Credentials::Token(_) => {
                        timeout(CONNECT_TIMEOUT, open(&config, connector, &notices)).await
                    }
                }
            }
        };
        let (client, connection) = opened.map_err(timed_out)?.map_err(refused)?;
        let auth_requested = auth_requested.load(Ordering::Relaxed);
        Ok(Session { client, notices, connection, auth_requested })
    }

    fn refused(&self, database: &DatabaseName, error: &tokio_postgres::Error) -> ConnectError {
        ConnectError::Refused {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            remedy: remedy(error.code(), &describe_error(error), self.tls.identity()),
            reason: describe_error(error),
            code: error.code().cloned(),
        }
    }

    /// Cancels the statement that a session executes.
    pub(super) async fn cancel(&self, session: &Session) {
        let token = session.client.cancel_token();
        // An error is ignored: the statement may have ended in the meantime.
        let _ = match &self.tls.0 {
            Protection::Disabled => token.cancel_query(NoTls).await,
            Protection::Rustls { connector, .. } => token.cancel_query(connector.clone()).await,
        };
    }
}

/// The settings of each session, which override those of the database and the role.
///
/// Names without a schema resolve to `pg_catalog`. Warnings are sent, because `GRANT` and
/// `REVOKE` without any effect are reported as warnings only (01007, 01006).
/// `transaction_timeout` exists since PostgreSQL 17.
const SETTINGS: &str = "SET statement_timeout = 0; SET search_path TO pg_catalog; \
    SET client_min_messages TO notice; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_read_only = off; \
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// Limits how long a statement waits for a lock, because other sessions queue
/// behind a waiting statement.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

/// The timeout for a graceful disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Sends Terminate and waits briefly; otherwise the server logs a connection reset.
    pub(super) async fn end(self) {
        drop(self.client);
        // If the server does not respond, the connection is dropped after the timeout.
        let _ = timeout(DISCONNECT_TIMEOUT, self.connection).await;
    }

    /// Sets `lock_timeout` for the rest of the session.
    pub(super) async fn limit_lock_waits(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(LOCK_TIMEOUT).await
    }

    /// Returns the notices and warnings that the server has sent since the last call.
    ///
    /// `GRANT` and `REVOKE` without any effect succeed with a warning (01007, 01006).
    #[must_use]
    pub fn take_notices(&self) -> Vec<DbError> {
        self.notices.lock().map(|mut notices| std::mem::take(&mut *notices)).unwrap_or_default()
    }
}

/// Connects, and starts the task that reads from the connection.
async fn open<T>(
    config: &tokio_postgres::Config,
    tls: T,
    notices: &Arc<Mutex<Vec<DbError>>>,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    Ok((client, keep_notices(connection, notices)))
}

/// Starts a task that reads from a connection until it ends, and collects the notices.
fn keep_notices<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    notices: &Arc<Mutex<Vec<DbError>>>,
) -> JoinHandle<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let notices = notices.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message
                && let Ok(mut notices) = notices.lock()
            {
                notices.push(notice);
            }
        }
    })
}

/// Returns the message, detail and SQLSTATE of a server error. For other errors, returns the chain
/// of causes in one line.
pub(super) fn describe_error(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        return format!("{}{detail} ({})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
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
