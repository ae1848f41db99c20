//! The effects on a server: one module connects, one observes, one applies.

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
pub use apply::{
    ExecuteOptions, ExecutionOutcome, Fault, Interrupt, Report, StepResult, StepStatus, apply,
};
pub use connect::{ConnectError, Credentials, Endpoint, Session};
pub use observe::{ObserveError, observe};
pub use provisioner::{
    AdminConnection, AdminCredentials, ConnectionOverrides, Lock, Provisioner, RunError,
};
#[cfg(feature = "aws")]
pub use rotate::{PlannedRotation, RotateOptions, check_source};
pub use tls::{CarriedCertificates, Tls, TlsError, TlsProblem};

use std::collections::BTreeMap;

use crate::plan::{SlotError, Slots};
use crate::secrets::scram::Verifier;
use crate::secrets::{Secret, SecretId};

/// The secrets of a run and its build id: what fills the slots of a plan.
pub struct RunSlots<'a> {
    /// The secrets.
    pub secrets: &'a BTreeMap<SecretId, Secret>,
    /// The build id.
    pub build_id: &'a str,
    /// How often a verifier's password is hashed.
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
