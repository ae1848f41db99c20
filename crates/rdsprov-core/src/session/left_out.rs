//! The applications that a run leaves out, so that it can apply the others.

use std::collections::BTreeSet;

use super::apply::{Execution, Progress};
use super::error::{Error, no_refusals};
use super::frontend::Frontend;
use super::left_out_reasons::LeftOutReasons;
use super::notice::Notice;
use crate::name::ApplicationName;
use crate::operations::PlannedApply;
use crate::plan::{Hazard, Plan, Refusal, SavedPlan};
use crate::policy::Policy;

/// The applications that the plans of a run leave out, with the reasons.
#[derive(Default)]
pub(super) struct LeftOut {
    pub applications: BTreeSet<ApplicationName>,
    reasons: LeftOutReasons,
}

impl LeftOut {
    /// Adds the applications of the next plan that are refused or have hazards that are not allowed,
    /// and those that depend on one that is left out.
    pub fn extend(&mut self, plan: &Plan, policy: &Policy, allowed: &BTreeSet<Hazard>) {
        let mut found = &self.applications | &plan.refused_applications();
        let with_hazards = policy.applications_with_hazards(plan, allowed);
        // The next plan also contains the hazards of the first one, unless another role has removed them.
        let hazards = policy.check_hazards(plan, allowed).err();
        self.reasons.hazards = hazards.or(self.reasons.hazards.take());
        found.extend(with_hazards);
        self.applications = plan.with_dependents(&found);
    }

    /// Returns the error of a run that has applied everything else. `refusals` are those of the plan
    /// after the execution.
    ///
    /// # Errors
    /// Returns no error if nothing was left out or is refused.
    pub fn result(self, refusals: Vec<Refusal>) -> Result<(), Error> {
        let mut reasons = self.reasons;
        if !refusals.is_empty() {
            reasons.refusals = refusals;
        }
        if reasons.is_empty() { Ok(()) } else { Err(Error::LeftOut(Box::new(reasons))) }
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
        let stale = saved.map(|saved| saved.changed_applications(plan)).unwrap_or_default();
        let mut found = &stale | &plan.refused_applications();
        found.extend(policy.applications_with_hazards(plan, allowed));
        let applications = plan.with_dependents(&found);
        let part = plan.without(&applications);
        if applications.is_empty() || part.is_empty() || !part.refusals.is_empty() {
            no_refusals(plan)?;
            return Ok(LeftOut::default());
        }
        let reasons = LeftOutReasons {
            refusals: plan.refusals.clone(),
            stale: plan.with_dependents(&stale),
            hazards: policy.check_hazards(plan, allowed).err(),
        };
        planned.leave_out(&applications);
        progress.recorder.context.plan = Some(part.digest.clone());
        let changes = part.steps().count();
        let is_of_saved_plan = saved.is_some();
        let notice =
            Notice::LeftOut { applications: applications.clone(), changes, is_of_saved_plan };
        self.frontend.on_notice(&notice);
        Ok(LeftOut { applications, reasons })
    }
}
