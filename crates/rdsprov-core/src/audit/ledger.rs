//! The ledger: a file of records in JSON Lines, which form a chain of SHA-256 hashes.
//!
//! Each line ends with the key `hash`, the hash of the line up to that key. The key `previous`
//! contains the hash of the line before. A change to one record therefore shows, unless all records
//! after it are rewritten.
//!
//! A process locks the file while it appends, and reads the last record under the lock. It opens
//! the file by its path each time: if the file was moved away, a new ledger starts.
//!
//! A crash or a full disk can leave an incomplete line. The line stays. The next
//! record is a `truncated` record whose `previous` is a hash of both the hash of the last record
//! and the incomplete line, so that the chain continues over both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::milliseconds;
use super::file::{self, Lock, Patience, open_with_directory, release, reserve};
use super::{
    AnnouncedStep, AuditError, Command, Event, EventKind, FailureCodes, Found, RunContext, Status,
};
use crate::digest::sha256;
use crate::plan::{Step, Transaction};
use crate::text::visible_json;

/// The version of the record format.
///
/// Version 3 binds a `truncated` record to the records before it, and not only to the incomplete lines.
const FORMAT_VERSION: u32 = 3;

/// The start of each record.
const RECORD_START: &str = "{\"format_version\":";

/// The event that a record describes, with its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RecordBody {
    /// The execution of a plan starts.
    Intent {
        /// The command that the run executes.
        #[serde(default)]
        command: Command,
        /// The short digest of the definition of each application, if the run is to apply all of them.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        definition_digests: BTreeMap<String, String>,
        /// All transactions of the plan; a password appears as `<password from SECRET>`.
        transactions: Vec<Transaction<String>>,
    },
    /// A step has succeeded or failed, or was not run.
    Step {
        /// The result of the step.
        status: Status,
        /// The duration of the statements of the step, in milliseconds.
        duration_ms: u64,
        /// The error, if the step has failed.
        reason: Option<String>,
        /// The step that was executed.
        #[serde(flatten)]
        step: Box<Step<String>>,
    },
    /// This run has looked for a change whose result an earlier run has not recorded.
    Recovered {
        /// The run id of the earlier run.
        of_run: String,
        /// The number of the intent that announces the change.
        of_intent: u64,
        /// What this run has found.
        found: Found,
        /// The change.
        #[serde(flatten)]
        step: AnnouncedStep,
    },
    /// A person has stated what became of a change of which no record contains the result
    /// (`rdsprov audit acknowledge`).
    Acknowledged {
        /// The run id of the run that has announced the change.
        of_run: String,
        /// The number of the intent that announces the change.
        of_intent: u64,
        /// What the person states.
        found: Found,
        /// How the person knows it, or why it cannot be known.
        reason: String,
        /// The change.
        #[serde(flatten)]
        step: AnnouncedStep,
    },
    /// The run has ended, successfully or not.
    Outcome {
        /// The command that the run has executed.
        #[serde(default)]
        command: Command,
        /// The result of the run.
        status: Status,
        /// The refusal or the error; empty if the run has succeeded.
        message: String,
        /// The stable codes of the refusal or the error.
        #[serde(flatten)]
        codes: FailureCodes,
        /// The short digest of the definition of each application, after a complete `apply`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        applied: BTreeMap<String, String>,
    },
    /// The record before this one is incomplete, because its run was interrupted while writing it.
    #[serde(alias = "torn")]
    Truncated {
        /// The length of the incomplete record, in bytes.
        bytes: u64,
    },
}

/// A record of the ledger, without its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The version of the record format.
    pub format_version: u32,
    /// The number of the record, from 1.
    pub sequence: u64,
    /// The time of the event, in UTC and in the format of RFC 3339.
    pub timestamp_utc: String,
    /// The data that all records of a run have in common.
    #[serde(flatten)]
    pub context: RunContext,
    /// The event, with its data.
    #[serde(flatten)]
    pub body: RecordBody,
    /// The hash of the record before; `null` in the first record. In a `truncated` record, the SHA-256 of
    /// the hash of the last record (empty if there is none), a line feed, and the incomplete lines.
    pub previous: Option<String>,
}

/// A line of a ledger: a record with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerLine {
    /// The record without its hash.
    #[serde(flatten)]
    pub entry: Entry,
    /// The SHA-256 of the line up to this key, as `sha256:…`.
    pub hash: String,
}

/// The last record of a ledger: the next record contains its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LedgerHead {
    /// The number of the record.
    pub sequence: u64,
    /// The hash of the record, as `sha256:…`.
    pub hash: String,
}

