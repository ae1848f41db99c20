use std::fs;
use std::path::Path;

use super::*;
use crate::audit::{Command, Event, EventKind, FailureCodes, LedgerWriter, RunContext, Status};

/// Appends the record of a run without changes, and returns its hash.
fn append(path: &Path, run: &str) -> String {
    let outcome = EventKind::Outcome {
        command: Command::Apply,
        status: Status::NoChange,
        message: String::new(),
        codes: FailureCodes::default(),
        already_recorded: false,
        applied: BTreeMap::new(),
    };
    let context = RunContext { run_id: run.to_owned(), ..RunContext::default() };
    let ledger = LedgerWriter::open(path).unwrap();
    ledger.append(&context, &[Event::now(outcome)]).unwrap().unwrap().hash
}

/// Returns a ledger with `before` records, `fragments` incomplete lines and one more run, and the hash
/// of its last record.
fn interrupted(before: usize, fragments: usize) -> (Vec<String>, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    for number in 0..before {
        append(&path, &format!("before-{number}"));
    }
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    text.push_str(&vec!["{\"format_version\":3,\"sequ"; fragments].join("\n"));
    fs::write(&path, text).unwrap();
    let head = append(&path, "after");
    let text = fs::read_to_string(&path).unwrap();
    (text.lines().map(str::to_owned).collect(), head)
}

fn verified(lines: &[String], expected: Option<&str>) -> Verified {
    verify((lines.join("\n") + "\n").as_bytes(), expected).unwrap()
}

/// Computes the hashes of records again, from one of them on: each record contains that of the one before.
fn chain_again(lines: &mut [String], from: usize, mut previous: Option<String>) {
    for line in &mut lines[from..] {
        let (content, _) = split_hash(line.as_bytes()).unwrap();
        let content = std::str::from_utf8(content).unwrap();
        let (start, _) = content.rsplit_once("\"previous\":").unwrap();
        let value = previous.map_or_else(|| "null".to_owned(), |hash| format!("\"{hash}\""));
        let content = format!("{start}\"previous\":{value}");
        let hash = sha256(content.as_bytes());
        *line = format!("{content},\"hash\":\"{hash}\"}}");
        previous = Some(hash);
    }
}

/// An incomplete line does not free the records before it from the chain.
#[test]
fn records_before_an_incomplete_line_belong_to_the_chain() {
    for (before, fragments) in [(0, 1), (0, 3), (1, 1), (1, 3), (3, 1), (3, 3)] {
        let (lines, head) = interrupted(before, fragments);
        let unchanged = verified(&lines, Some(&head));
        assert!(unchanged.is_intact(), "{before} {fragments}: {:?}", unchanged.findings);
        assert_eq!(unchanged.notes.len(), 1, "{:?}", unchanged.notes);
        if before == 0 {
            continue;
        }
        let mut rewritten = lines.clone();
        for line in &mut rewritten[..before] {
            *line = line.replace("before-", "forged-");
        }
        chain_again(&mut rewritten[..before], 0, None);
        let hash = |line: &str| line[line.len() - 73..line.len() - 2].to_owned();
        // The hash of the last record in a line of its own, as if it was a part of the incomplete lines.
        let mut replaced = lines[before..].to_vec();
        replaced.insert(0, hash(&lines[before - 1]));
        for forged in [rewritten, replaced] {
            for expected in [None, Some(head.as_str())] {
                let found = verified(&forged, expected);
                assert!(!found.is_intact(), "{before} {fragments} {expected:?}");
            }
        }
    }
}

/// Before version 3, the chain began again at an incomplete line.
#[test]
fn truncated_records_of_earlier_versions_do_not_cover_what_is_before() {
    for fragments in [1, 3] {
        let (mut lines, _) = interrupted(2, fragments);
        let truncated = 2 + fragments;
        let hash = sha256(lines[2..truncated].join("\n").as_bytes());
        for line in &mut lines[truncated..] {
            *line = line.replace("{\"format_version\":3,", "{\"format_version\":2,");
        }
        chain_again(&mut lines, truncated, Some(hash));
        let without = verified(&lines, None);
        assert!(without.is_intact(), "{:?}", without.findings);
        let head = without.head.unwrap().hash;
        let line = truncated as u64 + 1;
        let notes = without.notes.join("\n");
        assert!(
            notes.starts_with(&format!("the `truncated` record in line {line} is of")),
            "{notes}"
        );

        let expected = verified(&lines, Some(&head));
        assert_eq!(expected.findings, [Finding { line, error: IntegrityError::NotCovered }]);
        // A hash that was stored before the incomplete line covers the records before it.
        let second = verified(&lines[..2], None).head.unwrap().hash;
        let earlier = verified(&lines, Some(&second));
        assert!(earlier.is_intact(), "{:?}", earlier.findings);
    }
    // Nothing is before the first line.
    let (mut lines, _) = interrupted(0, 1);
    let hash = sha256(lines[0].as_bytes());
    lines[1] = lines[1].replace("{\"format_version\":3,", "{\"format_version\":2,");
    chain_again(&mut lines, 1, Some(hash));
    let head = verified(&lines, None).head.unwrap().hash;
    assert!(verified(&lines, Some(&head)).is_intact());
}
