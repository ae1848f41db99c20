//! Writes records as CSV, quoted according to RFC 4180.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::file::{
    Lock, Patience, check_creatable, open_existing, open_with_directory, release, reserve,
};
use super::{AuditError, Record};
use crate::text::spreadsheet_cell;

/// A CSV file to which a run appends its records.
///
/// A process locks the file while it appends.
///
/// ```
/// use rdsprov_core::audit::{Columns, CsvWriter};
/// let directory = tempfile::tempdir().unwrap();
/// let path = directory.path().join("audit.csv");
/// CsvWriter::append(&path, Columns::Run).unwrap();
/// assert!(std::fs::read_to_string(&path).unwrap().starts_with("timestamp_utc,environment,"));
/// ```
#[derive(Debug)]
pub struct CsvWriter {
    path: PathBuf,
    columns: Columns,
    file: File,
    created_directory: Option<PathBuf>,
    patience: Patience,
}

impl CsvWriter {
    /// Opens a file to append to. A missing file is created with its directories and the header, for
    /// the user and the group only.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, is not a regular file, or starts with another
    /// header.
    pub fn append(path: &Path, columns: Columns) -> Result<Self, AuditError> {
        Self::append_with(path, columns, &Patience::default())
    }

    /// Opens a file as [`CsvWriter::append`] does, and waits for other processes with this patience.
    pub(crate) fn append_with(
        path: &Path,
        columns: Columns,
        patience: &Patience,
    ) -> Result<Self, AuditError> {
        let (file, created_directory) = open_with_directory(path)?;
        Self::new(path, columns, file, created_directory, patience)
    }

    /// Opens an existing file to append to, and returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`CsvWriter::append`].
    #[cfg(feature = "postgres")]
    pub(crate) fn append_existing(
        path: &Path,
        columns: Columns,
        patience: &Patience,
    ) -> Result<Option<Self>, AuditError> {
        open_existing(path)?.map(|file| Self::new(path, columns, file, None, patience)).transpose()
    }

    /// Checks that a file can be appended to, or created with its directories. Changes and creates
    /// nothing.
    ///
    /// # Errors
    /// Returns the errors of [`CsvWriter::append`].
    pub fn check(path: &Path, columns: Columns) -> Result<(), AuditError> {
        match open_existing(path)? {
            Some(file) => Self::verified(path, columns, file, None, &Patience::default()).map(drop),
            None => check_creatable(path),
        }
    }

    fn new(
        path: &Path,
        columns: Columns,
        file: File,
        created_directory: Option<PathBuf>,
        patience: &Patience,
    ) -> Result<Self, AuditError> {
        // First, because the lock creates a file: not in the directory of another program.
        let mut writer = Self::verified(path, columns, file, created_directory, patience)?;
        writer.locked(Self::begin)?;
        Ok(writer)
    }

    /// Returns the writer if the file is empty or begins with the header.
    fn verified(
        path: &Path,
        columns: Columns,
        file: File,
        created_directory: Option<PathBuf>,
        patience: &Patience,
    ) -> Result<Self, AuditError> {
        let (path, patience) = (path.to_owned(), patience.clone());
        let mut writer = Self { path, columns, file, created_directory, patience };
        writer.verify_header()?;
        Ok(writer)
    }

    /// Returns the directory of the file once, if [`CsvWriter::append`] has created it.
    pub fn take_created_directory(&mut self) -> Option<PathBuf> {
        self.created_directory.take()
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the header of an empty file, or else verifies it.
    fn begin(&mut self) -> Result<(), AuditError> {
        if self.is_empty()? {
            return self.write_whole(&format!("{}\n", self.columns.header()));
        }
        self.verify_header()?;
        let mut last = [0];
        self.file
            .seek(SeekFrom::End(-1))
            .and_then(|_| self.file.read_exact(&mut last))
            .map_err(|source| self.failed(source))?;
        if last != *b"\n" {
            // The last row is incomplete, after a crash. It stays, and the next record starts on a
            // new line.
            self.write_whole("\n")?;
        }
        Ok(())
    }

    fn is_empty(&self) -> Result<bool, AuditError> {
        Ok(self.file.metadata().map_err(|source| self.failed(source))?.len() == 0)
    }

    /// Verifies the header of a file that is not empty.
    fn verify_header(&mut self) -> Result<(), AuditError> {
        if self.is_empty()? {
            return Ok(());
        }
        let path = self.path.clone();
        match self.columns_of_file()? {
            Some(has) if has == self.columns => Ok(()),
            Some(has) => Err(AuditError::OtherColumns { path, has }),
            None => Err(AuditError::OtherHeader { path }),
        }
    }

    /// Returns the columns that the header of the file names, or `None` for another header.
    fn columns_of_file(&mut self) -> Result<Option<Columns>, AuditError> {
        for columns in [Columns::Run, Columns::Fleet] {
            self.file.rewind().map_err(|source| self.failed(source))?;
            let header = columns.header();
            let mut start = vec![0; header.len()];
            let whole = self.file.read_exact(&mut start).is_ok();
            let mut next = [0];
            let has_more = self.file.read_exact(&mut next).is_ok() && next == *b",";
            if whole && start == header.as_bytes() && !has_more {
                return Ok(Some(columns));
            }
        }
        Ok(None)
    }

    /// Appends records to the file, and waits until they are on disk (`fdatasync`).
    ///
    /// # Errors
    /// Returns an error if the file cannot be locked or written. Rows that were written in part are
    /// removed, if the operating system allows it.
    pub fn write(&mut self, records: &[Record]) -> Result<(), AuditError> {
        self.locked(|writer| {
            writer.write_whole(&rows(records))?;
            writer.file.sync_data().map_err(|source| writer.failed(source))
        })
    }

    /// Reserves space on disk for records, and for `more` bytes.
    ///
    /// # Errors
    /// Returns an error if there is less space. If the file system cannot reserve space, there is no
    /// such error.
    pub fn reserve(&mut self, records: &[Record], more: u64) -> Result<(), AuditError> {
        let bytes = (rows(records).len() as u64).saturating_add(more);
        self.locked(|writer| reserve(&writer.file, bytes).map_err(|source| writer.failed(source)))
    }

    /// Gives space back that [`CsvWriter::reserve`] has reserved and no record has used.
    ///
    /// # Errors
    /// Returns an error if the file cannot be locked or changed.
    pub fn release(&mut self) -> Result<(), AuditError> {
        self.locked(|writer| release(&writer.file).map_err(|source| writer.failed(source)))
    }

    /// Writes a text completely or, if the operating system allows it, not at all.
    fn write_whole(&mut self, text: &str) -> Result<(), AuditError> {
        let length = self.file.metadata().map_err(|source| self.failed(source))?.len();
        self.file.write_all(text.as_bytes()).map_err(|source| {
            let _ = self.file.set_len(length);
            self.failed(source)
        })
    }

    fn locked<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let _lock = Lock::take(&self.file, &self.path, &self.patience)?;
        operation(self)
    }

    fn failed(&self, source: std::io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }
}

/// Returns records as CSV text, with the header.
#[must_use]
pub fn to_csv(records: &[Record], columns: Columns) -> String {
    format!("{}\n{}", columns.header(), rows(records))
}

fn rows(records: &[Record]) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for record in records {
        let mut record = record.clone();
        for text in record.texts_mut() {
            *text = spreadsheet_cell(text);
        }
        // Writing flat records to memory does not fail.
        let _ = writer.serialize(record);
    }
    writer
        .into_inner()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
