//! Eight runs at once, while other sessions change the same roles, databases, tables and default
//! privileges.

use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdsprov_testkit::{Severity, versions};

use crate::fixture::{Fixture, assert_no_secret};
use crate::operation::Operation;
use crate::site::Site;

const RUNS: usize = 8;

/// What other sessions do again and again: each in a database, as a role.
const LOOPS: [(&str, &str, &[&str]); 8] = [
    (
        "postgres",
        "rdsadmin",
        &[
            "ALTER ROLE shop_reader CONNECTION LIMIT 5",
            "ALTER ROLE shop_reader CONNECTION LIMIT -1 CREATEDB",
            "ALTER ROLE shop_editor SET work_mem = '8MB'",
            "ALTER ROLE shop_editor RESET ALL",
        ],
    ),
    (
        "postgres",
        "rdsadmin",
        &[
            "GRANT CONNECT ON DATABASE shop TO PUBLIC",
            "REVOKE CONNECT ON DATABASE shop FROM shop_editor",
            "ALTER DATABASE wiki SET work_mem = '8MB'",
            "ALTER DATABASE wiki RESET work_mem",
        ],
    ),
    (
        "shop",
        "shop_owner",
        &[
            "CREATE TABLE stock (id int)",
            "GRANT INSERT ON stock TO shop_reader",
            "ALTER TABLE stock ADD COLUMN name text",
            "DROP TABLE stock",
        ],
    ),
    (
        "shop",
        "shop_owner",
        &[
            "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM shop_reader",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO shop_reader",
        ],
    ),
    (
        "shop",
        "rdsadmin",
        &[
            "CREATE TABLE IF NOT EXISTS moved (id int)",
            "ALTER TABLE moved OWNER TO shop_owner",
            "ALTER TABLE moved OWNER TO wiki_owner",
            "DROP TABLE moved",
        ],
    ),
    ("shop", "rdsadmin", &["VACUUM pg_catalog.pg_class", "VACUUM ANALYZE", "REINDEX TABLE pg_catalog.pg_default_acl"]),
    (
        // What pg_dump does.
        "shop",
        "rdsadmin",
        &["BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE;
            SELECT count(*) FROM pg_class, pg_attribute WHERE attrelid = pg_class.oid; SELECT pg_sleep(0.1); COMMIT"],
    ),
    (
        "wiki",
        "wiki_owner",
        &["REVOKE USAGE ON SCHEMA public FROM wiki_reader", "GRANT USAGE ON SCHEMA public TO wiki_reader"],
    ),
];

/// What a run says if the same command can succeed later.
const RETRYABLE: [&str; 5] = [
    "another session has dropped or renamed an object since it was observed",
    "[not-converged]",
    "another session changed the same object at the same time",
    "find out which role changed this, then run `rdsprov plan` again",
    "holds the lock",
];

/// The numbers of runs and statements.
#[derive(Debug, Default)]
struct Counts {
    done: usize,
    refused: usize,
    failed: usize,
    statements: usize,
    failed_statements: usize,
    longest_statement: Duration,
}

#[test]
fn other_sessions_change_the_same_objects() {
    let seconds = if std::env::var("RDSPROV_FAULTS").is_ok() { 60 } else { 4 };
    let majors = versions();
    let majors = if seconds > 10 { majors } else { vec![majors[majors.len() - 1]] };
    for major in majors {
        disturbed(major, Duration::from_secs(seconds));
    }
}

fn disturbed(major: u32, duration: Duration) {
    let site = Site::new(major, Operation::Drifted);
    let (is_over, counts) = (AtomicBool::new(false), Mutex::new(Counts::default()));
    std::thread::scope(|scope| {
        for (database, role, statements) in LOOPS {
            let (fixture, is_over, counts) = (&site.fixture, &is_over, &counts);
            scope.spawn(move || disturb(fixture, (database, role, statements), is_over, counts));
        }
        let runs: Vec<_> = (0..RUNS)
            .map(|_| {
                scope.spawn(|| {
                    let until = Instant::now() + duration;
                    while Instant::now() < until {
                        let output = site.command().output().unwrap();
                        check(&output, major, &counts);
                    }
                })
            })
            .collect();
        let results: Vec<_> = runs.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(results.iter().all(Result::is_ok), "PostgreSQL {major}: a run failed");
    });
    let log = site.fixture.server.log();
    let races = ["concurrently updated", "deadlock detected", "due to lock timeout"]
        .map(|text| format!("{text}: {}", log.matches(text).count()));
    println!("PostgreSQL {major}: {:#?}, {races:?}", counts.into_inner().unwrap());
    let clean = "DROP TABLE IF EXISTS stock, moved";
    site.fixture.server.superuser("shop", clean).unwrap();
    site.fixture.query("ALTER DATABASE wiki RESET ALL; ALTER ROLE shop_editor RESET ALL");
    assert_eq!(site.fixture.admin_grants(), "0", "PostgreSQL {major}");
    site.converge(&format!("PostgreSQL {major}"), "");
}

/// Executes statements in a session of its own until the runs are over.
fn disturb(
    fixture: &Fixture,
    (database, role, statements): (&str, &str, &[&str]),
    is_over: &AtomicBool,
    counts: &Mutex<Counts>,
) {
    let mut session = fixture.server.superuser_session(database).unwrap();
    session.ask(&format!("SET SESSION AUTHORIZATION {role}")).unwrap();
    while !is_over.load(Ordering::SeqCst) {
        for statement in statements {
            let started = Instant::now();
            let answer = session.ask(statement).unwrap();
            let mut counts = counts.lock().unwrap();
            counts.statements += 1;
            let is_error = |message: &rdsprov_testkit::Message| message.severity == Severity::Error;
            counts.failed_statements += usize::from(answer.messages.iter().any(is_error));
            counts.longest_statement = counts.longest_statement.max(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn check(output: &Output, major: u32, counts: &Mutex<Counts>) {
    let text = [&output.stdout, &output.stderr].map(|one| String::from_utf8_lossy(one));
    let text = text.concat();
    assert_no_secret(&text);
    let mut counts = counts.lock().unwrap();
    match output.status.code() {
        Some(0) => counts.done += 1,
        Some(3) => counts.refused += 1,
        Some(1 | 4) => {
            let is_retryable = RETRYABLE.iter().any(|one| text.contains(one));
            assert!(is_retryable, "PostgreSQL {major}: {text}");
            counts.failed += 1;
        }
        code => panic!("PostgreSQL {major}: {code:?}: {text}"),
    }
}
