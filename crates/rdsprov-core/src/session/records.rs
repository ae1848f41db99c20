//! Where the records of an apply go: to a file where one is named, then to the front end.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::Front;
use crate::audit::{AuditError, CsvWriter, Record};

/// The records of a run.
pub(super) struct Records<'a, F> {
    front: &'a F,
    kept: Mutex<Kept>,
}

struct Kept {
    file: Option<CsvWriter>,
    all: Vec<Record>,
}

impl<'a, F: Front> Records<'a, F> {
    pub(super) fn open(front: &'a F, path: Option<PathBuf>) -> Result<Self, AuditError> {
        let file = path.map(|path| CsvWriter::append(&path)).transpose()?;
        Ok(Self { front, kept: Mutex::new(Kept { file, all: Vec::new() }) })
    }

    /// On disk first: who looks on may be gone.
    pub(super) fn write(&self, records: &[Record]) -> Result<(), AuditError> {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = &mut kept.file {
                records.iter().try_for_each(|record| file.write(record))?;
                file.sync()?;
            }
            kept.all.extend_from_slice(records);
        }
        self.front.recorded(records);
        Ok(())
    }

    pub(super) fn into_all(self) -> Vec<Record> {
        self.kept.into_inner().unwrap_or_else(PoisonError::into_inner).all
    }
}
