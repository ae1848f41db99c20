//! Records as CSV, quoted as RFC 4180 says.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Record;

const HEADER: &str =
    "timestamp_utc,environment,build_id,run_id,database,username,action,status,duration_ms,message";

/// Why a record cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be made or written.
    #[error("the audit file {path} cannot be written: {source}; nothing is done without a record")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others have it.
    #[error(
        "the audit file {path} is locked by another process, and stays so; nothing is done without a record"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The ledger is something else.
    #[error("{path} is no ledger of this program; give the path of a new file")]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("the audit file {path} begins with another header; give the path of a new file")]
    OtherHeader {
        /// The file.
        path: PathBuf,
    },
}

/// A file that records are appended to.
#[derive(Debug)]
pub struct CsvWriter {
    path: PathBuf,
    file: File,
}

impl CsvWriter {
    /// Opens a file, made with its folders where it is missing; the header is written once.
    ///
    /// # Errors
    /// Where it cannot be written, or is something else.
    pub fn append(path: &Path) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
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
                // A write was torn: its half stays, the next record gets a line of its own.
                file.write_all(b"\n").map_err(failed)?;
            }
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&mut self, record: &Record) -> Result<(), AuditError> {
        self.file
            .write_all(rows(std::slice::from_ref(record)).as_bytes())
            .map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// Where it does not get there.
    pub fn sync(&mut self) -> Result<(), AuditError> {
        match self.file.sync_data() {
            // A pipe or a terminal has nothing to wait for.
            Err(source) if source.kind() != std::io::ErrorKind::InvalidInput => {
                Err(AuditError::Io { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Records with the header.
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
        // Plain fields written to memory do not fail.
        let _ = writer.serialize(record);
    }
    writer
        .into_inner()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
