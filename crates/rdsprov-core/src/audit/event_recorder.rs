//! Turns a plan and the results of its execution into events.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{
    AnnouncedStep, Command, Event, EventKind, FailureCodes, Found, RunContext, Status,
    UnrecordedIntent,
};
use crate::plan::{Action, Plan, PlannedApplication, Scope, Step, Transaction};
use crate::privilege::AccessLevel;
use crate::step_result::{StepResult, StepStatus};

/// Creates the events of a run from its plan and its results.
#[derive(Debug, Clone, Default)]
pub struct EventRecorder {
    /// The data that all records of the run have in common.
    pub context: RunContext,
    /// The command that the run executes.
    pub command: Command,
    /// The short digest of the definition of each application, if the run is to apply all of them.
    pub definitions: BTreeMap<String, String>,
}

/// The kinds of changes. The names are also the actions of `no_change` rows.
const KINDS: [&str; 3] = ["create_role", "create_database", "apply_grants"];

fn kind(step: &Step) -> &'static str {
    match step.action {
        Action::CreateSecret
        | Action::DeleteSecret
        | Action::CreateRole
        | Action::AlterRole
        | Action::SetPassword
        | Action::EndSessions
        | Action::DropRole
        | Action::SetParameter
        | Action::CreatePending
        | Action::TestPassword
        | Action::FinishRotation
        | Action::RestorePassword => KINDS[0],
        Action::Adopt if step.database.is_none() => KINDS[0],
        Action::CreateDatabase
        | Action::DropDatabase
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
    /// Records no definition as applied if the last plan of the run leaves changes pending.
    pub fn ends_with(&mut self, last: &Plan) {
        if !last.pending.is_empty() {
            self.definitions.clear();
        }
    }

    /// Returns the event for the start of the execution of a plan. The records after it contain
    /// the digest of this plan.
    pub fn intent(&mut self, plan: &Plan) -> Event {
        self.context.plan = Some(plan.digest.clone());
        Event::now(EventKind::Intent {
            command: self.command,
            plan: plan.digest.clone(),
            definition_digests: self.definitions.clone(),
            transactions: plan.transactions.iter().map(Transaction::redacted).collect(),
        })
    }

    /// Returns a `no_change` event for each application and each kind of change, if the plan has no
    /// step of this kind for the application. Only the owner's entry declares a database, so other
    /// entries have no event `create_database`.
    #[must_use]
    pub fn no_change(&self, plan: &Plan) -> Vec<Event> {
        let mut changed: BTreeSet<_> =
            plan.steps().map(|step| (&step.application, kind(step))).collect();
        // With a role or a database, its privileges are dropped, too.
        for step in plan.steps() {
            let is_dropped = |app: &&PlannedApplication| match step.action {
                Action::DropRole => step.role.as_ref() == Some(&app.role),
                Action::DropDatabase => step.database.as_ref() == Some(&app.database),
                _ => false,
            };
            let dropped = plan.applications.iter().filter(is_dropped);
            changed.extend(dropped.map(|app| (&app.application, KINDS[2])));
        }
        plan.applications
            .iter()
            .flat_map(|app| KINDS.map(|kind| (app, kind)))
            .filter(|(app, kind)| *kind != KINDS[1] || app.access_level == AccessLevel::Owner)
            .filter(|(app, kind)| !changed.contains(&(&app.application, *kind)))
            .map(|(PlannedApplication { database, role, .. }, kind)| {
                Event::now(EventKind::NoChange {
                    database: database.clone(),
                    role: role.clone(),
                    kind,
                })
            })
            .collect()
    }

    /// Returns the events of a run that only plans: the steps, and the applications without steps.
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

    /// Returns the events of a plan of which no step was executed.
    #[must_use]
    pub fn not_run(&self, plan: &Plan) -> Vec<Event> {
        let at = Timestamp::now();
        let not_run = StepResult { status: StepStatus::NotRun, duration: Duration::ZERO, at };
        let one = |transaction: &Transaction| {
            self.results(&transaction.steps, &vec![not_run.clone(); transaction.steps.len()])
        };
        plan.transactions.iter().flat_map(one).collect()
    }

    /// Returns the events for the steps of one transaction, given their results in the same order.
    #[must_use]
    pub fn results(&self, steps: &[Step], results: &[StepResult]) -> Vec<Event> {
        steps
            .iter()
            .zip(results)
            .map(|(step, result)| {
                let (status, reason) = match &result.status {
                    StepStatus::Success => (Status::Success, None),
                    StepStatus::Error(reason) => (Status::Error, Some(reason.clone())),
                    StepStatus::RolledBack { remains } => (Status::RolledBack, remains.clone()),
                    StepStatus::Unknown(reason) => (Status::Unknown, reason.clone()),
                    StepStatus::NotRun => (Status::NotRun, None),
                };
                let step = Box::new(step.redacted());
                let duration = result.duration;
                let kind = EventKind::Step { step, status, duration, reason };
                Event { at: result.at, kind }
            })
            .collect()
    }

    /// Returns an event for each step of an earlier intent that has no result, with what the
    /// current plan shows about it. A step about which a later run can find out more has none.
    #[must_use]
    pub fn recovered(&self, plan: &Plan, intent: &UnrecordedIntent) -> Vec<Event> {
        // Another server can answer at the same address since then.
        if !intent.is_of_system(plan.origin.system_identifier.as_deref()) {
            return Vec::new();
        }
        let planned = plan.steps().chain(&plan.pending);
        let planned: HashSet<AnnouncedStep> = planned.map(Into::into).collect();
        let changed: HashSet<_> =
            planned.iter().map(|one| (&one.action, &one.role, &one.database)).collect();
        let executed: HashSet<_> = plan
            .steps()
            .map(AnnouncedStep::from)
            .map(|one| (one.role.clone(), one.database.clone()))
            .collect();
        // The next plan continues with a database that was created, and repeats the step for the rest of it.
        let continued = plan
            .transactions
            .iter()
            .filter(|one| matches!(one.scope, Scope::NewDatabase(_)) && one.before.is_none());
        let continued = continued.flat_map(|one| &one.steps);
        let created: HashSet<AnnouncedStep> = continued
            .filter(|step| step.action == Action::CreateDatabase)
            .map(Into::into)
            .collect();
        let same_definitions = intent.definitions == self.context.definitions;
        // A rotation contains the steps of some applications only.
        let shows_all = plan.origin.torn_down_build.is_none()
            && plan.refusals.is_empty()
            && plan.deferred.is_empty()
            && self.command != Command::Rotate;
        // The definitions then and now, if both runs were to apply all of them. The owner entry of a database also
        // decides about the privileges of other applications.
        let (then, now) = (&intent.definition_digests, &self.definitions);
        let none_is_missing = then.keys().all(|name| now.contains_key(name));
        let is_unchanged =
            |name: &str| then.get(name).is_some_and(|one| now.get(name) == Some(one));
        let are_unchanged = |step: &AnnouncedStep| {
            let is_related = |app: &&PlannedApplication| {
                step.database.as_deref() == Some(app.database.as_str())
                    || step.role.as_deref() == Some(app.role.as_str())
            };
            // A new entry for another role decides about the privileges of this role only.
            let is_independent = |app: &&PlannedApplication| {
                !then.contains_key(app.application.as_str())
                    && app.access_level != AccessLevel::Owner
                    && step.role.as_deref() != Some(app.role.as_str())
            };
            let related = plan.applications.iter().filter(is_related);
            let mut related = related.filter(|app| !is_independent(app));
            none_is_missing
                && is_unchanged(&step.application)
                && related.all(|app| is_unchanged(app.application.as_str()))
        };
        let found = |step: &AnnouncedStep| {
            let concerns_same = changed.contains(&(&step.action, &step.role, &step.database));
            let is_same = same_definitions || are_unchanged(step);
            let only = &plan.origin.only;
            let is_selected =
                only.is_empty() || only.iter().any(|one| one.as_str() == step.application);
            let shows_all = shows_all && is_selected;
            if created.contains(step) {
                Some(Found::Done)
            } else if planned.contains(step) {
                Some(Found::NotDone)
            } else if shows_all && is_same && !concerns_same {
                Some(Found::Done)
            } else if executed.contains(&(step.role.clone(), step.database.clone()))
                || shows_all && now.contains_key(&step.application) && !is_same
            {
                // After this run, the server does not show it any more: the run changes the same
                // access, or another definition applies.
                Some(Found::Unknown)
            } else {
                None
            }
        };
        let event = |step: &AnnouncedStep| {
            Some(Event::now(EventKind::Recovered {
                of_run: intent.run_id.clone(),
                of_intent: intent.sequence,
                found: found(step)?,
                step: step.clone(),
            }))
        };
        intent.steps.iter().filter_map(event).collect()
    }

    /// Returns the event for the end of the run. `already_recorded` says whether the record of a
    /// step already contains the error.
    #[must_use]
    pub fn outcome(
        &self,
        status: Status,
        message: &str,
        codes: FailureCodes,
        already_recorded: bool,
    ) -> Event {
        let (command, message) = (self.command, message.to_owned());
        let is_complete = matches!(status, Status::Success | Status::NoChange);
        let applied = if is_complete { self.definitions.clone() } else { BTreeMap::new() };
        Event::now(EventKind::Outcome {
            command,
            status,
            message,
            codes,
            already_recorded,
            applied,
        })
    }
}
