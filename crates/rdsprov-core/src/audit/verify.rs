//! Whether a ledger is as it was written.
//!
//! What a chain of hashes shows: that a record was changed, removed from before another one, moved, put in or
//! given twice. What it cannot show by itself: that its end was cut off, or that all of it was written anew,
//! since that leaves a chain, too. For that somebody has to keep a hash elsewhere: a record that has it, and
//! with it all before that one, is as it was. A ledger that ends within a run is told of all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;

use super::ledger::{Entry, LedgerHead, Line, Link, split};
use crate::digest::sha256;

/// What is wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum IntegrityError {
    /// The line is no record, and no record after it says that it is half of one.
    NotARecord {
        /// What it is not.
        reason: String,
    },
    /// The last line is half a record.
    Truncated,
    /// The record was changed.
    Changed,
    /// Records are missing before this one.
    Removed {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The record stood elsewhere.
    Moved {
        /// Its number.
        sequence: u64,
    },
    /// The record is here a second time.
    Twice {
        /// Its number.
        sequence: u64,
    },
    /// The record is bound to another one than stands before it.
    NotBound,
    /// The ledger ends within a run.
    Unfinished {
        /// The run.
        run_id: String,
    },
    /// No record has the hash that somebody kept.
    NotFound {
        /// The hash.
        hash: String,
    },
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, from 1 on.
    pub line: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub error: IntegrityError,
}

/// What a look at a ledger has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// How many runs.
    pub runs: u64,
    /// The last record.
    pub head: Option<LedgerHead>,
    /// How many records came after the one whose hash somebody kept.
    pub since_expected: Option<u64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is not wrong, and may be asked about.
    pub notes: Vec<String>,
}

impl Verified {
    /// Whether the ledger is as it was written, as far as can be seen.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Looks at a ledger. `expected` is a hash that somebody kept elsewhere.
///
/// # Errors
/// Where it cannot be read.
///
/// ```
/// use rdsprov_core::audit::verify;
/// let verified = verify(&b"hello\n"[..], None).unwrap();
/// assert!(!verified.is_intact());
/// assert!(verify(&b""[..], None).unwrap().is_intact());
/// ```
pub fn verify(ledger: impl BufRead, expected: Option<&str>) -> io::Result<Verified> {
    let mut chain = Chain::default();
    for_each_line(ledger, |number, line| chain.line(number, line, expected))?;
    Ok(chain.end(expected))
}

/// The records of a ledger that are whole, in order, with the numbers of their lines.
///
/// # Errors
/// Where it cannot be read, or holds records of a version that is not known yet.
pub fn entries(ledger: impl BufRead) -> io::Result<Vec<(u64, Entry)>> {
    let mut entries = Vec::new();
    let mut unknown = None;
    for_each_line(ledger, |number, line| {
        if let Line::Whole(_) = Line::read(line) {
            match serde_json::from_slice(line) {
                Ok(entry) => entries.push((number, entry)),
                Err(error) => {
                    unknown.get_or_insert_with(|| format!("line {number} is not understood, perhaps since a later version wrote it: {error}"));
                }
            }
        }
    })?;
    unknown.map_or(Ok(entries), |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
}

fn for_each_line(mut ledger: impl BufRead, mut look: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if ledger.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        look(number, line.strip_suffix(b"\n").unwrap_or(&line));
    }
    Ok(())
}

/// What was seen so far.
#[derive(Default)]
struct Chain {
    findings: Vec<Finding>,
    records: u64,
    head: Option<LedgerHead>,
    /// The number of each record, and its line.
    seen: BTreeMap<u64, u64>,
    /// Numbers that are missing before a line, from and to; what was moved may turn up yet.
    gaps: Vec<(u64, u64, u64)>,
    /// Lines in a row that are no records: where they begin, what is wrong with the first, and all.
    fragments: Option<(u64, String, Vec<Vec<u8>>)>,
    /// How many such were told of by the record behind.
    truncated: u64,
    /// The line before is not what it was, and that was found already.
    skip_link_check: bool,
    /// Which record has the hash that somebody kept.
    expected_at: Option<u64>,
    runs: BTreeSet<String>,
    /// The runs without an end, and the last line of each.
    open: BTreeMap<String, u64>,
    /// The run of the last record, and whether that is its end.
    last: Option<(String, bool)>,
}

impl Chain {
    fn found(&mut self, line: u64, error: IntegrityError) {
        self.findings.push(Finding { line, error });
    }

