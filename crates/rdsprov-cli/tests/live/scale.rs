//! Databases with many tables, and concurrent readers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

/// Returns the peak memory of the command in KiB, and its exit code.
fn peak_memory(mut command: Command) -> (u64, Option<i32>) {
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_memory = 0;
    loop {
        // The kernel reports the peak as long as the process exists.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = value.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        peak_memory = peak_memory.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (peak_memory, status.code());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Existing grants are not repeated: only catalog rows that differ are written.
#[test]
fn only_missing_grants_are_written() {
    const ROWS: &str = "
        SELECT string_agg(row, E'\n' ORDER BY row) FROM (
          SELECT 'class ' || relname || ' ' || xmin FROM pg_class WHERE relkind IN ('r', 'S') AND oid >= 16384
          UNION ALL SELECT 'schema ' || nspname || ' ' || xmin FROM pg_namespace
          UNION ALL SELECT 'defaults ' || oid || ' ' || xmin FROM pg_default_acl
          UNION ALL SELECT 'database ' || datname || ' ' || xmin FROM pg_database
          UNION ALL SELECT 'role ' || rolname || ' ' || xmin FROM pg_authid
          UNION ALL SELECT 'member ' || roleid || ' ' || member || ' ' || xmin FROM pg_auth_members
          UNION ALL SELECT 'comment ' || objoid || ' ' || xmin FROM pg_shdescription) x(row)";
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop    = { database_name = "shop", username = "shop_owner" }
                 reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
               }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query_in(
            "shop",
            "SET SESSION AUTHORIZATION shop_owner;
             CREATE TABLE a (id serial); CREATE TABLE b (id serial); CREATE TABLE c (id serial);
             REVOKE SELECT ON b FROM shop_reader",
        );
        let rows = || fixture.query_in("shop", ROWS);
        let before = rows();
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let after = rows();
        let wal_position: Vec<&str> = after
            .lines()
            .filter(|row| !before.lines().any(|was| was == *row))
            .filter_map(|row| row.rsplit_once(' ').map(|(class, _)| class))
            .collect();
        assert_eq!(wal_position, ["class b"], "PostgreSQL {major}");
    }
}

/// Grants on each table to different undeclared roles.
const ACLS_OF_THEIR_OWN: &str = "
    DO $$ DECLARE one record; BEGIN
      FOR one IN SELECT oid::regclass AS name, oid::int AS number
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'SCHEMA'::regnamespace
      LOOP
        EXECUTE format('GRANT SELECT ON %s TO %s', one.name, (
          SELECT coalesce(string_agg('stranger_' || bit, ', '), 'stranger_0') FROM generate_series(0, 14) bit
          WHERE one.number & (1 << bit) <> 0));
      END LOOP;
    END $$";

