//! The events of a run, and their rows in the CSV file.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Record, RunContext, Status};
use crate::name::{DatabaseName, RoleName};
use crate::named_enum::named_enum;
use crate::plan::{Step, Transaction};

named_enum! {
    /// The command that a run executes.
    #[derive(Default)]
    "snake_case" pub enum Command {
        /// Changes the server so that it matches the definitions.
        #[default]
        Apply,
        /// Replaces the passwords of applications.
        Rotate,
        /// Ends the access of applications.
        Retire,
        /// Drops what a build has created.
        Teardown,
        /// Creates a delegate, which can then be the administrator.
        Delegate,
    }
}

/// An event of a run, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time of the event.
    pub at: Timestamp,
    /// The kind of the event, with its data.
    pub kind: EventKind,
}

/// The kind of an event, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The execution of a plan starts; no statement of it was executed yet.
    Intent {
        /// The command that the run executes.
        command: Command,
        /// The digest of the plan.
        plan: String,
        /// The short digest of the definition of each application, if the run is to apply all of them.
        definition_digests: BTreeMap<String, String>,
        /// All transactions of the plan, without passwords.
        transactions: Vec<Transaction<String>>,
    },
    /// A step has succeeded or failed, or was not run.
    Step {
        /// The step, without passwords.
        step: Box<Step<String>>,
        /// The result of the step.
        status: Status,
        /// The duration of the statements of the step.
        duration: Duration,
        /// The error, if the step has failed.
        reason: Option<String>,
    },
    /// The plan contains no change of one kind for an application.
    NoChange {
        /// The database of the application.
        database: DatabaseName,
        /// The role of the application.
        role: RoleName,
        /// The kind: `create_role`, `create_database` or `apply_grants`.
        kind: &'static str,
    },
    /// This run has looked for a change whose result an earlier run has not recorded.
    Recovered {
        /// The run id of the earlier run.
        of_run: String,
        /// The number of the intent that announces the change.
        of_intent: u64,
        /// The change.
        step: AnnouncedStep,
        /// What this run has found.
        found: Found,
    },
    /// A person has stated what became of a change of which no record contains the result.
    Acknowledged {
        /// The run id of the run that has announced the change.
        of_run: String,
        /// The number of the intent that announces the change.
        of_intent: u64,
        /// The change.
        step: AnnouncedStep,
        /// What the person states.
        found: Found,
        /// How the person knows it, or why it cannot be known.
        reason: String,
    },
    /// The run has ended, successfully or not.
    Outcome {
        /// The command that the run has executed.
        command: Command,
        /// The result of the run.
        status: Status,
        /// The refusal or the error; empty if the run has succeeded.
        message: String,
        /// The stable codes of the refusal or the error.
        codes: FailureCodes,
        /// Whether the record of a step already contains the error.
        already_recorded: bool,
        /// The short digest of the definition of each application, if all are applied now.
        applied: BTreeMap<String, String>,
    },
}

named_enum! {
    /// What a run has found of a change whose result an earlier run has not recorded.
    "snake_case" pub enum Found {
        /// The change was made: the current plan no longer contains it.
        Done,
        /// The change was not made: the current plan contains it.
        NotDone,
        /// The current plan does not show it, and no later plan will: the definitions have changed, or the
        /// run changes the same access.
        Unknown,
    }
}

impl From<Found> for Status {
    fn from(found: Found) -> Self {
        match found {
            Found::Done => Self::FoundDone,
            Found::NotDone => Self::FoundNotDone,
            Found::Unknown => Self::FoundUnknown,
        }
    }
}

/// The identity of a step in the intent of a run.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct AnnouncedStep {
    /// The kind of change.
    pub action: String,
    /// The application whose entry requires the change.
    pub application: String,
    /// The role that is changed or that gets or loses privileges.
    pub role: Option<String>,
    /// The database that is changed, or that contains the changed object.
    pub database: Option<String>,
    /// The change in words, without the action.
    pub summary: String,
}

impl<S> From<&Step<S>> for AnnouncedStep {
    fn from(step: &Step<S>) -> Self {
        Self {
            action: step.action.to_string(),
            application: step.application.to_string(),
            role: step.role.as_ref().map(ToString::to_string),
            database: step.database.as_ref().map(ToString::to_string),
            summary: step.summary.clone(),
        }
    }
}

/// The stable codes of the error that has ended a run. `rdsprov explain CODE` explains each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureCodes {
    /// The code of the error, such as `plan-refused`; absent if the run has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The refusals of the plan, if the plan was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusedApplication>,
}

/// The code of a refusal, with the application that it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedApplication {
    /// The name of the application.
    pub application: String,
    /// The code of the refusal, such as `role-not-managed`.
    pub code: String,
}

impl Event {
    /// Returns an event with the current time.
    #[must_use]
    pub fn now(kind: EventKind) -> Self {
        Self { at: Timestamp::now(), kind }
    }

    /// Returns the time in the format of RFC 3339, with milliseconds.
    pub(super) fn timestamp(&self) -> String {
        format!("{:.3}", self.at)
    }

    /// Returns the row of the event in the CSV file. It is `None` for a successful outcome, and for
    /// a failure that the row of a step already reports.
    #[must_use]
    pub fn row(&self, context: &RunContext) -> Option<Record> {
        let row = |database: &str, username: &str, action: &str, status, message: &str| Record {
            timestamp: self.timestamp(),
            environment: context.environment.clone(),
            build_id: context.build_id.clone(),
            run_id: context.run_id.clone(),
            database: database.to_owned(),
            username: username.to_owned(),
            action: action.to_owned(),
            status,
            duration_ms: 0,
            message: message.to_owned(),
            instance: context.instance.clone(),
        };
        match &self.kind {
            EventKind::Intent { plan, .. } => Some(row("", "", "intent", Status::Intent, plan)),
            EventKind::Step { step, status, duration, reason } => {
                let row = row(
                    step.database.as_ref().map_or("", DatabaseName::as_str),
                    step.role.as_ref().map_or("", RoleName::as_str),
                    &step.action.to_string(),
                    *status,
                    reason.as_ref().unwrap_or(&step.summary),
                );
                Some(Record { duration_ms: milliseconds(*duration), ..row })
            }
            EventKind::NoChange { database, role, kind } => {
                Some(row(database.as_str(), role.as_str(), kind, Status::NoChange, ""))
            }
            EventKind::Recovered { of_run, step, found, .. } => Some(row(
                step.database.as_deref().unwrap_or_default(),
                step.role.as_deref().unwrap_or_default(),
                &step.action,
                (*found).into(),
                &format!("run {of_run}: {}", step.summary),
            )),
            // Only a ledger contains it.
            EventKind::Acknowledged { .. } => None,
            EventKind::Outcome { command, status, message, already_recorded, .. } => {
                let failed = matches!(status, Status::Refused | Status::Error);
                (failed && !already_recorded)
                    .then(|| row("", "", &command.to_string(), *status, message))
            }
        }
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
