//! Why a connection cannot be opened, with the code and the hints of each reason.

use std::fmt;

use tokio_postgres::error::SqlState;

use super::tls::{Identity, TlsProblem};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::name::{DatabaseName, RoleName};
use crate::observed::Observed;
use crate::secrets::TokenError;
use crate::secrets::scram::ACCEPTED_ITERATIONS;

/// The kind of server that rejects a login. It decides what its users can change: on RDS, no user can
/// edit `pg_hba.conf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// The server has the role `rds_superuser`, or the host name is one of RDS.
    Rds,
    /// Any other server, or one that is not known yet.
    Other,
}

impl Platform {
    /// Returns the platform of an observed server.
    pub(crate) fn of(observed: &Observed) -> Self {
        let is_rds = observed.roles.keys().any(|name| name.as_str() == "rds_superuser");
        if is_rds { Self::Rds } else { Self::Other }
    }

    fn of_host(host: &str) -> Self {
        let host = host.trim_end_matches('.');
        let is_rds = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];
        if is_rds.iter().any(|end| host.ends_with(end)) { Self::Rds } else { Self::Other }
    }
}

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
    /// A proxy or connection pooler answers, through which a run has no session for itself.
    #[error("{host}:{port} leads to {pooler}")]
    Pooled {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// What answers.
        pooler: Pooler,
    },
    /// The server is a reader or a standby, and no writer has answered in its place in time.
    #[error("{host}:{port} is read-only: the server is a reader or a standby")]
    ServerReadOnly {
        /// The name or address of the host.
        host: String,
        /// The TCP port of the server.
        port: u16,
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
        /// Whether the server had accepted the password before, in a complete SCRAM exchange.
        password_proved: bool,
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
            Self::Pooled { .. } | Self::Rejected { cause: Some(RejectionCause::RdsProxy), .. } => {
                ErrorCode::PooledConnection
            }
            Self::ServerReadOnly { .. } => ErrorCode::ServerIsReadOnly,
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

    /// Returns the server as `host:port`, if the port is known.
    pub(crate) fn address(&self) -> Option<String> {
        match self {
            Self::Tls { host, port, .. }
            | Self::CleartextPasswordRequested { host, port, .. }
            | Self::WeakAuthenticationRequested { host, port, .. }
            | Self::Pooled { host, port, .. }
            | Self::ServerReadOnly { host, port }
            | Self::Rejected { host, port, .. } => Some(format!("{host}:{port}")),
            Self::Token(_)
            | Self::TokenWithoutTls { .. }
            | Self::TokenToUnverifiedServer { .. }
            | Self::TlsDisabledForRemoteHost { .. } => None,
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

    /// Returns whether the server answers like this to the password of a member of `rds_iam`: it asks
    /// for the password in cleartext, and rejects it (28000).
    pub(super) fn is_of_rds_iam(&self) -> bool {
        matches!(self, Self::CleartextPasswordRequested { .. }) || self.sqlstate() == Some("28000")
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        self.hints_on(match self {
            Self::CleartextPasswordRequested { host, .. }
            | Self::WeakAuthenticationRequested { host, .. }
            | Self::Rejected { host, .. } => Platform::of_host(host),
            _ => Platform::Other,
        })
    }

    /// Returns what to do next on a server of which more than its host is known.
    pub(crate) fn hints_on(&self, platform: Platform) -> Vec<Hint> {
        vec![match self {
            Self::Token(error) => return error.hints(),
            Self::TokenWithoutTls { .. } | Self::TokenToUnverifiedServer { .. } => {
                hint!["use ", (Opt::Tls, "verify-full")]
            }
            Self::TlsDisabledForRemoteHost { .. } => {
                hint!["use ", (Opt::Tls, "verify-full"), " or ", (Opt::Tls, "require")]
            }
            Self::Tls { problem, .. } => return problem.hints(),
            Self::CleartextPasswordRequested { user, .. } if platform == Platform::Rds => format!(
                "{user} is a member of rds_iam or rds_ad, directly or through another role: log in \
                 with an IAM token, or revoke the membership"
            )
            .into(),
            Self::CleartextPasswordRequested { user, .. } => {
                format!("use `scram-sha-256` for {user} in `pg_hba.conf`").into()
            }
            Self::WeakAuthenticationRequested { user, request: WeakRequest::Md5, .. }
                if platform == Platform::Rds =>
            {
                format!(
                    "set `password_encryption` to `scram-sha-256` in the DB parameter group, and set \
                     the password of {user} again"
                )
                .into()
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
            Self::WeakAuthenticationRequested { user, request: WeakRequest::Unusable, .. } => {
                format!("set the password of {user} again").into()
            }
            Self::Pooled { .. } => use_server_itself(),
            Self::ServerReadOnly { .. } => use_writer(),
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
            } if platform == Platform::Rds => format!(
                "check that {user} has LOGIN, and that it is a member of rds_iam if it uses an IAM \
                 token, and otherwise not, also not through another role"
            )
            .into(),
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

/// Returns what to do about a proxy or connection pooler.
pub(super) fn use_server_itself() -> Hint {
    hint![
        "use the endpoint of the server itself: correct `host` in the secret of the administrator, \
         or use ",
        Opt::Host,
        "; PgBouncer can also be used with `pool_mode = session`"
    ]
}

/// Returns what to do about a server that accepts no changes.
pub(crate) fn use_writer() -> Hint {
    hint![
        "use the writer endpoint of the cluster or instance: correct `host` in the secret of the \
         administrator, or use ",
        Opt::Host,
        "; after a failover, run again when the new writer is available"
    ]
}

/// A proxy or connection pooler that a run does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooler {
    /// It sends no key for cancel requests, as RDS Proxy.
    WithoutKey,
    /// It gives a session of the server to other clients after each transaction.
    Transactions,
}

impl fmt::Display for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WithoutKey => {
                "a proxy, such as RDS Proxy, through which no statement can be cancelled"
            }
            Self::Transactions => {
                "a connection pooler that does not keep the session from one transaction to the next"
            }
        })
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
    /// A SCRAM proof that no client can compute: the salt or the number of iterations is not valid.
    Unusable,
}

impl fmt::Display for WeakRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5 => f.write_str("an MD5 hash of the password"),
            Self::Iterations(number) => write!(f, "a SCRAM proof with {number} iterations"),
            Self::Unusable => f.write_str("a SCRAM proof that no client can compute"),
        }
    }
}

