//! The effects on a server: one module connects, one observes, one applies.

mod apply;
mod connect;
mod discreet;
mod holdings;
mod login;
mod observe;
#[cfg(feature = "aws")]
mod rotate;
mod run;
mod tls;

use apply::not_begun;
pub use apply::{ApplyOptions, Fault, Interrupt, Outcome, Report, StepResult, StepStatus, apply};
pub use connect::{ConnectError, Proof, Session, Target};
pub use holdings::Asked;
pub use observe::{ObserveError, observe};
#[cfg(feature = "aws")]
pub use rotate::{PlannedRotation, RotateOptions, check_source};
pub use run::{Administration, Lock, Login, Place, Run, RunError};
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
