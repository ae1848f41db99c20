//! The ledger: verification finds every manual change, and reports no false finding after a
//! crash of a writer.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rdsprov_core::audit::{
    Attribution, AuditError, Change, Columns, Command, CsvWriter, Event, EventKind, FailureCodes,
    LedgerWriter, Record, RunContext, Status, Verified, changes, entries, to_csv, verify,
};
use sha2::Digest as _;
use tempfile::TempDir;

fn facts(run: &str) -> RunContext {
    RunContext {
        environment: "dev".into(),
        run_id: run.into(),
        attribution: Attribution::detect(Some("ada".into()), None, None),
        ..RunContext::default()
    }
}

fn intent() -> Event {
    let (command, plan) = (Command::Apply, "sha256:1".into());
    let definition_digests = BTreeMap::new();
    Event::now(EventKind::Intent { command, plan, definition_digests, transactions: Vec::new() })
}

fn outcome() -> Event {
    let message = String::new();
    Event::now(EventKind::Outcome {
        command: Command::Apply,
        status: Status::Success,
        message,
        codes: FailureCodes::default(),
        already_recorded: false,
        applied: BTreeMap::new(),
    })
}

/// Writes runs of two records each.
fn runs(path: &Path, numbers: std::ops::Range<u32>) {
    let ledger = LedgerWriter::open(path).unwrap();
    for number in numbers {
        ledger.append(&facts(&number.to_string()), &[intent()]).unwrap();
        ledger.append(&facts(&number.to_string()), &[outcome()]).unwrap();
    }
}

fn verified(path: &Path) -> Verified {
    verify(fs::read(path).unwrap().as_slice(), None).unwrap()
}

fn findings(path: &Path) -> String {
    let findings = verified(path).findings;
    findings.iter().map(|f| format!("  {}: {}\n", f.line, f.error)).collect()
}

fn ledger() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("records/ledger.jsonl");
    runs(&path, 0..4);
    (directory, path)
}

/// A clock that is set back is no defect, and is mentioned. Runs that wait for each other are not.
#[test]
fn clock_that_is_set_back_is_mentioned() {
    let (_directory, path) = ledger();
    let ledger = LedgerWriter::open(&path).unwrap();
    let note = "follows a record of";
    for (seconds, is_mentioned) in [(3600, false), (3590, false), (0, true)] {
        let mut event = outcome();
        event.at += std::time::Duration::from_secs(seconds);
        ledger.append(&facts("late"), &[event]).unwrap();
        let verified = verified(&path);
        assert_eq!(verified.findings, [], "{seconds}");
        let is_found = verified.notes.iter().any(|one| one.contains(note));
        assert_eq!(is_found, is_mentioned, "{seconds}: {:?}", verified.notes);
    }
}

/// Each kind of manual change to the file, and its findings.
#[test]
fn manual_changes_are_found() {
    type Change = fn(&mut Vec<String>);
    let table: [(&str, Change); 15] = [
        ("nothing", |_| {}),
        ("one is changed", |lines| lines[2] = lines[2].replace("ada", "eve")),
        ("the last is changed", |lines| lines[7] = lines[7].replace("ada", "eve")),
        ("a hash is changed", |lines| {
            let end = lines[3].len() - 10;
            let digit = if lines[3][end..].starts_with('0') { "1" } else { "0" };
            lines[3].replace_range(end..=end, digit);
        }),
        ("the first is removed", |lines| drop(lines.remove(0))),
        ("one is removed", |lines| drop(lines.remove(3))),
        ("some are removed", |lines| drop(lines.drain(2..5))),
        ("the last is removed", |lines| drop(lines.pop())),
        ("two change places", |lines| lines.swap(3, 4)),
        ("one moves to the end", |lines| {
            let line = lines.remove(2);
            lines.push(line);
        }),
        ("one is there twice", |lines| lines.insert(4, lines[3].clone())),
        ("one is made to nothing", |lines| lines[4] = String::new()),
        ("one is cut in half", |lines| {
            let half = lines[4].len() / 2;
            lines[4].truncate(half);
        }),
        ("one is put in", |lines| lines.insert(2, "{\"event\": \"step\"}".into())),
        ("all is replaced by something else", |lines| *lines = vec!["hello".into()]),
    ];
    let mut text = String::new();
    for (what, change) in table {
        let (_directory, path) = ledger();
        let mut lines: Vec<String> =
            fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        text.push_str(&format!("{what}\n{}\n", findings(&path)));
    }
    insta::assert_snapshot!(text);
}

