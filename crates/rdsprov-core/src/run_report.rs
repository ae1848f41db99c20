//! The JSON document about a run that was applied, refused or failed. `session` makes it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::{Command, LedgerHead, Record};
use crate::diagnostic::ReportedError;
use crate::named_enum::named_enum;
use crate::plan::{Counts, Plan};
use crate::text::pretty_json;

named_enum! {
    /// How a run ended.
    "snake_case" pub enum RunStatus {
        /// The plan was applied, and the server is as declared.
        Applied,
        /// There was nothing to do.
        NoChange,
        /// The saved plan was applied before.
        AlreadyApplied,
        /// The run has ended before the plan was applied, as the option `dry_run` requires.
        DryRun,
        /// A rule or a gate forbids the plan. Nothing was changed, except what `committed` counts.
        Refused,
        /// The run has failed, and nothing was changed.
        Failed,
        /// The run has failed after a part was committed.
        Partial,
        /// The options, the configuration or the definitions are invalid.
        Invalid,
        /// The user interrupted the question whether to apply the plan.
        Interrupted,
    }
}

/// The result of a run of `apply`, `rotate`, `retire`, `teardown` or `delegate`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct RunReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The command.
    pub command: Command,
    /// How the run ended.
    pub status: RunStatus,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The name of the environment; empty if the run has failed before it was known.
    pub environment: String,
    /// The build id, or an empty text.
    pub build_id: String,
    /// The run id; empty if the run has failed before its options were read.
    pub run_id: String,
    /// The server, as `host:port`; `null` if it is not known.
    pub server: Option<String>,
    /// The digest of the last plan, which an approval can name; `null` without a plan.
    pub digest: Option<String>,
    /// The steps of the plans by what they do.
    pub planned: Counts,
    /// The number of steps that were committed.
    pub committed: usize,
    /// The errors; empty after a success.
    pub errors: Vec<ReportedError>,
    /// The first plan; `null` if none was made.
    pub plan: Option<Plan>,
    /// The records, as the CSV file contains them.
    pub records: Vec<Record>,
    /// The last record of the ledger; `null` without a ledger.
    pub ledger_head: Option<LedgerHead>,
}

impl RunReport {
    /// Returns the document in JSON.
    ///
    /// # Errors
    /// Returns an error if a value cannot be serialized.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }
}
