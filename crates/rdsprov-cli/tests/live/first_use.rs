//! What a person sees who uses the command for the first time: hints that fit what was given, and results
//! that say what they are.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, on_terminal};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

fn fixture() -> (Fixture, String) {
    Fixture::shop(versions()[0], DEFINITIONS)
}

fn stdout(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> String {
    let output = fixture.run(definitions, arguments);
    expect(&output, 0);
    String::from_utf8(output.stdout).unwrap()
}

/// A saved plan that adopts something needs the same option again.
#[test]
fn options_that_are_given_are_not_asked_for() {
    let (fixture, definitions) = fixture();
    fixture.query("CREATE ROLE shop_owner LOGIN");
    let run = |arguments: &[&str], code| expect(&fixture.run(&definitions, arguments), code);
    let plan = ["plan", "--env", "prod", "--adopt", "shop", "--out", "a.plan"];
    assert!(run(&plan, 0).contains("hint: to apply this plan, add --allow adopts"));
    let allowed = run(&[&plan[..], &["--allow", "adopts"]].concat(), 0);
    assert!(allowed.contains("adopts (1 step)"), "{allowed}");
    assert!(!allowed.contains("to apply this plan, add"), "{allowed}");

    let mut apply = fixture.command(&definitions, &["apply", "a.plan", "--env", "prod"]);
    apply.env("ALLOW_DB_PROVISION", "true").args(["--allow", "adopts"]);
    let refused = expect(&apply.output().unwrap(), 3);
    let note = "note: the saved plan was made with the adoption of shop, which this run lacks: run it with the \
                same options";
    assert!(refused.contains(note), "{refused}");
    let applied = expect(&apply.args(["--adopt", "shop"]).output().unwrap(), 0);
    assert!(!applied.contains("was made with the adoption"), "{applied}");
}

/// Stdout has one result: the records as CSV, or the plan in the format that was selected.
#[test]
fn records_and_plans_do_not_share_stdout() {
    let (fixture, definitions) = fixture();
    let apply = |more: &[&str]| {
        stdout(&fixture, &definitions, &[&["apply", "--env", "dev", "--dry-run"], more].concat())
    };
    assert!(apply(&[]).starts_with("timestamp_utc,environment,"));
    let markdown = apply(&["--format", "markdown"]);
    assert!(markdown.starts_with("### Plan for environment dev"), "{markdown}");
    assert!(!markdown.contains("timestamp_utc"), "{markdown}");
    let script = apply(&["--format", "sql"]);
    assert!(script.contains("CREATE ROLE") && !script.contains("timestamp_utc"), "{script}");
    let records = apply(&["--format", "markdown", "--audit-stdout", "always"]);
    assert!(records.starts_with("timestamp_utc,") && !records.contains("### Plan"), "{records}");
}

#[test]
fn exports_of_nothing_are_errors() {
    let (fixture, definitions) = fixture();
    let export =
        |arguments: &[&str], code| expect(&fixture.export(arguments).output().unwrap(), code);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let unknown = export(&["--database", "nope*"], 1);
    for words in [
        "error[unknown-database]: no database of applications on the server matches",
        "hint: the databases are platform, shop; check the names and the owners",
    ] {
        assert!(unknown.contains(words), "{unknown}");
    }
    assert!(export(&["--owner", "nobody"], 1).contains("[unknown-database]"));
    assert!(export(&["--database", "sh*"], 0).contains("database_name = \"shop\""));
}

#[test]
fn numbers_and_lists_are_words() {
    let (fixture, definitions) = fixture();
    let run = |arguments: &[&str]| expect(&fixture.run(&definitions, arguments), 0);
    let log = run(&["apply", "--env", "dev", "--audit-ledger", "a.jsonl", "-v"]);
    assert!(log.contains("reading 3 secrets"), "{log}");
    let log = run(&["plan", "--env", "dev", "-v"]);
    assert!(log.contains("reading 1 database\n"), "{log}");
    let none =
        fixture.definitions(&DEFINITIONS.replace(r#""reader" }"#, r#""reader", schemas = [] }"#));
    let report = expect(&fixture.run(&none, &["access", "--env", "dev"]), 0);
    assert!(report.contains("declared as reader in no schema by shop_reports"), "{report}");
}

#[test]
fn an_answer_that_is_almost_yes_gets_a_hint() {
    let (fixture, definitions) = fixture();
    let command = fixture.command(&definitions, &["apply", "--env", "dev"]);
    let hint = "hint: only the answer \"yes\" confirms";
    let near = expect(&on_terminal(&command, "y\n"), 3);
    assert!(near.contains(hint) && near.contains("not confirmed"), "{near}");
    let other = expect(&on_terminal(&command, "no\n"), 3);
    assert!(!other.contains(hint) && other.contains("not confirmed"), "{other}");
}

/// On a terminal, the line of the progress is replaced. Elsewhere, nothing replaces what was printed.
#[test]
fn progress_is_a_line_on_a_terminal_only() {
    let (fixture, definitions) = fixture();
    let mut other = fixture.server.superuser_session("postgres").unwrap();
    let lock = i32::from_be_bytes(*b"rdsp");
    other.ask(&format!("SELECT pg_advisory_lock({lock}, 7)")).unwrap();
    let arguments = ["apply", "--env", "dev", "--lock-timeout", "3"];
    let command = |more: &[&str]| {
        let mut command = fixture.command(&definitions, &[&arguments, more].concat());
        command.env("TERM", "xterm").env_remove("RDSPROV_NO_PROGRESS");
        command
    };
    let shown = expect(&on_terminal(&command(&[]), ""), 1);
    assert!(shown.contains("… taking the lock of"), "{shown}");
    for quiet in ["-q", "--no-progress"] {
        let text = expect(&on_terminal(&command(&[quiet]), ""), 1);
        assert!(!text.contains("… "), "{text}");
    }
    // The line is removed before the error.
    assert!(shown.contains("\u{1b}[2K\u{1b}[1m\u{1b}[31merror"), "{shown}");
    let text = expect(&command(&[]).output().unwrap(), 1);
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
}
