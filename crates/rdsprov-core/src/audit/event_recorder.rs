//! From a plan and its outcome to events.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Command, Event, EventKind, RunContext, Status};
use crate::plan::{Action, Plan, PlannedApplication, Step, Transaction};
use crate::server::{StepResult, StepStatus};

/// The events of a run, as a plan and its outcome tell them.
#[derive(Debug, Clone, Default)]
pub struct EventRecorder {
    /// What all of them have in common.
    pub context: RunContext,
    /// What the run is of.
    pub command: Command,
}

/// The kinds of change that an application without any gets a `no_change` record for.
const KINDS: [&str; 3] = ["create_role", "create_database", "apply_grants"];

fn kind(step: &Step) -> &'static str {
    match step.action {
        Action::CreateSecret
        | Action::CreateRole
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
        | Action::AlterSchema
        | Action::CreateExtension
        | Action::ReassignOwned
        | Action::Adopt => KINDS[1],
        Action::Grant | Action::Revoke | Action::DefaultPrivileges => KINDS[2],
    }
}

impl EventRecorder {
    /// That a plan is about to be carried out: from now on it is the plan at hand.
    pub fn intent(&mut self, plan: &Plan) -> Event {
        self.context.plan = Some(plan.digest.clone());
        Event::now(EventKind::Intent {
            plan: plan.digest.clone(),
            transactions: plan.transactions.iter().map(Transaction::redacted).collect(),
        })
    }

    /// What each application and kind with nothing to do gets.
    #[must_use]
    pub fn no_change(&self, plan: &Plan) -> Vec<Event> {
        let busy: BTreeSet<_> = plan.steps().map(|step| (&step.application, kind(step))).collect();
        plan.applications
            .iter()
            .flat_map(|app| KINDS.map(|kind| (app, kind)))
            .filter(|(app, kind)| !busy.contains(&(&app.application, *kind)))
            .map(|(PlannedApplication { database, role, .. }, kind)| {
                Event::now(EventKind::NoChange {
                    database: database.clone(),
                    role: role.clone(),
                    kind,
                })
            })
            .collect()
    }

    /// What would be done.
    #[must_use]
    pub fn dry_run(&self, plan: &Plan) -> Vec<Event> {
        let steps = plan.steps().map(|step| {
            Event::now(EventKind::Step {
                step: Box::new(step.redacted()),
                status: Status::DryRun,
                duration: Duration::ZERO,
                reason: None,
            })
        });
        steps.chain(self.no_change(plan)).collect()
    }

    /// What was done: one transaction's steps.
    #[must_use]
    pub fn results(&self, steps: &[Step], results: &[StepResult]) -> Vec<Event> {
        steps
            .iter()
            .zip(results)
            .map(|(step, result)| {
                let (status, reason) = match &result.status {
                    StepStatus::Success => (Status::Success, None),
                    StepStatus::Error(reason) => (Status::Error, Some(reason.clone())),
                    StepStatus::NotRun => (Status::NotRun, None),
                };
                let step = Box::new(step.redacted());
                let duration = result.duration;
                let kind = EventKind::Step { step, status, duration, reason };
                Event { at: result.at, kind }
            })
            .collect()
    }

    /// How the run ended. `already_recorded` is whether the record of a step says the same already.
    #[must_use]
    pub fn outcome(&self, status: Status, message: &str, already_recorded: bool) -> Event {
        let (command, message) = (self.command, message.to_owned());
        Event::now(EventKind::Outcome { command, status, message, already_recorded })
    }
}
