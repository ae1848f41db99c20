//! Connections to PostgreSQL: `connect` opens them, `observe` reads the
//! catalogs, `apply` executes plans.
//!
//! [`Provisioner`] combines these modules for one run. `password_check` verifies the passwords of
//! roles, `rotate` replaces them, and `access_report` queries the privileges of roles. The module
//! does not know front ends, and the comparison of states is in [`crate::plan`].

mod access_report;
mod apply;
mod auth_guard;
mod connect;
mod lock;
mod observe;
mod password_check;
mod provisioner;
#[cfg(feature = "aws")]
mod rotate;
mod slots;
mod snapshot;
mod tls;

pub use access_report::AccessQuery;
pub use apply::{ExecuteOptions, ExecutionOutcome, Fault, Interrupt, Report, apply};
pub use connect::{ConnectError, Credentials, Endpoint, RejectionCause, Session};
pub use lock::Lock;
pub use observe::observe;
pub use provisioner::{
    AdminConnection, AdminCredentials, ConnectionOverrides, Provisioner, RunError,
};
#[cfg(feature = "aws")]
pub use rotate::{PlannedRotation, RotateOptions, check_source};
pub use slots::RunSlots;
pub use snapshot::ObserveError;
pub use tls::{BundledCertificates, Tls, TlsError, TlsProblem};
