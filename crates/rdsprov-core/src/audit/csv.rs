//! Writes records as CSV, quoted according to RFC 4180.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Record;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};

const HEADER: &str =
    "timestamp_utc,environment,build_id,run_id,database,username,action,status,duration_ms,message";

/// A record cannot be written. Nothing is changed without a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be created or written.
    #[error("audit file {path} cannot be written: {source}")]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Another process holds the lock on the file for too long.
    #[error("audit file {path} is locked by another process")]
    Locked {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file exists and is not a ledger.
    #[error("{path} exists and is not a ledger of rdsprov")]
    NotALedger {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file exists and does not begin with the CSV header.
    #[error("{path} exists and is not a CSV file of rdsprov")]
    OtherHeader {
        /// The path of the file.
        path: PathBuf,
    },
}

impl AuditError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::AuditFileUnwritable,
            Self::Locked { .. } => ErrorCode::AuditFileLocked,
            Self::NotALedger { .. } | Self::OtherHeader { .. } => ErrorCode::WrongAuditFile,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Io { .. } => hint![
                "check the path and its permissions, or name another file with ",
                Opt::AuditOutput,
                " or ",
                Opt::AuditLedger
            ],
            Self::Locked { .. } => "wait for the other run, then run again".into(),
            Self::NotALedger { .. } => hint!["name a new file with ", Opt::AuditLedger],
            Self::OtherHeader { .. } => hint!["name a new file with ", Opt::AuditOutput],
        }]
    }
}

/// A CSV file to which a run appends its records.
///
/// ```
/// use rdsprov_core::audit::CsvWriter;
/// let directory = tempfile::tempdir().unwrap();
/// let path = directory.path().join("audit.csv");
/// CsvWriter::append(&path).unwrap();
/// assert!(std::fs::read_to_string(&path).unwrap().starts_with("timestamp_utc,environment,"));
/// ```
#[derive(Debug)]
pub struct CsvWriter {
    path: PathBuf,
    file: File,
}

impl CsvWriter {
    /// Opens a file to append to. A missing file is created with its directories and the header.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, or starts with another header.
    pub fn append(path: &Path) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length == 0 {
            file.write_all(format!("{HEADER}\n").as_bytes()).map_err(failed)?;
        } else {
            let mut start = vec![0; HEADER.len()];
            let whole = file.read_exact(&mut start).is_ok();
            if !whole || start != HEADER.as_bytes() {
                return Err(AuditError::OtherHeader { path: path.to_owned() });
            }
            let mut last = [0];
            file.seek(SeekFrom::End(-1)).map_err(failed)?;
            file.read_exact(&mut last).map_err(failed)?;
            if last != *b"\n" {
                // The last row is incomplete, after a crash or a full disk. It stays, and the next
                // record starts on a new line.
                file.write_all(b"\n").map_err(failed)?;
            }
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one record to the file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&mut self, record: &Record) -> Result<(), AuditError> {
        self.file
            .write_all(rows(std::slice::from_ref(record)).as_bytes())
            .map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    /// Waits until all written records are on disk (`fdatasync`).
    ///
    /// # Errors
    /// Returns an error if the operating system cannot write them.
    pub fn sync(&mut self) -> Result<(), AuditError> {
        match self.file.sync_data() {
            // Pipes and terminals do not support `fdatasync`.
            Err(source) if source.kind() != std::io::ErrorKind::InvalidInput => {
                Err(AuditError::Io { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Returns records as CSV text, with the header.
#[must_use]
pub fn to_csv(records: &[Record]) -> String {
    format!("{HEADER}\n{}", rows(records))
}

fn rows(records: &[Record]) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for record in records {
        let mut record = record.clone();
        record.message =
            record.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing flat records to memory does not fail.
        let _ = writer.serialize(record);
    }
    writer
        .into_inner()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
