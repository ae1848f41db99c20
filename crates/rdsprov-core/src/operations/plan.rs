//! Plans a connected run: observes the server, executes the probes, and compares.

use super::error::RunError;
use super::provisioner::Provisioner;
use crate::audit_table::{AuditedRun, RunNames};
use crate::config::VerifyPasswords;
use crate::desired::LastApplied;
use crate::hint::Wording;
use crate::name::DatabaseName;
use crate::observed::Observed;
use crate::plan::{
    Plan, Refusal, RefusalKind, SecretFindings, SlotError, secrets_of_retired_roles,
};
use crate::secrets::scram::accepted_iterations;
use crate::server::observe::observe;
use crate::server::password_check::PasswordChecks;
use crate::server::slots::RunSlots;

/// A run whose plan is known, with the observed state and the secrets that the plan is based on.
pub struct Planned<'a> {
    pub(super) run: &'a mut Provisioner,
    pub(super) observed: Observed,
    pub(super) plan: Plan,
}

impl Planned<'_> {
    /// Returns the plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the last complete `apply` on each server, with which the plan tells drift.
    #[must_use]
    pub fn last_applied(&self) -> &[LastApplied] {
        &self.run.desired.last_applied
    }

    /// Returns whether the server has a database.
    pub(crate) fn has_database(&self, name: &DatabaseName) -> bool {
        self.observed.databases.contains_key(name)
    }

    /// Returns the observed state, the findings from the secrets, and the plan that
    /// [`Plan::new`] makes of them.
    #[must_use]
    pub fn into_parts(self) -> (Observed, SecretFindings, Plan) {
        (self.observed, self.run.secrets.findings().clone(), self.plan)
    }

    /// Returns the `psql` script of the plan with verifiers; see [`Plan::to_sql_with_verifiers`].
    ///
    /// # Errors
    /// Returns a [`SlotError`] if the password of a step is not available.
    pub fn script(&self, build_id: &str, wording: &dyn Wording) -> Result<String, SlotError> {
        let run = self.plan.run_of_script();
        let slots = self.slots(build_id).audited_as(AuditedRun { build_id, ..run });
        self.plan.to_sql_with_verifiers(&slots, wording)
    }

    /// Returns the values of the run in the rows of the audit table.
    pub(super) fn audited_run<'b>(
        &'b self,
        build_id: &'b str,
        RunNames { run_id, actor, .. }: &'b RunNames,
    ) -> AuditedRun<'b> {
        let Plan { environment, digest, .. } = &self.plan;
        AuditedRun { environment, build_id, run_id, plan: digest, actor }
    }

    pub(super) fn slots<'b>(&'b self, build_id: &'b str) -> RunSlots<'b> {
        let iterations = accepted_iterations(self.observed.passwords.scram_iterations);
        RunSlots::new(self.run.secrets.valid(), build_id, iterations)
    }
}

impl Provisioner {
    /// Observes the server and plans. Executes the probes of the plan, and plans
    /// again with their results.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the server cannot be observed or a secret source fails.
    pub async fn plan(&mut self) -> Result<Planned<'_>, RunError> {
        let verify = match self.verify {
            VerifyPasswords::AlwaysSet if self.applied => VerifyPasswords::Login,
            verify => verify,
        };
        let mut checks = PasswordChecks { verify, created: self.created.clone() };
        let earlier = self.earlier.take();
        let (admin, session, desired) = (&self.admin, &self.admin_session, &self.desired);
        let secrets = &mut self.secrets;
        // Boxed, because a thread can have a small stack.
        let mut observed =
            Box::pin(observe(admin, session, desired, secrets.valid(), &checks, earlier.as_ref()))
                .await?;
        if secrets.refresh(desired, &observed, admin).await? {
            // The secret may name another role now, or contain another password than that of a role.
            checks.created.clear();
            observed =
                Box::pin(observe(admin, session, desired, secrets.valid(), &checks, None)).await?;
        }
        self.record_connection(&mut observed);
        let mut findings = self.secrets.findings().clone();
        if self.desired.deletes_secrets.is_some() {
            self.find_retired_secrets(&observed, &mut findings).await;
        }
        let plan = |observed: &Observed| Plan::new(&self.desired, observed, findings.clone());
        let plan = self.probes().resolve(&self.desired, &mut observed, plan).await?;
        Ok(Planned { run: self, observed, plan })
    }

    /// Finds the secrets of retired roles that exist, and refuses those of which this is not known.
    async fn find_retired_secrets(&self, observed: &Observed, findings: &mut SecretFindings) {
        for (application, id) in secrets_of_retired_roles(&self.desired, observed) {
            match self.secrets.source.exists(&id).await {
                Ok(true) => drop(findings.retired_secrets.insert(id)),
                Ok(false) => {}
                Err(error) => {
                    let (reason, advice) = (error.to_string(), error.hints());
                    let kind = RefusalKind::SecretUnavailable { reason, advice };
                    findings.refusals.push(Refusal::new(&application, kind));
                }
            }
        }
    }
}
