//! Connections to PostgreSQL: `connect` opens them, `observe` reads the catalogs,
//! `password_check` verifies the passwords of roles, and `apply` executes plans.
//!
//! This module does not know the order of these effects or front ends. It asks [`crate::plan`] only
//! which names a plan needs.

mod application_login;
pub(crate) mod apply;
pub(crate) mod blue_green;
pub(crate) mod capacity;
mod conflict_time;
pub(crate) mod connect;
mod connect_error;
pub(crate) mod databases;
pub(crate) mod deletions;
pub(crate) mod earlier_look;
mod execute;
mod execution;
mod execution_options;
mod initial_database;
pub(crate) mod lock;
mod lock_out;
mod network;
pub(crate) mod observe;
mod owner_login;
mod parameter;
pub(crate) mod password_check;
mod pooler;
mod server_wait;
mod silent_logins;
pub(crate) mod slots;
pub(crate) mod snapshot;
pub(crate) mod stop;
mod stream_guard;
pub(crate) mod template;
mod tls;
mod transaction_failure;
mod transaction_run;
pub(crate) mod wait;
mod workers;
mod writer;

pub use apply::{ExecutionOutcome, FailedStep};
pub(crate) use connect_error::Platform;
pub use connect_error::{ConnectError, Pooler, RejectionCause, WeakRequest};
pub use execution_options::{ExecuteOptions, Listener, ListenerFuture};
#[cfg(feature = "test-faults")]
#[doc(hidden)]
pub use execution_options::{Fault, Interrupt};
pub use lock::LockOptions;
pub use server_wait::{OnServerWait, ServerWait, WaitReason};
pub use silent_logins::SilentLogins;
pub use snapshot::ObserveError;
pub use stop::Stop;
pub(crate) use tls::TlsState;
pub use tls::{BundledCertificates, ServerCertificate, Tls, TlsError, TlsProblem, TrustedCas};
/// The SQLSTATE of an error, as tokio-postgres defines it.
pub use tokio_postgres::error::SqlState;
pub use transaction_failure::FailureCause;
pub use wait::{LockHolder, LockWait, StatementWait};
