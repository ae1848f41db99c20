//! A row of the CSV file, and the status that all records share.

use schemars::JsonSchema;
use serde::Serialize;

use crate::named_enum::named_enum;

named_enum! {
    /// The result of a step or of a run.
    "snake_case" pub enum Status {
        /// The change was committed, or the run has succeeded.
        Success,
        /// The server was already as declared.
        NoChange,
        /// The change was planned only.
        DryRun,
        /// A refusal or a gate has stopped the run before it changed anything.
        Refused,
        /// The step or the run has failed.
        Error,
        /// The step was executed and rolled back, because another step of its transaction failed.
        RolledBack,
        /// The server has not responded to the commit, so that the change may have been made.
        Unknown,
        /// The step was not executed.
        NotRun,
        /// The execution of a plan starts. This is not a result.
        Intent,
        /// This run has found that an earlier run has made the change without recording it.
        FoundDone,
        /// This run has found that an earlier run has not made the change.
        FoundNotDone,
        /// This run cannot find out whether an earlier run has made the change.
        FoundUnknown,
    }
}

/// A row of the CSV file; each field is a column.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "`docs/reference.md` describes the columns")]
pub struct Record {
    #[serde(rename = "timestamp_utc")]
    pub timestamp: String,
    pub environment: String,
    pub build_id: String,
    pub run_id: String,
    pub database: String,
    pub username: String,
    pub action: String,
    pub status: Status,
    pub duration_ms: u64,
    pub message: String,
    /// The last column, which only the records of a fleet have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Record {
    /// Returns the columns that contain text.
    pub(super) fn texts_mut(&mut self) -> [&mut String; 8] {
        let Self {
            timestamp,
            environment,
            build_id,
            run_id,
            database,
            username,
            action,
            status: _,
            duration_ms: _,
            message,
            // The fleet file allows only characters that need no change.
            instance: _,
        } = self;
        [timestamp, environment, build_id, run_id, database, username, action, message]
    }
}
