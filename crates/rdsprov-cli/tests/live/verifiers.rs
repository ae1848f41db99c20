//! The verifier of a password is not in the text of a statement that other roles, statistics or the
//! log can show.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdsprov_testkit::{SecretsManager, Server, versions};

use crate::fixture::{Fixture, expect};

const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];
const VERIFIER: &str = "SCRAM-SHA-256$";

/// Polls what a monitoring role sees of the statements of the administrator until the end is requested.
fn watch(server: &Server, end: &AtomicBool) -> BTreeSet<String> {
    let mut watcher = server.session("watcher", "Canary-watcher", "postgres").unwrap();
    let mut seen = BTreeSet::new();
    while !end.load(Ordering::Relaxed) {
        let sql =
            "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE usename = 'platform_admin'";
        seen.insert(watcher.ask(sql).unwrap().rows);
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

fn assert_hidden(fixture: &Fixture, seen: &BTreeSet<String>, context: &str) {
    let log = fixture.server.log();
    let statistics = fixture.query("SELECT string_agg(query, E'\\n') FROM pg_stat_statements");
    for text in seen.iter().chain([&log, &statistics]) {
        let at = text.find(VERIFIER).map(|at| &text[at.saturating_sub(300)..at + 20]);
        assert_eq!(at, None, "{context}");
    }
}

#[test]
fn sessions_statistics_and_the_log_show_no_verifier() {
    for major in versions() {
        for log_statement in ["ddl", "all"] {
            let context = format!("PostgreSQL {major}, log_statement = {log_statement}");
            // Inner statements are hidden from the statistics if the administrator may do so.
            let track = if major >= 15 { "all" } else { "top" };
            let server = Server::start_with_settings(
                major,
                &format!(
                    "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = {track}\n\
                     log_statement = {log_statement}\nlog_min_duration_statement = 0\n\
                     log_lock_waits = on\ndeadlock_timeout = 100ms\n\
                     log_parameter_max_length = -1\nlog_error_verbosity = verbose"
                ),
            )
            .unwrap();
            let fixture = Fixture::on(server, Some(SecretsManager::start().unwrap()));
            fixture.query("CREATE EXTENSION pg_stat_statements");
            if major >= 15 {
                fixture.query("GRANT SET ON PARAMETER pg_stat_statements.track TO platform_admin");
            }
            fixture.query(
                "CREATE ROLE watcher LOGIN PASSWORD 'Canary-watcher' IN ROLE pg_read_all_stats",
            );
            fixture.app("dev", "shop", "shop_owner");
            let definitions = fixture.definitions(
                r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
            );
            let end = AtomicBool::new(false);
            let seen = std::thread::scope(|scope| {
                let watcher = scope.spawn(|| watch(&fixture.server, &end));
                // The statement that sets the password waits, so that it is seen.
                let mut holder = fixture.server.superuser_session("postgres").unwrap();
                holder.ask("BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE").unwrap();
                let run = scope.spawn(|| expect(&fixture.run(&definitions, &APPLY), 0));
                std::thread::sleep(Duration::from_secs(3));
                holder.ask("ROLLBACK").unwrap();
                run.join().unwrap();
                expect(&fixture.run(&definitions, &CHECK), 0);
                fixture.query("ALTER ROLE shop_owner PASSWORD 'drifted'");
                let text = expect(&fixture.run(&definitions, &APPLY), 0);
                assert!(text.contains("set password"), "{context}: {text}");
                expect(&fixture.run(&definitions, &CHECK), 0);
                expect(&fixture.run(&definitions, &["rotate", "shop", "--env", "dev"]), 0);
                expect(&fixture.run(&definitions, &CHECK), 0);
                expect(&fixture.delegate("dev").output().unwrap(), 0);
                end.store(true, Ordering::Relaxed);
                watcher.join().unwrap()
            });
            assert!(
                seen.iter().any(|text| text.contains("CREATE ROLE \"shop_owner\"")),
                "{context}: {seen:?}"
            );
            assert!(fixture.server.log().contains("still waiting for"), "{context}");
            assert_hidden(&fixture, &seen, &context);
            let stored = "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'
                AND rolname IN ('shop_owner', 'rdsprov_admin')";
            assert_eq!(fixture.query(stored), "2", "{context}");
        }
    }
}

/// A module of the server rejects a password. Its error arrives unchanged, and the log has no verifier.
#[test]
fn errors_of_password_checks_arrive_unchanged() {
    for major in versions() {
        let settings = "shared_preload_libraries = 'pg_stat_statements, passwordcheck'\n\
                        log_error_verbosity = verbose\nlog_statement = all";
        let fixture = Fixture::on(Server::start_with_settings(major, settings).unwrap(), None);
        fixture.query("CREATE EXTENSION pg_stat_statements");
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
        );
        let secret = r#"{"username": "shop_owner", "password": "shop_owner"}"#;
        fixture.secret("goldenpath/dev/shop/postgres", secret);
        let output = fixture.run(&definitions, &APPLY);
        let text = expect(&output, 1);
        let says = "password must not equal user name (22023); the statement was: CREATE ROLE \"shop_owner\" \
                    LOGIN PASSWORD '<password from goldenpath/dev/shop/postgres>'";
        assert!(text.contains(says), "PostgreSQL {major}: {text}");
        assert_hidden(&fixture, &BTreeSet::new(), &format!("PostgreSQL {major}"));
    }
}