/// An emptied ledger is not intact: nothing shows that its records were not removed.
#[test]
fn empty_ledger_is_not_intact() {
    let (_directory, path) = ledger();
    fs::write(&path, "").unwrap();
    assert_eq!(
        findings(&path),
        "  1: the ledger contains no record: its records were removed, or no run has written to it\n"
    );
    runs(&path, 0..1);
    assert!(verified(&path).is_intact());
}

/// The time for the incomplete lines of killed runs is linear in their number: this test would not
/// end within an hour if it was not.
#[test]
fn many_incomplete_lines() {
    const LINES: usize = 1_000_000;
    let (_directory, path) = ledger();
    fs::write(&path, "{\n".repeat(LINES)).unwrap();
    runs(&path, 0..1);
    let verified = verified(&path);
    assert!(verified.is_intact(), "{:?}", verified.findings);
    assert_eq!(verified.records, 3);
    assert_eq!(verified.head.unwrap().sequence, LINES as u64 + 3);
}

/// Rewritten records with valid hashes, or an end that is cut off between two runs, form a valid
/// chain. Only a head that was kept elsewhere reveals them.
#[test]
fn separately_kept_head_reveals_a_rewritten_chain() {
    let (_directory, path) = ledger();
    let kept = verified(&path).head.unwrap();
    let expected =
        |path: &Path| verify(fs::read(path).unwrap().as_slice(), Some(&kept.hash)).unwrap();
    assert_eq!(expected(&path).since_expected, Some(0));
    runs(&path, 4..5);
    let grown = expected(&path);
    assert!(grown.is_intact());
    assert_eq!((grown.records, grown.runs, grown.since_expected), (10, 5, Some(2)));

    let text = fs::read_to_string(&path).unwrap();
    let six: Vec<&str> = text.lines().take(6).collect();
    fs::write(&path, six.join("\n") + "\n").unwrap();
    assert!(verified(&path).is_intact());
    assert!(!expected(&path).is_intact());

    fs::remove_file(&path).unwrap();
    runs(&path, 0..5);
    assert!(verified(&path).is_intact());
    assert!(!expected(&path).is_intact());
}

/// A crash at any byte: the partial line remains, and the next run reports it and continues.
#[test]
fn truncated_line_is_reported_and_continued() {
    let (_directory, path) = ledger();
    let whole = fs::read(&path).unwrap();
    let before = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in before + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let cut_ledger = verified(&path);
        // A last record without its line break is complete.
        let is_whole = cut == whole.len() - 1;
        assert_eq!(cut_ledger.is_intact(), is_whole, "{cut}: {:?}", cut_ledger.findings);
        runs(&path, 4..5);
        let after = verified(&path);
        assert!(after.is_intact(), "{cut}: {:?}", after.findings);
        let (records, notes) = if is_whole { (10, 0) } else { (10, 2) };
        assert_eq!((after.records, after.notes.len()), (records, notes), "{cut}: {after:?}");
        assert!(
            fs::read(&path).unwrap().starts_with(&whole[..cut]),
            "existing bytes must not change"
        );
        // The chain covers a truncated line like any other record.
        if !is_whole {
            let mut changed = fs::read(&path).unwrap();
            changed[before] ^= 1;
            assert!(!verify(changed.as_slice(), None).unwrap().is_intact(), "{cut}");
        }
    }
    // The record that reports the truncation can be truncated as well.
    fs::write(&path, &whole[..before + 30]).unwrap();
    runs(&path, 4..5);
    let truncated = fs::read(&path).unwrap();
    for cut in [before + 30, before + 31, before + 32, before + 60] {
        fs::write(&path, &truncated[..cut]).unwrap();
        runs(&path, 5..6);
        let after = verified(&path);
        assert!(after.is_intact(), "{cut}: {:?}", after.findings);
    }
    // The first record can be truncated as well.
    for cut in 1..40 {
        fs::write(&path, &whole[..cut]).unwrap();
        runs(&path, 0..1);
        let after = verified(&path);
        assert!(after.is_intact(), "{cut}: {:?}", after.findings);
    }
}

