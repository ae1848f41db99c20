//! The ledger of the command: it records the intent of every run before the first
//! change, and its outcome.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, assert_no_password, expect, writes};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    Fixture::shop(major, DEFINITIONS)
}

const APPLY: [&str; 5] = ["apply", "--env", "dev", "--audit-ledger", "records/ledger.jsonl"];

fn text(fixture: &Fixture) -> String {
    std::fs::read_to_string(fixture.path().join("records/ledger.jsonl")).unwrap_or_default()
}

fn records(fixture: &Fixture) -> Vec<Value> {
    let text = text(fixture);
    assert_no_password(&text);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Runs `rdsprov audit …` on the ledger.
fn audit(fixture: &Fixture, arguments: &[&str], code: i32) -> String {
    let mut command = fixture.program();
    command.args(["audit", arguments[0], "records/ledger.jsonl"]);
    expect(&command.args(&arguments[1..]).output().unwrap(), code)
}

#[test]
fn run_is_recorded_from_intent_to_outcome() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let who = ["--actor", "ada", "--approver", "grace", "--request-id", "CHG-7"];
        let build = ["--build-id", "16-01", "--run-id", "1"];
        let output = fixture.run(&definitions, &[APPLY.as_slice(), &who, &build].concat());
        let output_text = expect(&output, 0);
        let all = records(&fixture);
        let intent = &all[0];
        assert_eq!(intent["event"], "intent");
        assert_eq!(intent["server"], format!("localhost:{}", fixture.server.port()));
        for (key, value) in [
            ("actor", "ada"),
            ("approver", "grace"),
            ("request_id", "CHG-7"),
            ("build_id", "16-01"),
            ("run_id", "1"),
            ("environment", "dev"),
        ] {
            assert!(all.iter().all(|record| record[key] == value), "{key}: {all:#?}");
        }
        for key in ["plan", "definitions", "hash"] {
            assert!(intent[key].as_str().unwrap().starts_with("sha256:"), "{key}");
        }
        assert!(intent["os_user"].is_string() && intent["host"].is_string());
        assert_eq!(intent["approval"], "not_required");
        assert_eq!(intent["command"], "apply");
        // The intent contains every statement. The steps repeat theirs, in the order of the CSV.
        let announced = intent["transactions"].as_array().unwrap();
        let announced: Vec<&Value> = announced
            .iter()
            .flat_map(|transaction| transaction["steps"].as_array().unwrap())
            .map(|step| &step["statements"])
            .collect();
        let steps: Vec<&Value> = all.iter().filter(|one| one["event"] == "step").collect();
        assert_eq!(announced, steps.iter().map(|one| &one["statements"]).collect::<Vec<_>>());
        assert!(steps.iter().all(|step| step["status"] == "success"));
        let password = steps.iter().find(|step| step["role"] == "shop_reader").unwrap();
        assert!(
            password.to_string().contains("<password from goldenpath/dev/shop_reports/postgres>")
        );
        let rows = String::from_utf8(output.stdout).unwrap();
        assert_eq!(rows.matches(",success,").count(), steps.len(), "{rows}");
        let outcome = all.last().unwrap();
        assert_eq!((&outcome["event"], &outcome["status"]), (&"outcome".into(), &"success".into()));
        let head = outcome["hash"].as_str().unwrap();
        assert!(
            output_text.contains(&format!("Last ledger record: {}, {head}", all.len())),
            "{output_text}"
        );

        // A run without changes has that as its outcome.
        expect(&fixture.run(&definitions, &APPLY), 0);
        let all = records(&fixture);
        assert_eq!(all.last().unwrap()["status"], "no_change");
        let verified = audit(&fixture, &["verify", "--expect", head], 0);
        assert!(verified.contains("of 2 runs, unchanged since they were written"), "{verified}");
        assert!(
            verified.contains("the expected record exists, with 1 record after it"),
            "{verified}"
        );

        let report = audit(&fixture, &["report", "--role", "shop_reader", "--database", "shop"], 0);
        let server = format!("{}:{}", fixture.server.host(), fixture.server.port());
        assert!(
            report.contains(&format!(
                "dev on {server}: database shop: grant CONNECT on database shop to shop_reader\n    \
                 by ada, approved by grace, request CHG-7, build 16-01, run 1, \
                 approval not_required, line "
            )),
            "{report}"
        );
        assert!(!report.contains("create_role"), "{report}");
        let unknown = audit(&fixture, &["report", "--role", "shop_raeder"], 1);
        assert!(
            unknown.contains(
                "error[unknown-role]: the ledger contains no role `shop_raeder`\n\
                 hint: check the name; `shop_reader` is similar"
            ),
            "{unknown}"
        );
        let unknown = audit(&fixture, &["report", "--database", "nowhere"], 1);
        assert!(unknown.contains("[unknown-database]"), "{unknown}");
        let report = audit(&fixture, &["report", "--format", "json"], 0);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report.as_array().unwrap().len(), steps.len());

        let file = fixture.path().join("records/ledger.jsonl");
        std::fs::write(&file, text(&fixture).replacen("\"actor\":\"ada\"", "\"actor\":\"eve\"", 2))
            .unwrap();
        let verified = audit(&fixture, &["verify"], 1);
        assert!(verified.contains("ledger.jsonl:1: the record was changed"), "{verified}");
        assert!(verified.contains("ledger.jsonl:2: the record was changed"), "{verified}");
        // The report warns of each changed record, above the list and at its line.
        let report = audit(&fixture, &["report"], 1);
        assert!(report.contains("rdsprov audit verify"), "{report}");
        let warning = "WARNING: line 2: the record was changed after it was written";
        assert!(report.starts_with("WARNING: line 1: the record was changed"), "{report}");
        assert_eq!(report.matches(warning).count(), 2, "{report}");
        assert!(report.contains(&format!("{warning}\n20")), "{report}");
        let found: Value =
            serde_json::from_str(&audit(&fixture, &["verify", "--format", "json"], 1)).unwrap();
        assert_eq!(found["findings"][0]["error"], "changed");
    }
}