    fn line(&mut self, number: u64, line: &[u8], expected: Option<&str>) {
        match Line::read(line) {
            Line::Whole(link) => {
                let is_own = split(line).is_some_and(|(content, own)| sha256(content) == own);
                if expected == Some(&*link.hash) && is_own {
                    self.expected_at = Some(self.records + 1);
                }
                self.record(number, link, is_own);
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

    fn record(&mut self, number: u64, link: Link, is_own: bool) {
        let mut before = self.head.take();
        if let Some((first, reason, fragments)) = self.fragments.take() {
            let last = before.as_ref().map_or(0, |head| head.sequence);
            let bound = sha256(&fragments.join(&b'\n'));
            if matches!(link.event.as_str(), "truncated" | "torn")
                && link.previous.as_ref() == Some(&bound)
            {
                self.truncated += 1;
            } else {
                self.found(first, IntegrityError::NotARecord { reason });
                self.skip_link_check = true;
            }
            // They have numbers as records have, unless somebody put them in.
            if link.sequence != last.saturating_add(1) {
                let sequence = last.saturating_add(fragments.len() as u64);
                before = Some(LedgerHead { sequence, hash: bound });
            }
        }
        if !is_own {
            self.found(number, IntegrityError::Changed);
        }
        self.place(number, &link, before.as_ref(), is_own);
        self.seen.entry(link.sequence).or_insert(number);
        self.records += 1;
        self.skip_link_check = !is_own;
        self.run(number, &link);
        self.head = Some(LedgerHead { sequence: link.sequence, hash: link.hash });
    }

    /// Whether a record stands where it stood.
    fn place(&mut self, number: u64, link: &Link, before: Option<&LedgerHead>, is_own: bool) {
        let sequence = link.sequence;
        let last = before.map_or(0, |head| head.sequence);
        if self.seen.contains_key(&sequence) {
            self.found(number, IntegrityError::Twice { sequence });
        } else if sequence <= last {
            self.found(number, IntegrityError::Moved { sequence });
        } else if sequence > last.saturating_add(1) {
            self.gaps.push((number, last + 1, sequence - 1));
        } else if link.previous.as_ref() != before.map(|head| &head.hash)
            && is_own
            && !self.skip_link_check
        {
            self.found(number, IntegrityError::NotBound);
        }
    }

    fn run(&mut self, number: u64, link: &Link) {
        let run = link.run_id.clone();
        let is_end = link.event == "outcome";
        if is_end {
            self.open.remove(&run);
        } else {
            self.open.insert(run.clone(), number);
        }
        self.runs.insert(run.clone());
        self.last = Some((run, is_end));
    }

    /// Numbers between two that nobody has seen anywhere: the first and the last.
    fn missing(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let is_missing = |number: &u64| !self.seen.contains_key(number);
        Some(((first..=last).find(is_missing)?, (first..=last).rev().find(is_missing)?))
    }

    fn end(mut self, expected: Option<&str>) -> Verified {
        let mut lines = self.seen.values().copied().max().unwrap_or_default();
        if let Some((first, reason, fragments)) = self.fragments.take() {
            lines = first + fragments.len() as u64 - 1;
            let is_one = fragments.len() == 1 && self.records > 0;
            self.found(
                first,
                if is_one {
                    IntegrityError::Truncated
                } else {
                    IntegrityError::NotARecord { reason }
                },
            );
        } else if let Some((run_id, false)) = self.last.take() {
            self.open.remove(&run_id);
            self.found(lines, IntegrityError::Unfinished { run_id });
        }
        for (line, first, last) in std::mem::take(&mut self.gaps) {
            // What stands elsewhere was moved, and is told of there.
            if let Some((first, last)) = self.missing(first, last) {
                self.found(line, IntegrityError::Removed { first, last });
            }
        }
        if let Some(hash) = expected.filter(|_| self.expected_at.is_none()) {
            self.found(lines, IntegrityError::NotFound { hash: hash.to_owned() });
        }
        self.findings.sort_by_key(|finding| finding.line);
        let mut notes: Vec<String> = self
            .open
            .iter()
            .map(|(run, line)| {
                format!("run {run} has no end; line {line} is the last of it: it was killed, or is still at work")
            })
            .collect();
        if self.truncated > 0 {
            notes.push(format!(
                "{} time(s) a record was torn by a crash or a full disk; the one behind it says so",
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
            Self::NotARecord { reason } => write!(f, "this is no record: {reason}"),
            Self::Truncated => f.write_str(
                "half a record: whoever wrote it was stopped; the next run says so in the ledger and goes on",
            ),
            Self::Changed => f.write_str("this record was changed after it was written"),
            Self::Removed { first, last } if first == last => {
                write!(f, "record {first} was removed before this one")
            }
            Self::Removed { first, last } => {
                write!(f, "records {first} to {last} were removed before this one")
            }
            Self::Moved { sequence } => write!(f, "record {sequence} stood elsewhere"),
            Self::Twice { sequence } => write!(f, "record {sequence} is here a second time"),
            Self::NotBound => f.write_str(
                "this record is bound to another one than stands before it: one of them was written anew",
            ),
            Self::Unfinished { run_id } => write!(
                f,
                "the ledger ends within run {run_id}: it is still at work, was killed, or records were removed from the end"
            ),
            Self::NotFound { hash } => write!(
                f,
                "no record has the hash {hash}: records were removed from the end, or written anew"
            ),
        }
    }
}
