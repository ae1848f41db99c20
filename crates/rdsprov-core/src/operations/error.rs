//! Why a run cannot make a plan.

use std::time::Duration;

use super::login_origin::LoginOrigin;
use crate::config::LockTimeout;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::name::RoleName;
use crate::plan::rotation::RotationError;
use crate::plan::{Plan, Refusal};
use crate::secret_id::SecretId;
use crate::secrets::scram::NoRandomness;
use crate::secrets::{SecretError, SecretOwner, SourceError};
use crate::server::{ConnectError, LockHolder, ObserveError};

/// A plan contains refusals, and was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan contains refusals: {}", codes(.refusals))]
#[non_exhaustive]
pub struct PlanRefused {
    /// The refusals of the plan.
    pub refusals: Vec<Refusal>,
}

fn codes(refusals: &[Refusal]) -> String {
    let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.code().name()).collect();
    codes.join(", ")
}

impl PlanRefused {
    /// Checks that a plan contains no refusals.
    ///
    /// # Errors
    /// Returns the refusals.
    pub fn check(plan: &Plan) -> Result<(), Self> {
        if plan.refusals.is_empty() {
            Ok(())
        } else {
            Err(Self { refusals: plan.refusals.clone() })
        }
    }
}

/// A run cannot make a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source provides no secrets.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The secret of the administrator cannot be used.
    #[error("the secret of the administrator cannot be used: {error}")]
    AdminSecret {
        /// What is wrong with it.
        #[source]
        error: Box<SecretError>,
        /// What is wrong with the secrets of the applications.
        others: Vec<Refusal>,
        /// Whether no secret of the run exists, so that the region, the account or the environment
        /// is probably wrong.
        none_exists: bool,
    },
    /// The secret of the administrator lacks a key.
    #[error("the secret of the administrator, {id}, has no key `{key}`")]
    AdminSecretIncomplete {
        /// The id of the secret.
        id: SecretId,
        /// The key that is missing.
        key: &'static str,
    },
    /// The secret of the administrator is managed by RDS, so that it contains no host.
    #[error(
        "the secret of the administrator, {id}, is managed by RDS and contains no host{}",
        .reason.as_ref().map(|why| format!(", and the API of RDS returned no endpoint: {why}")).unwrap_or_default()
    )]
    ManagedSecretWithoutHost {
        /// The id of the secret.
        id: SecretId,
        /// The DB instance or cluster of the secret, if its tags name it.
        owner: Option<SecretOwner>,
        /// Why the API of RDS returned no endpoint; `None` if it was not asked.
        reason: Option<String>,
    },
    /// The administrator logs in with an IAM token, and no option names the host.
    #[error("the host of the server is not known")]
    NoHost,
    /// No password could be generated.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The administrator cannot connect to the server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The administrator cannot connect to the administrator database, with which each run begins.
    #[error("{error}")]
    AdminLogin {
        /// Why it cannot connect.
        #[source]
        error: ConnectError,
        /// Where the address and the password come from.
        origin: Box<LoginOrigin>,
    },
    /// The catalogs of the server cannot be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The passwords cannot be rotated.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The access report is to cover a role that the server does not have, or that reports omit.
    #[error(
        "role {role} {}",
        if .role.as_str().starts_with("pg_") {
            "is not covered by the access report, which omits the predefined roles of PostgreSQL"
        } else {
            "does not exist on the server"
        }
    )]
    NoSuchRole {
        /// The name of the role, as given.
        role: RoleName,
        /// The most similar name of a role.
        nearest: Option<String>,
    },
    /// Another run has held the lock for too long.
    #[error(
        "another run holds the lock on {server}{}, and has not released it within {}",
        .holder.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default(),
        LockTimeout(*.timeout)
    )]
    LockTimeout {
        /// The server, as `host:port`.
        server: String,
        /// How long this run has waited.
        timeout: Duration,
        /// The session of the other run, if the server shows it.
        holder: Option<LockHolder>,
    },
    /// The server did not grant the lock.
    #[error("the lock against concurrent runs cannot be taken: {0}")]
    Lock(String),
}

