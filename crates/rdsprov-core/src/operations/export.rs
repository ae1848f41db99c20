//! Observes a server for an export: all roles and databases, without any secret of an application.
//!
//! All queries are read-only. Only the probes that write nothing are executed.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::AdminConnection;
use super::error::RunError;
use super::probes::{ProbeScope, Probes};
use crate::config::VerifyPasswords;
use crate::definitions::Application;
use crate::desired::Desired;
use crate::export::{Draft, Export, ExportContext, survey, unmatched};
use crate::name::DatabaseName;
use crate::observed::{Observed, StoredSettings};
use crate::plan::{Plan, SecretFindings};
use crate::secret_id::TemplateError;
use crate::server::observe::{observe, observe_shared, stored_settings};
use crate::server::password_check::PasswordChecks;

/// Why a server cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The server cannot be observed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The template for the ids of secrets cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// No database matches the patterns of the scope.
    #[error("no database of applications matches")]
    NothingMatches {
        /// The databases of applications.
        databases: Vec<DatabaseName>,
    },
}

impl AdminConnection {
    /// Returns definitions of what the server has. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// Returns an [`ExportError`] if the shared catalogs cannot be read. A database that cannot be read is
    /// left out, and the export says why.
    pub async fn export(
        &self,
        nothing: &Desired,
        context: &ExportContext<'_>,
    ) -> Result<Export, ExportError> {
        let shared = observe_shared(&self.admin_session, nothing, &[], &[], &[]).await;
        let shared = shared.map_err(RunError::from)?;
        if let Some(databases) = unmatched(&shared, context.scope) {
            return Err(ExportError::NothingMatches { databases });
        }
        let surveyed = survey(&shared, context)?;
        let draft = Draft::new(&self.observe(&surveyed).await?, context)?;
        // Again, because the plan of the draft needs the names of other relations.
        let mut observed = self.observe(draft.desired()).await?;
        // The comments say what a plan refuses, so that the same is asked as by `preflight`.
        let scope = ProbeScope::WithoutWrites;
        let probes = Probes { admin: &self.admin, session: &self.admin_session, scope };
        let desired = draft.desired();
        let plan = |observed: &Observed| Plan::new(desired, observed, SecretFindings::default());
        probes.resolve(desired, &mut observed, plan).await?;
        let stored = self.stored_settings(draft.applications()).await?;
        Ok(Export::new(draft, &observed, stored))
    }

    /// Returns the settings of the roles and databases of entries that entries cannot contain.
    async fn stored_settings<'a>(
        &self,
        entries: impl Iterator<Item = &'a Application>,
    ) -> Result<Vec<StoredSettings>, RunError> {
        let (roles, databases): (BTreeSet<&str>, BTreeSet<&str>) =
            entries.map(|one| (one.username.as_str(), one.database_name.as_str())).unzip();
        let (roles, databases) = (Vec::from_iter(roles), Vec::from_iter(databases));
        Ok(stored_settings(&self.admin_session, &roles, &databases).await?)
    }

    async fn observe(&self, desired: &Desired) -> Result<Observed, RunError> {
        let (admin, session, secrets) = (&self.admin, &self.admin_session, BTreeMap::new());
        let verify = VerifyPasswords::Never;
        let passwords = PasswordChecks { verify, ..PasswordChecks::default() };
        let mut observed = observe(admin, session, desired, &secrets, &passwords, None).await?;
        observed.connection.server = Some(self.server());
        observed.connection.in_recovery = session.in_recovery;
        Ok(observed)
    }
}
