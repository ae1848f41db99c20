//! Why a record cannot be written.

use std::path::{Path, PathBuf};

use super::columns::Columns;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::text::os_reason;

/// A file for records cannot be opened or written. A run changes nothing before its intent is
/// recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be created or written.
    #[error("audit file {path} cannot be written: {}", os_reason(.source))]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Another process holds the lock on the file for too long.
    #[error("audit file {path} is locked by another process")]
    Locked {
        /// The path of the file.
        path: PathBuf,
    },
    /// The CSV file and the ledger are the same file.
    #[error("audit file {path} cannot be the CSV file and the ledger")]
    SameFile {
        /// The path of the file.
        path: PathBuf,
    },
    /// The path leads to a symbolic link, a pipe, a device or something else.
    #[error("audit file {path} is not a regular file")]
    NotRegular {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file exists and is not a ledger.
    #[error("{path} exists and is not a ledger of rdsprov")]
    NotALedger {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file exists and does not begin with the CSV header.
    #[error("{path} exists and is not a CSV file of rdsprov")]
    OtherHeader {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file exists and has the header of a run on one server, or of a fleet.
    #[error("{path} exists and {}", columns_differ(.has))]
    OtherColumns {
        /// The path of the file.
        path: PathBuf,
        /// The columns of the file.
        has: Columns,
    },
}

fn columns_differ(has: &Columns) -> &'static str {
    match has {
        Columns::Run => "has no column `instance`, which the records of a fleet need",
        Columns::Fleet => "has the column `instance`, which only the records of a fleet have",
    }
}

impl AuditError {
    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Locked { path }
            | Self::SameFile { path }
            | Self::NotRegular { path }
            | Self::NotALedger { path }
            | Self::OtherHeader { path }
            | Self::OtherColumns { path, .. } => path,
        }
    }

    /// Returns the reason without the path.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => os_reason(source),
            Self::Locked { .. } => "another process locks it".to_owned(),
            Self::SameFile { .. } => "the other records are in it".to_owned(),
            Self::NotRegular { .. } => "it is not a regular file".to_owned(),
            Self::NotALedger { .. } => "it is not a ledger of rdsprov".to_owned(),
            Self::OtherHeader { .. } => "it is not a CSV file of rdsprov".to_owned(),
            Self::OtherColumns { has, .. } => format!("it {}", columns_differ(has)),
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::AuditFileUnwritable,
            Self::Locked { .. } => ErrorCode::AuditFileLocked,
            Self::SameFile { .. }
            | Self::NotRegular { .. }
            | Self::NotALedger { .. }
            | Self::OtherHeader { .. }
            | Self::OtherColumns { .. } => ErrorCode::WrongAuditFile,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Io { .. } => hint![
                "check the path and its permissions, or name another file with ",
                Opt::AuditOutput,
                " or ",
                Opt::AuditLedger
            ],
            Self::Locked { path } => format!(
                "wait for the other run, then run again; `fuser {0} {0}.lock` shows the processes that have opened the files. \
                 Remove `{0}.lock` if it belongs to another user than `{0}`: each reader of the file could then hold the lock",
                path.display()
            )
            .into(),
            Self::SameFile { .. } => {
                hint!["name two files with ", Opt::AuditOutput, " and ", Opt::AuditLedger]
            }
            Self::NotRegular { .. } => hint![
                "name a regular file, without a symbolic link, with ",
                Opt::AuditOutput,
                " or ",
                Opt::AuditLedger
            ],
            Self::NotALedger { .. } => hint!["name a new file with ", Opt::AuditLedger],
            Self::OtherHeader { .. } | Self::OtherColumns { .. } => hint!["name a new file with ", Opt::AuditOutput],
        }]
    }
}
