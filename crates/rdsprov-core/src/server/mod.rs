//! The effects on a server: one module connects, one observes, one applies.

mod apply;
mod connect;
mod observe;
mod run;
mod tls;

pub use apply::{ApplyOptions, Interrupt, Outcome, Report, StepResult, StepStatus, apply};
pub use connect::{ConnectError, Session, Target};
pub use observe::{ObserveError, observe};
pub use run::{Lock, Place, Run, RunError};
pub use tls::{CarriedCertificates, Tls, TlsError, TlsProblem};

use std::collections::BTreeMap;

use crate::plan::Slots;
use crate::secrets::{Secret, SecretId};

/// The secrets of a run and its build id: what fills the slots of a plan.
pub struct RunSlots<'a> {
    /// The secrets.
    pub secrets: &'a BTreeMap<SecretId, Secret>,
    /// The build id.
    pub build_id: &'a str,
}

impl Slots for RunSlots<'_> {
    fn verifier(&self, secret: &SecretId) -> Option<String> {
        self.secrets.get(secret).map(|secret| secret.password.verifier())
    }

    fn build_id(&self) -> &str {
        self.build_id
    }
}
