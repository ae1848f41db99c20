//! Records that cannot be written in the middle of a run: what is changed, what is recorded, and
//! what the next run records.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki         = { database_name = "wiki", username = "wiki_owner" }
    wiki_reports = { database_name = "wiki", username = "wiki_reader", access_level = "reader" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in [
        ("shop", "shop_owner"),
        ("shop_reports", "shop_reader"),
        ("wiki", "wiki_owner"),
        ("wiki_reports", "wiki_reader"),
    ] {
        fixture.app("dev", application, user);
    }
    let definitions = fixture.definitions(DEFINITIONS);
    (fixture, definitions)
}

fn records(ledger: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the complete rows of a CSV file, and asserts that each row is complete.
#[track_caller]
fn rows(csv: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(csv).unwrap();
    assert!(text.ends_with('\n'), "half a row: {text}");
    let rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    assert!(rows.iter().all(|row| row.split(',').count() >= 10), "{text}");
    rows
}

/// Returns the summaries of the changes that the ledger records as committed, sorted.
fn committed(ledger: &Path) -> Vec<String> {
    let is_committed = |record: &Value| record["status"] == "success" && record["event"] == "step";
    let all = records(ledger);
    let mut all: Vec<String> = all
        .iter()
        .filter(|record| is_committed(record))
        .map(|record| record["summary"].as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

fn audit(fixture: &Fixture, ledger: &Path, arguments: &[&str], code: i32) -> String {
    let mut command = fixture.program();
    command.args(["audit", arguments[0]]).arg(ledger).args(&arguments[1..]);
    expect(&command.output().unwrap(), code)
}

/// How a test limits the space for the files in a directory.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// The size of each file of the process.
    FileSize,
    /// The size of the file system.
    FileSystem,
}

/// Runs the command with `kilobytes` of space for files in a directory.
fn run_with_space(command: &Command, directory: &Path, kilobytes: u32, limit: Limit) -> Output {
    let mut shell = Command::new("sh");
    let words = match limit {
        Limit::FileSize => format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2),
        Limit::FileSystem => "exec \"$@\"".to_owned(),
    };
    if let Limit::FileSystem = limit {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"]).arg(directory);
        assert!(mount.status().unwrap().success());
    }
    shell
        .args(["-c", &words, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap());
    shell.output().unwrap()
}

/// Returns whether this system allows a test to mount a file system.
fn can_mount(directory: &Path) -> bool {
    std::fs::create_dir_all(directory).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(directory);
    let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if mounted {
        unmount(directory);
    }
    mounted
}

fn unmount(directory: &Path) {
    assert!(Command::new("umount").arg(directory).status().unwrap().success());
}

/// Tries more and more space until the run commits a part of its plan and then stops. Returns the
/// output and the directory with the ledger of this run.
fn stopped_in_the_middle(
    fixture: &Fixture,
    definitions: &str,
    limit: Limit,
    csv: &str,
) -> (String, std::path::PathBuf) {
    for kilobytes in (24..400).step_by(2) {
        // The limit applies to the CSV file, too, and each attempt would add its rows.
        if csv.ends_with(".csv") {
            let _ = std::fs::remove_file(csv);
        }
        let directory = fixture.path().join(format!("space-{kilobytes}"));
        std::fs::create_dir_all(&directory).unwrap();
        let ledger = directory.join("ledger.jsonl").display().to_string();
        let apply = ["apply", "--env", "dev", "--audit-ledger", &ledger, "--audit-output", csv];
        let command = fixture.command(definitions, &apply);
        let output = run_with_space(&command, &directory, kilobytes, limit);
        if output.status.code() == Some(4) {
            return (expect(&output, 4), directory);
        }
        let text = expect(&output, 1);
        assert!(text.contains("[audit-file-unwritable]"), "{text}");
        assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'"), "0");
        if let Limit::FileSystem = limit {
            unmount(&directory);
        }
    }
    panic!("the run never stopped in the middle");
}

/// The disk of the ledger has space for the intent and some transactions only.
#[test]
fn full_disk_stops_the_run_before_the_next_transaction() {
    let (first, _) = fixture(versions()[0]);
    let mut limits = vec![Limit::FileSize];
    if can_mount(&first.path().join("space")) {
        limits.push(Limit::FileSystem);
    }
    drop(first);
    for limit in limits {
        let (fixture, definitions) = fixture(versions()[0]);
        let csv = fixture.path().join("audit.csv");
        let (text, directory) =
            stopped_in_the_middle(&fixture, &definitions, limit, &csv.display().to_string());
        let ledger = directory.join("ledger.jsonl");
        assert!(text.contains("error[audit-file-unwritable]: "), "{limit:?}: {text}");
        assert!(
            text.contains("changes were committed: the records of the next changes ("),
            "{text}"
        );
        assert!(text.contains("hint: free space for "), "{text}");
        // Each change that was committed is in both files.
        let before = committed(&ledger);
        assert!(!before.is_empty(), "{text}");
        let run = records(&ledger)[0]["run_id"].as_str().unwrap().to_owned();
        let mine: Vec<String> = rows(&csv).into_iter().filter(|row| row.contains(&run)).collect();
        let success = mine.iter().filter(|row| row.contains(",success,")).count();
        assert_eq!(success, before.len(), "{limit:?}: {text}\n{mine:?}");
        let not_run = mine.iter().filter(|row| row.contains(",not_run,")).count();
        assert!(not_run > 0, "{mine:?}");
        let planned = records(&ledger)[0]["transactions"].clone();
        let planned: usize = planned
            .as_array()
            .unwrap()
            .iter()
            .map(|transaction| transaction["steps"].as_array().unwrap().len())
            .sum();
        assert_eq!(success + not_run, planned, "{mine:?}");
        assert!(
            text.contains(&format!(": {success} of {planned} changes were committed")),
            "{text}"
        );
        // Nothing of the reserved space remains in the file.
        let length = std::fs::metadata(&ledger).unwrap().len();
        assert_eq!(length as usize, std::fs::read(&ledger).unwrap().len());

        // With more space, the next run completes the plan, and the ledger is intact.
        if let Limit::FileSystem = limit {
            let mut mount = Command::new("mount");
            mount.args(["-o", "remount,size=8m"]).arg(&directory);
            assert!(mount.status().unwrap().success());
        }
        let ledger_text = ledger.display().to_string();
        let apply = ["apply", "--env", "dev", "--audit-ledger", &ledger_text];
        expect(&fixture.run(&definitions, &apply), 0);
        audit(&fixture, &ledger, &["verify"], 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        assert!(committed(&ledger).len() >= planned, "{:?}", committed(&ledger));
        if let Limit::FileSystem = limit {
            unmount(&directory);
        }
    }
}

/// Waits until a session of the administrator waits for a lock.
fn wait_until_blocked(fixture: &Fixture) {
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'platform_admin' AND wait_event_type = 'Lock'";
    let until = Instant::now() + Duration::from_secs(30);
    while fixture.query(waits) == "0" {
        assert!(Instant::now() < until, "the run waits for nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The run that creates an application is killed, and the application leaves the definitions.
#[test]
fn changes_of_applications_that_left_are_acknowledged() {
    let (fixture, definitions) = fixture(versions()[0]);
    let run = |definitions: &str, words: &[&str]| {
        let records = ["--env", "dev", "--audit-ledger", "ledger.jsonl"];
        expect(&fixture.run(definitions, &[words, &records].concat()), 0)
    };
    run(&definitions, &["apply"]);
    let ledger = fixture.path().join("ledger.jsonl");
    let text = std::fs::read_to_string(&ledger).unwrap();
    let intent = text.lines().position(|line| line.contains(r#""event":"intent""#)).unwrap() + 1;
    let kept: Vec<&str> = text.lines().take(intent).collect();
    std::fs::write(&ledger, kept.join("\n") + "\n").unwrap();

    // Neither a retirement nor an apply of other definitions finds out about it.
    let other = fixture.definitions("application_databases = {}");
    let words = ["retire", "shop", "shop_reports", "wiki", "wiki_reports", "--drop-role"];
    let drop = ["--drop-database", "--without-backup", "--confirm", "shop", "--confirm", "wiki"];
    let allow = ["--allow", "revokes_access,drops_role,drops_database"];
    run(&other, &[&words[..], &drop, &allow].concat());
    run(&other, &["apply"]);
    let report = audit(&fixture, &ledger, &["report"], 2);
    assert!(report.contains("hint: the next run of the same command looks for"), "{report}");
    let line = intent.to_string();
    let acknowledge = |line: &str, code| {
        let words = ["--line", line, "--found", "done", "--actor", "grace", "--reason"];
        let words = [&["acknowledge"], &words[..], &["it was in\u{1b}[2J the backup"]].concat();
        audit(&fixture, &ledger, &words, code)
    };
    let wrong = acknowledge("1000", 64);
    assert!(
        wrong.contains(&format!("the changes that lines {line} announce have no result")),
        "{wrong}"
    );
    let done = acknowledge(&line, 0);
    assert!(done.contains("acknowledged: create_role role shop_owner"), "{done}");
    let report = audit(&fixture, &ledger, &["report"], 0);
    assert!(report.contains(", acknowledged by grace: it was in\\u{1b}[2J"), "{report}");
    audit(&fixture, &ledger, &["verify"], 0);
}

/// The directory of the ledger disappears while a statement is executed.
#[test]
fn changes_without_records_are_reported_and_found_by_the_next_run() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let apply = [
            "apply",
            "--env",
            "dev",
            "--audit-ledger",
            "records/ledger.jsonl",
            "--audit-output",
            "audit.csv",
            "--audit-stdout",
            "always",
        ];
        expect(&fixture.run(&definitions, &apply), 0);
        let revoke = "REVOKE USAGE ON SCHEMA public FROM";
        fixture.query_in("shop", "CREATE ROLE other");
        let public = "REVOKE ALL ON SCHEMA public FROM PUBLIC";
        for (database, reader) in [("shop", "shop_reader"), ("wiki", "wiki_reader")] {
            fixture.query_in(database, &format!("{public}; {revoke} {reader}"));
        }
        let has_usage = |database: &str, reader: &str| {
            fixture.query_in(
                database,
                &format!("SELECT has_schema_privilege('{reader}', 'public', 'USAGE')"),
            )
        };
        let mut blocker = fixture.server.superuser_session("shop").unwrap();
        blocker.ask("BEGIN; GRANT USAGE ON SCHEMA public TO other").unwrap();
        // One database after the other.
        let one_by_one = ["--run-id", "lost", "--max-connections", "4"];
        let lost = [apply.as_slice(), &one_by_one].concat();
        let mut command = fixture.command(&definitions, &lost);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until_blocked(&fixture);
        let (here, away) = (fixture.path().join("records"), fixture.path().join("away"));
        std::fs::rename(&here, &away).unwrap();
        blocker.ask("ROLLBACK").unwrap();
        let text = expect(&child.wait_with_output().unwrap(), 4);
        assert_eq!(has_usage("shop", "shop_reader"), "t");
        // The run stops before the next database.
        assert_eq!(has_usage("wiki", "wiki_reader"), "f", "PostgreSQL {major}: {text}");
        for words in [
            "error[changes-not-recorded]: 1 change was committed (database shop), but not written \
             to records/ledger.jsonl (no such file or directory): grant USAGE on schema public \
             to shop_reader of application shop_reports; it is in audit.csv; in all, 1 of 2 \
             changes was committed",
            "hint: make records/ledger.jsonl writable again",
            "hint: fix the cause and run again; committed changes are kept",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        // The CSV file contains each row.
        let rows = rows(&fixture.path().join("audit.csv"));
        let lost: Vec<&String> = rows.iter().filter(|row| row.contains(",lost,")).collect();
        for part in [",intent,intent,", ",grant,success,", ",grant,not_run,", ",apply,error,"] {
            assert_eq!(lost.iter().filter(|row| row.contains(part)).count(), 1, "{part}: {lost:?}");
        }

        std::fs::rename(&away, &here).unwrap();
        let ledger = here.join("ledger.jsonl");
        let verified = audit(&fixture, &ledger, &["verify"], 1);
        assert!(verified.contains("the ledger ends within run lost"), "{verified}");
        // A run for another application does not end the search, and the report contains the changes.
        expect(&fixture.run(&definitions, &[apply.as_slice(), &["--only", "wiki"]].concat()), 0);
        let report = audit(&fixture, &ledger, &["report", "--role", "shop_reader"], 2);
        assert!(report.contains("it may have been committed\n"), "{report}");

        let text = expect(&fixture.run(&definitions, &apply), 0);
        let note = "note: run lost has not recorded the results of 2 changes: 1 of them were made";
        assert!(text.contains(note), "{text}");
        let found: Vec<(String, String)> = records(&ledger)
            .iter()
            .filter(|record| record["event"] == "recovered")
            .map(|record| {
                assert_eq!(record["of_run"], "lost");
                let word = |key: &str| record[key].as_str().unwrap().to_owned();
                (word("role"), word("found"))
            })
            .collect();
        let expected = [("shop_reader", "done"), ("wiki_reader", "not_done")];
        assert_eq!(found, expected.map(|(role, found)| (role.to_owned(), found.to_owned())));
        assert!(text.contains(",grant,found_done,0,run lost: USAGE on schema public"), "{text}");
        let verified = audit(&fixture, &ledger, &["verify"], 0);
        assert!(
            verified.contains("run lost has not recorded all results of its intent"),
            "{verified}"
        );
        let report = audit(&fixture, &ledger, &["report", "--role", "shop_reader"], 0);
        assert!(
            report.contains("run lost, approval not_required, result found by run "),
            "{report}"
        );
        // A third run finds nothing to record.
        let text = expect(&fixture.run(&definitions, &apply), 0);
        assert!(!text.contains("has not recorded"), "{text}");

        // Both databases at the same time.
        for (database, reader) in [("shop", "shop_reader"), ("wiki", "wiki_reader")] {
            fixture.query_in(database, &format!("{revoke} {reader}"));
        }
        blocker.ask("BEGIN; GRANT USAGE ON SCHEMA public TO other").unwrap();
        let mut command = fixture.command(&definitions, &apply);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until_blocked(&fixture);
        std::fs::rename(&here, &away).unwrap();
        blocker.ask("ROLLBACK").unwrap();
        let text = expect(&child.wait_with_output().unwrap(), 4);
        let words = "2 changes were committed (database shop, database wiki), but not written to \
            records/ledger.jsonl";
        assert!(text.contains(words), "{text}");
        std::fs::rename(&away, &here).unwrap();
        let text = expect(&fixture.run(&definitions, &apply), 0);
        assert!(text.contains("has not recorded the results of 2 changes: 2 of them"), "{text}");
    }
}

/// A run that has ended without the results of its steps is a finding until the next run.
#[test]
fn intent_without_results_is_a_finding() {
    let (fixture, definitions) = fixture(versions()[0]);
    let apply = ["apply", "--env", "dev", "--audit-ledger", "records/ledger.jsonl"];
    expect(&fixture.run(&definitions, &apply), 0);
    let ledger = fixture.path().join("records/ledger.jsonl");
    // The records of the steps are lost, and the chain is written anew without them.
    fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT 3");
    let text = std::fs::read_to_string(&ledger).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.contains("\"event\":\"step\""));
    let script = "import hashlib, json, sys
previous = None
for number, line in enumerate(sys.stdin, 1):
    record = json.loads(line)
    record.pop('hash')
    record['sequence'], record['previous'] = number, previous
    text = json.dumps(record, separators=(',', ':'), ensure_ascii=False)[:-1]
    previous = 'sha256:' + hashlib.sha256(text.encode()).hexdigest()
    print(text + ',\"hash\":\"' + previous + '\"}')";
    let mut python = Command::new("python3");
    let mut child =
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.join("\n").as_bytes())
        .unwrap();
    std::fs::write(&ledger, child.wait_with_output().unwrap().stdout).unwrap();
    let verified = audit(&fixture, &ledger, &["verify"], 1);
    assert!(verified.contains("steps of this intent have no result: run "), "{verified}");
    expect(&fixture.run(&definitions, &apply), 0);
    audit(&fixture, &ledger, &["verify"], 0);
    let found = records(&ledger);
    let found = found.iter().filter(|record| record["found"] == "done").count();
    assert!(found > 10, "{found}");
}