/// A ledger to which a run appends its records.
///
/// ```
/// use rdsprov_core::audit::{
///     Command, Event, EventKind, FailureCodes, LedgerWriter, RunContext, Status, verify,
/// };
/// let directory = tempfile::tempdir().unwrap();
/// let path = directory.path().join("ledger.jsonl");
/// let ledger = LedgerWriter::open(&path).unwrap();
/// let outcome = EventKind::Outcome {
///     command: Command::Apply,
///     status: Status::NoChange,
///     message: String::new(),
///     codes: FailureCodes::default(),
///     already_recorded: false,
///     applied: Default::default(),
/// };
/// ledger.append(&RunContext::default(), &[Event::now(outcome)]).unwrap();
/// let text = std::fs::read(&path).unwrap();
/// assert_eq!(verify(text.as_slice(), None).unwrap().records, 1);
/// ```
#[derive(Debug)]
pub struct LedgerWriter {
    path: PathBuf,
    created_directory: Option<PathBuf>,
    patience: Patience,
}

impl Entry {
    /// Returns the line of the record, without the line feed, and its hash.
    fn line(&self) -> Result<(String, String), serde_json::Error> {
        let mut line = visible_json(serde_json::to_string(self)?);
        line.pop();
        let hash = sha256(line.as_bytes());
        line.push_str(&format!(",\"hash\":\"{hash}\"}}"));
        Ok((line, hash))
    }
}

/// Splits a line into the part that is hashed and the hash that the line contains.
pub(super) fn split_hash(line: &[u8]) -> Option<(&[u8], &str)> {
    let line = line.strip_suffix(b"\"}")?;
    let hash = std::str::from_utf8(line.get(line.len().checked_sub(HASH_LENGTH)?..)?).ok()?;
    let content = line[..line.len() - HASH_LENGTH].strip_suffix(b",\"hash\":\"")?;
    hash.starts_with("sha256:").then_some((content, hash))
}

/// Returns the hash that a `truncated` record contains as `previous`. It covers the hash of the last
/// record as well: incomplete lines alone would not bind the records before them.
pub(super) fn hash_over_fragments(last: Option<&str>, fragments: &[Vec<u8>]) -> String {
    let last = last.unwrap_or_default().as_bytes();
    sha256(&[last, &fragments.join(&b'\n')].join(&b'\n'))
}

/// The length of `sha256:` and 64 hexadecimal digits.
const HASH_LENGTH: usize = 71;

/// The keys that form the chain. All versions of the record format have them, so that a ledger with
/// records of a later version can be verified.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub format_version: u32,
    pub sequence: u64,
    #[serde(default)]
    pub timestamp_utc: String,
    pub run_id: String,
    pub event: String,
    pub previous: Option<String>,
    /// The hash that the line contains, not verified.
    pub hash: String,
}

/// A line of a ledger, as far as it can be parsed.
pub(super) enum Line {
    /// A complete record; its hash is not verified.
    Whole(Link),
    /// A line that is not a JSON object with the keys of a record.
    Other(serde_json::Error),
    /// A JSON object that does not end with `hash`.
    NoHash,
}

impl Line {
    pub(super) fn read(line: &[u8]) -> Self {
        match (serde_json::from_slice(line), split_hash(line)) {
            (Ok(link), Some(_)) => Self::Whole(link),
            (Ok(_), None) => Self::NoHash,
            (Err(error), _) => Self::Other(error),
        }
    }
}

/// The maximum length of a line in bytes. The intent of a run with 10,000 databases takes a tenth of it.
const MAXIMUM_LINE: u64 = 256 << 20;

/// Calls `visit` with each line of a ledger, without the line feed, and its number from 1.
///
/// # Errors
/// Returns the errors of the operating system, and an error for a line that no run has written because it is
/// too long: it would take the memory of the machine.
pub(super) fn for_each_line(
    mut ledger: impl BufRead,
    mut visit: impl FnMut(u64, &[u8]),
) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = ledger.by_ref().take(MAXIMUM_LINE + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        if length as u64 > MAXIMUM_LINE {
            return Err(too_long(&format!("line {number}")));
        }
        visit(number, line.strip_suffix(b"\n").unwrap_or(&line));
    }
    Ok(())
}

fn too_long(line: &str) -> io::Error {
    let mebibytes = MAXIMUM_LINE >> 20;
    io::Error::other(format!("{line} is longer than {mebibytes} MiB, the maximum of a record"))
}

