//! The columns of a CSV file.

const HEADER: &str =
    "timestamp_utc,environment,build_id,run_id,database,username,action,status,duration_ms,message";

/// The columns of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Columns {
    /// Those of a run on one server.
    Run,
    /// Those of a run, and `instance`.
    Fleet,
}

impl Columns {
    pub(super) fn header(self) -> String {
        match self {
            Self::Run => HEADER.to_owned(),
            Self::Fleet => format!("{HEADER},instance"),
        }
    }
}
