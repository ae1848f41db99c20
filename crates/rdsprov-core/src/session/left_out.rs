//! The applications that a run leaves out, so that it can apply the others.

use std::collections::BTreeSet;

use super::apply::{Execution, Progress};
use super::error::{Error, no_refusals};
use super::frontend::Frontend;
use super::notice::Notice;
use crate::name::ApplicationName;
use crate::operations::PlannedApply;
use crate::plan::SavedPlan;

impl<F: Frontend> Execution<'_, F> {
    /// Leaves refused applications out of a plan, those whose part of the saved plan is stale, and
    /// those that depend on them, if the run keeps going and something else remains. Returns them.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if the plan has refusals and nothing else remains.
    pub(super) fn leave_out(
        &self,
        planned: &mut PlannedApply<'_>,
        saved: Option<&SavedPlan>,
        progress: &mut Progress,
    ) -> Result<BTreeSet<ApplicationName>, Error> {
        let plan = planned.plan();
        if !self.keeps_going() {
            no_refusals(plan)?;
            return Ok(BTreeSet::new());
        }
        let found = match saved {
            Some(saved) => saved.changed_applications(plan),
            None => plan.refused_applications(),
        };
        let applications = plan.with_dependents(&found);
        let part = plan.without(&applications);
        if applications.is_empty() || part.is_empty() || !part.refusals.is_empty() {
            no_refusals(plan)?;
            return Ok(BTreeSet::new());
        }
        planned.leave_out(&applications);
        progress.recorder.context.plan = Some(part.digest.clone());
        let changes = part.steps().count();
        self.frontend.on_notice(&Notice::LeftOut {
            applications: applications.clone(),
            changes,
            is_of_saved_plan: saved.is_some(),
        });
        Ok(applications)
    }
}
