//! The lock of runs: other roles cannot hold it, and administrators exclude each other.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{DELEGATE_SECRET, Fixture, expect};

/// The first key of the advisory locks of runs.
const CLASS: i32 = i32::from_be_bytes(*b"rdsp");

/// A role that can only connect takes every lock that could be the lock of a run. PostgreSQL lets it.
#[test]
fn role_with_connect_only_cannot_hold_the_lock() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        fixture.query(
            "CREATE ROLE mallory LOGIN PASSWORD 'squat'; CREATE ROLE trudy LOGIN PASSWORD 'squat'",
        );
        let open = |role| {
            let mut session = fixture.server.session(role, "squat", "postgres").unwrap();
            session.ask("SET application_name = 'rdsprov run-1 ci@builder'").unwrap();
            session
        };
        let (mut mallory, mut trudy) = (open("mallory"), open("trudy"));
        let pid = mallory.ask("SELECT pg_backend_pid()").unwrap().rows;
        let pid = pid.trim();
        // The process ids of the next sessions, and other second keys.
        let squat = format!(
            "SELECT pg_advisory_lock({CLASS}, pg_backend_pid() + n) FROM generate_series(-99, 2000) n;
             SELECT pg_advisory_lock_shared({CLASS}, n) FROM generate_series(0, 99) n;
             SELECT pg_advisory_lock({})",
            i64::from_be_bytes(*b"rdsprov\0"),
        );
        assert!(mallory.ask(&squat).unwrap().messages.is_empty());
        trudy.ask(&format!("BEGIN; SELECT pg_advisory_xact_lock({CLASS}, -1)")).unwrap();
        let held = format!(
            "SELECT count(*) > 2100 FROM pg_locks WHERE locktype = 'advisory' AND classid = {CLASS}"
        );
        assert_eq!(fixture.query(&held), "t");

        let apply = ["apply", "--lock-timeout", "0"];
        let text = expect(&fixture.run("teams/standalone.tfvars", &apply), 0);
        let note = format!(
            "note: pid {pid} (role mallory, application rdsprov run-1 ci@builder, from 127.0.0.1, since 20"
        );
        assert!(text.contains(&note), "PostgreSQL {major}: {text}");
        let ignored = format!(
            "holds advisory locks like those of runs on localhost:{}, and is ignored, because its \
             role is not an administrator; so is 1 other session\n",
            fixture.server.port()
        );
        assert!(text.contains(&ignored) && text.matches("note: ").count() == 1, "{text}");
        assert_eq!(fixture.query(&held), "t");

        // A role that can create roles is an administrator, also as a member.
        fixture.query("CREATE ROLE dba CREATEROLE; GRANT dba TO trudy");
        if major >= 16 {
            // CREATEROLE alone gives no power over the roles and databases of others.
            expect(&fixture.run("teams/standalone.tfvars", &apply), 0);
            for (grant, revoke) in [
                ("ALTER ROLE dba CREATEDB", "ALTER ROLE dba NOCREATEDB"),
                (
                    "GRANT keycloak_user TO dba WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
                    "REVOKE keycloak_user FROM dba",
                ),
            ] {
                fixture.query(grant);
                let text = expect(&fixture.run("teams/standalone.tfvars", &apply), 1);
                assert!(text.contains("(role trudy, "), "PostgreSQL {major}, {grant}: {text}");
                fixture.query(revoke);
            }
            fixture.query("ALTER ROLE dba CREATEDB");
        }
        let text = expect(&fixture.run("teams/standalone.tfvars", &apply), 1);
        assert!(text.contains("error[lock-timeout]: another run holds the lock"), "{text}");
        assert!(text.contains("(role trudy, "), "{text}");
        trudy.ask("ROLLBACK").unwrap();
        expect(&fixture.run("teams/standalone.tfvars", &apply), 0);
    }
}

