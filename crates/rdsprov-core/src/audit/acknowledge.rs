//! Records what a person states about changes of which no run can find out the result any more, for
//! `rdsprov audit acknowledge`.
//!
//! The application of such a change has left all definitions, or later changes have replaced what it would
//! show. The intent stays in the ledger, and the statement is a record of its own, with its author and reason.

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::report::{Change, changes};
use super::{
    AnnouncedStep, Attribution, AuditError, Event, EventKind, Found, LedgerWriter, RunContext,
};
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::text::os_reason;

/// The maximum length of a reason, in characters.
const MAXIMUM_REASON: usize = 1000;

/// What a person states about changes of which no record contains the result.
#[derive(Debug, Clone)]
pub struct Acknowledgement {
    /// The lines of the intents that announce the changes, as `audit report` prints them.
    pub lines: BTreeSet<u64>,
    /// The role that the changes concern; `None` for all.
    pub role: Option<String>,
    /// The database that the changes concern; `None` for all.
    pub database: Option<String>,
    /// What became of the changes.
    pub found: Found,
    /// How the person knows it, or why it cannot be known.
    pub reason: String,
    /// The person.
    pub attribution: Attribution,
    /// The id that tells the records from those of runs.
    pub run_id: String,
}

/// An acknowledgement was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcknowledgeError {
    /// The ledger cannot be read.
    #[error("{path} cannot be read: {}", os_reason(.source))]
    Unreadable {
        /// The path of the ledger.
        path: PathBuf,
        /// The error of the operating system, or of a record.
        source: io::Error,
    },
    /// The ledger cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The line has no change, of this role and in this database, whose result is unknown.
    #[error("line {line} announces no such change whose result is missing")]
    NothingUnknown {
        /// The line.
        line: u64,
        /// The lines that are such intents.
        others: BTreeSet<u64>,
    },
    /// The reason is empty or too long.
    #[error("the reason has {length} characters, and needs 1 to {MAXIMUM_REASON}")]
    Reason {
        /// The length without spaces around it, in characters.
        length: usize,
    },
}

impl AcknowledgeError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Audit(error) => error.code(),
            Self::Unreadable { .. } => ErrorCode::FileUnreadable,
            Self::NothingUnknown { .. } | Self::Reason { .. } => ErrorCode::WrongUsage,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Unreadable { .. } => {
                vec!["check the path and the permissions of the file".into()]
            }
            Self::Audit(error) => error.hints(),
            Self::NothingUnknown { others, .. } if others.is_empty() => {
                vec!["the result of each change is known or acknowledged".into()]
            }
            Self::NothingUnknown { others, .. } => {
                let lines: Vec<String> = others.iter().map(u64::to_string).collect();
                vec![
                    format!(
                        "the changes that lines {} announce have no result: `rdsprov audit report` lists them",
                        lines.join(", ")
                    )
                    .into(),
                ]
            }
            Self::Reason { .. } => {
                vec!["say how the result is known, or why it cannot be known".into()]
            }
        }
    }
}

/// Records what a person states, and returns the changes that it concerns.
///
/// Runs do not look for these changes any more.
///
/// # Errors
/// Returns an error if the ledger cannot be read or written, or if a line is not an intent with such a
/// change; then nothing is recorded.
pub fn acknowledge(
    ledger: &Path,
    statement: &Acknowledgement,
) -> Result<Vec<Change>, AcknowledgeError> {
    let unreadable = |source| AcknowledgeError::Unreadable { path: ledger.to_owned(), source };
    let reason = statement.reason.trim();
    let length = reason.chars().count();
    if !(1..=MAXIMUM_REASON).contains(&length) {
        return Err(AcknowledgeError::Reason { length });
    }
    let missing = || unreadable(io::ErrorKind::NotFound.into());
    let writer = LedgerWriter::open_existing(ledger)?.ok_or_else(missing)?;
    let file = std::fs::File::open(ledger).map_err(unreadable)?;
    let (role, database) = (statement.role.as_deref(), statement.database.as_deref());
    let mut open = changes(BufReader::new(file), role, database).map_err(unreadable)?;
    open.retain(|change| change.of_intent.is_some());
    let others: BTreeSet<u64> = open.iter().map(|change| change.line).collect();
    if let Some(line) = statement.lines.difference(&others).next() {
        return Err(AcknowledgeError::NothingUnknown { line: *line, others });
    }
    open.retain(|change| statement.lines.contains(&change.line));
    for line in &statement.lines {
        let of_line = || open.iter().filter(|change| change.line == *line);
        let events: Vec<Event> = of_line()
            .map(|change| {
                Event::now(EventKind::Acknowledged {
                    of_run: change.context.run_id.clone(),
                    of_intent: change.of_intent.unwrap_or_default(),
                    step: AnnouncedStep::from(&change.step),
                    found: statement.found,
                    reason: reason.to_owned(),
                })
            })
            .collect();
        let Some(change) = of_line().next() else { continue };
        let of_intent = &change.context;
        let context = RunContext {
            environment: of_intent.environment.clone(),
            scope: of_intent.scope.clone(),
            server: of_intent.server.clone(),
            system_identifier: of_intent.system_identifier.clone(),
            instance: of_intent.instance.clone(),
            run_id: statement.run_id.clone(),
            attribution: statement.attribution.clone(),
            ..RunContext::default()
        };
        writer.append(&context, &events)?;
    }
    Ok(open)
}