#[test]
fn concurrent_writers_form_one_chain() {
    let (_directory, path) = ledger();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || runs(path, number * 10..number * 10 + 10));
        }
    });
    let verified = verified(&path);
    assert!(verified.is_intact(), "{:?}", verified.findings);
    assert_eq!(verified.records, 8 + 160);
}

/// After the file is moved away, a new ledger is started and the old one remains valid.
#[test]
fn moved_ledger_is_started_again() {
    let (directory, path) = ledger();
    let ledger = LedgerWriter::open(&path).unwrap();
    let old = directory.path().join("old.jsonl");
    fs::rename(&path, &old).unwrap();
    ledger.append(&facts("9"), &[intent(), outcome()]).unwrap();
    assert_eq!((verified(&old).records, verified(&path).records), (8, 2));
    assert!(verified(&old).is_intact() && verified(&path).is_intact());
}

#[test]
fn other_files_are_not_changed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    for text in ["hello\n", "{}\n", "timestamp_utc,environment\n", "[1]"] {
        fs::write(&path, text).unwrap();
        let error = LedgerWriter::open(&path).unwrap_err();
        assert!(matches!(error, AuditError::NotALedger { .. }), "{text}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(matches!(LedgerWriter::open(directory.path()), Err(AuditError::Io { .. })));
    let null = LedgerWriter::open(Path::new("/dev/null"));
    assert!(matches!(null, Err(AuditError::NotRegular { .. })));
}

/// A line may be long; records after it are still found.
#[test]
fn long_records_are_read_from_the_end() {
    let (_directory, path) = ledger();
    let ledger = LedgerWriter::open(&path).unwrap();
    for length in [1, 65_000, 65_536, 200_000, 3_000_000] {
        let what = EventKind::Outcome {
            command: Command::Apply,
            status: Status::Error,
            message: "x".repeat(length),
            codes: FailureCodes::default(),
            already_recorded: false,
            applied: BTreeMap::new(),
        };
        ledger.append(&facts("long"), &[Event::now(what)]).unwrap();
    }
    assert!(verified(&path).is_intact());
    assert_eq!(verified(&path).records, 13);
}

/// The chain covers a record of a later format version, whose contents are not interpreted.
#[test]
fn records_of_later_versions_belong_to_the_chain() {
    let (_directory, path) = ledger();
    let text = fs::read_to_string(&path).unwrap();
    let last = text.lines().last().unwrap();
    let content = last.split(",\"hash\"").next().unwrap();
    let content = content
        .replace("\"sequence\":8", "\"sequence\":9")
        .replace("\"event\":\"outcome\"", "\"event\":\"premonition\",\"of\":1");
    let hash = |text: &str| {
        let line = text.lines().last().unwrap();
        serde_json::from_str::<serde_json::Value>(line).unwrap()["hash"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = serde_json::from_str::<serde_json::Value>(last).unwrap();
    let content = content.replace(before["previous"].as_str().unwrap(), &hash(&text));
    let own = sha2::Sha256::digest(content.as_bytes());
    let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, format!("{text}{content},\"hash\":\"sha256:{own}\"}}\n")).unwrap();
    runs(&path, 4..5);
    let verified = verified(&path);
    assert!(verified.is_intact(), "{:?}", verified.findings);
    assert_eq!(verified.records, 11);
    let error = changes(fs::read(&path).unwrap().as_slice(), None, None).unwrap_err();
    assert!(error.to_string().contains("line 9 has an unknown format"), "{error}");
}

/// Forged numbers lead to findings only.
#[test]
fn forged_numbers_lead_to_findings() {
    let (_directory, path) = ledger();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"sequence\":8", &format!("\"sequence\":{}", u64::MAX)))
        .unwrap();
    assert!(!verified(&path).is_intact());
    runs(&path, 4..5);
    assert!(!verified(&path).is_intact());
}

