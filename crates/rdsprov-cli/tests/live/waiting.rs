//! Locks of other sessions and of other runs: who holds them, the limit, and what to do next.

use std::process::Stdio;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    Fixture::shop(major, DEFINITIONS)
}

/// A statement waits for another session until the limit.
#[test]
fn failed_statement_names_the_holder_of_its_lock() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT 3");
        fixture.query_in(
            "shop",
            "CREATE ROLE other; REVOKE ALL ON SCHEMA public FROM PUBLIC;
             REVOKE USAGE ON SCHEMA public FROM shop_reader",
        );
        let mut etl = fixture.server.superuser_session("shop").unwrap();
        etl.ask("SET application_name = 'nightly etl'").unwrap();
        let pid = etl.ask("SELECT pg_backend_pid()").unwrap().rows;
        let pid = pid.trim();
        etl.ask("BEGIN; GRANT USAGE ON SCHEMA public TO other").unwrap();
        let output = fixture.run(&definitions, &apply);
        let text = expect(&output, 4);
        for words in [
            "error[statement-failed]: 1 of 2 changes was committed: grant USAGE on schema public \
             to shop_reader of application shop_reports failed (database shop): canceling \
             statement due to lock timeout (55P03)",
            &format!("held by pid {pid} (role rdsadmin, application nightly etl, since 20"),
            " s of waiting for a row of table pg_namespace",
            &format!(
                "hint: wait until the transaction of pid {pid} has ended, or end its session: \
                SELECT pg_terminate_backend({pid})"
            ),
            "hint: fix the cause and run again; committed changes are kept",
            // After 5 seconds, one line says what the statement waits for.
            "note: grant USAGE on schema public to shop_reader of application shop_reports \
             (database shop): waiting for 5 s for a row of table pg_namespace",
        ] {
            assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
        }
        assert_eq!(text.matches("note: ").count(), 1, "{text}");
        // The record of the step says the same.
        assert!(
            text.contains(",grant,error,") && text.matches("nightly etl").count() > 2,
            "{text}"
        );
        etl.ask("ROLLBACK").unwrap();
        expect(&fixture.run(&definitions, &apply), 0);
    }
}

/// What is left of an approved plan needs a new approval.
#[test]
fn partly_applied_digest_needs_a_new_approval() {
    let (fixture, definitions) = fixture(versions()[0]);
    let plan = fixture.run(&definitions, &["plan", "--env", "prod", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    fixture.query("ALTER DATABASE template1 OWNER TO rdsadmin");
    fixture.query("ALTER DATABASE template1 IS_TEMPLATE false");
    let mut command = fixture.command(&definitions, &["apply", "--env", "prod"]);
    command.env("ALLOW_DB_PROVISION", plan["digest"].as_str().unwrap());
    let text = expect(&command.output().unwrap(), 4);
    assert!(
        text.contains(
            "hint: fix the cause, run `rdsprov plan`, have the remaining changes approved, and \
             set ALLOW_DB_PROVISION=sha256:… with the new digest"
        ),
        "{text}"
    );
    fixture.query("ALTER DATABASE template1 IS_TEMPLATE true");
    assert!(expect(&command.output().unwrap(), 3).contains("[plan-stale]"));
    let plan = fixture.run(&definitions, &["plan", "--env", "prod", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    command.env("ALLOW_DB_PROVISION", plan["digest"].as_str().unwrap());
    expect(&command.output().unwrap(), 0);
}

/// The lock of a run, as another administrator would take it.
const LOCK: (i32, i32) = (i32::from_be_bytes(*b"rdsp"), 7);

#[test]
fn wait_for_another_run_is_limited_and_names_it() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let mut other = fixture.server.superuser_session("postgres").unwrap();
        other.ask("SET application_name = 'rdsprov run-7 ci@builder'").unwrap();
        let pid = other.ask("SELECT pg_backend_pid()").unwrap().rows;
        let pid = pid.trim();
        let (class, key) = LOCK;
        other.ask(&format!("SELECT pg_advisory_lock({class}, {key})")).unwrap();
        let holder =
            format!("pid {pid} (role rdsadmin, application rdsprov run-7 ci@builder, since 20");
        for timeout in ["1", "0"] {
            let apply = ["apply", "--env", "dev", "--lock-timeout", timeout];
            let text = expect(&fixture.run(&definitions, &apply), 1);
            for words in [
                &format!(
                    "note: another run holds the lock on localhost:{}: {holder}",
                    fixture.server.port()
                ),
                &format!("; waiting for it up to {timeout} s\n"),
                &format!(
                    "error[lock-timeout]: another run holds the lock on localhost:{}: {holder}",
                    fixture.server.port()
                ),
                &format!("and has not released it within {timeout} s\n"),
                "hint: run again when the other run has ended, or raise --lock-timeout TIME",
                &format!("SELECT pg_terminate_backend({pid})"),
            ] {
                assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
            }
            assert!(!text.contains("rdsprov_core"), "{text}");
        }
        // `rdsprov.toml` sets the limit, too. The run goes on when the lock is free.
        std::fs::write(fixture.path().join("rdsprov.toml"), "lock_timeout = \"1s\"\n").unwrap();
        let text = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 1);
        assert!(text.contains("waiting for it up to 1 s"), "{text}");
        let apply = ["apply", "--env", "dev", "--lock-timeout", "2m"];
        let mut command = fixture.command(&definitions, &apply);
        // The last query of a run that has ended would match, too.
        let ended = format!(
            "SELECT count(*) = 0 FROM pg_stat_activity
             WHERE application_name LIKE 'rdsprov %@%' AND pid <> {pid}"
        );
        crate::races::wait_for(&fixture, &ended);
        let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity
             WHERE application_name LIKE 'rdsprov %@%' AND query ~ 'pg_locks' AND state = 'idle'";
        crate::races::wait_for(&fixture, waits);
        other.ask(&format!("SELECT pg_advisory_unlock({class}, {key})")).unwrap();
        let text = expect(&waiting.wait_with_output().unwrap(), 0);
        assert!(text.contains("waiting for it up to 2 min"), "{text}");
        // The run itself shows its run id and its actor to others.
        let mark = fixture.server.log().len();
        let apply = ["apply", "--env", "dev", "--run-id", "run-8", "--actor", "ada"];
        expect(&fixture.run(&definitions, &apply), 0);
        let log = &fixture.server.log()[mark..];
        assert!(log.contains("rdsprov run-8 ada@"), "{log}");
        let wrong = ["apply", "--env", "dev", "--lock-timeout", "soon"];
        assert!(expect(&fixture.run(&definitions, &wrong), 64).contains("is not a time such as"));
    }
}
