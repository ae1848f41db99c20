//! Records: who was given what, when, by whom, in which build.
//!
//! A run is one stream of [`Event`]s. The CSV takes a row from most of them, the ledger a record from each
//! that somebody may have to answer for.

mod attribution;
mod csv;
mod event;
#[cfg(feature = "postgres")]
mod event_recorder;
mod ledger;
mod record;
mod report;
mod verify;

pub use self::csv::{AuditError, CsvWriter, to_csv};
pub use attribution::{Attribution, RunContext};
pub use event::{Command, Event, EventKind};
#[cfg(feature = "postgres")]
pub use event_recorder::EventRecorder;
pub use ledger::{Entry, LedgerHead, LedgerLine, LedgerWriter, RecordBody};
pub use record::{Record, Status};
pub use report::{Change, changes};
pub use verify::{Finding, IntegrityError, Verified, entries, verify};