/// The records of runs that write one ledger are not mixed: at each moment, one run changes the server.
#[test]
fn runs_of_several_administrators_exclude_each_other() {
    for major in versions() {
        let fixture = Fixture::new(major);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        fixture.query(
            "CREATE ROLE second_admin LOGIN CREATEDB CREATEROLE PASSWORD 'Canary-second-5b1e'",
        );
        let second = "goldenpath/dev/rds/second";
        fixture.secret(
            second,
            &fixture
                .server
                .admin_secret()
                .replace("platform_admin", "second_admin")
                .replace(fixture.server.master_password(), "Canary-second-5b1e"),
        );
        let master = "goldenpath/dev/rds/master";
        let ledger = fixture.path().join("ledger.jsonl").display().to_string();
        let runs = (0..9).map(|number| {
            let name = format!("app_{number}");
            fixture.app("dev", &name, &format!("{name}_owner"));
            let definitions = fixture.path().join(format!("{name}.tfvars"));
            let text = format!(
                "application_databases = {{\n  {name} = {{ database_name = \"{name}\", \
                 username = \"{name}_owner\", schemas = [\"one\", \"two\"] }}\n}}\n"
            );
            std::fs::write(&definitions, text).unwrap();
            let secret = [master, DELEGATE_SECRET, second][number % 3];
            let mut command = fixture.command(
                definitions.to_str().unwrap(),
                &["apply", "--env", "dev", "--admin-secret", secret, "--audit-ledger", &ledger],
            );
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        let runs: Vec<_> = runs.collect();
        let waited = runs
            .into_iter()
            .map(|run| expect(&run.wait_with_output().unwrap(), 0))
            .filter(|text| text.contains("note: another run holds the lock on localhost:"))
            .count();
        assert!(waited > 0, "PostgreSQL {major}: no run had to wait");

        let ledger = std::fs::read_to_string(&ledger).unwrap();
        let records: Vec<Value> =
            ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut ended = BTreeSet::new();
        for pair in records.windows(2) {
            if pair[0]["run_id"] != pair[1]["run_id"] {
                ended.insert(pair[0]["run_id"].to_string());
                assert_eq!(pair[0]["event"], "outcome", "PostgreSQL {major}: {pair:#?}");
                assert!(!ended.contains(&pair[1]["run_id"].to_string()), "{pair:#?}");
            }
        }
        assert_eq!(ended.len(), 8, "PostgreSQL {major}");
        let owned = "SELECT count(*) FROM pg_database WHERE datname ~ '^app_' AND datname || '_owner' = datdba::regrole::text";
        assert_eq!(fixture.query(owned), "9");
        let left = format!("SELECT count(*) FROM pg_locks WHERE classid = {CLASS}");
        assert_eq!(fixture.query(&left), "0");
    }
}

/// A run that waits holds no snapshot and no lock, so that it does not block VACUUM or other runs.
#[test]
fn waiting_run_holds_nothing() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        let mut other = fixture.server.master_session("postgres").unwrap();
        other.ask(&format!("SELECT pg_advisory_lock({CLASS}, 7)")).unwrap();
        let mut command = fixture.command("teams/standalone.tfvars", &["apply"]);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let session = "FROM pg_stat_activity WHERE application_name LIKE 'rdsprov %@%'";
        crate::races::wait_for(
            &fixture,
            &format!("SELECT EXISTS (SELECT {session} AND query ~ 'pg_locks' AND state = 'idle')"),
        );
        for _ in 0..20 {
            let held = format!(
                "SELECT count(*) FROM pg_locks l JOIN (SELECT pid {session}) s USING (pid)
                 WHERE l.locktype = 'advisory' OR NOT l.granted"
            );
            assert_eq!(fixture.query(&held), "0", "PostgreSQL {major}");
            let snapshot = format!(
                "SELECT count(*) {session} AND state = 'idle' AND backend_xmin IS NOT NULL
                   OR state = 'idle in transaction'"
            );
            assert_eq!(fixture.query(&snapshot), "0", "PostgreSQL {major}");
        }
        drop(other);
        expect(&run.wait_with_output().unwrap(), 0);
    }
}

/// A waiting run names each session that holds the lock meanwhile. A session that is gone holds nothing.
#[test]
fn each_holder_is_named_while_it_exists() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        let hold = |key: i32| {
            let mut session = fixture.server.master_session("postgres").unwrap();
            session.ask(&format!("SELECT pg_advisory_lock({CLASS}, {key})")).unwrap();
            let pid = session.ask("SELECT pg_backend_pid()").unwrap().rows.trim().to_owned();
            (session, pid)
        };
        let ((first, first_pid), (second, second_pid)) = (hold(7), hold(8));
        let mut command = fixture.command("teams/standalone.tfvars", &["apply"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut next_holder = || {
            let prefix = "note: another run holds the lock on localhost:";
            lines.find(|line| line.starts_with(prefix)).unwrap_or_default()
        };
        // Both sessions have the lock; the run names the older one. Then the client of it disappears.
        for (session, pid) in [(first, first_pid), (second, second_pid)] {
            let holder = next_holder();
            assert!(holder.contains(&format!("pid {pid} (role platform_admin, ")), "{holder}");
            assert!(holder.contains("from 127.0.0.1, since 20"), "PostgreSQL {major}: {holder}");
            drop(session);
        }
        assert_eq!(next_holder(), "", "PostgreSQL {major}");
        assert!(run.wait().unwrap().success());
    }
}

/// A transaction in a database has a session of its own. Without the session with the lock, another run
/// can change the same database, so that it is not committed.
#[test]
fn transaction_without_the_lock_is_not_committed() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in [("shop", "shop_owner"), ("reports", "shop_reader")] {
            fixture.app("dev", application, user);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner", schemas = ["app"] }
                reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["app"] }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query_in("shop", "REVOKE USAGE ON SCHEMA app FROM shop_reader");
        let mut locker = fixture.server.superuser_session("shop").unwrap();
        locker.ask("BEGIN; LOCK TABLE pg_namespace IN SHARE MODE").unwrap();
        let mut command = fixture.command(&definitions, &["apply", "--env", "dev"]);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = 'shop' AND query LIKE 'GRANT%')";
        crate::races::wait_for(&fixture, waits);
        let end = "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = 'postgres' AND usename = 'platform_admin'";
        assert_eq!(fixture.query(end), "t");
        std::thread::sleep(Duration::from_millis(500));
        locker.ask("ROLLBACK").unwrap();
        let text = expect(&run.wait_with_output().unwrap(), 1);
        assert!(text.contains("the session with the lock of the run has ended"), "{text}");
        let usage = "SELECT has_schema_privilege('shop_reader', 'app', 'USAGE')";
        assert_eq!(fixture.query_in("shop", usage), "f", "PostgreSQL {major}: {text}");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    }
}