/// The records say how a run was approved, and which hazards were allowed by name.
#[test]
fn approval_and_allowed_hazards_are_recorded() {
    let (fixture, definitions) = fixture(versions()[0]);
    let prod = ["apply", "--env", "prod", "--audit-ledger", "records/ledger.jsonl"];
    let last = |approval: &str, arguments: &[&str]| {
        let mut command = fixture.command(&definitions, &[prod.as_slice(), arguments].concat());
        expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), 0);
        records(&fixture).pop().unwrap()
    };
    let digest = || {
        let plan = fixture.run(&definitions, &["plan", "--env", "prod", "--format", "json"]);
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        plan["digest"].as_str().unwrap().to_owned()
    };
    let planned = digest();
    let record = last(&planned, &[]);
    assert_eq!(record["approval"], planned.as_str());
    assert_eq!(record["allowed_hazards"], serde_json::json!([]));
    fixture.query("ALTER ROLE shop_reader CREATEDB");
    let record = last("TRUE", &["--allow", "revokes_access"]);
    assert_eq!(record["approval"], "true");
    assert_eq!(record["allowed_hazards"], serde_json::json!(["revokes_access"]));
    let report = audit(&fixture, &["report"], 0);
    assert!(report.contains(&format!(", approval {planned}, ")), "{report}");
    assert!(report.contains(", allowed hazards revokes_access, line "), "{report}");
}

/// Refused and failed runs are recorded with their reason.
#[test]
fn refused_and_failed_runs_are_recorded() {
    let (fixture, definitions) = fixture(versions()[0]);
    let run = |arguments: &[&str], code| {
        expect(&fixture.run(&definitions, &[APPLY.as_slice(), arguments].concat()), code);
        records(&fixture).pop().unwrap()
    };
    let prod = ["apply", "--env", "prod", "--audit-ledger", "records/ledger.jsonl"];
    expect(&fixture.run(&definitions, &prod), 3);
    let refused = records(&fixture).pop().unwrap();
    assert_eq!(refused["status"], "refused");
    assert_eq!(refused["environment"], "prod");
    assert!(refused["message"].as_str().unwrap().contains("requires an approval"), "{refused}");
    assert!(refused["server"].is_string() && refused["definitions"].is_string(), "{refused}");

    assert_eq!(run(&["--dry-run"], 0)["status"], "dry_run");
    let failed = run(&["--port", "9"], 1);
    assert_eq!((&failed["status"], &failed["code"]), (&"error".into(), &"cannot-connect".into()));
    fixture.query("CREATE ROLE shop_owner");
    let refused = run(&[], 3);
    assert!(
        refused["message"].as_str().unwrap().starts_with("refused[role-not-managed]"),
        "{refused}"
    );
    assert_eq!(refused["code"], "plan-refused");
    let refusal = serde_json::json!({"application": "shop", "code": "role-not-managed"});
    assert_eq!(refused["refusals"], serde_json::json!([refusal]));
    assert!(refused["plan"].is_string(), "{refused}");
    fixture.query("DROP ROLE shop_owner");
    // The CSV file cannot be written, which the ledger records.
    let failed = run(&["--audit-output", "."], 1);
    assert!(failed["message"].as_str().unwrap().contains("cannot be written"), "{failed}");
    // Invalid definitions.
    fixture.definitions("application_databases = {");
    assert_eq!(run(&[], 1)["status"], "error");
    fixture.definitions(DEFINITIONS);
    // A statement that fails.
    run(&[], 0);
    fixture.query_in("shop", "REVOKE USAGE ON SCHEMA public FROM shop_reader");
    fixture.query_in(
        "shop",
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS
           $$BEGIN RAISE EXCEPTION 'not today'; END$$;
         CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()",
    );
    let failed = run(&[], 1);
    assert_eq!(failed["status"], "error");
    let step = records(&fixture).into_iter().rev().nth(1).unwrap();
    assert!(step["reason"].as_str().unwrap().contains("not today"), "{step}");
    audit(&fixture, &["verify"], 0);
}

