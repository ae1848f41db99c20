//! The nodes of a blue/green deployment, as the server reports them.
//!
//! This module does not know how the server is asked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The beginning of the roles that the nodes of a deployment have. The nodes of a Multi-AZ cluster,
/// which the same function of RDS returns, have no such role.
const ROLE_OF_DEPLOYMENT: &str = "BLUE_GREEN_DEPLOYMENT";

/// The status of each node after the switchover.
const COMPLETED: &str = "SWITCHOVER_COMPLETED";

/// One node in the topology that the server reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeploymentNode {
    /// The role of the node, such as `BLUE_GREEN_DEPLOYMENT_SOURCE`.
    pub role: String,
    /// The status of the node, such as `AVAILABLE` or `SWITCHOVER_COMPLETED`.
    pub status: String,
}

impl DeploymentNode {
    /// Returns whether the node belongs to a deployment whose switchover is not completed.
    ///
    /// A status that is not known counts as not completed. A role that is not known does not show that
    /// there is a deployment.
    #[must_use]
    pub fn is_in_progress(&self) -> bool {
        let is_role = self.role.to_ascii_uppercase().starts_with(ROLE_OF_DEPLOYMENT);
        is_role && !self.status.eq_ignore_ascii_case(COMPLETED)
    }
}

/// Returns the statuses of the nodes of a deployment that is in progress; empty without such a deployment.
pub(crate) fn in_progress(nodes: &[DeploymentNode]) -> BTreeSet<&str> {
    let nodes = nodes.iter().filter(|node| node.is_in_progress());
    nodes.map(|node| node.status.as_str()).collect()
}

/// Returns the sentence about a deployment that is in progress.
pub(crate) fn in_progress_fact(statuses: &[String]) -> String {
    format!(
        "the server is in a blue/green deployment (status `{}`), whose green environment does not get changes of roles, databases and privileges",
        statuses.join("`, `")
    )
}

/// Returns the sentence about a server that does not report its deployment.
pub(crate) fn not_known_fact(reason: &str) -> String {
    format!("whether the server is in a blue/green deployment is not known: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deployments_that_are_not_completed_are_in_progress() {
        for (role, status, expected) in [
            ("BLUE_GREEN_DEPLOYMENT_SOURCE", "AVAILABLE", true),
            ("BLUE_GREEN_DEPLOYMENT_TARGET", "SWITCHOVER_IN_POST_PROCESSING", true),
            ("blue_green_deployment_source", "a later status", true),
            ("BLUE_GREEN_DEPLOYMENT_TARGET", "SWITCHOVER_COMPLETED", false),
            ("writer", "AVAILABLE", false),
            ("", "", false),
        ] {
            let node = DeploymentNode { role: role.to_owned(), status: status.to_owned() };
            assert_eq!(node.is_in_progress(), expected, "{node:?}");
        }
    }
}