impl RunError {
    /// Returns whether the server rejected the login of the administrator: the password is wrong
    /// (28P01), or a proxy does not know it (28000).
    pub(super) fn is_rejected_login(&self) -> bool {
        let Self::AdminLogin { error, .. } = self else { return false };
        matches!(error.sqlstate(), Some("28P01" | "28000"))
    }

    /// Returns the server that could not be connected to, as `host:port`.
    pub(super) fn address(&self) -> Option<String> {
        let Self::AdminLogin { error, .. } = self else { return None };
        error.address()
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::AdminSecret { error, .. } => error.code(),
            Self::AdminSecretIncomplete { .. } | Self::ManagedSecretWithoutHost { .. } => {
                ErrorCode::AdminSecretIncomplete
            }
            Self::NoHost => ErrorCode::NoHost,
            Self::NoRandomness(_) => ErrorCode::NoRandomBytes,
            Self::Connect(error) | Self::AdminLogin { error, .. } => error.code(),
            Self::Observe(error) => error.code(),
            Self::Rotation(error) => error.code(),
            Self::NoSuchRole { .. } => ErrorCode::UnknownRole,
            Self::LockTimeout { .. } => ErrorCode::LockTimeout,
            Self::Lock(_) => ErrorCode::LockUnavailable,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Source(error) => error.hints(),
            Self::AdminSecret { none_exists: true, others, .. } => vec![
                hint![
                    format!("none of the {} secrets exists: check the region (", others.len() + 1),
                    Opt::Region,
                    "), the AWS account, and the environment (",
                    Opt::Env,
                    ")"
                ],
                hint!["name the secret of the administrator with ", Opt::AdminSecret],
            ],
            Self::AdminSecret { error, .. } => {
                let mut hints = match &**error {
                    SecretError::Missing { file: Some(path), .. } => vec![
                        format!(
                            "create the file {path} with `{{\"username\": \"…\", \"password\": \"…\", \"host\": \"…\", \"port\": 5432}}`"
                        )
                        .into(),
                    ],
                    error => error.hints(),
                };
                hints.push(hint!["name the secret of the administrator with ", Opt::AdminSecret]);
                hints
            }
            Self::ManagedSecretWithoutHost { owner: None, .. } => {
                vec![hint!["name the endpoint of the DB instance or cluster with ", Opt::Host]]
            }
            Self::ManagedSecretWithoutHost { owner: Some(owner), .. } => {
                let (endpoint, action) = match owner {
                    SecretOwner::Instance(_) => ("endpoint", "rds:DescribeDBInstances"),
                    SecretOwner::Cluster(_) => ("writer endpoint", "rds:DescribeDBClusters"),
                };
                vec![
                    hint![format!("name the {endpoint} of the {owner} with "), Opt::Host],
                    hint![format!("or allow the caller `{action}`, which returns it")],
                ]
            }
            Self::AdminSecretIncomplete { key: "host", .. } => {
                vec![hint!["add `host` to the secret, or use ", Opt::Host]]
            }
            Self::AdminSecretIncomplete { key, .. } => vec![hint![
                format!("add `{key}` to the secret, or name another one with "),
                Opt::AdminSecret
            ]],
            Self::NoHost => vec![hint!["name the host with ", Opt::Host]],
            Self::NoRandomness(_) => vec!["check `/dev/urandom` on this machine".into()],
            Self::Connect(error) => error.hints(),
            Self::AdminLogin { error, origin } => origin.hints(error),
            Self::Observe(error) => error.hints(),
            Self::Rotation(error) => error.hints(),
            Self::NoSuchRole { nearest: Some(nearest), .. } => {
                vec![format!("check the name; `{nearest}` is similar").into()]
            }
            Self::NoSuchRole { nearest: None, .. } => vec!["check the name and the server".into()],
            Self::LockTimeout { holder, .. } => {
                let mut hints = vec![hint![
                    "run again when the other run has ended, or raise ",
                    Opt::LockTimeout
                ]];
                hints.extend(holder.as_ref().map(|holder| {
                    let pid = holder.pid;
                    format!(
                        "if the process of the other run no longer exists, end its session: \
                         SELECT pg_terminate_backend({pid})"
                    )
                    .into()
                }));
                hints
            }
            Self::Lock(_) => {
                vec!["check that the administrator may connect to the database `postgres`".into()]
            }
        }
    }
}
