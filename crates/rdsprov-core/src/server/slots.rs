//! The values that are known only when a plan is executed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};

use crate::audit_table::AuditedRun;
use crate::name::DatabaseName;
use crate::plan::{Plan, SlotError, Slots, Statement};
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
    /// The values of the run in the rows of the audit table.
    pub audited_run: AuditedRun<'a>,
    /// The verifiers that are computed already.
    verifiers: BTreeMap<&'a SecretId, Verifier>,
}

impl<'a> RunSlots<'a> {
    /// Creates the slots of a run. Each verifier is computed when it is used.
    pub fn new(
        secrets: &'a BTreeMap<SecretId, Secret>,
        build_id: &'a str,
        iterations: NonZeroU32,
    ) -> Self {
        let audited_run = AuditedRun { build_id, ..AuditedRun::default() };
        Self { secrets, build_id, iterations, audited_run, verifiers: BTreeMap::new() }
    }

    /// Sets the values of the run in the rows of the audit table.
    #[must_use]
    pub fn audited_as(self, audited_run: AuditedRun<'a>) -> Self {
        Self { audited_run, ..self }
    }

    /// Computes the verifiers that a plan needs on all processors, because each takes thousands of
    /// hashes.
    #[must_use]
    pub fn with_verifiers(self, plan: &Plan) -> Self {
        let statements = plan.steps().flat_map(|step| &step.statements);
        let ids: BTreeSet<&SecretId> = statements.filter_map(Statement::secret).collect();
        let secrets = self.secrets.iter().filter(|(id, _)| ids.contains(id));
        let secrets: Vec<(&SecretId, &Secret)> = secrets.collect();
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let compute = |part: &[(&'a SecretId, &Secret)]| {
            let verifiers = part.iter().filter_map(|(id, secret)| {
                Some((*id, Verifier::new(&secret.password, self.iterations).ok()?))
            });
            verifiers.collect::<Vec<_>>()
        };
        let verifiers = std::thread::scope(|scope| {
            let parts = secrets.chunks(secrets.len().div_ceil(threads).max(1));
            let parts: Vec<_> = parts.map(|part| scope.spawn(move || compute(part))).collect();
            // What a thread has not computed is computed when it is used.
            parts.into_iter().filter_map(|part| part.join().ok()).flatten().collect()
        });
        Self { verifiers, ..self }
    }
}

impl Slots for RunSlots<'_> {
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError> {
        let found =
            self.secrets.get(secret).ok_or_else(|| SlotError::NoPassword(secret.clone()))?;
        if let Some(verifier) = self.verifiers.get(secret) {
            return Ok(verifier.to_string());
        }
        Verifier::new(&found.password, self.iterations)
            .map(|verifier| verifier.to_string())
            .map_err(|error| SlotError::NoVerifier(error.to_string()))
    }

    fn build_id(&self) -> &str {
        self.build_id
    }

    fn audited_run(&self) -> AuditedRun<'_> {
        self.audited_run
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

    fn audited_run(&self) -> AuditedRun<'_> {
        self.slots.audited_run()
    }

    fn created_oid(&self, database: &DatabaseName) -> Result<u32, SlotError> {
        self.oids.get(database).copied().ok_or_else(|| SlotError::NotCreated(database.clone()))
    }
}
