//! Records: what a run has changed, when, for whom, and with which result.
//!
//! A run is one sequence of [`Event`]s. [`CsvWriter`] and [`LedgerWriter`] turn them into records;
//! the ledger leaves out [`EventKind::NoChange`]. [`verify`] checks a ledger, and [`changes`] lists
//! the changes in it.
//!
//! This module must not know connections or front ends.

mod attribution;
mod csv;
mod event;
mod event_recorder;
mod ledger;
mod record;
mod report;
mod verify;

pub use self::csv::{AuditError, CsvWriter, to_csv};
pub use attribution::{Attribution, RunContext};
pub use event::{Command, Event, EventKind, FailureCodes, RefusedApplication};
pub use event_recorder::EventRecorder;
pub use ledger::{Entry, LedgerHead, LedgerLine, LedgerWriter, RecordBody};
pub use record::{Record, Status};
pub use report::{Change, changes};
pub use verify::{Finding, IntegrityError, Verified, entries, verify};
