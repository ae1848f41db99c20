//! The ledger: JSON Lines, each record bound to the one before it by its SHA-256.
//!
//! A line ends with the `hash` of all that stands before that key in it, and names as `previous` the hash of
//! the line before: nobody can change, remove or move a record without changing all that follow. Processes
//! take turns by a lock on the file, and each reads there what the last record is: a file that was moved
//! away meanwhile is begun anew.
//!
//! A crash or a full disk may leave half a line. It stays, as the half that it is; the next record says so
//! and is bound to it, and the chain goes on.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::milliseconds;
use super::{AuditError, Command, Event, EventKind, RunContext, Status};
use crate::digest::sha256;
use crate::plan::{Step, Transaction};

/// The version of the form of a record.
const FORMAT_VERSION: u32 = 2;

/// How each record begins.
const BEGINNING: &str = "{\"format_version\":";

/// How long one waits for others that write.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a record tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RecordBody {
    /// A plan is about to be carried out.
    Intent {
        /// All that it will do; secrets stand as `<password from SECRET>`.
        transactions: Vec<Transaction<String>>,
    },
    /// A step has ended, or its turn has not come.
    Step {
        /// How it ended.
        status: Status,
        /// How long its own statements took.
        duration_ms: u64,
        /// Why it failed, where it did.
        reason: Option<String>,
        /// The step.
        #[serde(flatten)]
        step: Box<Step<String>>,
    },
    /// The run has ended.
    Outcome {
        /// What it was of.
        #[serde(default)]
        command: Command,
        /// How.
        status: Status,
        /// In words; nothing where it ended well.
        message: String,
    },
    /// The line before is half a record: whoever wrote it was stopped.
    #[serde(alias = "torn")]
    Truncated {
        /// How long it is.
        bytes: u64,
    },
}

/// A record of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The version of its form.
    pub format_version: u32,
    /// Its number: the first line's is 1.
    pub sequence: u64,
    /// When it happened, as RFC 3339 writes it.
    pub timestamp_utc: String,
    /// Whose run, where, of what.
    #[serde(flatten)]
    pub context: RunContext,
    /// What happened.
    #[serde(flatten)]
    pub body: RecordBody,
    /// The hash of the record before; of the first there is none.
    pub previous: Option<String>,
}

/// A line of a ledger: a record and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerLine {
    /// The record.
    #[serde(flatten)]
    pub entry: Entry,
    /// `sha256:…` of all that stands before this key in the line.
    pub hash: String,
}

/// A record's number, and the hash that the next one is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerHead {
    /// The number.
    pub sequence: u64,
    /// The hash.
    pub hash: String,
}

/// A ledger that records are appended to.
#[derive(Debug)]
pub struct LedgerWriter {
    path: PathBuf,
}

impl Entry {
    /// Its line, without the line's end, and its hash.
    fn line(&self) -> Result<(String, String), serde_json::Error> {
        let mut line = serde_json::to_string(self)?;
        line.pop();
        let hash = sha256(line.as_bytes());
        line.push_str(&format!(",\"hash\":\"{hash}\"}}"));
        Ok((line, hash))
    }
}

/// A line's content, as its hash is made of it, and that hash as the line says it.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    let line = line.strip_suffix(b"\"}")?;
    let hash = std::str::from_utf8(line.get(line.len().checked_sub(HASH_LENGTH)?..)?).ok()?;
    let content = line[..line.len() - HASH_LENGTH].strip_suffix(b",\"hash\":\"")?;
    hash.starts_with("sha256:").then_some((content, hash))
}

/// `sha256:` and 64 digits.
const HASH_LENGTH: usize = 71;

/// What binds a record to the others: all that a chain needs of it, whatever version wrote it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Link {
    pub sequence: u64,
    pub run_id: String,
    pub event: String,
    pub previous: Option<String>,
    /// As the line says it.
    pub hash: String,
}

/// What a line of a ledger is.
pub(super) enum Line {
    /// A record.
    Whole(Link),
    /// Something else.
    Other(serde_json::Error),
    /// A record without a hash at its end.
    NoHash,
}

impl Line {
    pub(super) fn read(line: &[u8]) -> Self {
        match (serde_json::from_slice(line), split(line)) {
            (Ok(link), Some(_)) => Self::Whole(link),
            (Ok(_), None) => Self::NoHash,
            (Err(error), _) => Self::Other(error),
        }
    }
}

