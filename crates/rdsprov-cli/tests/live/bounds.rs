//! What the owner of a database, or any role that can connect, makes long, large or strange: it concerns
//! its own application only.

use std::time::{Duration, Instant};

use rdsprov_testkit::{Session, versions};

use crate::fixture::{Fixture, expect, password};
use crate::races::wait_for;

const APPLY: [&str; 4] = ["apply", "--env", "dev", "--no-fail-fast"];

/// A server with the databases of two teams, of which `hr` is the hostile one.
fn two_teams(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in
        [("hr", "hr_owner"), ("shop", "shop_owner"), ("reports", "shop_reader")]
    {
        fixture.app("dev", application, user);
    }
    let definitions = fixture.definitions(
        r#"application_databases = {
            hr      = { database_name = "hr", username = "hr_owner" }
            shop    = { database_name = "shop", username = "shop_owner" }
            reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
        }"#,
    );
    expect(&fixture.run(&definitions, &APPLY), 0);
    (fixture, definitions)
}

/// Checks that the plan is refused for `hr` only, with these words, and that the rest is applied.
fn concerns_hr_only(fixture: &Fixture, definitions: &str, words: &[&str]) {
    let started = Instant::now();
    others_are_applied(fixture, definitions, words);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// Like [`concerns_hr_only`], where waiting is part of the test.
fn others_are_applied(fixture: &Fixture, definitions: &str, words: &[&str]) {
    fixture.query_in("shop", "REVOKE USAGE ON SCHEMA public FROM shop_reader");
    let output = expect(&fixture.run(definitions, &APPLY), 3);
    for words in words {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(!output.contains("] shop: ") && !output.contains("] reports: "), "{output}");
    let acl = "SELECT nspacl FROM pg_namespace WHERE nspname = 'public'";
    let acl = fixture.query_in("shop", acl);
    assert!(acl.contains("shop_reader=U"), "{acl}");
}

/// Two sessions of a role that keep all others from reading a catalog: one reads it in an open transaction,
/// and the other one waits in `VACUUM FULL`.
pub struct LockedCatalog {
    reader: Session,
    _vacuum: Session,
}

impl LockedCatalog {
    pub fn new(fixture: &Fixture, role: (&str, &str), database: &str, catalog: &str) -> Self {
        let session = || fixture.server.session(role.0, role.1, database).unwrap();
        let (mut reader, mut vacuum) = (session(), session());
        let answer = reader.ask(&format!("BEGIN; SELECT count(*) FROM {catalog}")).unwrap();
        assert!(answer.messages.is_empty(), "{answer:?}");
        vacuum.ask("SET statement_timeout = 0").unwrap();
        vacuum.send(&format!("VACUUM FULL {catalog}")).unwrap();
        let waits = format!(
            "SELECT count(*) > 0 FROM pg_locks JOIN pg_database d ON d.oid = database OR database = 0
             WHERE d.datname = '{database}' AND mode = 'AccessExclusiveLock' AND NOT granted"
        );
        wait_for(fixture, &waits);
        Self { reader, _vacuum: vacuum }
    }

    fn pid(&mut self) -> String {
        self.reader.ask("SELECT pg_backend_pid()").unwrap().rows.trim().to_owned()
    }
}

/// Executes a statement with a literal of 30 MB as the owner of `hr`. PostgreSQL needs some seconds
/// to compress it; with 190 MB it cannot return it as JSON, and with eight of 30 MB neither.
fn long(fixture: &Fixture, statement: &str) {
    let sql = format!(
        "SET client_min_messages = error;
         DO $$ BEGIN EXECUTE format('{statement}', repeat('x', 30000000)); END $$"
    );
    fixture.server.sql_as("hr_owner", &password("hr"), "hr", &sql).unwrap();
}

/// Any role may store settings for itself in each database.
#[test]
fn long_settings_concern_their_role_only() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        for database in ["shop", "hr", "postgres"] {
            let statement =
                format!("ALTER ROLE CURRENT_USER IN DATABASE {database} SET application_name = %L");
            long(&fixture, &statement);
        }
        let words = [
            "refused[settings-too-long] hr: the settings of role hr_owner in database shop are longer than 8 kB",
            "refused[settings-too-long] hr: the settings of role hr_owner in database hr are longer than 8 kB",
        ];
        concerns_hr_only(&fixture, &definitions, &words);
        for database in ["shop", "hr"] {
            fixture.query(&format!("ALTER ROLE hr_owner IN DATABASE {database} RESET ALL"));
        }
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// The owner of a database may write a comment and settings for it.
#[test]
fn long_comment_and_settings_concern_their_database_only() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        long(&fixture, "COMMENT ON DATABASE hr IS %L");
        let words =
            ["refused[comment-too-long] hr: the comment of database hr is longer than 64 kB"];
        concerns_hr_only(&fixture, &definitions, &words);
        fixture.query("COMMENT ON DATABASE hr IS NULL");
        long(&fixture, "ALTER DATABASE hr SET application_name = %L");
        let words =
            ["refused[settings-too-long] hr: the settings of database hr are longer than 8 kB"];
        concerns_hr_only(&fixture, &definitions, &words);
        fixture.query("ALTER DATABASE hr RESET ALL");
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// The owner of a database may lock its catalogs, so that no session can read them. Without `pg_class`, no
/// login to the database ends.
#[test]
fn locked_catalogs_concern_their_database_only() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        let owner = ("hr_owner", &*password("hr"));
        for (catalog, reason) in [
            ("pg_default_acl", "canceling statement due to lock timeout (55P03)"),
            ("pg_class", "no response within 15 s"),
        ] {
            let mut locked = LockedCatalog::new(&fixture, owner, "hr", catalog);
            let holder = format!("waiting for table {catalog}, held by pid {}", locked.pid());
            others_are_applied(
                &fixture,
                &definitions,
                &["refused[database-unreachable] hr: ", reason, &holder],
            );
            if catalog == "pg_class" {
                let access = fixture.run(&definitions, &["access", "--env", "dev"]);
                let report = String::from_utf8_lossy(&access.stdout);
                assert!(report.contains(reason) && report.contains("shop_reader"), "{report}");
            }
            drop(locked);
            wait_for(
                &fixture,
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'hr_owner'",
            );
            expect(&fixture.run(&definitions, &APPLY), 0);
        }
    }
}

