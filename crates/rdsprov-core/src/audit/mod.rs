//! Records: what a run has changed, when, for whom, and with which result.
//!
//! A run is one sequence of [`Event`]s. [`CsvWriter`] and [`LedgerWriter`] turn them into records;
//! the ledger leaves out [`EventKind::NoChange`]. [`verify`] checks a ledger, and [`report`] lists
//! the changes in it.
//!
//! This module must not know connections or front ends.

mod acknowledge;
mod attribution;
mod columns;
mod csv;
mod error;
mod event;
mod event_recorder;
mod file;
mod granted;
mod intents;
#[cfg(feature = "postgres")]
mod last_applied;
mod ledger;
mod missing_steps;
mod record;
mod report;
mod table_report;
mod verify;

pub use self::acknowledge::{AcknowledgeError, Acknowledgement, acknowledge};
pub use self::columns::Columns;
pub use self::csv::{CsvWriter, to_csv};
pub use attribution::{Attribution, RunContext};
pub use error::AuditError;
pub use event::{
    AnnouncedStep, Command, Event, EventKind, FailureCodes, Found, RefusedApplication,
};
pub use event_recorder::EventRecorder;
#[cfg(feature = "postgres")]
pub(crate) use file::Patience;
pub use granted::{
    AccessAt, GrantedAccess, LedgerTime, OtherRevocation, UncertainAccess, UncertainEffect,
    access_at,
};
pub use intents::UnrecordedIntent;
#[cfg(feature = "postgres")]
pub(crate) use last_applied::last_applied;
pub use ledger::{Entry, LedgerHead, LedgerLine, LedgerWriter, RecordBody};
pub use record::{Record, Status};
pub use report::{Change, ChangeResult, Report, UnknownName, changes, report};
pub use table_report::{
    DifferingColumn, NotCompared, TableDifference, TableReport, TableRow, TableState,
    audited_databases,
};
pub use verify::{Finding, IntegrityError, Verified, entries, verify};