/// 20,000 tables in 10 schemas, 20 roles: memory depends on the plan, not on the number of objects.
#[test]
fn large_database_is_planned_in_little_memory() {
    const LIMIT_KIB: u64 = 64 * 1024;
    let fixture = Fixture::new(*versions().last().unwrap());
    let schemas: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let list = schemas.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "application_databases = {{\n  owner = {{ database_name = \"big\", username = \"big_owner\", schemas = [{list}] }}\n"
    );
    fixture.app("dev", "owner", "big_owner");
    for number in 1..20 {
        let level = if number % 2 == 0 { "editor" } else { "reader" };
        fixture.app("dev", &format!("r{number}"), &format!("role_{number}"));
        let _ = writeln!(
            text,
            "  r{number} = {{ database_name = \"big\", username = \"role_{number}\", access_level = {level:?}, schemas = [{list}] }}"
        );
    }
    let definitions = fixture.definitions(&(text + "}\n"));
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    for schema in &schemas {
        fixture.query_in(
            "big",
            &format!(
                "SET SESSION AUTHORIZATION big_owner;
                 DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE {schema}.t%s (id int)', i);
                 END LOOP; END $$"
            ),
        );
    }
    let output_text = |arguments: &[&str]| fixture.command(&definitions, arguments);
    let check = |story: &str, code: i32, holds: &[&str]| {
        let (kib, exit) = peak_memory(output_text(&["check", "--env", "dev"]));
        eprintln!("{story}: {} MiB", kib / 1024);
        assert_eq!(exit, Some(code), "{story}");
        assert!(kib > 0 && kib < LIMIT_KIB, "{story}: {kib} KiB");
        let plan = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        for words in holds {
            assert!(plan.contains(words), "{story}: {plan}");
        }
    };
    check("as declared", 0, &["as declared"]);
    fixture.query_in(
        "big",
        "DO $$ BEGIN FOR bit IN 0..14 LOOP EXECUTE format('CREATE ROLE stranger_%s', bit); END LOOP; END $$",
    );
    for schema in &schemas {
        fixture.query_in("big", &ACLS_OF_THEIR_OWN.replace("SCHEMA", schema));
    }
    check("no two tables are granted to the same strangers", 0, &["as declared"]);
    fixture.query_in("big", "REVOKE SELECT ON s3.t7, s3.t8, s3.t9 FROM role_1, role_2");
    let named = "grant SELECT on tables t7, t8, t9 of schema s3 to role_1";
    check("three tables lack a grant", 2, &[named, "Plan: 2 to add, 0 to change, 0 to revoke on "]);
    let started = std::time::Instant::now();
    let (kib, exit) = peak_memory(output_text(&["access", "--env", "dev"]));
    eprintln!("access: {} MiB, {:?}", kib / 1024, started.elapsed());
    assert_eq!(exit, Some(0));
    assert!(kib > 0 && kib < LIMIT_KIB, "access: {kib} KiB");
    fixture.query_in("big", "REVOKE SELECT ON ALL TABLES IN SCHEMA s3 FROM role_1");
    check("a schema lacks it", 2, &["grant SELECT on all tables of schema s3 to role_1"]);
    let mark = fixture.server.log().len();
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let log = &fixture.server.log()[mark..];
    let all = log.matches("GRANT SELECT ON ALL TABLES IN SCHEMA \"s3\" TO \"role_1\"").count();
    let few =
        log.matches("GRANT SELECT ON TABLE \"s3\".\"t7\", \"s3\".\"t8\", \"s3\".\"t9\"").count();
    assert_eq!((all, few), (1, 1), "{log}");
}

/// A role becomes editor on 200 tables and reader again, while it reads without pause.
#[test]
fn readers_are_not_blocked() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in [("shop", "shop_owner"), ("reports", "shop_reader")] {
            fixture.app("dev", application, user);
        }
        let definitions = |level: &str| {
            fixture.definitions(&format!(
                "application_databases = {{
                   shop    = {{ database_name = \"shop\", username = \"shop_owner\" }}
                   reports = {{ database_name = \"shop\", username = \"shop_reader\", access_level = {level:?} }}
                 }}"
            ))
        };
        let apply = |level: &str| {
            let output = fixture.run(&definitions(level), &["apply", "--env", "dev"]);
            expect(&output, 0)
        };
        apply("reader");
        fixture.query_in(
            "shop",
            "SET SESSION AUTHORIZATION shop_owner;
             DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE TABLE t%s (id int)', i); END LOOP; END $$",
        );
        apply("reader");
        let (reads, done) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_continuously(&fixture, &reads, &done));
            let wait = |more: u64| {
                let until = reads.load(Ordering::Relaxed) + more;
                while reads.load(Ordering::Relaxed) < until && !reader.is_finished() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            };
            wait(1000);
            for level in ["editor", "reader", "editor"] {
                apply(level);
                wait(1000);
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(reader.join().unwrap(), "", "PostgreSQL {major}: a read failed");
        });
    }
}

/// Reads the tables in turn until it is stopped. Returns the errors.
fn read_continuously(fixture: &Fixture, reads: &AtomicU64, done: &AtomicBool) -> String {
    let mut psql = Command::new("psql")
        .args(["-X", "-q", "-At", "-h", fixture.server.host(), "-U", "shop_reader", "-d", "shop"])
        .args(["-p", &fixture.server.port().to_string()])
        .env("PGPASSWORD", password("reports"))
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", fixture.server.ca_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = psql.stdin.take().unwrap();
    // The pipe buffer is small: all statements except the last few have been executed.
    for number in (1..=200).cycle() {
        if done.load(Ordering::Relaxed) || writeln!(input, "TABLE t{number};").is_err() {
            break;
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
    drop(input);
    let output = psql.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}
