//! Verifies that a ledger is unchanged since it was written.
//!
//! The chain of hashes shows records that were changed, moved, duplicated or inserted, and
//! records that were removed from before another record. It cannot show that complete runs were
//! removed from the end, or that the whole file was rewritten with new hashes. To detect these,
//! the user stores a hash in another place: a record that still has this hash is unchanged, and
//! so are all records before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;

use jiff::{SignedDuration, Timestamp};

use super::intents::{Intents, RunKey, UnrecordedIntent};
use super::ledger::{
    Entry, LedgerHead, Line, Link, for_each_line, hash_over_fragments, split_hash,
};
use crate::digest::sha256;

/// A defect of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IntegrityError {
    /// The line is not a record, and no `truncated` record follows it.
    NotARecord {
        /// The error of the JSON parser.
        reason: String,
    },
    /// The last line is an incomplete record.
    Truncated,
    /// The hash of the record does not match its content.
    Changed,
    /// Records before this one are missing.
    Removed {
        /// The number of the first missing record.
        first: u64,
        /// The number of the last missing record.
        last: u64,
    },
    /// The record is not at the position where it was written.
    Moved {
        /// The number of the record.
        sequence: u64,
    },
    /// A record with the same number occurs earlier in the file.
    Twice {
        /// The number of both records.
        sequence: u64,
    },
    /// The `previous` hash does not match the record before.
    NotBound,
    /// The `previous` hash of a `truncated` record of an earlier version covers the incomplete lines only.
    /// A hash of a later record does not show that the records before them are unchanged.
    NotCovered,
    /// The ledger ends before the outcome of a run.
    Unfinished {
        /// The run id of the last record.
        run_id: String,
    },
    /// Steps of the intent have no result, although its run has ended: it could not record them.
    Unrecorded {
        /// The run id of the intent.
        run_id: String,
        /// The number of steps without a result.
        missing: usize,
        /// The number of all steps of the intent.
        announced: usize,
    },
    /// The file contains no record.
    Empty,
    /// No record has the expected hash.
    NotFound {
        /// The hash that the caller expected.
        hash: String,
    },
}

/// A defect of a ledger, with its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line number, from 1.
    pub line: u64,
    /// The defect in this line.
    #[serde(flatten)]
    pub error: IntegrityError,
}

/// The result of verifying a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The number of complete records.
    pub records: u64,
    /// The number of runs that have at least one record.
    pub runs: u64,
    /// The last complete record; `None` if the ledger is empty.
    pub head: Option<LedgerHead>,
    /// The number of records after the one with the expected hash; `None` if no hash was expected,
    /// or no record has it.
    pub since_expected: Option<u64>,
    /// The defects, sorted by line.
    pub findings: Vec<Finding>,
    /// Facts that are not defects, such as a run that was killed.
    pub notes: Vec<String>,
}