/// Format 1 has other names for some keys. Its records can still be read and verified.
#[test]
fn format_1_records_are_read() {
    let content = concat!(
        r#"{"format_version":1,"sequence":1,"timestamp_utc":"2026-01-01T00:00:00.000Z","#,
        r#""environment":"dev","build_id":"1","run_id":"r","actor":"ada","approver":null,"#,
        r#""request_id":null,"os_user":"ada","host":"h","server":null,"definitions":null,"plan":null,"#,
        r#""event":"step","status":"success","duration_ms":1,"reason":null,"action":"grant","#,
        r#""application":"shop","role":"shop_owner","database":"shop","summary":"s","#,
        r#""acting":{"role":"shop_owner"},"borrowed":{"shop_owner":"set"},"#,
        r#""passages":[{"schema":"stock","role":"shop_owner","keeper":"administrator"}],"#,
        r#""statements":["GRANT a TO b"],"hazards":[],"previous":null"#,
    );
    let hash =
        sha2::Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = format!("{content},\"hash\":\"sha256:{hash}\"}}\n");
    let changes = changes(line.as_bytes(), None, None).unwrap();
    let [Change { step, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    let step = serde_json::to_value(step).unwrap();
    assert_eq!(step["execute_as"]["role"], "shop_owner");
    assert_eq!(step["temporary_memberships"]["shop_owner"], "set");
    assert_eq!(step["temporary_usage"][0]["granted_by"], "administrator");
    assert_eq!(step["temporary_usage"][0]["grantee"], "shop_owner");
    let truncated = line.replace(r#""event":"step""#, r#""event":"torn","bytes":3"#);
    assert_eq!(entries(truncated.as_bytes()).unwrap().len(), 1);
}

fn record(message: &str) -> Record {
    let kind = EventKind::Outcome {
        command: Command::Apply,
        status: Status::Error,
        message: message.to_owned(),
        codes: FailureCodes::default(),
        already_recorded: false,
        applied: BTreeMap::new(),
    };
    Event::now(kind).row(&facts("1")).unwrap()
}

/// A spreadsheet executes no cell and shows each record in one row, whatever a name or a server
/// message contains.
#[test]
fn cells_are_no_formulas() {
    let mut hostile = record("=cmd|' /C calc'!A0");
    hostile.environment = "@SUM(1)".to_owned();
    hostile.build_id = "+1".to_owned();
    hostile.run_id = "-1\r\nforged,row".to_owned();
    hostile.database = "\t=1".to_owned();
    hostile.username = "＝1\u{202e}".to_owned();
    hostile.action = " =1".to_owned();
    let text = to_csv(&[hostile], Columns::Run);
    let row = text.lines().nth(1).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    let row = row.split_once(',').unwrap().1;
    assert_eq!(
        row,
        "'@SUM(1),'+1,\"'-1  forged,row\",' =1,'＝1\\u{202e},' =1,error,0,'=cmd|' /C calc'!A0"
    );
    // Where lists are separated by `;`, it begins a cell.
    let text = to_csv(&[record("a;=1;b; @2;\"+3;c-4")], Columns::Run);
    assert!(text.ends_with("\"a;'=1;b;' @2;'\"\"+3;c-4\"\n"), "{text}");
    let plain = to_csv(&[record("a = b, it's-fine")], Columns::Run);
    assert!(plain.ends_with("\"a = b, it's-fine\"\n"), "{plain}");
}

/// A file has the columns of one kind of run: a row of the other kind would be in the wrong columns.
#[test]
fn records_of_a_fleet_have_one_more_column() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    CsvWriter::append(&path("run.csv"), Columns::Run).unwrap();
    let mut of_fleet = CsvWriter::append(&path("fleet.csv"), Columns::Fleet).unwrap();
    let mut row = record("done");
    row.instance = Some("orders-eu".to_owned());
    of_fleet.write(&[row]).unwrap();
    let text = fs::read_to_string(path("fleet.csv")).unwrap();
    assert!(text.starts_with("timestamp_utc,") && text.contains(",message,instance\n"), "{text}");
    assert!(text.ends_with(",0,done,orders-eu\n"), "{text}");
    for (name, columns) in [("run.csv", Columns::Fleet), ("fleet.csv", Columns::Run)] {
        let error = CsvWriter::append(&path(name), columns).unwrap_err();
        assert!(matches!(error, AuditError::OtherColumns { .. }), "{name}: {error}");
        assert!(error.to_string().contains("the column `instance`") == (columns == Columns::Run));
        assert!(error.to_string().contains("no column `instance`") == (columns == Columns::Fleet));
    }
    CsvWriter::append(&path("run.csv"), Columns::Run).unwrap();
    CsvWriter::append(&path("fleet.csv"), Columns::Fleet).unwrap();
}

/// Writes rows until the file has no space for another one.
fn fill(path: &Path) {
    let mut csv = CsvWriter::append(path, Columns::Run).unwrap();
    csv.write(&[record("fits")]).unwrap();
    let long = record(&"x".repeat(600));
    // Space that does not exist cannot be reserved, and reserving writes nothing.
    let kept = fs::read(path).unwrap();
    assert!(matches!(csv.reserve(std::slice::from_ref(&long), 0), Err(AuditError::Io { .. })));
    csv.reserve(&[record("fits")], 0).unwrap();
    assert_eq!(fs::read(path).unwrap(), kept);
    // Without a reservation, the write fails in the middle of the row.
    assert!(matches!(csv.write(&[long]), Err(AuditError::Io { .. })));
    assert_eq!(fs::read(path).unwrap(), kept, "half a row remains");
    csv.write(&[record("fits, too")]).unwrap();
    csv.release().unwrap();
}

/// The test runs itself again in a process whose files may have 512 bytes.
#[test]
fn rows_are_written_completely_or_not_at_all() {
    const VARIABLE: &str = "RDSPROV_TEST_SMALL_FILE";
    if let Some(path) = std::env::var_os(VARIABLE) {
        return fill(Path::new(&path));
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.csv");
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["rows_are_written_completely_or_not_at_all", "--exact"])
        .env(VARIABLE, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.ends_with("\"fits, too\"\n"), "{text}");
}

/// Reserved space does not change the length of a file, and is given back.
#[cfg(target_os = "linux")]
#[test]
fn reserved_space_is_given_back() {
    use std::os::unix::fs::MetadataExt as _;
    let (_directory, path) = ledger();
    let ledger = LedgerWriter::open(&path).unwrap();
    let (before, blocks) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().blocks());
    ledger.reserve(&facts("1"), &[outcome()], 1 << 20).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(fs::metadata(&path).unwrap().blocks() >= blocks + 2000, "nothing was reserved");
    ledger.append(&facts("1"), &[outcome()]).unwrap();
    ledger.release().unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() < blocks + 100, "space remains reserved");
    assert!(verified(&path).is_intact());
}