/// Only notes depend on databases that are managed and not declared. A role with `CREATEDB` can have any
/// number of them, because it can write their markers.
#[test]
fn locked_catalogs_of_undeclared_databases_stop_nothing() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        fixture.query("ALTER ROLE hr_owner CREATEDB");
        let owner = ("hr_owner", &*password("hr"));
        let mut locked = Vec::new();
        for number in 0..20 {
            let name = format!("d{number}");
            let comment = format!(
                r#"[managed by rdsprov: environment=dev application=hr build_id= name="{name}"]"#
            );
            for sql in [
                format!("CREATE DATABASE {name} TEMPLATE template0"),
                format!("COMMENT ON DATABASE {name} IS '{comment}'"),
            ] {
                fixture.server.sql_as(owner.0, owner.1, "hr", &sql).unwrap();
            }
            locked.push(LockedCatalog::new(&fixture, owner, &name, "pg_class"));
        }
        fixture.query("ALTER ROLE hr_owner NOCREATEDB");
        let plan = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        let note = "note[undeclared-database-unreadable]: the plan does not show or end all privileges \
                    that remain in database d19: it could not be read: ";
        for words in ["Nothing to do", note] {
            assert!(plan.contains(words), "{plan}");
        }
        // Its time is that of the databases together, and not that of one login.
        let access = fixture.run(&definitions, &["access", "--env", "dev"]);
        let report = String::from_utf8_lossy(&access.stdout);
        assert!(report.contains("no response within 30 s"), "{report}");
        assert!(report.contains("shop_reader"), "{report}");
    }
}