/// What is known about the cause of a rejected connection beyond its SQLSTATE. PostgreSQL has one
/// SQLSTATE for several causes; its English messages tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionCause {
    /// The host name has no address, or DNS cannot be asked.
    NameNotResolved,
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
    /// An RDS proxy has no secret of the role.
    RdsProxy,
    /// The server sends what no PostgreSQL server sends: too much, or no message.
    NotPostgres,
}

impl RejectionCause {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(self) -> Hint {
        match self {
            Self::NameNotResolved => {
                "check the spelling of the host name, and that DNS on this machine resolves it"
                    .into()
            }
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
            Self::RdsProxy => use_server_itself(),
        }
    }
}

/// Finds the cause of a rejected connection. The server sends the same SQLSTATE for most of them;
/// its message tells them apart if the server language is English.
pub(super) fn rejection_cause(
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
            if reason.starts_with("This RDS proxy has no credentials") {
                Some(RejectionCause::RdsProxy)
            } else if reason.starts_with("connection requires a valid client certificate") {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// No user can edit `pg_hba.conf` on RDS.
    #[test]
    fn hints_for_rds_name_no_file_of_the_server() {
        let user = RoleName::new_unchecked("app");
        let host = |host: &str| host.to_owned();
        let errors = |name: &str| {
            [
                ConnectError::CleartextPasswordRequested {
                    host: host(name),
                    port: 5432,
                    user: user.clone(),
                },
                ConnectError::WeakAuthenticationRequested {
                    host: host(name),
                    port: 5432,
                    user: user.clone(),
                    request: WeakRequest::Md5,
                },
                ConnectError::Rejected {
                    host: host(name),
                    port: 5432,
                    database: DatabaseName::new_unchecked("postgres"),
                    user: user.clone(),
                    reason: "PAM authentication failed for user \"app\" (28000)".to_owned(),
                    code: Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
                    cause: None,
                    password_proved: false,
                },
            ]
        };
        let text = |hints: Vec<Hint>| Hint::joined(&hints).to_string();
        for error in errors("db.abc.eu-west-2.rds.amazonaws.com") {
            assert!(!text(error.hints()).contains("pg_hba"), "{error}");
        }
        for error in errors("localhost") {
            assert!(text(error.hints()).contains("pg_hba"), "{error}");
            assert!(!text(error.hints_on(Platform::Rds)).contains("pg_hba"), "{error}");
        }
    }
}
