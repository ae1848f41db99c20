//! Concurrent changes on the same server.

use std::process::Stdio;
use std::time::Duration;

use rdsprov_testkit::versions;

use crate::bench::{Bench, expect, password};

/// Waits until a query returns `t`.
pub fn wait_for(bench: &Bench, sql: &str) {
    for _ in 0..500 {
        if bench.query(sql) == "t" {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never true: {sql}");
}

/// Another session changes the ACL of the same database, and commits while the run waits for the
/// row.
#[test]
fn a_lost_race_for_a_catalog_row_is_run_again() {
    for major in versions() {
        let bench = Bench::new(major);
        for (application, user) in [("shop", "shop_owner"), ("shop_workers", "shop_editor")] {
            bench.app("dev", application, user);
        }
        bench.app("dev", "shop_reports", "shop_reader");
        let apply = ["apply", "--env", "dev"];
        expect(&bench.run("teams/levels.tfvars", &apply), 0);
        bench.query("REVOKE CONNECT ON DATABASE shop FROM shop_reader; CREATE ROLE other");
        let mark = bench.server.log().len();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                bench.query(
                    "BEGIN; GRANT CONNECT ON DATABASE shop TO other; SELECT pg_sleep(1.5); COMMIT",
                )
            });
            wait_for(
                &bench,
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')",
            );
            expect(&bench.run("teams/levels.tfvars", &apply), 0);
            other.join().unwrap();
        });
        assert!(bench.server.log()[mark..].contains("tuple concurrently updated"), "no race");
        let reader = password("shop_reports");
        bench.server.sql_as("shop_reader", &reader, "shop", "SELECT 1").unwrap();
        assert_eq!(bench.query("SELECT has_database_privilege('other', 'shop', 'CONNECT')"), "t");
    }
}

/// Runs wait for each other, and each one sees the changes of the previous one.
#[test]
fn two_runs_at_once() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "keycloak", "keycloak_user");
        bench.app("dev", "backstage", "backstage_user");
        let start = || {
            let mut command = bench.command("teams/standalone.tfvars", &["apply"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let runs = [start(), start(), start()];
        let done: usize = runs
            .into_iter()
            .map(|run| expect(&run.wait_with_output().unwrap(), 0))
            .filter(|shown| shown.contains("create_database,success"))
            .count();
        assert_eq!(done, 1);
    }
}

/// A database that the administrator cannot enter is opened and then observed, in one run.
#[test]
fn a_database_that_the_administrator_was_shut_out_of() {
    for major in versions() {
        let bench = Bench::new(major);
        for (application, user) in [("shop", "shop_owner"), ("shop_workers", "shop_editor")] {
            bench.app("dev", application, user);
        }
        bench.app("dev", "shop_reports", "shop_reader");
        expect(&bench.run("teams/levels.tfvars", &["apply", "--env", "dev"]), 0);
        bench.query_in(
            "shop",
            "REVOKE CONNECT ON DATABASE shop FROM platform_admin; REVOKE USAGE ON SCHEMA public FROM shop_reader;
             ALTER ROLE shop_reader NOLOGIN PASSWORD 'something else'",
        );
        let shown = expect(&bench.run("teams/levels.tfvars", &["apply", "--env", "dev"]), 0);
        assert!(shown.contains("not seen: what is inside database shop"), "{shown}");
        let reader = password("shop_reports");
        let usage = "SELECT has_schema_privilege('public', 'USAGE')";
        let held = bench.server.sql_as("shop_reader", &reader, "shop", usage).unwrap();
        assert_eq!(held.trim(), "t");
        expect(&bench.run("teams/levels.tfvars", &["check", "--env", "dev"]), 0);
    }
}

/// A run that receives a signal reports its state, and the next run completes it.
#[test]
fn a_run_that_is_told_to_stop() {
    let bench = Bench::new(versions()[0]);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    let audit = bench.path().join("audit.csv").display().to_string();
    let arguments = ["apply", "--audit-output", &audit];
    // A session in the template database blocks CREATE DATABASE.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| bench.query_in("template1", "SELECT pg_sleep(2)"));
        wait_for(
            &bench,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'template1')",
        );
        let mut command = bench.command("teams/standalone.tfvars", &arguments);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&bench, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keycloak_user')");
        let pid = run.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        let shown = expect(&run.wait_with_output().unwrap(), 4);
        assert!(shown.contains("stopped by a signal"), "{shown}");
        other.join().unwrap();
    });
    assert!(std::fs::read_to_string(&audit).unwrap().contains("stopped by a signal"));
    expect(&bench.run("teams/standalone.tfvars", &arguments), 0);
    expect(&bench.run("teams/standalone.tfvars", &["check"]), 0);
}
