//! Why a transaction of a plan failed, and what the run does then.

use std::collections::BTreeSet;
use std::ops::Range;

use super::connect::Session;
use super::connect_error::use_writer;
use super::execute::FailureKind;
use super::wait::LockWait;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::ApplicationName;
use crate::plan::{Hazard, Line};

/// The cause of a failure that is not an error of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureCause {
    /// The server has warned that it does not replicate a statement to the green environment of a
    /// blue/green deployment.
    NotReplicated,
    /// The administrator or the delegate could not log in after a change, which was reverted.
    LockedOut,
    /// The server accepts no changes: it is a reader or a standby.
    ReadOnly,
}

impl FailureCause {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NotReplicated => ErrorCode::BlueGreenInProgress,
            Self::LockedOut => ErrorCode::LoginPrevented,
            Self::ReadOnly => ErrorCode::ServerIsReadOnly,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(self) -> Hint {
        match self {
            Self::NotReplicated => hint![
                "complete the switchover of the blue/green deployment, or delete it, then run again; \
                 to create it again afterwards, allow the change with ",
                (Opt::Allow, Hazard::DegradesBlueGreen)
            ],
            Self::LockedOut => hint![
                "give the administrator an IAM token with ",
                (Opt::AdminAuth, "iam"),
                ", or use `auth = \"password\"` for the application"
            ],
            Self::ReadOnly => use_writer(),
        }
    }
}

/// Why a transaction failed.
pub(super) struct TransactionFailure {
    /// The indexes of the failed steps: those of the failed statement. If the failure was outside of
    /// the steps, they are those of the next statement, or the last step.
    pub steps: Range<usize>,
    pub message: String,
    /// What the failed statement has waited for.
    pub wait: Option<LockWait>,
    /// What to do about the failed statement, if the failure says it.
    pub hint: Option<Hint>,
    /// Whether the run ends in spite of `keep_going`.
    pub ends_run: bool,
    /// Why its statement failed.
    pub kind: Option<FailureKind>,
    /// Whether the server has not responded to `COMMIT` or `CREATE DATABASE`, so that it may have
    /// been executed.
    pub may_be_committed: bool,
    /// The process of the server that has executed the statement without a response.
    pub process: Option<i32>,
    /// Whether the statement took longer than the limit for statements.
    pub is_too_long: bool,
    /// Whether a new database contains objects of other roles, which the server has copied.
    pub has_copied_objects: bool,
    /// The applications with the failed step, with the steps that need the failed statement, or with
    /// steps on a database or role that is not that of the plan. Empty if it concerns all steps.
    pub applications: BTreeSet<ApplicationName>,
    /// Whether the run goes on without these applications.
    pub is_of_applications: bool,
    /// The cause, if it has a code of its own.
    pub cause: Option<FailureCause>,
}

impl TransactionFailure {
    pub fn at(steps: Range<usize>, message: String) -> Self {
        Self {
            steps,
            message,
            wait: None,
            hint: None,
            ends_run: false,
            kind: None,
            may_be_committed: false,
            process: None,
            is_too_long: false,
            has_copied_objects: false,
            applications: BTreeSet::new(),
            is_of_applications: false,
            cause: None,
        }
    }

    /// Returns the failure of a statement of a session.
    pub fn of(self, session: &Session) -> Self {
        Self { is_too_long: session.was_silent(), ..self }
    }

    pub fn ending_the_run(self) -> Self {
        Self { ends_run: true, ..self }
    }

    /// Returns the failure with a cause that ends the run.
    pub fn because_of(self, cause: FailureCause) -> Self {
        Self { cause: Some(cause), ..self }.ending_the_run()
    }

    /// Returns whether the server is not as the plan requires any more.
    fn has_changed(&self) -> bool {
        self.kind == Some(FailureKind::Changed)
    }

    /// Returns what to do about the failure, if it is more than to fix the cause and run again.
    pub fn hint(&self) -> Option<Hint> {
        let of_change = || {
            hint![
                "find out which role changed this, then run ",
                Operation::Plan,
                " again and apply the new plan"
            ]
        };
        let of_conflict = || {
            "run again: another session changed the same object at the same time; committed changes are kept"
                .into()
        };
        let of_cause = || self.cause.map(FailureCause::hint);
        // The session that holds the lock is more useful.
        let is_conflict = self.kind == Some(FailureKind::Conflict) && self.wait.is_none();
        let hint = self.hint.clone().or_else(of_cause);
        let hint = hint.or_else(|| self.has_changed().then(of_change));
        hint.or_else(|| is_conflict.then(of_conflict))
    }

    /// Returns the failure of a `COMMIT` or `CREATE DATABASE` without a response of this process.
    pub fn maybe_committed(self, line: &Line<'_>, process: i32) -> Self {
        let what = match line {
            Line::Before(_) => "the database may have been created or dropped",
            _ => "the changes may have been committed",
        };
        let message = format!("{}; {what}", self.message);
        Self { message, may_be_committed: true, process: Some(process), ..self }
    }
}

/// Returns the failure of a statement during which the end of the run was requested.
pub(super) fn stopped_at(steps: Range<usize>, text: &str) -> TransactionFailure {
    TransactionFailure::at(steps, format!("stopped at: {text}")).ending_the_run()
}
