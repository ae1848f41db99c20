//! Writes the events of a run to the ledger and the CSV file, if they are configured, and then
//! passes them to the front end.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frontend::Frontend;
use crate::audit::{
    AuditError, Command, CsvWriter, Event, EventKind, EventRecorder, FailureCodes, LedgerHead,
    LedgerWriter, Record, RunContext, Status,
};
use crate::error_code::ErrorCode;

/// The destinations of the records of a run.
pub(super) struct Records<'a, F> {
    frontend: &'a F,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ledger: Option<LedgerWriter>,
    head: Option<LedgerHead>,
    csv: Option<CsvWriter>,
    all: Vec<Record>,
    /// The context of the last record.
    context: RunContext,
    command: Command,
    /// Whether the outcome of the run is recorded.
    ended: bool,
}

impl<'a, F: Frontend> Records<'a, F> {
    /// Opens the files, and also returns the records if this fails: an error with one file is
    /// recorded in the other.
    pub(super) fn open(
        frontend: &'a F,
        csv: Option<PathBuf>,
        ledger: Option<PathBuf>,
        EventRecorder { context, command }: EventRecorder,
    ) -> (Self, Result<(), AuditError>) {
        let mut state = State { context, command, ..State::default() };
        let open = || {
            state.ledger = ledger.map(|path| LedgerWriter::open(&path)).transpose()?;
            state.csv = csv.map(|path| CsvWriter::append(&path)).transpose()?;
            Ok(())
        };
        let opened = open();
        (Self { frontend, state: Mutex::new(state) }, opened)
    }

    /// Writes events to the files first, because the callback of the front end can fail.
    pub(super) fn write(&self, context: &RunContext, events: &[Event]) -> Result<(), AuditError> {
        let rows: Vec<Record> = events.iter().filter_map(|event| event.row(context)).collect();
        self.state().write(context, events, &rows)?;
        // An empty list of events still makes the front end print the CSV header.
        if !rows.is_empty() || events.is_empty() {
            self.frontend.on_records(&rows);
        }
        Ok(())
    }

    /// Returns all CSV rows and the last record of the ledger.
    pub(super) fn into_all(self) -> (Vec<Record>, Option<LedgerHead>) {
        let mut state = self.state();
        (std::mem::take(&mut state.all), state.head.take())
    }
}

impl<F> Records<'_, F> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
    /// Records an outcome after a panic, or if the front end drops the future of the run.
    fn drop(&mut self) {
        let mut state = self.state();
        if state.ended {
            return;
        }
        let kind = EventKind::Outcome {
            command: state.command,
            status: Status::Error,
            message: "the run was interrupted".to_owned(),
            codes: FailureCodes {
                code: Some(ErrorCode::Interrupted.name().to_owned()),
                ..FailureCodes::default()
            },
            already_recorded: false,
        };
        let context = state.context.clone();
        // An error is ignored, because no caller is left that it could be reported to.
        let _ = state.write(&context, &[Event::now(kind)], &[]);
    }
}
