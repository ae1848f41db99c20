//! The results of executing the steps of a plan.
//!
//! This module does not know how a step is executed or recorded.

use std::time::Duration;

use jiff::Timestamp;

/// The result of executing a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStatus {
    /// The transaction of the step was committed.
    Success,
    /// The step failed, or its transaction failed before the next step or at its end. Contains the
    /// message. Of a failed transaction, exactly one step has this status.
    Error(String),
    /// The step was executed and rolled back, because another step of its transaction failed.
    RolledBack {
        /// What remains nevertheless, because it was committed before the transaction: a new
        /// database.
        remains: Option<String>,
    },
    /// The step was executed, and the server has not responded to the commit of its transaction, or to
    /// `CREATE DATABASE`: the change may have been made. The next run finds out. The last of these
    /// steps contains the message.
    Unknown(Option<String>),
    /// The step was not executed.
    NotRun,
}

/// The result of one step, with its time. Results are in the order of
/// [`Plan::steps`](crate::plan::Plan::steps).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Whether the step succeeded.
    pub status: StepStatus,
    /// The time that the statements of the step took, including repetitions.
    pub duration: Duration,
    /// The time when the transaction ended.
    pub at: Timestamp,
}
