//! The exit codes of the command, which other front ends return as numbers.

use super::apply::Outcome;
use super::error::{Error, Kind};
use crate::plan::Plan;

/// How an operation ended. The numbers are the exit codes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything was done, or there was nothing to do.
    Done = 0,
    /// The operation failed, and nothing was committed.
    Failed = 1,
    /// The server differs from the definitions.
    Pending = 2,
    /// A rule forbids the operation.
    Refused = 3,
    /// The operation failed after a part was committed.
    Partial = 4,
    /// The options or the configuration are invalid.
    Usage = 64,
    /// The user interrupted the question whether to apply the plan, and nothing was changed.
    Interrupted = 130,
}

impl ExitCode {
    /// Returns the number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Returns how planning ended.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        if plan.refusals.is_empty() { Self::Done } else { Self::Refused }
    }

    /// Returns how a comparison with the definitions ended, which also reports differences that no
    /// step changes, and the findings in [`Plan::fail_on`].
    #[must_use]
    pub fn of_check(plan: &Plan) -> Self {
        match Self::of_plan(plan) {
            Self::Done if !plan.passes_check() => Self::Pending,
            code => code,
        }
    }
}

impl Error {
    /// Returns the exit code of an operation that has committed nothing.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.kind() {
            Kind::Usage => ExitCode::Usage,
            Kind::Refused => ExitCode::Refused,
            Kind::Failed => ExitCode::Failed,
        }
    }
}

impl Outcome {
    /// Returns the exit code of the run.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match &self.result {
            Ok(_) => ExitCode::Done,
            // What was left out was not touched.
            Err(error) if self.committed && !error.is_about_left_out() => ExitCode::Partial,
            Err(error) => error.exit_code(),
        }
    }
}
