//! Records: who was given what, when, by whom, in which build.
//!
//! A run is one stream of [`Event`]s. The CSV takes a row from most of them, the ledger a record from each
//! that somebody may have to answer for.

mod csv;
mod event;
mod ledger;
mod record;
mod report;
#[cfg(feature = "postgres")]
mod trail;
mod verify;
mod who;

pub use self::csv::{AuditError, CsvWriter, to_csv};
pub use event::{Command, Event, Happening};
pub use ledger::{Entry, Head, LedgerLine, LedgerWriter, Told};
pub use record::{Record, Status};
pub use report::{Change, changes};
#[cfg(feature = "postgres")]
pub use trail::Trail;
pub use verify::{Finding, Verified, Wrong, entries, verify};
pub use who::{Facts, Who};
