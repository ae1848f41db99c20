//! The applications that a run leaves out, so that it can apply the others.

use std::collections::BTreeSet;

use super::apply::{Execution, Progress};
use super::error::{Error, no_refusals};
use super::frontend::Frontend;
use super::notice::Notice;
use crate::gate::GateError;
use crate::name::ApplicationName;
use crate::operations::PlannedApply;
use crate::plan::{Hazard, Plan, Refusal, SavedPlan};
use crate::policy::Policy;

/// The applications that the plans of a run leave out, with the reasons.
#[derive(Default)]
pub(super) struct LeftOut {
    pub applications: BTreeSet<ApplicationName>,
    refusals: Vec<Refusal>,
    /// Whether the saved plan is stale for some of them.
    is_stale: bool,
    /// The hazards that are not allowed.
    hazards: Option<GateError>,
}

impl LeftOut {
    /// Adds the applications of the next plan that are refused or have hazards that are not allowed,
    /// and those that depend on one that is left out.
    pub fn extend(&mut self, plan: &Plan, policy: &Policy, allowed: &BTreeSet<Hazard>) {
        let mut found = &self.applications | &plan.refused_applications();
        let with_hazards = policy.applications_with_hazards(plan, allowed);
        if !with_hazards.is_subset(&found) {
            self.hazards = self.hazards.take().or(policy.check_hazards(plan, allowed).err());
        }
        found.extend(with_hazards);
        self.applications = plan.with_dependents(&found);
    }

    /// Returns the error of a run that has applied everything else. `refusals` are those of the plan
    /// after the execution.
    ///
    /// # Errors
    /// Returns no error if nothing was left out or is refused.
    pub fn result(self, refusals: Vec<Refusal>) -> Result<(), Error> {
        let refusals = if refusals.is_empty() { self.refusals } else { refusals };
        match self.hazards {
            _ if !refusals.is_empty() => Err(Error::PartRefused(refusals)),
            _ if self.is_stale => Err(Error::PartStale(self.applications)),
            Some(hazards) => Err(Error::PartNotAllowed(hazards)),
            None => Ok(()),
        }
    }
}

impl<F: Frontend> Execution<'_, F> {
    /// Leaves applications out of a plan, and those that depend on them, if the run keeps going and
    /// something else remains: refused ones, those whose part of the saved plan is stale, and those
    /// with hazards that are not allowed.
    ///
    /// # Errors
    /// Returns [`Error::Refused`] if the plan has refusals and nothing else remains.
    pub(super) fn leave_out(
        &self,
        planned: &mut PlannedApply<'_>,
        saved: Option<&SavedPlan>,
        (policy, allowed): (&Policy, &BTreeSet<Hazard>),
        progress: &mut Progress,
    ) -> Result<LeftOut, Error> {
        let plan = planned.plan();
        if !self.keeps_going() {
            no_refusals(plan)?;
            return Ok(LeftOut::default());
        }
        let mut found = match saved {
            Some(saved) => saved.changed_applications(plan),
            None => plan.refused_applications(),
        };
        let is_stale = saved.is_some() && !found.is_empty();
        found.extend(policy.applications_with_hazards(plan, allowed));
        let applications = plan.with_dependents(&found);
        let part = plan.without(&applications);
        if applications.is_empty() || part.is_empty() || !part.refusals.is_empty() {
            no_refusals(plan)?;
            return Ok(LeftOut::default());
        }
        let refusals = plan.refusals.clone();
        let hazards = policy.check_hazards(plan, allowed).err();
        planned.leave_out(&applications);
        progress.recorder.context.plan = Some(part.digest.clone());
        let changes = part.steps().count();
        let is_of_saved_plan = saved.is_some();
        let notice =
            Notice::LeftOut { applications: applications.clone(), changes, is_of_saved_plan };
        self.frontend.on_notice(&notice);
        Ok(LeftOut { applications, refusals, is_stale, hazards })
    }
}