impl LedgerWriter {
    /// Opens a ledger, made with its folders where it is missing.
    ///
    /// # Errors
    /// Where it cannot be written, or is something else.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let ledger = Self { path: path.to_owned() };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| ledger.failed(source))?;
        }
        let mut file = ledger.locked()?;
        ledger.end(&mut file)?;
        Ok(ledger)
    }

    /// Appends what the ledger keeps of these events, and waits until it is on the disk.
    ///
    /// # Errors
    /// Where that does not come to be; then nothing of it is in the file, if the system lets it be removed.
    pub fn append(
        &self,
        context: &RunContext,
        events: &[Event],
    ) -> Result<Option<LedgerHead>, AuditError> {
        let bodies: Vec<(String, RecordBody)> = events
            .iter()
            .filter_map(|event| Some((event.timestamp(), RecordBody::from_event(&event.kind)?)))
            .collect();
        if bodies.is_empty() {
            return Ok(None);
        }
        let mut file = self.locked()?;
        let End { mut sequence, mut previous, is_open, truncated, length } = self.end(&mut file)?;
        let mut text = if is_open { "\n".to_owned() } else { String::new() };
        let truncated =
            truncated.map(|bytes| (bodies[0].0.clone(), RecordBody::Truncated { bytes }));
        for (timestamp_utc, body) in truncated.into_iter().chain(bodies) {
            sequence = sequence.saturating_add(1);
            let entry = Entry {
                format_version: FORMAT_VERSION,
                sequence,
                timestamp_utc,
                context: context.clone(),
                body,
                previous: previous.take(),
            };
            let (line, hash) = entry.line().map_err(|error| self.failed(error.into()))?;
            text.push_str(&line);
            text.push('\n');
            previous = Some(hash);
        }
        if let Err(source) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
            // Half a line helps nobody; where it cannot be taken back, the next record tells of it.
            let _ = file.set_len(length);
            return Err(self.failed(source));
        }
        if length == 0 {
            self.sync_folder()?;
        }
        Ok(previous.map(|hash| LedgerHead { sequence, hash }))
    }

    fn failed(&self, source: std::io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }

    /// The file, which nobody else writes until it is dropped.
    fn locked(&self) -> Result<File, AuditError> {
        let failed = |source| self.failed(source);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(AuditError::NotALedger { path: self.path.clone() });
        }
        let until = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(AuditError::Locked { path: self.path.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }

    /// A new file is there only once its folder says so.
    fn sync_folder(&self) -> Result<(), AuditError> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| self.failed(source))
    }

    /// What the file ends with.
    fn end(&self, file: &mut File) -> Result<End, AuditError> {
        let failed = |source| self.failed(source);
        let length = file.metadata().map_err(failed)?.len();
        let mut lines = Backwards { file, start: length, piece: 64 * 1024, rest: Vec::new() };
        let mut end = End { sequence: 0, previous: None, is_open: false, truncated: None, length };
        let mut fragments = Vec::new();
        while let Some(line) = lines.next_line().map_err(failed)? {
            end.is_open |= !line.ended;
            if let Line::Whole(link) = Line::read(&line.text) {
                end.sequence = link.sequence;
                end.previous = Some(link.hash);
                break;
            }
            fragments.insert(0, line.text);
        }
        let Some(first) = fragments.first() else { return Ok(end) };
        let beginning = BEGINNING.as_bytes();
        let is_fragment = first.starts_with(beginning) || beginning.starts_with(first);
        if end.previous.is_none() && !is_fragment {
            return Err(AuditError::NotALedger { path: self.path.clone() });
        }
        end.sequence = end.sequence.saturating_add(fragments.len() as u64);
        let fragments = fragments.join(&b'\n');
        end.truncated = Some(fragments.len() as u64);
        end.previous = Some(sha256(&fragments));
        Ok(end)
    }
}

/// What a ledger ends with.
struct End {
    /// The number of its last line.
    sequence: u64,
    /// What the next record is bound to.
    previous: Option<String>,
    /// Whether the last line is not ended.
    is_open: bool,
    /// How long the half at the end is, where there is one.
    truncated: Option<u64>,
    /// How long the file is.
    length: u64,
}

struct LastLine {
    text: Vec<u8>,
    /// Whether its end is there.
    ended: bool,
}

/// The lines of a file from its end on.
struct Backwards<'a> {
    file: &'a mut File,
    /// Where what was read begins.
    start: u64,
    /// How much is read at once: more and more, for a line may be long.
    piece: u64,
    /// What was read and is no line yet.
    rest: Vec<u8>,
}

impl Backwards<'_> {
    fn next_line(&mut self) -> std::io::Result<Option<LastLine>> {
        loop {
            let (text, ended) = match self.rest.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (self.rest.as_slice(), false),
            };
            let begin = match text.iter().rposition(|byte| *byte == b'\n') {
                Some(before) => before + 1,
                None if self.start == 0 && self.rest.is_empty() => return Ok(None),
                None if self.start == 0 => 0,
                None => {
                    let from = self.start.saturating_sub(self.piece);
                    let mut piece = vec![0; usize::try_from(self.start - from).unwrap_or_default()];
                    self.file.seek(SeekFrom::Start(from))?;
                    self.file.read_exact(&mut piece)?;
                    piece.append(&mut self.rest);
                    self.rest = piece;
                    self.start = from;
                    self.piece *= 2;
                    continue;
                }
            };
            let line = LastLine { text: text[begin..].to_vec(), ended };
            self.rest.truncate(begin);
            return Ok(Some(line));
        }
    }
}

impl RecordBody {
    /// What the ledger keeps of something that happened.
    fn from_event(kind: &EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::Intent { transactions, .. } => {
                Self::Intent { transactions: transactions.clone() }
            }
            EventKind::Step { step, status, duration, reason } => Self::Step {
                status: *status,
                duration_ms: milliseconds(*duration),
                reason: reason.clone(),
                step: step.clone(),
            },
            EventKind::NoChange { .. } => return None,
            EventKind::Outcome { command, status, message, .. } => {
                Self::Outcome { command: *command, status: *status, message: message.clone() }
            }
        })
    }
}