/// Runs the command with a limit for the size of files, in blocks of 512 bytes.
fn run_with_file_limit(fixture: &Fixture, definitions: &str, blocks: u32, trap: &str) -> Output {
    let command = fixture.command(definitions, &APPLY);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{trap} ulimit -f {blocks}; exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(fixture.path());
    shell.output().unwrap()
}

/// If the intent cannot be written, nothing is changed and the partial record is removed.
#[test]
fn nothing_changes_without_a_written_intent() {
    let (fixture, definitions) = fixture(versions()[0]);
    let mark = fixture.server.log().len();
    let before = text(&fixture);
    let output_text = expect(&run_with_file_limit(&fixture, &definitions, 4, "trap '' XFSZ;"), 1);
    assert!(output_text.contains("[audit-file-unwritable]"), "{output_text}");
    assert_eq!(writes(&fixture.server.log()[mark..]), Vec::<String>::new());
    assert!(text(&fixture).starts_with(&before));
    audit(&fixture, &["verify"], 0);
    // The same without a limit.
    expect(&fixture.run(&definitions, &APPLY), 0);
    audit(&fixture, &["verify"], 0);

    // A file that is not a ledger.
    let ledger = ["apply", "--env", "dev", "--audit-ledger", "own.tfvars"];
    let output_text = expect(&fixture.run(&definitions, &ledger), 1);
    assert!(output_text.contains("own.tfvars exists and is not a ledger"), "{output_text}");
    // Nor do the commands read it that change nothing.
    for command in ["plan", "check"] {
        let read = |ledger: &str, code| {
            let arguments = [command, "--env", "dev", "-v", "--audit-ledger", ledger];
            expect(&fixture.run(&definitions, &arguments), code)
        };
        let output_text = read("own.tfvars", 1);
        assert!(output_text.contains("own.tfvars exists and is not a ledger"), "{output_text}");
        let output_text = read(".", 1);
        assert!(output_text.contains("is not a regular file"), "{output_text}");
        let output_text = read("missing.jsonl", 0);
        assert!(output_text.contains("ledger missing.jsonl does not exist yet"), "{output_text}");
        assert!(!fixture.path().join("missing.jsonl").exists());
    }
}

/// The system kills the process while it writes a record.
#[test]
fn ledger_continues_after_a_partial_record() {
    let (fixture, definitions) = fixture(versions()[0]);
    assert_eq!(
        run_with_file_limit(&fixture, &definitions, 4, "").status.code(),
        None,
        "the process was not killed"
    );
    let torn = text(&fixture);
    assert_eq!(torn.len(), 4 * 512);
    let output_text = audit(&fixture, &["verify"], 1);
    assert!(output_text.contains("ledger.jsonl:1: "), "{output_text}");
    expect(&fixture.run(&definitions, &APPLY), 0);
    let output_text = audit(&fixture, &["verify"], 0);
    assert!(output_text.contains("incomplete record(s), left by a crash"), "{output_text}");
    assert!(text(&fixture).starts_with(&torn));
}

/// The intent is on disk when a run is killed during its first statement.
#[test]
fn intent_is_written_before_the_first_statement() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        fixture.query("ALTER ROLE shop_reader CREATEDB");
        let mut blocker = fixture.server.superuser_session("postgres").unwrap();
        blocker.ask("BEGIN").unwrap();
        blocker.ask("ALTER ROLE shop_reader CONNECTION LIMIT 5").unwrap();
        let mut command = fixture.command(&definitions, &APPLY);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while !fixture.server.log().contains("NOCREATEDB") && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        blocker.ask("ROLLBACK").unwrap();
        let all = records(&fixture);
        let last = all.last().unwrap();
        assert_eq!(last["event"], "intent", "PostgreSQL {major}");
        assert!(last.to_string().contains("NOCREATEDB"), "{last}");
        let output_text = audit(&fixture, &["verify"], 1);
        assert!(output_text.contains("the ledger ends within run"), "{output_text}");
        expect(&fixture.run(&definitions, &APPLY), 0);
        let output_text = audit(&fixture, &["verify"], 0);
        assert!(output_text.contains("has no outcome"), "{output_text}");
    }
}

/// Concurrent runs of two environments on two servers share one ledger.
#[test]
fn concurrent_runs_form_one_chain() {
    let (one, definitions) = fixture(versions()[0]);
    let (two, _) = fixture(versions()[0]);
    let ledger = one.path().join("records/ledger.jsonl").display().to_string();
    std::thread::scope(|scope| {
        for fixture in [&one, &two] {
            let (ledger, definitions) = (&ledger, &definitions);
            scope.spawn(move || {
                for _ in 0..3 {
                    let apply = ["apply", "--env", "dev", "--audit-ledger", ledger];
                    expect(&fixture.run(definitions, &apply), 0);
                }
            });
        }
    });
    let output_text = audit(&one, &["verify"], 0);
    assert!(output_text.contains("of 6 runs"), "{output_text}");
}
