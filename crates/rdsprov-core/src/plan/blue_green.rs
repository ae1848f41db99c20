//! What a blue/green deployment means for a plan: the green environment does not get its changes.
//!
//! Logical replication copies neither DDL nor roles, databases and privileges. AWS reports such a
//! deployment as degraded and blocks its switchover.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::{Hazard, NoteKind, RefusalKind, Transaction};
use crate::name::ApplicationName;

impl Planner<'_> {
    /// Adds the hazard to each step while a deployment is in progress, if the hazard is allowed.
    /// Otherwise refuses each application with a step.
    pub(super) fn check_blue_green(&mut self, transactions: &mut [Transaction]) {
        if let Some(reason) = &self.observed.blue_green_unknown
            && !transactions.is_empty()
        {
            self.note(NoteKind::BlueGreenNotChecked { reason: reason.clone() });
        }
        let statuses = self.observed.blue_green_in_progress();
        if statuses.is_empty() {
            return;
        }
        let steps = transactions.iter_mut().flat_map(|transaction| &mut transaction.steps);
        if self.desired.may_degrade_blue_green {
            for step in steps {
                step.hazards.insert(Hazard::DegradesBlueGreen);
            }
            return;
        }
        let applications: BTreeSet<ApplicationName> =
            steps.map(|step| step.application.clone()).collect();
        let statuses: Vec<String> = statuses.into_iter().map(str::to_owned).collect();
        for application in applications {
            let kind = RefusalKind::BlueGreenInProgress { statuses: statuses.clone() };
            self.refuse(&application, kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blue_green::DeploymentNode;
    use crate::observed::Observed;
    use crate::plan::{Plan, RefusalCode, SecretFindings, test_states};

    fn observed(role: &str, status: &str) -> Observed {
        let mut observed = test_states::observed();
        let (role, status) = (role.to_owned(), status.to_owned());
        observed.blue_green = vec![DeploymentNode { role, status }];
        observed
    }

    #[test]
    fn each_application_with_a_step_is_refused() {
        let desired = test_states::desired();
        let plan = |observed: &Observed| Plan::new(&desired, observed, SecretFindings::default());
        let seen = observed("BLUE_GREEN_DEPLOYMENT_SOURCE", "AVAILABLE");
        let refused = plan(&seen);
        let codes: BTreeSet<RefusalCode> =
            refused.refusals.iter().map(|refusal| refusal.code()).collect();
        assert_eq!(codes, BTreeSet::from([RefusalCode::BlueGreenInProgress]));
        assert_eq!(refused.refusals.len(), 5);
        // With `--no-fail-fast`, nothing remains.
        assert!(refused.without(&refused.refused_applications()).is_empty());
        let completed = plan(&observed("BLUE_GREEN_DEPLOYMENT_SOURCE", "SWITCHOVER_COMPLETED"));
        assert_eq!(completed.refusals, []);
        assert_eq!(completed, plan(&test_states::observed()));
    }

    #[test]
    fn allowed_hazard_is_in_each_step() {
        let mut desired = test_states::desired();
        desired.may_degrade_blue_green = true;
        let seen = observed("BLUE_GREEN_DEPLOYMENT_TARGET", "SWITCHOVER_INITIATED");
        let plan = Plan::new(&desired, &seen, SecretFindings::default());
        assert_eq!(plan.refusals, []);
        assert!(!plan.is_empty());
        assert!(plan.steps().all(|step| step.hazards.contains(&Hazard::DegradesBlueGreen)));
        let other = Plan::new(&desired, &test_states::observed(), SecretFindings::default());
        assert!(!other.hazards().contains(&Hazard::DegradesBlueGreen));
    }
}
