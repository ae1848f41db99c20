//! The operations on a server: each puts the effects of [`crate::server`] and [`crate::secrets`] in
//! their order.
//!
//! [`Provisioner`] is one run, from the secrets to the plan and its execution. `rotate` replaces
//! passwords, and `access_report` queries the privileges of roles. This module does not know
//! approvals, records or front ends.

mod access_report;
mod provisioner;
#[cfg(feature = "aws")]
mod rotate;

pub use access_report::AccessQuery;
pub use provisioner::{
    AdminConnection, AdminCredentials, ConnectionOverrides, Planned, Provisioner, RunError,
};
#[cfg(feature = "aws")]
pub use rotate::{PlannedRotation, RotateOptions, check_source};