/// Who may only read a file can lock it, but not stop a run.
#[cfg(unix)]
#[test]
fn readers_hold_no_lock() {
    use std::os::unix::fs::PermissionsExt as _;

    let (directory, path) = ledger();
    let csv = directory.path().join("audit.csv");
    CsvWriter::append(&csv, Columns::Run).unwrap();
    for file in [&path, &csv] {
        let lock = file.with_added_extension("lock");
        let mode = fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{mode:o}");
    }
    let read_only = [fs::File::open(&path).unwrap(), fs::File::open(&csv).unwrap()];
    read_only.iter().for_each(|file| file.lock().unwrap());
    LedgerWriter::open(&path).unwrap().append(&facts("2"), &[intent(), outcome()]).unwrap();
    CsvWriter::append(&csv, Columns::Run).unwrap().write(&[]).unwrap();
    assert!(verified(&path).is_intact());
}

/// In a directory that users share, each of them can create `NAME.lock`.
#[cfg(unix)]
#[test]
fn lock_of_another_user_does_not_count() {
    use std::os::unix::fs::{chown, symlink};

    let (directory, path) = ledger();
    let csv = directory.path().join("audit.csv");
    CsvWriter::append(&csv, Columns::Run).unwrap();
    let other = directory.path().join("other");
    let held = fs::File::create(&other).unwrap();
    held.lock().unwrap();
    let append = |kind: &str| {
        let written =
            LedgerWriter::open(&path).unwrap().append(&facts("2"), &[intent(), outcome()]);
        assert!(written.is_ok(), "{kind}: {written:?}");
        let written = CsvWriter::append(&csv, Columns::Run).and_then(|mut csv| csv.write(&[]));
        assert!(written.is_ok(), "{kind}: {written:?}");
    };
    let locks = [&path, &csv].map(|file| file.with_added_extension("lock"));
    let each = |create: &dyn Fn(&Path)| {
        for lock in &locks {
            if fs::remove_file(lock).is_err() {
                fs::remove_dir(lock).unwrap();
            }
            create(lock);
        }
    };
    each(&|lock| symlink(&other, lock).unwrap());
    append("symbolic link");
    each(&|lock| fs::hard_link(&other, lock).unwrap());
    append("hard link");
    each(&|lock| fs::create_dir(lock).unwrap());
    append("directory");
    each(&|lock| {
        let made = std::process::Command::new("mkfifo").arg(lock).status().unwrap();
        assert!(made.success());
    });
    append("FIFO");
    // Only root can give a file away.
    let foreign = std::cell::RefCell::new(Vec::new());
    let is_root = std::cell::Cell::new(true);
    each(&|lock| {
        let file = fs::File::create(lock).unwrap();
        is_root.set(chown(lock, Some(65_534), None).is_ok());
        if is_root.get() {
            file.lock().unwrap();
        }
        foreign.borrow_mut().push(file);
    });
    append("file of another user");
    assert!(verified(&path).is_intact());
}