impl Verified {
    /// Returns whether the ledger has no defect.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies a ledger. `expected` is the hash of a record that the ledger must contain.
///
/// # Errors
/// Returns an error if the ledger cannot be read. Defects are not errors, but findings.
///
/// ```
/// use rdsprov_core::audit::verify;
/// let verified = verify(&b"hello\n"[..], None).unwrap();
/// assert!(!verified.is_intact());
/// assert!(!verify(&b""[..], None).unwrap().is_intact());
/// ```
pub fn verify(ledger: impl BufRead, expected: Option<&str>) -> io::Result<Verified> {
    let mut chain = Chain::default();
    for_each_line(ledger, |number, line| chain.line(number, line, expected))?;
    Ok(chain.end(expected))
}

/// Returns the complete records of a ledger in order, with their line numbers. It
/// does not verify them.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains a record that this
/// version does not know.
pub fn entries(ledger: impl BufRead) -> io::Result<Vec<(u64, Entry)>> {
    let mut entries = Vec::new();
    let mut unknown = None;
    for_each_line(ledger, |number, line| {
        if let Line::Whole(_) = Line::read(line) {
            match serde_json::from_slice(line) {
                Ok(entry) => entries.push((number, entry)),
                Err(error) => {
                    unknown.get_or_insert_with(|| {
                        format!(
                            "line {number} has an unknown format ({error}): a later version of \
                             rdsprov may have written it"
                        )
                    });
                }
            }
        }
    })?;
    unknown.map_or(Ok(entries), |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
}

/// The state of the verification after some lines.
#[derive(Default)]
struct Chain {
    findings: Vec<Finding>,
    records: u64,
    head: Option<LedgerHead>,
    /// The line of each record, by its number.
    seen: BTreeMap<u64, u64>,
    /// Gaps in the numbers, as `(line, first, last)`. Moved records can still close a gap.
    gaps: Vec<(u64, u64, u64)>,
    /// Consecutive lines that are not records: the number of the first, its error, and all texts.
    fragments: Option<(u64, String, Vec<Vec<u8>>)>,
    /// The number of `truncated` records that match the incomplete lines before them.
    truncated: u64,
    /// The lines of `truncated` records of earlier versions, which no hash binds to the records before
    /// them, with the number of these records.
    uncovered: Vec<(u64, u64)>,
    /// Whether the line before already has a finding, so that its hash cannot match either.
    skip_link_check: bool,
    /// The position of the record with the expected hash, counted in records.
    expected_at: Option<u64>,
    runs: BTreeSet<String>,
    intents: Intents,
    /// The last line of each run that has no outcome yet.
    open: BTreeMap<RunKey, u64>,
    /// The run of the last record, and whether that record is its outcome.
    last: Option<(RunKey, bool)>,
    /// The latest time of a record so far.
    latest: Option<Timestamp>,
    /// The first record that is earlier than one before it: its line, and both times.
    set_back: Option<(u64, Timestamp, Timestamp)>,
}

/// By how much a record may be earlier than one before it: several processes can write to a ledger, and
/// wait for each other after they have taken the time.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);

impl Chain {
    fn report(&mut self, line: u64, error: IntegrityError) {
        self.findings.push(Finding { line, error });
    }

    fn line(&mut self, number: u64, line: &[u8], expected: Option<&str>) {
        match Line::read(line) {
            Line::Whole(link) => {
                let hash_matches =
                    split_hash(line).is_some_and(|(content, own)| sha256(content) == own);
                if expected == Some(&*link.hash) && hash_matches {
                    self.expected_at = Some(self.records + 1);
                }
                let run = self.intents.record(number, &link, line);
                self.record(number, link, run, hash_matches);
            }
            Line::NoHash => {
                self.push_fragment(number, "it has no hash at its end".to_owned(), line)
            }
            Line::Other(error) => self.push_fragment(number, error.to_string(), line),
        }
    }

    fn push_fragment(&mut self, number: u64, reason: String, line: &[u8]) {
        self.fragments.get_or_insert_with(|| (number, reason, Vec::new())).2.push(line.to_vec());
    }

    fn record(&mut self, number: u64, link: Link, run: RunKey, hash_matches: bool) {
        let mut before = self.head.take();
        if let Some((first, reason, fragments)) = self.fragments.take() {
            let last = before.as_ref().map_or(0, |head| head.sequence);
            let mut hash = hash_over_fragments(before.as_ref().map(|head| &*head.hash), &fragments);
            let is_uncovered = link.format_version < 3;
            if is_uncovered {
                hash = sha256(&fragments.join(&b'\n'));
            }
            if matches!(link.event.as_str(), "truncated" | "torn")
                && link.previous.as_ref() == Some(&hash)
            {
                self.truncated += 1;
                if is_uncovered && before.is_some() {
                    self.uncovered.push((number, self.records));
                }
            } else {
                self.report(first, IntegrityError::NotARecord { reason });
                self.skip_link_check = true;
            }
            // Incomplete lines that rdsprov has left count in the numbers; inserted lines do not.
            if link.sequence != last.saturating_add(1) {
                let sequence = last.saturating_add(fragments.len() as u64);
                before = Some(LedgerHead { sequence, hash });
            }
        }
        if !hash_matches {
            self.report(number, IntegrityError::Changed);
        }
        self.check_position(number, &link, before.as_ref(), hash_matches);
        self.seen.entry(link.sequence).or_insert(number);
        self.records += 1;
        self.skip_link_check = !hash_matches;
        self.track_run(number, &link, run);
        self.track_time(number, &link);
        self.head = Some(LedgerHead { sequence: link.sequence, hash: link.hash });
    }

    /// Compares the number and the `previous` hash of a record with the record before it.
    fn check_position(
        &mut self,
        number: u64,
        link: &Link,
        before: Option<&LedgerHead>,
        hash_matches: bool,
    ) {
        let sequence = link.sequence;
        let last = before.map_or(0, |head| head.sequence);
        if self.seen.contains_key(&sequence) {
            self.report(number, IntegrityError::Twice { sequence });
        } else if sequence <= last {
            self.report(number, IntegrityError::Moved { sequence });
        } else if sequence > last.saturating_add(1) {
            self.gaps.push((number, last + 1, sequence - 1));
        } else if link.previous.as_ref() != before.map(|head| &head.hash)
            && hash_matches
            && !self.skip_link_check
        {
            self.report(number, IntegrityError::NotBound);
        }
    }

    fn track_time(&mut self, number: u64, link: &Link) {
        let Ok(time) = link.timestamp_utc.parse::<Timestamp>() else { return };
        let latest = *self.latest.get_or_insert(time);
        if latest.duration_since(time) > CLOCK_TOLERANCE {
            self.set_back.get_or_insert((number, time, latest));
        }
        self.latest = Some(latest.max(time));
    }

    fn track_run(&mut self, number: u64, link: &Link, run: RunKey) {
        if link.event == "acknowledged" {
            // It is complete, and not a record of a run.
            self.last = Some((run, true));
            return;
        }
        let is_end = link.event == "outcome";
        if is_end {
            self.open.remove(&run);
        } else {
            self.open.insert(run.clone(), number);
        }
        self.runs.insert(run.run_id.clone());
        self.last = Some((run, is_end));
    }

    /// Returns the first and the last number of a gap that no record of the file has.
    fn missing(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let is_missing = |number: &u64| !self.seen.contains_key(number);
        Some(((first..=last).find(is_missing)?, (first..=last).rev().find(is_missing)?))
    }

    fn end(mut self, expected: Option<&str>) -> Verified {
        let mut last_line = self.seen.values().copied().max().unwrap_or_default();
        if let Some((first, reason, fragments)) = self.fragments.take() {
            last_line = first + fragments.len() as u64 - 1;
            let is_one = fragments.len() == 1 && self.records > 0;
            self.report(
                first,
                if is_one {
                    IntegrityError::Truncated
                } else {
                    IntegrityError::NotARecord { reason }
                },
            );
        } else if self.records == 0 {
            // An empty file proves nothing: its records may have been removed.
            self.report(1, IntegrityError::Empty);
        } else if let Some((run, false)) = self.last.take() {
            self.open.remove(&run);
            self.report(last_line, IntegrityError::Unfinished { run_id: run.run_id });
        }
        for (line, first, last) in std::mem::take(&mut self.gaps) {
            // A record that occurs elsewhere in the file was moved, and has a finding there.
            if let Some((first, last)) = self.missing(first, last) {
                self.report(line, IntegrityError::Removed { first, last });
            }
        }
        if let Some(hash) = expected.filter(|_| self.expected_at.is_none()) {
            self.report(last_line, IntegrityError::NotFound { hash: hash.to_owned() });
        }
        // A hash of an earlier record covers all records before it.
        let is_behind_expected =
            |records: u64| expected.is_some() && self.expected_at.is_none_or(|at| at > records);
        let (broken, uncovered): (Vec<_>, Vec<_>) = std::mem::take(&mut self.uncovered)
            .into_iter()
            .partition(|(_, records)| is_behind_expected(*records));
        for (line, _) in broken {
            self.report(line, IntegrityError::NotCovered);
        }
        let (unrecorded, recoveries, acknowledged) = std::mem::take(&mut self.intents).end();
        let (ended, open): (Vec<_>, Vec<_>) = unrecorded.into_iter().partition(|one| one.ended);
        let (unknown, ended): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|one| one.steps.len() <= one.unknown);
        for intent in ended {
            let (missing, announced) = (intent.steps.len() - intent.unknown, intent.announced);
            let error = IntegrityError::Unrecorded { run_id: intent.run_id, missing, announced };
            self.report(intent.line, error);
        }
        self.findings.sort_by_key(|finding| finding.line);
        let last_intents: BTreeMap<&RunKey, &UnrecordedIntent> =
            open.iter().map(|intent| (&intent.run, intent)).collect();
        let mut notes: Vec<String> = self
            .open
            .iter()
            .map(|(run, line)| {
                let intent = last_intents.get(run);
                let missing = intent.map_or_else(String::new, |intent| {
                    format!(
                        "; {} of the {} steps of its intent in line {} have no result",
                        intent.steps.len(),
                        intent.announced,
                        intent.line
                    )
                });
                format!(
                    "run {} has no outcome, its last record is in line {line}: the run was \
                     killed or is still running{missing}",
                    run.run_id
                )
            })
            .collect();
        notes.extend(unknown.into_iter().map(|intent| {
            format!(
                "run {} has not learned whether {} of the {} steps of its intent in line {} were \
                 committed: the next run of the same definitions with this ledger records what it finds",
                intent.run_id,
                intent.steps.len(),
                intent.announced,
                intent.line
            )
        }));
        notes.extend(recoveries.into_iter().map(|recovery| {
            let (by, line) = recovery.by;
            let undecided = match recovery.undecided {
                0 => String::new(),
                some => format!(
                    "; whether {some} of the steps were committed cannot be found out any more"
                ),
            };
            format!(
                "run {} has not recorded all results of its intent in line {}: run {by} has \
                 recorded what it found, up to line {line}{undecided}",
                recovery.of_run, recovery.line
            )
        }));
        notes.extend(acknowledged.into_iter().map(|one| {
            format!(
                "{} has acknowledged {} of the changes of run {} of which no run has recorded the result, up to line {}",
                one.actor, one.steps, one.of_run, one.line
            )
        }));
        if let Some((line, time, latest)) = self.set_back {
            notes.push(format!(
                "the record in line {line} of {time:.0} follows a record of {latest:.0}: a clock was wrong or \
                 was set back; the order of the lines is that of the changes"
            ));
        }
        notes.extend(uncovered.into_iter().map(|(line, _)| {
            format!(
                "the `truncated` record in line {line} is of an earlier version, and does not contain the hash \
                 of the record before it: a change to that record and all records before it would not show"
            )
        }));
        if self.truncated > 0 {
            notes.push(format!(
                "{} incomplete record(s), left by a crash or a full disk and reported by the next run",
                self.truncated
            ));
        }
        Verified {
            records: self.records,
            runs: self.runs.len() as u64,
            since_expected: self.expected_at.map(|at| self.records - at),
            head: self.head,
            findings: self.findings,
            notes,
        }
    }
}

impl fmt::Display for IntegrityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord { reason } => write!(f, "not a record: {reason}"),
            Self::Truncated => f.write_str(
                "incomplete record: its run was interrupted; the next run reports it and continues the ledger",
            ),
            Self::Changed => f.write_str("the record was changed after it was written"),
            Self::Removed { first, last } if first == last => {
                write!(f, "record {first} is missing before this record")
            }
            Self::Removed { first, last } => {
                write!(f, "records {first} to {last} are missing before this record")
            }
            Self::Moved { sequence } => {
                write!(f, "record {sequence} was moved here from another position")
            }
            Self::Twice { sequence } => write!(f, "record {sequence} occurs a second time"),
            Self::NotBound => f.write_str(
                "`previous` is not the hash of the record before: one of the two records was rewritten",
            ),
            Self::NotCovered => f.write_str(
                "this `truncated` record is of an earlier version, and does not contain the hash of the record \
                 before it: the expected hash does not show that the records before it are unchanged",
            ),
            Self::Unfinished { run_id } => write!(
                f,
                "the ledger ends within run {run_id}: the run was killed or is still running, or records were removed from the end"
            ),
            Self::Unrecorded { run_id, missing, announced } => write!(
                f,
                "{missing} of the {announced} steps of this intent have no result: run {run_id} could not record them; the next run of the same command and definitions on this server records what it finds"
            ),
            Self::Empty => f.write_str(
                "the ledger contains no record: its records were removed, or no run has written to it",
            ),
            Self::NotFound { hash } => write!(
                f,
                "no record has the hash {hash}: records were removed from the end or rewritten"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
