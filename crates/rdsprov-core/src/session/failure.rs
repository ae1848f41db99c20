//! How a run fails after its execution has started: what was committed, what is recorded, and how
//! to continue.

use std::fmt;
use std::path::PathBuf;

use crate::audit::AuditError;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::server::{FailedStep, FailureCause, LockHolder};
use crate::text::{counted, visible};

/// The number of changes that a message lists.
const LISTED: usize = 5;

/// How a user continues after a part of a plan was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// The same run again: it plans what is left.
    RunAgain,
    /// The same saved plan again: what is left of it is applied, or it is refused as stale.
    SamePlan,
    /// A new approval: the digest of the approved plan does not approve what is left.
    NewApproval,
}

impl Continuation {
    /// Returns what to do next, after a cause was removed or without one.
    pub(super) fn hint(self) -> Hint {
        match self {
            Self::RunAgain => "fix the cause and run again; committed changes are kept".into(),
            Self::SamePlan => hint![
                "fix the cause and apply the same plan again: what is left of it is applied if a \
                 new plan would do exactly that; otherwise run ",
                Operation::Plan,
                " and apply the new plan; committed changes are kept"
            ],
            Self::NewApproval => hint![
                "fix the cause, run ",
                Operation::Plan,
                ", have the remaining changes approved, and set ",
                (Opt::Approval, "sha256:…"),
                " with the new digest; committed changes are kept"
            ],
        }
    }
}

/// The number of changes that a run has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The number of committed changes.
    pub committed: usize,
    /// The number of changes whose commit may have been executed.
    pub unknown: usize,
    /// The number of changes of the plan.
    pub total: usize,
}

impl fmt::Display for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.committed, self.total) {
            (committed, total) if self.unknown > 0 => {
                let most = committed + self.unknown;
                write!(f, "between {committed} and {most} of {total} changes were committed")
            }
            (0, 1) => f.write_str("the only change was not committed"),
            (0, total) => write!(f, "none of {total} changes was committed"),
            (1, total) => write!(f, "1 of {total} changes was committed"),
            (committed, total) => write!(f, "{committed} of {total} changes were committed"),
        }
    }
}

/// A statement of a plan failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementFailure {
    /// The message of the server with its SQLSTATE, or what else has failed.
    pub message: String,
    /// The step that failed; `None` if no statement has failed.
    pub step: Option<FailedStep>,
    /// The changes that were committed before.
    pub committed: Committed,
    /// What to do about this failure, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
    /// The cause, if it has a code of its own.
    pub cause: Option<FailureCause>,
    /// How to continue.
    pub continuation: Continuation,
}

impl StatementFailure {
    pub(super) fn code(&self) -> ErrorCode {
        self.cause.map_or(ErrorCode::StatementFailed, FailureCause::code)
    }

    pub(super) fn hints(&self) -> Vec<Hint> {
        if let Some(hint) = &self.hint {
            return vec![hint.clone()];
        }
        let holders = self.step.iter().flat_map(|step| &step.holders);
        let is_too_long = self.step.as_ref().is_some_and(|step| step.is_too_long);
        let mut hints: Vec<Hint> = holders.filter_map(LockHolder::advice).map(Hint::from).collect();
        if is_too_long {
            hints.push(hint![
                "check the server; if its statements need more time, raise ",
                Opt::StatementTimeout
            ]);
        }
        hints.push(self.continuation.hint());
        hints
    }
}

impl fmt::Display for StatementFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(FailedStep { place, step, .. }) = &self.step else {
            return f.write_str(&self.message);
        };
        write!(f, "{}: {step} failed ({place}): {}", self.committed, self.message)
    }
}

/// Changes were committed whose records cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub struct NotRecorded {
    /// The file that cannot be written, with the reason.
    #[source]
    pub error: AuditError,
    /// The committed changes that are not in this file.
    pub changes: Vec<String>,
    /// The files that contain these changes.
    pub recorded_in: Vec<PathBuf>,
    /// Where the changes were made: `database shop`, or `roles and databases`.
    pub place: String,
    /// All changes that the run has committed.
    pub committed: Committed,
    /// How to continue.
    pub continuation: Continuation,
}

impl NotRecorded {
    pub(super) fn hints(&self) -> Vec<Hint> {
        let file = self.error.path().display().to_string();
        vec![
            format!(
                "make {file} writable again, for example with more free space; the next run \
                 records in it what became of these changes"
            )
            .into(),
            self.continuation.hint(),
        ]
    }
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.changes.len();
        let were =
            format!("{} {}", counted(count, "change"), if count == 1 { "was" } else { "were" });
        write!(
            f,
            "{were} committed ({}), but not written to {} ({}): {}",
            self.place,
            self.error.path().display(),
            self.error.reason(),
            self.changes.iter().take(LISTED).map(|one| visible(one)).collect::<Vec<_>>().join("; "),
        )?;
        if count > LISTED {
            write!(f, "; and {} more", count - LISTED)?;
        }
        let files: Vec<String> =
            self.recorded_in.iter().map(|path| path.display().to_string()).collect();
        let them = if count == 1 { "it is" } else { "they are" };
        match files.as_slice() {
            [] => write!(f, "; {them} in the output of this run only")?,
            files => write!(f, "; {them} in {}", files.join(" and "))?,
        }
        write!(f, "; in all, {}", self.committed)
    }
}

/// The records of the next transaction need more space than is free.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub struct NoSpaceForRecords {
    /// The file that has no space, with the reason.
    #[source]
    pub error: AuditError,
    /// Where the next transaction would have run: `database shop`, or `roles and databases`.
    pub place: String,
    /// The changes that were committed before, all of which are recorded.
    pub committed: Committed,
    /// How to continue.
    pub continuation: Continuation,
}

impl NoSpaceForRecords {
    pub(super) fn hints(&self) -> Vec<Hint> {
        vec![
            format!("free space for {}", self.error.path().display()).into(),
            self.continuation.hint(),
        ]
    }
}

impl fmt::Display for NoSpaceForRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the records of the next changes ({}) have no space in {} ({})",
            self.committed,
            self.place,
            self.error.path().display(),
            self.error.reason()
        )
    }
}
