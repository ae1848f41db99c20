//! Facts that a user needs while a run continues.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::config::LockTimeout;
use crate::name::ApplicationName;
use crate::server::{LockHolder, StatementWait};
use crate::text::counted;

/// A fact that a user needs while a run continues. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The directory of a file for records did not exist.
    DirectoryCreated(PathBuf),
    /// Another run holds the lock.
    WaitingForLock {
        /// The server, as `host:port`.
        server: String,
        /// The session of the other run, if the server shows it.
        holder: Option<LockHolder>,
        /// How long this run waits.
        timeout: LockTimeout,
    },
    /// Roles that are not administrators hold locks like those of runs. The run ignores them.
    LocksIgnored {
        /// The server, as `host:port`.
        server: String,
        /// The sessions of these roles.
        holders: Vec<LockHolder>,
    },
    /// A statement is executed for longer than 5 seconds.
    WaitingForStatement(StatementWait),
    /// The saved plan was applied in part, and the run applies the rest.
    Resumed {
        /// The number of changes that are left.
        left: usize,
        /// The number of all changes of the saved plan.
        of: usize,
    },
    /// The saved plan takes over roles and databases that are not managed, and the run may not.
    Adopted {
        /// The applications.
        applications: BTreeSet<ApplicationName>,
    },
    /// Applications are left out: refused ones, those whose part of the saved plan is stale, those with
    /// hazards that are not allowed, and those that depend on one of them.
    LeftOut {
        /// The applications.
        applications: BTreeSet<ApplicationName>,
        /// The number of changes that remain.
        changes: usize,
        /// Whether the run applies a saved plan.
        is_of_saved_plan: bool,
    },
    /// An earlier run has not recorded all results. This run has recorded what it found.
    Recovered {
        /// The run id of the earlier run.
        run_id: String,
        /// The number of changes without a result.
        changes: usize,
        /// The number of these changes that were made.
        done: usize,
    },
    /// The server has not responded to a commit. This run has looked what became of its changes.
    Looked {
        /// The number of changes without a known result.
        changes: usize,
        /// The number of these changes that were made.
        done: usize,
        /// The number of these changes that were not made. The next run finds out about the others.
        not_done: usize,
    },
    /// The server has not responded to a commit, and another server now answers at its address. The run
    /// believes nothing of what this server shows.
    OtherSystem {
        /// The number of changes without a known result.
        changes: usize,
    },
    /// A record cannot be written, and another error has ended the run already.
    NotRecorded {
        /// The file, with the reason.
        error: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DirectoryCreated(path) => {
                write!(f, "the directory {} did not exist and was created", path.display())
            }
            Self::WaitingForLock { server, holder, timeout } => {
                write!(f, "another run holds the lock on {server}")?;
                if let Some(holder) = holder {
                    write!(f, ": {holder}")?;
                }
                write!(f, "; waiting for it up to {timeout}")
            }
            Self::LocksIgnored { server, holders } => {
                let [first, others @ ..] = holders.as_slice() else { return Ok(()) };
                write!(
                    f,
                    "{first} holds advisory locks like those of runs on {server}, and is ignored, \
                     because its role is not an administrator"
                )?;
                match others.len() {
                    0 => Ok(()),
                    1 => f.write_str("; so is 1 other session"),
                    count => write!(f, "; so are {count} other sessions"),
                }
            }
            Self::WaitingForStatement(wait) => wait.fmt(f),
            Self::Resumed { left, of } => {
                write!(f, "the saved plan was applied in part; {left} of its {of} changes are left")
            }
            Self::Adopted { applications } => {
                let names: Vec<&str> = applications.iter().map(ApplicationName::as_str).collect();
                write!(
                    f,
                    "the saved plan was made with the adoption of {}, which this run lacks: run it with the \
                     same options",
                    names.join(", ")
                )
            }
            Self::LeftOut { applications, changes, is_of_saved_plan } => {
                let names: Vec<&str> = applications.iter().map(ApplicationName::as_str).collect();
                let names = names.join(", ");
                let stale =
                    if *is_of_saved_plan { "the saved plan is stale for them, or " } else { "" };
                write!(
                    f,
                    "left out, because {stale}they are refused, or have hazards that are not allowed, \
                     or depend on such an application: {names}; {changes} \
                     changes of other applications remain"
                )
            }
            Self::Recovered { run_id, changes, done } => write!(
                f,
                "run {run_id} has not recorded the results of {changes} changes: {done} of them \
                 were made, as this run has now recorded"
            ),
            Self::Looked { changes, done, not_done } => {
                let them = counted(*changes, "change");
                let were = if *done == 1 { "was" } else { "were" };
                write!(
                    f,
                    "the server did not respond to the commit of {them}: {done} of {changes} {were} made"
                )?;
                match changes - done - not_done {
                    0 => f.write_str(", as this run has found and recorded"),
                    left => write!(
                        f,
                        ", and {not_done} not, as this run has found and recorded; the next run looks for \
                         the other {left}"
                    ),
                }
            }
            Self::OtherSystem { changes } => write!(
                f,
                "the server did not respond to the commit of {}, and another server now answers at its \
                 address (its system identifier differs), so that this run records no result",
                counted(*changes, "change")
            ),
            Self::NotRecorded { error } => write!(f, "the failure is not recorded: {error}"),
        }
    }
}