impl LedgerWriter {
    /// Opens a ledger to append to. A missing file is created with its directories, for the user and
    /// the group only.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, or is not a ledger.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let (file, created_directory) = open_with_directory(path)?;
        let patience = Patience::default();
        Self { path: path.to_owned(), created_directory, patience }.checked(file)
    }

    /// Opens an existing ledger to append to, and returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`LedgerWriter::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>, AuditError> {
        let patience = Patience::default();
        let ledger = Self { path: path.to_owned(), created_directory: None, patience };
        file::open_existing(path)?.map(|file| ledger.checked(file)).transpose()
    }

    /// Checks that a ledger can be appended to, or created with its directories. Changes and creates
    /// nothing.
    ///
    /// # Errors
    /// Returns the errors of [`LedgerWriter::open`].
    pub fn check(path: &Path) -> Result<(), AuditError> {
        match Self::open_existing(path)? {
            Some(_) => Ok(()),
            None => file::check_creatable(path),
        }
    }

    /// Opens an existing ledger to read it only, and returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or is not a ledger.
    #[cfg(feature = "postgres")]
    pub(crate) fn open_to_read(path: &Path) -> Result<Option<File>, AuditError> {
        let patience = Patience::default();
        let ledger = Self { path: path.to_owned(), created_directory: None, patience };
        // First, because opening a pipe waits for its writer.
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ledger.failed(error)),
            Ok(found) if !found.is_file() => {
                return Err(AuditError::NotRegular { path: ledger.path });
            }
            Ok(_) => {}
        }
        let mut file = File::open(path).map_err(|source| ledger.failed(source))?;
        ledger.end(&mut file)?;
        file.rewind().map_err(|source| ledger.failed(source))?;
        Ok(Some(file))
    }

    /// Returns the writer if the end of the file is that of a ledger.
    fn checked(self, mut file: File) -> Result<Self, AuditError> {
        // Without the lock: the end of a record that another run is writing is read as a part of a record.
        self.end(&mut file)?;
        Ok(self)
    }

    /// Returns the directory of the file once, if [`LedgerWriter::open`] has created it.
    pub fn take_created_directory(&mut self) -> Option<PathBuf> {
        self.created_directory.take()
    }

    /// Sets how long the writer waits for other processes.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_patience(self, patience: &Patience) -> Self {
        Self { patience: patience.clone(), ..self }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reserves space on disk for the records of events, and for `more` bytes.
    ///
    /// # Errors
    /// Returns an error if the file cannot be locked, or there is less space. If the file system
    /// cannot reserve space, it returns no error.
    pub fn reserve(
        &self,
        context: &RunContext,
        events: &[Event],
        more: u64,
    ) -> Result<(), AuditError> {
        let mut bytes = more;
        for event in events {
            let Some(body) = RecordBody::from_event(&event.kind) else { continue };
            let entry = Entry {
                format_version: FORMAT_VERSION,
                sequence: u64::MAX,
                timestamp_utc: event.timestamp(),
                context: context.clone(),
                body,
                previous: Some(sha256(b"")),
            };
            let (line, _) = entry.line().map_err(|error| self.failed(error.into()))?;
            bytes = bytes.saturating_add(line.len() as u64 + 1);
        }
        let (file, _lock) = self.open_locked()?;
        reserve(&file, bytes).map_err(|source| self.failed(source))
    }

    /// Gives space back that [`LedgerWriter::reserve`] has reserved and no record has used.
    ///
    /// # Errors
    /// Returns an error if the file cannot be locked or changed.
    pub fn release(&self) -> Result<(), AuditError> {
        let (file, _lock) = self.open_locked()?;
        release(&file).map_err(|source| self.failed(source))
    }

    /// Appends the records of the events, and waits until they are on disk (`fsync`). Returns the
    /// last record, or `None` if the ledger contains no records of these events.
    ///
    /// # Errors
    /// Returns an error if the file cannot be locked or written. Records that were written in part
    /// are removed, if the operating system allows it.
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
        let (mut file, _lock) = self.open_locked()?;
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
            // If the incomplete line cannot be removed, the next run writes a `truncated` record.
            let _ = file.set_len(length);
            return Err(self.failed(source));
        }
        if length == 0 {
            self.sync_directory()?;
        }
        Ok(previous.map(|hash| LedgerHead { sequence, hash }))
    }

    fn failed(&self, source: io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }

    /// Opens and locks the file.
    fn open_locked(&self) -> Result<(File, Lock), AuditError> {
        // The file may have been moved away: a new one starts again.
        let file = file::open_or_create(&self.path)?;
        let lock = Lock::take(&file, &self.path, &self.patience)?;
        Ok((file, lock))
    }

    /// Writes the directory entry of a new file to disk: without it, a crash could remove the file.
    fn sync_directory(&self) -> Result<(), AuditError> {
        let directory = match self.path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| self.failed(source))
    }

    /// Reads the end of the file: the last complete record, and the incomplete lines after it.
    fn end(&self, file: &mut File) -> Result<End, AuditError> {
        let failed = |source| self.failed(source);
        let length = file.metadata().map_err(failed)?.len();
        let mut lines =
            LinesFromEnd { file, start: length, chunk_size: 64 * 1024, buffer: Vec::new() };
        let mut end = End { sequence: 0, previous: None, is_open: false, truncated: None, length };
        let mut fragments = Vec::new();
        while let Some(line) = lines.next_line().map_err(failed)? {
            end.is_open |= !line.ended;
            if let Line::Whole(link) = Line::read(&line.text) {
                end.sequence = link.sequence;
                end.previous = Some(link.hash);
                break;
            }
            fragments.push(line.text);
        }
        // They were read from the last one to the first one.
        fragments.reverse();
        let Some(first) = fragments.first() else { return Ok(end) };
        let beginning = RECORD_START.as_bytes();
        let is_fragment = first.starts_with(beginning) || beginning.starts_with(first);
        if end.previous.is_none() && !is_fragment {
            return Err(AuditError::NotALedger { path: self.path.clone() });
        }
        end.sequence = end.sequence.saturating_add(fragments.len() as u64);
        let line_feeds = fragments.len() - 1;
        let bytes = fragments.iter().map(Vec::len).sum::<usize>() + line_feeds;
        end.truncated = Some(bytes as u64);
        end.previous = Some(hash_over_fragments(end.previous.as_deref(), &fragments));
        Ok(end)
    }
}

