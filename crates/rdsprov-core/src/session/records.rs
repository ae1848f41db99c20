//! Writes the events of a run to the ledger and the CSV file, if they are configured, and then
//! passes them to the front end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cancellation::Cancellation;
use super::error::Error;
use super::frontend::Frontend;
use super::notice::Notice;
use super::record_files::Destination;
use crate::audit::{
    AuditError, Columns, Command, CsvWriter, Event, EventKind, EventRecorder, FailureCodes,
    LedgerHead, LedgerWriter, Patience, Record, RunContext, Status, UnrecordedIntent,
};
use crate::error_code::ErrorCode;

/// Records that could not be written to at least one of the files.
#[derive(Debug)]
pub(super) struct NotWritten {
    /// The error of the first of these files.
    pub error: AuditError,
    /// The files that contain the records.
    pub written_to: Vec<PathBuf>,
}

impl From<NotWritten> for Error {
    fn from(not_written: NotWritten) -> Self {
        not_written.error.into()
    }
}

/// The destinations of the records of a run.
///
/// To write a file can take long: another process can have its lock, and a ledger can be large. So another
/// thread does it, because the instances of a fleet share one.
pub(super) struct Records<'a, F> {
    frontend: &'a F,
    cancellation: &'a Cancellation,
    patience: Patience,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ledger: Option<LedgerWriter>,
    patience: Patience,
    /// The files that do not exist yet.
    missing: Missing,
    head: Option<LedgerHead>,
    csv: Option<CsvWriter>,
    all: Vec<Record>,
    /// The context of the last record.
    context: RunContext,
    command: Command,
    /// Whether space was reserved that must be given back.
    has_reserved: bool,
    /// Whether the outcome of the run is recorded.
    ended: bool,
}

/// The paths of files that [`Records::create`] creates.
#[derive(Default)]
struct Missing {
    csv: Option<PathBuf>,
    ledger: Option<PathBuf>,
}

impl<'a, F: Frontend> Records<'a, F> {
    /// Opens the files, and also returns the records if this fails: an error with one file is
    /// recorded in the other.
    pub(super) async fn open(
        frontend: &'a F,
        cancellation: &'a Cancellation,
        csv: Option<Destination>,
        ledger: Option<Destination>,
        EventRecorder { context, command, .. }: EventRecorder,
    ) -> (Self, Result<(), AuditError>) {
        let patience = Patience::default();
        let state = State { context, command, patience: patience.clone(), ..State::default() };
        let records = Self { frontend, cancellation, patience, state: Arc::new(Mutex::new(state)) };
        let opened = records.in_background(|state| state.open(csv, ledger)).await;
        records.report_directories();
        (records, opened)
    }

    /// Returns the path of the ledger that the run has, or will create.
    pub(super) fn ledger(&self) -> Option<PathBuf> {
        let state = self.state();
        let existing = state.ledger.as_ref().map(|ledger| ledger.path().to_owned());
        existing.or_else(|| state.missing.ledger.clone())
    }

    /// Checks that [`Records::create`] can create the files. Creates nothing.
    pub(super) fn check(&self) -> Result<(), AuditError> {
        let state = self.state();
        let Missing { csv, ledger } = &state.missing;
        csv.iter().try_for_each(|path| CsvWriter::check(path, state.columns()))?;
        ledger.iter().try_for_each(|path| LedgerWriter::check(path))
    }

    /// Creates the files that `rdsprov.toml` names and that do not exist yet, with their directories.
    /// The caller has checked the gates.
    pub(super) async fn create(&self) -> Result<(), AuditError> {
        let created = self.in_background(State::create).await;
        self.report_directories();
        created
    }

    /// Reports each directory that was created, once.
    fn report_directories(&self) {
        let mut state = self.state();
        let directories = [
            state.ledger.as_mut().and_then(LedgerWriter::take_created_directory),
            state.csv.as_mut().and_then(CsvWriter::take_created_directory),
        ];
        drop(state);
        for directory in directories.into_iter().flatten() {
            self.frontend.on_notice(&Notice::DirectoryCreated(directory));
        }
    }

    /// Writes events to each file and passes them to the front end, also if a file cannot be
    /// written. The front end is last, because its callback can fail.
    pub(super) async fn write(
        &self,
        context: &RunContext,
        events: &[Event],
    ) -> Result<(), NotWritten> {
        let rows: Vec<Record> = events.iter().filter_map(|event| event.row(context)).collect();
        let written = {
            let (context, events, rows) = (context.clone(), events.to_vec(), rows.clone());
            self.in_background(move |state| state.write(&context, &events, &rows)).await
        };
        // An empty list of events still makes the front end print the CSV header.
        if !rows.is_empty() || events.is_empty() {
            self.frontend.on_records(&rows);
        }
        written
    }

    /// Makes sure that each file has space for events, and for `more` bytes.
    pub(super) async fn reserve(
        &self,
        context: &RunContext,
        events: Vec<Event>,
        more: u64,
    ) -> Result<(), AuditError> {
        let context = context.clone();
        self.in_background(move |state| state.reserve(&context, &events, more)).await
    }

