//! The operations on a server: each puts the effects of [`crate::server`] and
//! [`crate::secrets`] in their order.
//!
//! [`Provisioner`] is a connected run, and [`Planned`] a run with its plan. A [`Locked`] run makes a
//! [`PlannedApply`], which `apply` and `delegate` execute, or a `PlannedRotation`, which replaces
//! passwords. `access_report` queries the privileges of roles, and `export` what
//! definitions can declare. This module does not know approvals,
//! records or front ends.

mod access_report;
mod apply;
mod audit_tables;
mod connection;
mod error;
mod export;
mod login_origin;
mod plan;
mod preflight;
mod probes;
mod provisioner;
#[cfg(feature = "aws")]
mod rotate;
mod run_secrets;

pub use access_report::AccessQuery;
pub use apply::PlannedApply;
pub use connection::{AdminConnection, AdminCredentials, ConnectionOverrides};
pub use error::{PlanRefused, RunError};
pub use export::ExportError;
pub use login_origin::LoginOrigin;
pub use plan::Planned;
pub(crate) use preflight::Preflight;
pub use provisioner::{Locked, Provisioner};
#[cfg(feature = "aws")]
pub use rotate::{
    PlannedRotation, RotateOptions, RotationFunction, RotationStep, RotationStepError, StepEffect,
    check_source,
};
