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
mod observe;
mod password_check;
mod provisioner;
#[cfg(feature = "aws")]
mod rotate;
mod tls;

pub use access_report::AccessQuery;
use apply::outcome_not_started;
pub use apply::{ExecuteOptions, ExecutionOutcome, Fault, Interrupt, Report, apply};
pub use connect::{ConnectError, Credentials, Endpoint, RejectionCause, Session};
pub use observe::{ObserveError, observe};
pub use provisioner::{
    AdminConnection, AdminCredentials, ConnectionOverrides, Lock, Provisioner, RunError,
};
#[cfg(feature = "aws")]
pub use rotate::{PlannedRotation, RotateOptions, check_source};
pub use tls::{BundledCertificates, Tls, TlsError, TlsProblem};

use std::collections::BTreeMap;

use crate::plan::{SlotError, Slots};
use crate::secret_id::SecretId;
use crate::secrets::Secret;
use crate::secrets::scram::Verifier;

/// The values of a run that replace the slots of a plan when it is executed.
///
/// A plan contains no password, verifier or build id, so that equal inputs give equal plans.
pub struct RunSlots<'a> {
    /// The secrets from whose passwords verifiers are computed.
    pub secrets: &'a BTreeMap<SecretId, Secret>,
    /// The build id that markers contain.
    pub build_id: &'a str,
    /// The iteration count of the SCRAM verifiers (`scram_iterations`).
    pub iterations: u32,
}

impl Slots for RunSlots<'_> {
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError> {
        let found =
            self.secrets.get(secret).ok_or_else(|| SlotError::NoPassword(secret.clone()))?;
        Verifier::new(&found.password, self.iterations)
            .map(|verifier| verifier.to_string())
            .map_err(|error| SlotError::NoVerifier(error.to_string()))
    }

    fn build_id(&self) -> &str {
        self.build_id
    }
}