/// A server with ten databases of hostile owners and the database of another one.
fn many_teams(fixture: Fixture) -> (Fixture, String) {
    let mut entries =
        vec![r#"shop = { database_name = "shop", username = "shop_owner" }"#.to_owned()];
    fixture.app("dev", "shop", "shop_owner");
    for number in 0..10 {
        let name = format!("d{number}");
        fixture.app("dev", &name, &name);
        entries.push(format!(r#"{name} = {{ database_name = "{name}", username = "{name}" }}"#));
    }
    let map =
        |entries: &[String]| format!("application_databases = {{\n{}\n}}", entries.join("\n"));
    expect(&fixture.run(&fixture.definitions(&map(&entries)), &APPLY), 0);
    let log = "ALTER SYSTEM SET log_connections = on; SELECT pg_reload_conf()";
    for statement in log.split("; ") {
        fixture.server.superuser("postgres", statement).unwrap();
    }
    let definitions = fixture.definitions(&map(&entries));
    (fixture, definitions)
}

/// Returns whether the server has authenticated a role for a database since the start of the log.
fn logs_in(log: &str, role: &str, database: &str) -> bool {
    log.contains(&format!("user={role} database={database}"))
}

/// The owners of declared databases keep each login to them waiting. The time of the databases that are not
/// declared starts afterwards, and no role logs in where the administrator could not.
#[test]
fn many_declared_databases_delay_nothing_else() {
    for major in versions() {
        let (fixture, definitions) = many_teams(Fixture::new(major));
        let comment =
            r#"[managed by rdsprov: environment=dev application=old build_id= name="old"]"#;
        fixture.query("CREATE DATABASE old TEMPLATE template0");
        fixture.query(&format!("COMMENT ON DATABASE old IS '{comment}'"));
        let locked: Vec<LockedCatalog> = (0..10)
            .map(|number| format!("d{number}"))
            .map(|name| LockedCatalog::new(&fixture, (&name, &password(&name)), &name, "pg_class"))
            .collect();
        let before = fixture.server.log().len();
        let arguments = ["plan", "--env", "dev", "--observation-timeout", "5s"];
        let plan = expect(&fixture.run(&definitions, &arguments), 3);
        let log = fixture.server.log().split_off(before);
        for number in 0..10 {
            let name = format!("d{number}");
            let refusal = format!("refused[database-unreachable] {name}: ");
            assert!(plan.contains(&refusal), "PostgreSQL {major}: {plan}");
            assert!(logs_in(&log, &name, "platform"), "{log}");
        }
        // The others are only waited for a short time.
        let silent = |time: &str| {
            let refusals = plan.lines().filter(|line| line.starts_with("refused["));
            refusals.filter(|line| line.contains(&format!("no response within {time}"))).count()
        };
        assert_eq!((silent("5 s"), silent("3 s")), (8, 2), "PostgreSQL {major}: {plan}");
        for note in ["undeclared-database-unreadable", "password-not-checked"] {
            assert!(!plan.contains(note), "PostgreSQL {major}: {plan}");
        }
        drop(locked);
    }
}

/// The same owners, where the administrator may not connect: it learns about the delay from the logins of
/// the roles only.
#[test]
fn logins_without_a_response_are_limited() {
    for major in versions() {
        let (fixture, definitions) = many_teams(Fixture::new(major));
        let mut locked = Vec::new();
        for number in 0..10 {
            let name = format!("d{number}");
            let owner = (&*name, &*password(&name));
            let revoke = format!("REVOKE CONNECT ON DATABASE {name} FROM platform_admin");
            fixture.server.sql_as(owner.0, owner.1, &name, &revoke).unwrap();
            locked.push(LockedCatalog::new(&fixture, owner, &name, "pg_class"));
        }
        let before = fixture.server.log().len();
        let plan = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        let log = fixture.server.log().split_off(before);
        let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
        let unanswered = names.iter().filter(|name| logs_in(&log, name, name)).count();
        assert_eq!(unanswered, 8, "PostgreSQL {major}: {log}");
        assert!(names.iter().all(|name| logs_in(&log, name, "platform")), "{log}");
        assert!(!plan.contains("password-not-checked"), "PostgreSQL {major}: {plan}");
    }
}

/// A rotation logs in as one role after another, with the pending and the current password.
#[test]
fn logins_of_a_rotation_without_a_response_are_limited() {
    for major in versions() {
        let (fixture, definitions) = many_teams(Fixture::with_secrets_manager(major));
        let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
        let locked: Vec<LockedCatalog> = names
            .iter()
            .map(|name| LockedCatalog::new(&fixture, (name, &password(name)), name, "pg_class"))
            .collect();
        let before = fixture.server.log().len();
        let mut arguments = vec!["rotate"];
        arguments.extend(names.iter().map(String::as_str));
        arguments.extend(["--env", "dev", "--connect-timeout", "2s"]);
        let report = expect(&fixture.run(&definitions, &arguments), 0);
        let log = fixture.server.log().split_off(before);
        let unanswered: usize = names
            .iter()
            .map(|name| log.matches(&format!("user={name} database={name}")).count())
            .sum();
        assert_eq!(unanswered, 8, "PostgreSQL {major}: {log}");
        assert!(names.iter().all(|name| logs_in(&log, name, "platform")), "{log}");
        assert!(!report.contains("password-not-checked"), "PostgreSQL {major}: {report}");
        drop(locked);
        // The passwords are those of the current versions.
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A member of `pg_maintain` may lock the catalogs that all databases share. Then nothing can be read, and
/// the error names the session.
#[test]
fn locked_shared_catalog_is_named() {
    for major in versions().into_iter().filter(|major| *major >= 17) {
        let (fixture, definitions) = two_teams(major);
        fixture.query("GRANT pg_maintain TO hr_owner");
        let owner = ("hr_owner", &*password("hr"));
        let mut locked = LockedCatalog::new(&fixture, owner, "hr", "pg_shdescription");
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 1);
        let pid = locked.pid();
        for words in [
            "error[catalog-query-failed]: cannot observe the server: canceling statement due to lock timeout (55P03)",
            &format!("waiting for table pg_shdescription, held by pid {pid} (role hr_owner"),
            &format!("SELECT pg_terminate_backend({pid})"),
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

/// A role with `CREATEDB` can have any number of databases, with a comment of any length, in whose JSON each
/// control character has 6 bytes, and with privileges of each role of the server.
#[test]
fn many_undeclared_databases_stop_nothing() {
    const CREATE: &str = "SET allow_system_table_mods = on;
        INSERT INTO pg_database SELECT (jsonb_populate_record(d, jsonb_build_object(
          'oid', 1000000 + i, 'datname', 'd' || i, 'datallowconn', false))).*
        FROM pg_database d, generate_series(1, 200) i WHERE d.datname = 'hr'";
    const COMMENT: &str = "SET allow_system_table_mods = on; DELETE FROM pg_shdescription WHERE objoid > 1000000;
        INSERT INTO pg_shdescription SELECT oid, 'pg_database'::regclass, repeat(chr(1), LENGTH) || format(
          E'\\n[managed by rdsprov: environment=dev application=hr build_id= name=\"%s\"]', datname)
        FROM pg_database WHERE oid > 1000000";
    const GRANT: &str = "SET allow_system_table_mods = on;
        DO $$ BEGIN FOR i IN 1..1500 LOOP EXECUTE 'CREATE ROLE r' || i; END LOOP; END $$;
        UPDATE pg_database SET datacl = ARRAY(SELECT (rolname || '=CTc/hr_owner')::aclitem
          FROM pg_roles WHERE rolname ~ '^r[0-9]') || '=c/hr_owner'::aclitem WHERE oid > 1000000";
    // The query is the same for all versions.
    for major in versions().into_iter().rev().take(1) {
        let (fixture, definitions) = two_teams(major);
        fixture.query(CREATE);
        // Only a comment that is read makes an orphan.
        let orphans = || {
            let plan = expect(&fixture.run(&definitions, &["plan", "--env", "dev", "-v"]), 0);
            assert!(plan.contains("Nothing to do"), "PostgreSQL {major}: {plan}");
            plan.matches("its owner is hr_owner").count()
        };
        fixture.query(&COMMENT.replace("LENGTH", "100"));
        assert_eq!(orphans(), 200, "PostgreSQL {major}");
        fixture.query(&COMMENT.replace("LENGTH", "65000"));
        assert_eq!(orphans(), 0, "PostgreSQL {major}");
        fixture.query(&COMMENT.replace("LENGTH", "100"));
        fixture.query(GRANT);
        assert_eq!(orphans(), 200, "PostgreSQL {major}");
    }
}

/// Comments and settings are limited by the length that they have in JSON. Those of other roles are not read.
#[test]
fn control_characters_count_as_in_json() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        fixture.query("CREATE ROLE stranger");
        let store = |role: &str| {
            let sql = format!(
                "DO $$ BEGIN EXECUTE format('ALTER ROLE {role} IN DATABASE hr SET application_name = %L',
                   repeat(chr(1), 4000)); END $$"
            );
            fixture.query(&sql);
        };
        store("stranger");
        expect(&fixture.run(&definitions, &APPLY), 0);
        store("hr_owner");
        let words = [
            "refused[settings-too-long] hr: the settings of role hr_owner in database hr are longer than 8 kB",
        ];
        concerns_hr_only(&fixture, &definitions, &words);
        fixture.query("ALTER ROLE hr_owner IN DATABASE hr RESET ALL");
        fixture.query("DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE hr IS %L', repeat(chr(1), 20000)); END $$");
        let words =
            ["refused[comment-too-long] hr: the comment of database hr is longer than 64 kB"];
        concerns_hr_only(&fixture, &definitions, &words);
    }
}

/// In LATIN1, a name with 63 letters `ä` has 63 bytes, and 126 bytes in UTF-8.
#[test]
fn names_of_other_encodings_are_read() {
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        fixture.query("DROP DATABASE hr");
        fixture.query(
            "CREATE DATABASE hr OWNER hr_owner ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        );
        // Before PostgreSQL 15, the bootstrap superuser owns it.
        fixture.query_in("hr", "ALTER SCHEMA public OWNER TO hr_owner");
        // As numbers, because psql does not convert what it sends.
        let name = format!("U&\"{}\"", r"\00E4".repeat(63));
        let literal = name.replace('"', "'");
        let sql = format!(
            "CREATE SCHEMA {name}; CREATE TABLE {name}.{name} ({name} int);
             GRANT SELECT ({name}) ON {name}.{name} TO shop_reader;
             GRANT USAGE ON SCHEMA {name} TO shop_reader;
             CREATE FUNCTION {name}.{name}({name} {name}.{name}) RETURNS int LANGUAGE sql AS 'SELECT 1';
             GRANT EXECUTE ON FUNCTION {name}.{name} TO shop_reader"
        );
        fixture.server.sql_as("hr_owner", &password("hr"), "hr", &sql).unwrap();
        expect(&fixture.run(&definitions, &APPLY), 0);
        let check = ["check", "--env", "dev"];
        expect(&fixture.run(&definitions, &check), 0);
        let held = format!(
            "SELECT octet_length({literal}) || ' ' || has_schema_privilege('shop_reader', {literal}, 'USAGE')"
        );
        assert_eq!(fixture.query_in("hr", &held), "63 false");
        expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
    }
}

/// A database can contain any number of objects.
#[test]
fn large_catalogs_concern_their_database_only() {
    let fill = |from: u32, to: u32| {
        format!(
            "SET allow_system_table_mods = on; INSERT INTO pg_namespace (oid, nspname, nspowner)
             SELECT 1000000 + i, 's_a_name_that_is_as_long_as_it_can_be_and_that_ends_with_' || i,
               'hr_owner'::regrole FROM generate_series({from}, {to}) i"
        )
    };
    let (fixture, definitions) = two_teams(*versions().last().unwrap());
    fixture.query_in("hr", &fill(1, 240_000));
    let words = ["refused[database-too-large] hr: database hr has catalogs of more than 64 MB"];
    concerns_hr_only(&fixture, &definitions, &words);
    fixture.query_in("hr", &fill(240_001, 250_000));
    let words =
        ["refused[database-too-large] hr: database hr contains too many schemas to be read"];
    concerns_hr_only(&fixture, &definitions, &words);
    let access = fixture.run(&definitions, &["access", "--env", "dev"]);
    let report = String::from_utf8_lossy(&access.stdout);
    assert!(report.contains("contains too many schemas to be read"), "{report}");
    assert!(report.contains("shop_reader"), "{report}");
}

/// The time is linear in the number of schemas. The owner also stores settings that make PostgreSQL plan
/// queries badly, with which a quadratic query takes many minutes.
#[test]
fn many_schemas_are_observed_in_linear_time() {
    const LIMIT: Duration = Duration::from_secs(60);
    for major in versions() {
        let (fixture, definitions) = two_teams(major);
        let sql = "DO $$ BEGIN FOR i IN 1..8000 LOOP
            EXECUTE format('CREATE SCHEMA s%s', i);
            EXECUTE format('CREATE TABLE s%s.t (id int)', i);
            EXECUTE format('GRANT SELECT (id) ON s%s.t TO hr_owner WITH GRANT OPTION', i);
            EXECUTE format('GRANT SELECT (id) ON s%s.t TO shop_reader', i);
            IF i % 20 = 0 THEN COMMIT; END IF; END LOOP; END $$";
        fixture.server.sql_as("hr_owner", &password("hr"), "hr", sql).unwrap();
        for setting in [
            "enable_hashjoin = off",
            "enable_mergejoin = off",
            "enable_indexscan = off",
            "enable_bitmapscan = off",
            "work_mem = '64kB'",
            "from_collapse_limit = 1",
            "join_collapse_limit = 1",
            "statement_timeout = '1ms'",
        ] {
            let sql = format!("ALTER DATABASE hr SET {setting}");
            fixture.server.sql_as("hr_owner", &password("hr"), "hr", &sql).unwrap();
        }
        for (command, code) in [("plan", 0), ("access", 0)] {
            let started = Instant::now();
            expect(&fixture.run(&definitions, &[command, "--env", "dev"]), code);
            let elapsed = started.elapsed();
            eprintln!("PostgreSQL {major}: {command} in {elapsed:?}");
            assert!(elapsed < LIMIT, "PostgreSQL {major}: {command} in {elapsed:?}");
        }
    }
}

/// Before PostgreSQL 15, each role can create objects in `template1`. Applications without a new database do not
/// depend on them.
#[test]
fn large_template_concerns_new_databases_only() {
    let (fixture, definitions) = two_teams(*versions().last().unwrap());
    fixture.query_in(
        "template1",
        "SET allow_system_table_mods = on; INSERT INTO pg_namespace (oid, nspname, nspowner)
         SELECT 1000000 + i, 's' || i, 'hr_owner'::regrole FROM generate_series(1, 250000) i",
    );
    fixture.query("DROP DATABASE hr");
    let words = [
        "refused[database-too-large] hr: database template1 contains too many schemas to be read",
        "hint: drop what is not needed in database template1, then run again",
    ];
    concerns_hr_only(&fixture, &definitions, &words);
    // `delegate` changes the template before PostgreSQL 15.
    let refused = expect(&fixture.delegate("dev").output().unwrap(), 3);
    assert!(refused.contains("database template1 contains too many schemas"), "{refused}");
}

/// Each role that can connect can create large objects, also in `template1`.
#[test]
fn large_objects_of_other_roles_stop_nothing() {
    let (fixture, definitions) = two_teams(*versions().last().unwrap());
    let fill = "SET allow_system_table_mods = on; INSERT INTO pg_largeobject_metadata (oid, lomowner, lomacl)
        SELECT 1000000 + i, 'shop_reader'::regrole, '{=rw/shop_reader,hr_owner=rw/shop_reader}'
        FROM generate_series(1, 250001) i";
    fixture.query_in("hr", fill);
    let check = ["check", "--env", "dev"];
    expect(&fixture.run(&definitions, &check), 0);
    expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
    fixture.query_in("template1", fill);
    fixture.query("DROP DATABASE hr");
    expect(&fixture.run(&definitions, &APPLY), 0);
    expect(&fixture.run(&definitions, &check), 0);
    // Those of the owner count.
    let sql = "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC";
    fixture.server.sql_as("hr_owner", &password("hr"), "hr", sql).unwrap();
    expect(&fixture.run(&definitions, &check), 2);
}

/// Settings that the definitions accept can be read again.
#[test]
fn longest_settings_converge() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        // A list of schemas that do not exist is valid, and PostgreSQL stores it as it is.
        let with = |length: usize| {
            let names = ["a, ".repeat(length / 3), "a".repeat(length % 3 + 1)].concat();
            fixture.definitions(&format!(
                r#"application_databases = {{
                    shop = {{ database_name = "shop", username = "shop_owner", settings = {{
                        search_path = "{names}", application_name = "shop"
                    }} }}
                }}"#
            ))
        };
        // 24 bytes, and 9 bytes for each setting in addition to its name and its value.
        let longest = 8192 - 24 - (11 + 9) - (16 + 4 + 9) - 1;
        let definitions = with(longest);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let text = expect(&fixture.run(&definitions, &APPLY), 0);
        assert!(text.contains("no_change"), "PostgreSQL {major}: {text}");
        let definitions = with(longest + 1);
        let text = expect(&fixture.run(&definitions, &APPLY), 1);
        assert!(text.contains("`settings` has 8193 bytes; the maximum is 8192"), "{text}");
    }
}
