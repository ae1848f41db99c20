//! What happens in a run, and the row of the CSV that it makes.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Record, RunContext, Status};
use crate::name::{DatabaseName, RoleName};
use crate::plan::{Step, Transaction};

/// What a run was asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// To make a server as declared.
    #[default]
    Apply,
    /// To give applications new passwords.
    Rotate,
    /// To make a role that administers in the master's place.
    Delegate,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply => "apply",
            Self::Rotate => "rotate",
            Self::Delegate => "delegate",
        })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A plan is about to be carried out; nothing was changed for it yet.
    Intent {
        /// The plan's digest.
        plan: String,
        /// All that it will do.
        transactions: Vec<Transaction<String>>,
    },
    /// A step has ended, or its turn has not come.
    Step {
        /// The step.
        step: Box<Step<String>>,
        /// How it ended.
        status: Status,
        /// How long its own statements took.
        duration: Duration,
        /// Why it failed, where it did.
        reason: Option<String>,
    },
    /// An application has nothing to do in one kind of change.
    NoChange {
        /// Its database.
        database: DatabaseName,
        /// Its role.
        role: RoleName,
        /// The kind.
        kind: &'static str,
    },
    /// The run has ended.
    Outcome {
        /// What it was of.
        command: Command,
        /// How.
        status: Status,
        /// In words; nothing where it ended well.
        message: String,
        /// Whether the record of a step says the same already.
        already_recorded: bool,
    },
}

impl Event {
    /// Something that happens now.
    #[must_use]
    pub fn now(kind: EventKind) -> Self {
        Self { at: Timestamp::now(), kind }
    }

    /// As RFC 3339 writes its time, in milliseconds.
    pub(super) fn timestamp(&self) -> String {
        format!("{:.3}", self.at)
    }

    /// Its row in the CSV, where it has one.
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
        };
        match &self.kind {
            EventKind::Intent { plan, .. } => Some(row("", "", "intent", Status::NotRun, plan)),
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
            EventKind::Outcome { command, status, message, already_recorded } => {
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
