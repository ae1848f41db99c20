//! Concurrent changes on the same server.

use std::process::Stdio;
use std::time::Duration;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

/// Waits until a query returns `t`.
pub fn wait_for(fixture: &Fixture, sql: &str) {
    for _ in 0..500 {
        if fixture.query(sql) == "t" {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never true: {sql}");
}

/// Another session changes the ACL of the same database, and commits while the run
/// waits for the row.
#[test]
fn lost_catalog_race_is_retried() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in [("shop", "shop_owner"), ("shop_workers", "shop_editor")] {
            fixture.app("dev", application, user);
        }
        fixture.app("dev", "shop_reports", "shop_reader");
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run("teams/levels.tfvars", &apply), 0);
        fixture.query("REVOKE CONNECT ON DATABASE shop FROM shop_reader; CREATE ROLE other");
        let mark = fixture.server.log().len();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                fixture.query(
                    "BEGIN; GRANT CONNECT ON DATABASE shop TO other; SELECT pg_sleep(1.5); COMMIT",
                )
            });
            wait_for(
                &fixture,
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')",
            );
            expect(&fixture.run("teams/levels.tfvars", &apply), 0);
            other.join().unwrap();
        });
        assert!(fixture.server.log()[mark..].contains("tuple concurrently updated"), "no race");
        let reader = password("shop_reports");
        fixture.server.sql_as("shop_reader", &reader, "shop", "SELECT 1").unwrap();
        assert_eq!(fixture.query("SELECT has_database_privilege('other', 'shop', 'CONNECT')"), "t");
    }
}

/// Runs wait for each other, and each one sees the changes of the previous one.
#[test]
fn concurrent_runs_are_serialised() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        let start = || {
            let mut command = fixture.command("teams/standalone.tfvars", &["apply"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let runs = [start(), start(), start()];
        let done: usize = runs
            .into_iter()
            .map(|run| expect(&run.wait_with_output().unwrap(), 0))
            .filter(|output_text| output_text.contains("create_database,success"))
            .count();
        assert_eq!(done, 1);
    }
}

/// A database that the administrator cannot enter is opened and then observed, in one run.
#[test]
fn database_closed_to_the_administrator() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in [("shop", "shop_owner"), ("shop_workers", "shop_editor")] {
            fixture.app("dev", application, user);
        }
        fixture.app("dev", "shop_reports", "shop_reader");
        expect(&fixture.run("teams/levels.tfvars", &["apply", "--env", "dev"]), 0);
        fixture.query_in(
            "shop",
            "REVOKE CONNECT ON DATABASE shop FROM platform_admin; REVOKE USAGE ON SCHEMA public FROM shop_reader;
             ALTER ROLE shop_reader NOLOGIN PASSWORD 'something else'",
        );
        let output_text =
            expect(&fixture.run("teams/levels.tfvars", &["apply", "--env", "dev"]), 0);
        assert!(output_text.contains("deferred: the contents of database shop"), "{output_text}");
        let reader = password("shop_reports");
        let usage = "SELECT has_schema_privilege('public', 'USAGE')";
        let held = fixture.server.sql_as("shop_reader", &reader, "shop", usage).unwrap();
        assert_eq!(held.trim(), "t");
        expect(&fixture.run("teams/levels.tfvars", &["check", "--env", "dev"]), 0);
    }
}

/// A run that receives a signal reports its state, and the next run completes it.
#[test]
fn interrupted_run_is_reported_and_completed() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let audit = fixture.path().join("audit.csv").display().to_string();
    let arguments = ["apply", "--audit-output", &audit];
    // A session in the template database blocks CREATE DATABASE.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| fixture.query_in("template1", "SELECT pg_sleep(2)"));
        wait_for(
            &fixture,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'template1')",
        );
        let mut command = fixture.command("teams/standalone.tfvars", &arguments);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&fixture, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keycloak_user')");
        let pid = run.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        let output_text = expect(&run.wait_with_output().unwrap(), 4);
        assert!(output_text.contains("stopped by a signal"), "{output_text}");
        other.join().unwrap();
    });
    assert!(std::fs::read_to_string(&audit).unwrap().contains("stopped by a signal"));
    expect(&fixture.run("teams/standalone.tfvars", &arguments), 0);
    expect(&fixture.run("teams/standalone.tfvars", &["check"]), 0);
}