/// The end of a ledger, to which the next record is appended.
struct End {
    /// The number of the last line.
    sequence: u64,
    /// The hash that the next record contains as `previous`.
    previous: Option<String>,
    /// Whether the last line has no line feed.
    is_open: bool,
    /// The length in bytes of the incomplete lines at the end, if there are any.
    truncated: Option<u64>,
    /// The length of the file in bytes.
    length: u64,
}

struct LineFromEnd {
    text: Vec<u8>,
    /// Whether the line ends with a line feed.
    ended: bool,
}

/// Reads the lines of a file from the last one to the first one.
struct LinesFromEnd<'a> {
    file: &'a mut File,
    /// The byte offset of the part that was read.
    start: u64,
    /// The number of bytes to read next. It doubles each time, so that the time for a long line is
    /// linear in its length.
    chunk_size: u64,
    /// Bytes that were read and not returned yet.
    buffer: Vec<u8>,
}

impl LinesFromEnd<'_> {
    fn next_line(&mut self) -> io::Result<Option<LineFromEnd>> {
        loop {
            let (text, ended) = match self.buffer.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (self.buffer.as_slice(), false),
            };
            let begin = match text.iter().rposition(|byte| *byte == b'\n') {
                Some(before) => before + 1,
                None if self.buffer.len() as u64 > MAXIMUM_LINE => {
                    return Err(too_long("a line at its end"));
                }
                None if self.start == 0 && self.buffer.is_empty() => return Ok(None),
                None if self.start == 0 => 0,
                None => {
                    let from = self.start.saturating_sub(self.chunk_size);
                    let mut chunk = vec![0; usize::try_from(self.start - from).unwrap_or_default()];
                    self.file.seek(SeekFrom::Start(from))?;
                    self.file.read_exact(&mut chunk)?;
                    chunk.append(&mut self.buffer);
                    self.buffer = chunk;
                    self.start = from;
                    self.chunk_size = self.chunk_size.saturating_mul(2);
                    continue;
                }
            };
            let line = LineFromEnd { text: text[begin..].to_vec(), ended };
            self.buffer.truncate(begin);
            return Ok(Some(line));
        }
    }
}

impl RecordBody {
    /// Returns the record of an event, or `None` if the ledger leaves the event out.
    fn from_event(kind: &EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::Intent { command, definition_digests, transactions, .. } => Self::Intent {
                command: *command,
                definition_digests: definition_digests.clone(),
                transactions: transactions.clone(),
            },
            EventKind::Step { step, status, duration, reason } => Self::Step {
                status: *status,
                duration_ms: milliseconds(*duration),
                reason: reason.clone(),
                step: step.clone(),
            },
            EventKind::NoChange { .. } => return None,
            EventKind::Recovered { of_run, of_intent, step, found } => Self::Recovered {
                of_run: of_run.clone(),
                of_intent: *of_intent,
                found: *found,
                step: step.clone(),
            },
            EventKind::Acknowledged { of_run, of_intent, step, found, reason } => {
                Self::Acknowledged {
                    of_run: of_run.clone(),
                    of_intent: *of_intent,
                    found: *found,
                    reason: reason.clone(),
                    step: step.clone(),
                }
            }
            EventKind::Outcome { command, status, message, codes, applied, .. } => Self::Outcome {
                applied: applied.clone(),
                command: *command,
                status: *status,
                message: message.clone(),
                codes: codes.clone(),
            },
        })
    }
}
