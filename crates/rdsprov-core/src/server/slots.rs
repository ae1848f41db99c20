//! The values that are known only when a plan is executed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::name::DatabaseName;
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
    pub iterations: NonZeroU32,
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

/// The slots of a run, with the OIDs of the databases that it has created.
pub(super) struct SlotsWithOids<'a> {
    pub slots: &'a (dyn Slots + Sync),
    pub oids: &'a BTreeMap<DatabaseName, u32>,
}

impl Slots for SlotsWithOids<'_> {
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError> {
        self.slots.verifier(secret)
    }

    fn build_id(&self) -> &str {
        self.slots.build_id()
    }

    fn created_oid(&self, database: &DatabaseName) -> Result<u32, SlotError> {
        self.oids.get(database).copied().ok_or_else(|| SlotError::NotCreated(database.clone()))
    }
}