    /// Returns the intents of earlier runs whose steps have no result in the ledger.
    pub(super) async fn unrecorded(
        &self,
        context: &RunContext,
    ) -> Result<Vec<UnrecordedIntent>, AuditError> {
        let context = context.clone();
        self.in_background(move |state| {
            let Some(ledger) = &state.ledger else { return Ok(Vec::new()) };
            ledger
                .unrecorded(&context, state.command)
                .map_err(|source| AuditError::Io { path: ledger.path().to_owned(), source })
        })
        .await
    }

    /// Returns all CSV rows and the last record of the ledger.
    pub(super) async fn into_all(self) -> (Vec<Record>, Option<LedgerHead>) {
        self.in_background(|state| {
            state.release();
            (std::mem::take(&mut state.all), state.head.take())
        })
        .await
    }
}

impl<F> Records<'_, F> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes an operation on the files in another thread. It waits for other processes only for a short
    /// time after a cancellation.
    async fn in_background<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> T {
        let state = Arc::clone(&self.state);
        let mut task = tokio::task::spawn_blocking(move || {
            operation(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let result = tokio::select! {
            biased;
            result = &mut task => result,
            () = self.cancellation.wait() => {
                self.patience.shorten();
                task.await
            }
        };
        result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl State {
    fn open(
        &mut self,
        csv: Option<Destination>,
        ledger: Option<Destination>,
    ) -> Result<(), AuditError> {
        match ledger {
            Some(Destination::Option(path)) => self.open_ledger(&path)?,
            Some(Destination::Config(path)) => {
                let ledger = LedgerWriter::open_existing(&path)?;
                self.ledger = ledger.map(|ledger| ledger.with_patience(&self.patience));
                self.missing.ledger = self.ledger.is_none().then_some(path);
            }
            None => {}
        }
        match csv {
            Some(Destination::Option(path)) => self.open_csv(&path)?,
            Some(Destination::Config(path)) => {
                self.csv = CsvWriter::append_existing(&path, self.columns(), &self.patience)?;
                self.missing.csv = self.csv.is_none().then_some(path);
            }
            None => {}
        }
        Ok(())
    }

    fn create(&mut self) -> Result<(), AuditError> {
        if let Some(path) = self.missing.ledger.take() {
            self.open_ledger(&path)?;
        }
        if let Some(path) = self.missing.csv.take() {
            self.open_csv(&path)?;
        }
        Ok(())
    }

    fn open_ledger(&mut self, path: &Path) -> Result<(), AuditError> {
        self.ledger = Some(LedgerWriter::open(path)?.with_patience(&self.patience));
        Ok(())
    }

    fn open_csv(&mut self, path: &Path) -> Result<(), AuditError> {
        self.csv = Some(CsvWriter::append_with(path, self.columns(), &self.patience)?);
        Ok(())
    }

    fn reserve(
        &mut self,
        context: &RunContext,
        events: &[Event],
        more: u64,
    ) -> Result<(), AuditError> {
        self.has_reserved = true;
        if let Some(ledger) = &self.ledger {
            ledger.reserve(context, events, more)?;
        }
        if let Some(csv) = &mut self.csv {
            let rows: Vec<Record> = events.iter().filter_map(|event| event.row(context)).collect();
            csv.reserve(&rows, more)?;
        }
        Ok(())
    }

    fn columns(&self) -> Columns {
        if self.context.instance.is_some() { Columns::Fleet } else { Columns::Run }
    }

    fn write(
        &mut self,
        context: &RunContext,
        events: &[Event],
        rows: &[Record],
    ) -> Result<(), NotWritten> {
        self.context.clone_from(context);
        self.all.extend_from_slice(rows);
        let mut errors = Vec::new();
        let mut written_to = Vec::new();
        if let Some(ledger) = &self.ledger {
            match ledger.append(context, events) {
                Ok(head) => {
                    self.head = head.or(self.head.take());
                    written_to.push(ledger.path().to_owned());
                }
                Err(error) => errors.push(error),
            }
        }
        self.ended |= events.iter().any(|event| matches!(event.kind, EventKind::Outcome { .. }));
        if let Some(csv) = &mut self.csv {
            match csv.write(rows) {
                Ok(()) => written_to.push(csv.path().to_owned()),
                Err(error) => errors.push(error),
            }
        }
        match errors.into_iter().next() {
            None => Ok(()),
            Some(error) => Err(NotWritten { error, written_to }),
        }
    }

    /// Gives reserved space back.
    fn release(&mut self) {
        if !std::mem::take(&mut self.has_reserved) {
            return;
        }
        // Errors are ignored: the space remains reserved until the next run gives it back.
        if let Some(ledger) = &self.ledger {
            let _ = ledger.release();
        }
        if let Some(csv) = &mut self.csv {
            let _ = csv.release();
        }
    }
}

impl<F> Drop for Records<'_, F> {
    /// Records an outcome after a panic, or if the front end drops the future of the run.
    fn drop(&mut self) {
        // The thread of the caller waits.
        self.patience.shorten();
        let mut state = self.state();
        if state.ended {
            state.release();
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
            applied: BTreeMap::new(),
        };
        let context = state.context.clone();
        // An error is ignored, because no caller is left that it could be reported to.
        let _ = state.write(&context, &[Event::now(kind)], &[]);
        state.release();
    }
}
