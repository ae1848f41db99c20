//! One record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Status {
    Success,
    NoChange,
    DryRun,
    Refused,
    Error,
    NotRun,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::NoChange, Self::DryRun, Self::Refused, Self::Error, Self::NotRun];
}

/// A row of the CSV.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the columns, as `docs/reference.md` has them")]
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
}
