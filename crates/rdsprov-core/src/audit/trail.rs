//! From a plan and its outcome to records.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Record, Status};
use crate::plan::{Action, Plan, PlannedApplication, Step};
use crate::server::{StepResult, StepStatus};

/// What all records of a run have in common.
#[derive(Debug, Clone)]
pub struct Trail {
    /// The environment.
    pub environment: String,
    /// The build.
    pub build_id: String,
    /// The run.
    pub run_id: String,
}

/// The kinds of change that an application without any gets a `no_change` record for.
const KINDS: [&str; 3] = ["create_role", "create_database", "apply_grants"];

fn kind(step: &Step) -> &'static str {
    match step.action {
        Action::CreateRole
        | Action::AlterRole
        | Action::SetPassword
        | Action::SetParameter
        | Action::CreatePending
        | Action::TestPassword
        | Action::FinishRotation
        | Action::RestorePassword => KINDS[0],
        Action::Adopt if step.database.is_none() => KINDS[0],
        Action::CreateDatabase
        | Action::AlterDatabase
        | Action::CreateSchema
        | Action::CreateExtension
        | Action::ReassignOwned
        | Action::Adopt => KINDS[1],
        Action::Grant | Action::Revoke | Action::DefaultPrivileges => KINDS[2],
    }
}

/// As RFC 3339 writes it, in milliseconds.
fn timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

impl Trail {
    fn record(
        &self,
        database: &str,
        username: &str,
        action: &str,
        status: Status,
        duration: Duration,
        message: &str,
    ) -> Record {
        Record {
            timestamp: timestamp(Timestamp::now()),
            environment: self.environment.clone(),
            build_id: self.build_id.clone(),
            run_id: self.run_id.clone(),
            database: database.to_owned(),
            username: username.to_owned(),
            action: action.to_owned(),
            status,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            message: message.to_owned(),
        }
    }

    /// A record of the run itself.
    #[must_use]
    pub fn run(&self, action: &str, status: Status, message: &str) -> Record {
        self.record("", "", action, status, Duration::ZERO, message)
    }

    fn step(&self, step: &Step, status: Status, duration: Duration, message: &str) -> Record {
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        self.record(
            &name(step.database.as_ref().map(crate::name::DatabaseName::as_str)),
            &name(step.role.as_ref().map(crate::name::RoleName::as_str)),
            &step.action.to_string(),
            status,
            duration,
            message,
        )
    }

    /// What each application and kind with nothing to do gets.
    #[must_use]
    pub fn no_change(&self, plan: &Plan) -> Vec<Record> {
        let busy: BTreeSet<_> = plan.steps().map(|step| (&step.application, kind(step))).collect();
        plan.applications
            .iter()
            .flat_map(|app| KINDS.map(|kind| (app, kind)))
            .filter(|(app, kind)| !busy.contains(&(&app.application, *kind)))
            .map(|(PlannedApplication { database, role, .. }, kind)| {
                self.record(
                    database.as_str(),
                    role.as_str(),
                    kind,
                    Status::NoChange,
                    Duration::ZERO,
                    "",
                )
            })
            .collect()
    }

    /// What would be done.
    #[must_use]
    pub fn dry_run(&self, plan: &Plan) -> Vec<Record> {
        let steps =
            plan.steps().map(|step| self.step(step, Status::DryRun, Duration::ZERO, &step.summary));
        steps.chain(self.no_change(plan)).collect()
    }

    /// What was done: the records of one transaction's steps.
    #[must_use]
    pub fn results(&self, steps: &[Step], results: &[StepResult]) -> Vec<Record> {
        steps
            .iter()
            .zip(results)
            .map(|(step, result)| {
                let (status, message) = match &result.status {
                    StepStatus::Success => (Status::Success, step.summary.as_str()),
                    StepStatus::Error(reason) => (Status::Error, reason.as_str()),
                    StepStatus::NotRun => (Status::NotRun, step.summary.as_str()),
                };
                let record = self.step(step, status, result.duration, message);
                Record { timestamp: timestamp(result.at), ..record }
            })
            .collect()
    }
}