/// Without root, no file can be given away, and the test checks nothing.
#[cfg(unix)]
#[test]
fn files_of_other_users() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    let (directory, path) = ledger();
    let csv = directory.path().join("audit.csv");
    fs::write(&csv, "").unwrap();
    fs::remove_file(path.with_added_extension("lock")).unwrap();
    if chown(&path, Some(65_534), None).is_err() {
        return;
    }
    // The lock that root creates belongs to the owner of the file.
    LedgerWriter::open(&path).unwrap().append(&facts("2"), &[intent(), outcome()]).unwrap();
    let lock = fs::metadata(path.with_added_extension("lock")).unwrap();
    assert_eq!(lock.uid(), 65_534);
    chown(&csv, Some(65_534), None).unwrap();
    CsvWriter::append(&csv, Columns::Run).unwrap();

    // Where each user can create files, another user can have planted one.
    let shared = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(directory.path(), shared.clone()).unwrap();
    fs::set_permissions(path.parent().unwrap(), shared).unwrap();
    let says = "it belongs to another user, and each user can create files in its directory";
    let errors = [
        LedgerWriter::open(&path).unwrap_err(),
        LedgerWriter::check(&path).unwrap_err(),
        CsvWriter::append(&csv, Columns::Run).unwrap_err(),
        CsvWriter::check(&csv, Columns::Run).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().ends_with(says), "{error}");
    }
    chown(&csv, Some(0), None).unwrap();
    CsvWriter::append(&csv, Columns::Run).unwrap();
}

/// The writers of a file that a group writes share its lock.
#[cfg(unix)]
#[test]
fn group_shares_the_lock() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_directory, path) = ledger();
    let lock = path.with_added_extension("lock");
    fs::remove_file(&lock).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    LedgerWriter::open(&path).unwrap().append(&facts("2"), &[intent(), outcome()]).unwrap();
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o660);
}

/// A line without end does not take the memory of the machine.
#[test]
fn endless_lines_are_no_records() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.jsonl");
    fs::File::create(&path).unwrap().set_len(300 << 20).unwrap();
    let file = std::io::BufReader::new(fs::File::open(&path).unwrap());
    let error = verify(file, None).unwrap_err().to_string();
    assert!(error.contains("line 1 is longer than 256 MiB"), "{error}");
    let error = LedgerWriter::open(&path).map(drop).unwrap_err().to_string();
    assert!(error.contains("a line at its end is longer than 256 MiB"), "{error}");
}
