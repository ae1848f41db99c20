//! Where the events of an apply go: to the ledger and to the CSV where such are named, then to the front end.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Frontend;
use crate::audit::{
    AuditError, Command, CsvWriter, Event, EventKind, EventRecorder, LedgerHead, LedgerWriter,
    Record, RunContext, Status,
};

/// The records of a run.
pub(super) struct Records<'a, F> {
    frontend: &'a F,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    ledger: Option<LedgerWriter>,
    head: Option<LedgerHead>,
    csv: Option<CsvWriter>,
    all: Vec<Record>,
    /// What was known of the run last.
    context: RunContext,
    command: Command,
    /// Whether its outcome is recorded.
    ended: bool,
}

impl<'a, F: Frontend> Records<'a, F> {
    /// Opens the files, and says whether that went well: what went wrong with the one is recorded in the
    /// other.
    pub(super) fn open(
        frontend: &'a F,
        csv: Option<PathBuf>,
        ledger: Option<PathBuf>,
        EventRecorder { context, command }: EventRecorder,
    ) -> (Self, Result<(), AuditError>) {
        let mut kept = Kept { context, command, ..Kept::default() };
        let open = || {
            kept.ledger = ledger.map(|path| LedgerWriter::open(&path)).transpose()?;
            kept.csv = csv.map(|path| CsvWriter::append(&path)).transpose()?;
            Ok(())
        };
        let opened = open();
        (Self { frontend, kept: Mutex::new(kept) }, opened)
    }

    /// On disk first: who looks on may be gone.
    pub(super) fn write(&self, context: &RunContext, events: &[Event]) -> Result<(), AuditError> {
        let rows: Vec<Record> = events.iter().filter_map(|event| event.row(context)).collect();
        self.kept().write(context, events, &rows)?;
        // Where there is nothing to tell, the header tells that.
        if !rows.is_empty() || events.is_empty() {
            self.frontend.on_records(&rows);
        }
        Ok(())
    }

    /// All rows, and the last record of the ledger.
    pub(super) fn into_all(self) -> (Vec<Record>, Option<LedgerHead>) {
        let mut kept = self.kept();
        (std::mem::take(&mut kept.all), kept.head.take())
    }
}

impl<F> Records<'_, F> {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn write(
        &mut self,
        context: &RunContext,
        events: &[Event],
        rows: &[Record],
    ) -> Result<(), AuditError> {
        self.context.clone_from(context);
        if let Some(ledger) = &self.ledger
            && let Some(head) = ledger.append(context, events)?
        {
            self.head = Some(head);
        }
        self.ended |= events.iter().any(|event| matches!(event.kind, EventKind::Outcome { .. }));
        if let Some(csv) = &mut self.csv {
            rows.iter().try_for_each(|record| csv.write(record))?;
            csv.sync()?;
        }
        self.all.extend_from_slice(rows);
        Ok(())
    }
}

impl<F> Drop for Records<'_, F> {
    /// A panic, or a front end that does not wait any longer, is an outcome, too.
    fn drop(&mut self) {
        let mut kept = self.kept();
        if kept.ended {
            return;
        }
        let kind = EventKind::Outcome {
            command: kept.command,
            status: Status::Error,
            message: "the run was broken off".to_owned(),
            already_recorded: false,
        };
        let context = kept.context.clone();
        // There is nobody left to tell that this failed; the run stays without an end.
        let _ = kept.write(&context, &[Event::now(kind)], &[]);
    }
}
