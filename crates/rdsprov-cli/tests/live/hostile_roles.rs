//! Attacks of roles of applications on the runs of others, with locks and memberships.

use std::time::Duration;

use rdsprov_testkit::{Session, versions};

use crate::fixture::{Fixture, expect, password};

const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];
const KEEP_GOING: [&str; 4] = ["apply", "--env", "dev", "--no-fail-fast"];

const SHOP: &str = r#"shop = { database_name = "shop", username = "shop_owner" }"#;

fn declare(fixture: &Fixture, entries: &[&str]) -> String {
    fixture.definitions(&format!("application_databases = {{\n{}\n}}", entries.join("\n")))
}

/// Declares one application, applies it, and returns a session of its owner.
fn attacker(fixture: &Fixture) -> Session {
    for application in ["shop", "hr", "wiki"] {
        fixture.app("dev", application, &format!("{application}_owner"));
    }
    expect(&fixture.run(&declare(fixture, &[SHOP]), &APPLY), 0);
    fixture.server.session("shop_owner", &password("shop"), "shop").unwrap()
}

/// From PostgreSQL 16 on, a role with `CREATEROLE` can grant its own roles to each role. This is reported, and
/// stops no application: not if the administrator has no power over the role, and not if it has, because a
/// revocation would be a hazard and would need a lock on the role.
#[test]
fn membership_of_an_undeclared_role_stops_no_application() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        for of_administrator in [false, true] {
            let fixture = Fixture::new(major);
            attacker(&fixture);
            let definitions = declare(&fixture, &[HR, SHOP]);
            let configuration = "[environments.dev]\napproval = \"required\"\n";
            std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
            let apply = |code| {
                let mut command = fixture.command(&definitions, &KEEP_GOING);
                let output = command.env("ALLOW_DB_PROVISION", "true").output().unwrap();
                expect(&output, code)
            };
            let lead = "CREATE ROLE lead LOGIN CREATEROLE PASSWORD 'Canary-lead'";
            if of_administrator {
                fixture.query(&format!("SET ROLE platform_admin; {lead}"));
            } else {
                fixture.server.superuser("postgres", lead).unwrap();
            }
            let as_lead = |sql: &str| {
                fixture.server.sql_as("lead", "Canary-lead", "postgres", sql).unwrap();
            };
            for option in ["", " WITH ADMIN OPTION"] {
                as_lead("CREATE ROLE tools");
                as_lead(&format!("GRANT tools TO shop_owner{option}"));
                let mut session =
                    fixture.server.session("lead", "Canary-lead", "postgres").unwrap();
                session.ask("BEGIN; GRANT tools TO lead").unwrap();
                fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
                let text = apply(0);
                let note = "note[membership-by-other]: role shop_owner has a membership in tools that is \
                        not declared, and this run does not revoke it: role lead, which granted it, can";
                assert!(text.contains(note), "PostgreSQL {major}: {text}");
                let limits = "SELECT string_agg(rolconnlimit::text, ' ') FROM pg_roles
                WHERE rolname IN ('shop_owner', 'hr_owner')";
                assert_eq!(fixture.query(limits), "-1 -1", "PostgreSQL {major}: {text}");
                session.ask("ROLLBACK").unwrap();
                expect(&fixture.run(&definitions, &CHECK), 2);
                as_lead("DROP ROLE tools");
                expect(&fixture.run(&definitions, &CHECK), 0);
            }
            // Control: what the administrator has granted is revoked.
            fixture.query("SET ROLE platform_admin; CREATE ROLE tools; GRANT tools TO shop_owner");
            let text = apply(3);
            assert!(text.contains("revokes_access"), "PostgreSQL {major}: {text}");
        }
    }
}

/// Before PostgreSQL 15, each role can grant itself, and before 16, a role with `ADMIN OPTION` its group.
#[test]
fn membership_that_a_role_gives_away_stops_no_application() {
    for major in versions().into_iter().filter(|major| *major < 16) {
        let fixture = Fixture::new(major);
        drop(attacker(&fixture));
        let definitions = declare(&fixture, &[HR, SHOP]);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let configuration = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
        fixture.query("CREATE ROLE lead LOGIN PASSWORD 'Canary-lead'; CREATE ROLE tools");
        fixture.query("GRANT tools TO lead WITH ADMIN OPTION");
        for group in if major < 15 { &["tools", "lead"][..] } else { &["tools"] } {
            let grant = format!("GRANT {group} TO shop_owner");
            fixture.server.sql_as("lead", "Canary-lead", "postgres", &grant).unwrap();
            fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
            let mut command = fixture.command(&definitions, &KEEP_GOING);
            let output = command.env("ALLOW_DB_PROVISION", "true").output().unwrap();
            let text = expect(&output, 0);
            let note = format!(
                "note[membership-by-other]: role shop_owner has a membership in {group} that is not declared"
            );
            assert!(text.contains(&note), "PostgreSQL {major}: {text}");
            let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop_owner'";
            assert_eq!(fixture.query(limit), "-1", "PostgreSQL {major}: {text}");
            expect(&fixture.run(&definitions, &CHECK), 2);
            fixture.query(&format!("REVOKE {group} FROM shop_owner"));
            expect(&fixture.run(&definitions, &CHECK), 0);
        }
        // Control: what a role with CREATEROLE, as which it administers all others, has granted is revoked.
        fixture.query("ALTER ROLE lead CREATEROLE");
        let grant = "GRANT tools TO shop_owner";
        fixture.server.sql_as("lead", "Canary-lead", "postgres", grant).unwrap();
        let mut command = fixture.command(&definitions, &KEEP_GOING);
        let output = command.env("ALLOW_DB_PROVISION", "true").output().unwrap();
        let text = expect(&output, 3);
        assert!(text.contains("revokes_access"), "PostgreSQL {major}: {text}");
    }
}

/// What a reader grants on its future objects to roles of other applications is revoked as a step of its own
/// application, and without a hazard, which could stop the applications of its database.
#[test]
fn default_privileges_of_a_role_stop_no_application() {
    for major in versions() {
        let fixture = salaries(major);
        let definitions = declare(&fixture, &[&[HR, SHOP][..], &ANALYST].concat());
        expect(&fixture.run(&definitions, &APPLY), 0);
        let configuration = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
        let grant = "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO hr_owner";
        fixture.server.sql_as("analyst", &password("reports"), "shop", grant).unwrap();
        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let step = &plan["transactions"][0]["steps"][0];
        assert_eq!(step["application"], "reports", "PostgreSQL {major}: {plan}");
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        let mut command = fixture.command(&definitions, &APPLY);
        let output = command.env("ALLOW_DB_PROVISION", "true").output().unwrap();
        let text = expect(&output, 0);
        let state = "SELECT rolconnlimit, (SELECT count(*) FROM pg_default_acl
              WHERE defaclrole = 'analyst'::regrole AND defaclacl::text ~ 'hr_owner')
            FROM pg_roles WHERE rolname = 'shop_owner'";
        assert_eq!(fixture.query_in("shop", state), "-1|0", "PostgreSQL {major}: {text}");
        expect(&fixture.run(&definitions, &CHECK), 0);
    }
}

/// Each statement holds a row that the plan changes, in a transaction that stays open.
#[test]
fn lock_of_a_role_concerns_its_application_only() {
    for major in versions() {
        for (drift, lock) in [
            (
                "ALTER ROLE shop_owner CONNECTION LIMIT 3",
                "BEGIN; ALTER ROLE shop_owner PASSWORD 'other'",
            ),
            (
                "GRANT CONNECT ON DATABASE shop TO PUBLIC",
                "BEGIN; GRANT TEMPORARY ON DATABASE shop TO shop_owner",
            ),
        ] {
            let fixture = Fixture::new(major);
            let mut session = attacker(&fixture);
            fixture.query(drift);
            session.ask(lock).unwrap();
            let definitions = declare(&fixture, &[HR, SHOP, WIKI]);
            let text = expect(&fixture.run(&definitions, &KEEP_GOING), 4);
            assert!(text.contains("shop"), "PostgreSQL {major}: {text}");
            let others = "SELECT count(*) FROM pg_database WHERE datname IN ('hr', 'wiki')
                AND pg_get_userbyid(datdba) = datname || '_owner'";
            assert_eq!(fixture.query(others), "2", "PostgreSQL {major}, {lock}: {text}");
            session.ask("ROLLBACK").unwrap();
            expect(&fixture.run(&definitions, &APPLY), 0);
            expect(&fixture.run(&definitions, &CHECK), 0);
        }
    }
}

/// A statement waits 3 seconds for a lock, and a transaction is executed 5 times. The owner of many databases
/// must not have the run wait so long for each of them.
#[test]
fn locks_in_many_databases_have_one_limit() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::new(major);
    let names = ["a", "b", "c", "wiki"];
    let mut entries = Vec::new();
    for name in names {
        fixture.app("dev", name, &format!("{name}_owner"));
        fixture.app("dev", &format!("{name}_reports"), &format!("{name}_reader"));
        entries.push(format!(
            r#"{name} = {{ database_name = "{name}", username = "{name}_owner" }}
            {name}_reports = {{ database_name = "{name}", username = "{name}_reader", access_level = "reader" }}"#
        ));
    }
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let definitions = declare(&fixture, &entries);
    expect(&fixture.run(&definitions, &APPLY), 0);
    let mut sessions = Vec::new();
    for name in names {
        let mut session =
            fixture.server.session(&format!("{name}_owner"), &password(name), name).unwrap();
        session.ask("CREATE TABLE items (id int)").unwrap();
        session.ask(&format!("REVOKE SELECT ON items FROM {name}_reader")).unwrap();
        if name != "wiki" {
            session.ask(&format!("BEGIN; GRANT INSERT ON items TO {name}_reader")).unwrap();
        }
        sessions.push(session);
    }
    // One database after the other.
    let arguments = [&KEEP_GOING[..], &["--max-connections", "4"]].concat();
    let text = expect(&fixture.run(&definitions, &arguments), 4);
    let attempts = fixture.server.log().matches("due to lock timeout").count();
    // Twice 5 executions take 30 seconds. The third database gets one.
    assert_eq!(attempts, 11, "PostgreSQL {major}: {text}");
    let reads = "SELECT has_table_privilege('wiki_reader', 'items', 'SELECT')";
    assert_eq!(fixture.query_in("wiki", reads), "t", "{text}");
    drop(sessions);
    expect(&fixture.run(&definitions, &APPLY), 0);
}

/// The owner of many databases gives up each lock before the statement that waits for it fails.
#[test]
fn locks_that_are_given_up_count_together() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::new(major);
    // Each of the first ones takes more than 2 seconds, and the last one keeps its lock.
    let names: Vec<String> = (10..25).map(|number| format!("d{number}")).collect();
    let mut entries = Vec::new();
    for name in &names {
        fixture.app("dev", name, &format!("{name}_owner"));
        fixture.app("dev", &format!("{name}_reports"), &format!("{name}_reader"));
        entries.push(format!(
            r#"{name} = {{ database_name = "{name}", username = "{name}_owner" }}
            {name}_reports = {{ database_name = "{name}", username = "{name}_reader", access_level = "reader" }}"#
        ));
    }
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let definitions = declare(&fixture, &entries);
    expect(&fixture.run(&definitions, &APPLY), 0);
    let mut sessions = std::collections::BTreeMap::new();
    for name in &names {
        let mut session =
            fixture.server.session(&format!("{name}_owner"), &password(name), name).unwrap();
        session.ask("CREATE TABLE items (id int)").unwrap();
        session.ask(&format!("REVOKE SELECT ON items FROM {name}_reader")).unwrap();
        session.ask(&format!("BEGIN; GRANT INSERT ON items TO {name}_reader")).unwrap();
        sessions.insert(name.clone(), session);
    }
    let last = sessions.remove(names.last().unwrap());
    // One database after the other.
    let arguments = [&KEEP_GOING[..], &["--max-connections", "4"]].concat();
    let mut command = fixture.command(&definitions, &arguments);
    let (stdout, stderr) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    let waiting = "SELECT datname FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND usename = 'platform_admin' AND now() - query_start > interval '2.3 s'";
    while child.try_wait().unwrap().is_none() {
        for name in fixture.query(waiting).lines() {
            drop(sessions.remove(name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = expect(&child.wait_with_output().unwrap(), 4);
    let left = sessions.len();
    let attempts = fixture.server.log().matches("due to lock timeout").count();
    // After 30 seconds, each further database gets one execution, which waits for 1 second.
    assert!((1..=3).contains(&left), "{left}: {text}");
    assert_eq!(attempts, left + 1, "PostgreSQL {major}: {text}");
    drop((last, sessions));
    expect(&fixture.run(&definitions, &APPLY), 0);
}

const HR: &str = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
const WIKI: &str = r#"wiki = { database_name = "wiki", username = "wiki_owner" }"#;

/// Two applications with one role, whose home is not that of the salaries.
const ANALYST: [&str; 2] = [
    r#"reports = { database_name = "shop", username = "analyst", access_level = "reader", role_owner = true, secret = "goldenpath/dev/reports/postgres", adopt = true }"#,
    r#"hr_reports = { database_name = "hr", username = "analyst", access_level = "reader" }"#,
];

/// Declares two databases, and applies them. The second one contains salaries.
fn salaries(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    drop(attacker(&fixture));
    for application in ["reports", "hr_reports"] {
        fixture.app("dev", application, "analyst");
    }
    expect(&fixture.run(&declare(&fixture, &[SHOP, HR]), &APPLY), 0);
    let salary = "CREATE TABLE salary (amount int); INSERT INTO salary VALUES (4711)";
    fixture.server.sql_as("hr_owner", &password("hr"), "hr", salary).unwrap();
    fixture
}

/// Runs without the applications of the analyst, whose password is that of the attacker, and runs again
/// after `mend`.
fn assert_analyst_is_left_out(
    fixture: &Fixture,
    run: impl Fn(&str) -> std::process::Output,
    says: &str,
    mend: impl FnOnce(),
) {
    let definitions = declare(fixture, &[SHOP, HR, WIKI, ANALYST[0], ANALYST[1]]);
    let text = expect(&run(&definitions), 4);
    let major = fixture.server.major();
    assert!(text.contains(says), "PostgreSQL {major}: {text}");
    let reads = |secret: &str| {
        fixture.server.sql_as("analyst", secret, "hr", "SELECT amount FROM salary").is_ok()
    };
    assert!(!reads(KNOWN), "PostgreSQL {major}: the attacker reads salaries: {text}");
    let connects = "SELECT has_database_privilege('analyst', 'hr', 'CONNECT')";
    assert_eq!(fixture.query(connects), "f", "PostgreSQL {major}: {text}");
    let wiki = "SELECT count(*) FROM pg_database WHERE datname = 'wiki'";
    assert_eq!(fixture.query(wiki), "1", "PostgreSQL {major}: {text}");
    mend();
    expect(&fixture.run(&definitions, &APPLY), 0);
    assert!(reads(&password("reports")) && !reads(KNOWN), "PostgreSQL {major}");
    expect(&fixture.run(&definitions, &CHECK), 0);
}

/// The password that the attacker has given to a role.
const KNOWN: &str = "Canary-known";

/// Executes a run, and something else while it waits for a lock.
fn run_and_meanwhile(
    fixture: &Fixture,
    definitions: &str,
    meanwhile: impl FnOnce() + Send,
) -> std::process::Output {
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'platform_admin' AND wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while fixture.query(waits) == "0" {
                std::thread::sleep(Duration::from_millis(10));
            }
            meanwhile();
        });
        fixture.run(definitions, &KEEP_GOING)
    })
}

/// A role with `CREATEROLE` creates a declared role while the run waits to create it. What the run would
/// have granted to it does not go to that role, also not through another application.
#[test]
fn role_that_another_role_creates_first_gets_no_privilege() {
    for major in versions() {
        let fixture = salaries(major);
        fixture.query(&format!("CREATE ROLE meddler LOGIN CREATEROLE PASSWORD '{KNOWN}'"));
        let run = |definitions: &str| {
            let mut meddler = fixture.server.session("meddler", KNOWN, "postgres").unwrap();
            let create = format!("BEGIN; CREATE ROLE analyst LOGIN PASSWORD '{KNOWN}'");
            meddler.ask(&create).unwrap();
            run_and_meanwhile(&fixture, definitions, move || {
                meddler.ask("COMMIT").unwrap();
            })
        };
        let says = "role analyst was created after the server was observed";
        assert_analyst_is_left_out(&fixture, run, says, || {
            fixture.query("DROP ROLE analyst");
        });
    }
}

/// The lock of the role itself prevents the change of its password. It gets no privilege with the old
/// one, also not through another application.
#[test]
fn role_that_keeps_its_password_gets_no_privilege() {
    for major in versions() {
        let fixture = salaries(major);
        fixture.query(&format!("CREATE ROLE analyst LOGIN PASSWORD '{KNOWN}'"));
        fixture.query("GRANT analyst TO platform_admin WITH ADMIN OPTION");
        let mut session = fixture.server.session("analyst", KNOWN, "postgres").unwrap();
        session.ask(&format!("BEGIN; ALTER ROLE analyst PASSWORD '{KNOWN}'")).unwrap();
        let run = |definitions: &str| fixture.run(definitions, &KEEP_GOING);
        assert_analyst_is_left_out(&fixture, run, "held by pid", || {
            session.ask("ROLLBACK").unwrap();
        });
    }
}

/// The owner of a database grants it to the role of another application, so that the run must revoke
/// this, and prevents the revocation.
#[test]
fn privilege_in_a_database_concerns_the_application_of_the_database() {
    const GRANT: &str = "GRANT CONNECT ON DATABASE shop TO analyst";
    for major in versions() {
        // Before PostgreSQL 16, the administrator can act as each grantor.
        let refused = if major < 16 { 0 } else { 3 };
        for (attack, code) in [("none", 0), ("lock", 4), ("grantor", refused)] {
            let fixture = Fixture::new(major);
            let mut owner = attacker(&fixture);
            fixture.app("dev", "hr_reports", "analyst");
            let definitions = declare(&fixture, &[SHOP, HR, ANALYST[1]]);
            expect(&fixture.run(&definitions, &APPLY), 0);
            // What the run gives back to the role.
            fixture.query("REVOKE CONNECT ON DATABASE hr FROM analyst");
            if attack == "grantor" {
                fixture.query(&format!("CREATE ROLE accomplice LOGIN PASSWORD '{KNOWN}'"));
                owner
                    .ask("GRANT CONNECT ON DATABASE shop TO accomplice WITH GRANT OPTION")
                    .unwrap();
                fixture.server.sql_as("accomplice", KNOWN, "shop", GRANT).unwrap();
            } else {
                owner.ask(GRANT).unwrap();
            }
            if attack == "lock" {
                owner.ask("BEGIN; GRANT TEMPORARY ON DATABASE shop TO shop_owner").unwrap();
            }
            let text = expect(&fixture.run(&definitions, &KEEP_GOING), code);
            let connects = |database: &str| {
                fixture.query(&format!(
                    "SELECT has_database_privilege('analyst', '{database}', 'CONNECT')"
                ))
            };
            let context = format!("PostgreSQL {major}, {attack}: {text}");
            assert_eq!(connects("hr"), "t", "{context}");
            assert_eq!(connects("shop"), if code == 0 { "f" } else { "t" }, "{context}");
            let text = text.replace("application hr_reports: ", "");
            assert!(!text.contains("hr_reports: "), "{context}");
        }
    }
}

/// Before PostgreSQL 15, a role can grant itself to the administrator, and revoke this. A transaction
/// that needs the membership waits for it in vain, or cannot act as the role.
#[test]
fn membership_that_a_role_prevents_concerns_its_application_only() {
    for major in versions().into_iter().filter(|major| *major < 15) {
        for revokes in [false, true] {
            let fixture = Fixture::new(major);
            let mut session = attacker(&fixture);
            let mut holder =
                fixture.server.session("shop_owner", &password("shop"), "shop").unwrap();
            fixture.query("GRANT CONNECT ON DATABASE shop TO PUBLIC");
            let definitions = declare(&fixture, &[SHOP, HR, WIKI]);
            let output = if revokes {
                session.ask("GRANT shop_owner TO platform_admin").unwrap();
                // The run waits for this lock before it acts as the role.
                fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
                holder.ask("BEGIN; ALTER ROLE shop_owner PASSWORD 'other'").unwrap();
                run_and_meanwhile(&fixture, &definitions, || {
                    session.ask("REVOKE shop_owner FROM platform_admin").unwrap();
                    holder.ask("ROLLBACK").unwrap();
                })
            } else {
                session.ask("BEGIN; GRANT shop_owner TO platform_admin").unwrap();
                fixture.run(&definitions, &KEEP_GOING)
            };
            let text = expect(&output, 4);
            let context = format!("PostgreSQL {major}, {revokes}: {text}");
            let statement = if revokes { "SET LOCAL ROLE" } else { "TO CURRENT_USER" };
            assert!(text.contains(statement), "{context}");
            let others = "SELECT count(*) FROM pg_database WHERE datname IN ('hr', 'wiki')
                AND pg_get_userbyid(datdba) = datname || '_owner'";
            assert_eq!(fixture.query(others), "2", "{context}");
        }
    }
}

/// A rotation that waits for the row of the role in vain has changed nothing, and says so.
#[test]
fn rotation_that_waits_in_vain_restores_nothing() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        let mut session = attacker(&fixture);
        session.ask("BEGIN; ALTER ROLE shop_owner PASSWORD 'other'").unwrap();
        let definitions = declare(&fixture, &[SHOP]);
        // The secret has a new pending version.
        let text = expect(&fixture.run(&definitions, &["rotate", "shop", "--env", "dev"]), 4);
        assert!(text.contains("the password of role shop_owner was not changed"), "{text}");
        session.ask("ROLLBACK").unwrap();
        expect(&fixture.run(&definitions, &CHECK), 0);
    }
}

/// Before PostgreSQL 16, a role can grant itself to the administrator at any time.
#[test]
fn membership_that_a_role_grants_stops_no_transaction() {
    for major in versions().into_iter().filter(|major| *major < 15) {
        let fixture = Fixture::new(major);
        let mut session = attacker(&fixture);
        let granted = std::sync::atomic::AtomicBool::new(false);
        let ended = std::sync::atomic::AtomicBool::new(false);
        let definitions = declare(&fixture, &[HR, SHOP]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    session.ask("GRANT shop_owner TO platform_admin").unwrap();
                    session.ask("REVOKE shop_owner FROM platform_admin").unwrap();
                    granted.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            });
            let text = expect(&fixture.run(&definitions, &APPLY), 0);
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(text.contains("hr_owner"), "{text}");
        });
        assert!(granted.into_inner(), "PostgreSQL {major}: nothing was granted");
    }
}

/// A role that is not managed and has the power of an administrator is not adopted.
#[test]
fn other_administrators_are_not_adopted() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.query(
            "CREATE ROLE dba LOGIN CREATEROLE; CREATE ROLE ops LOGIN; GRANT rds_superuser TO ops;
             CREATE ROLE old_master LOGIN; ALTER DATABASE postgres OWNER TO old_master",
        );
        for (role, says) in [
            (
                "dba",
                "role dba is not managed by rdsprov and is an administrator: it has CREATEROLE",
            ),
            ("ops", "is an administrator: it is a member of rds_superuser"),
            ("old_master", "is an administrator: it owns database postgres"),
        ] {
            fixture.app("dev", "evil", role);
            let entry = format!(
                r#"evil = {{ database_name = "evil", username = "{role}", adopt = true }}"#
            );
            let text = expect(&fixture.run(&declare(&fixture, &[&entry]), &APPLY), 3);
            assert!(text.contains("refused[role-is-administrator] evil"), "{text}");
            assert!(text.contains(says), "PostgreSQL {major}: {text}");
        }
    }
}

/// A database that is dropped while the catalogs are read.
#[test]
fn databases_that_come_and_go_stop_no_run() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::new(major);
    drop(attacker(&fixture));
    fixture.query("CREATE ROLE maker LOGIN CREATEDB PASSWORD 'Canary-maker'");
    let mut maker = fixture.server.session("maker", "Canary-maker", "postgres").unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    let definitions = declare(&fixture, &[SHOP]);
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            let mut made = 0;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                // A run that connects to `template1` can prevent one.
                made += usize::from(maker.ask("CREATE DATABASE brief").is_ok());
                let _ = maker.ask("DROP DATABASE IF EXISTS brief");
            }
            made
        });
        let texts: Vec<String> = (0..15)
            .map(|_| String::from_utf8(fixture.run(&definitions, &CHECK).stderr).unwrap())
            .collect();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(made.join().unwrap() > 3, "hardly a database was created");
        for text in texts {
            assert!(!text.contains("unexpected-catalog-result"), "{text}");
        }
    });
}

/// The comment of an undeclared database does not concern the delegate.
#[test]
fn forged_marker_changes_no_delegation() {
    for major in versions() {
        let fixture = Fixture::new(major);
        drop(attacker(&fixture));
        fixture.query("CREATE ROLE legacy LOGIN");
        fixture.query("CREATE DATABASE legacydb OWNER legacy");
        fixture.query(
            "COMMENT ON DATABASE legacydb IS '[managed by rdsprov: environment=dev application=legacy build_id= name=\"legacydb\"]'",
        );
        let text = expect(&fixture.delegate("dev").output().unwrap(), 0);
        assert!(!text.contains("legacydb"), "PostgreSQL {major}: {text}");
        expect(&fixture.delegate("dev").output().unwrap(), 0);
    }
}

/// A role that is not declared and can connect. The revocation would be a hazard, and wait for its lock.
#[test]
fn default_privileges_of_an_undeclared_role_stop_no_application() {
    for major in versions() {
        let fixture = Fixture::new(major);
        drop(attacker(&fixture));
        let definitions = declare(&fixture, &[SHOP, HR]);
        expect(&fixture.run(&definitions, &APPLY), 0);
        fixture.query_in(
            "shop",
            "SET ROLE platform_admin; CREATE ROLE mallory LOGIN PASSWORD 'Known-mallory'; RESET ROLE;
             GRANT CONNECT ON DATABASE shop TO mallory; CREATE SCHEMA extra AUTHORIZATION mallory",
        );
        let mut session = fixture.server.session("mallory", "Known-mallory", "shop").unwrap();
        session
            .ask("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shop_owner, hr_owner")
            .unwrap();
        session.ask("BEGIN; ALTER ROLE mallory PASSWORD 'Known-mallory'").unwrap();
        let configuration = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
        let apply = |arguments: &[&str]| {
            let arguments = [&APPLY[..], arguments].concat();
            let mut command = fixture.command(&definitions, &arguments);
            expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 0)
        };
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        let text = apply(&[]);
        assert!(text.contains("note[default-privileges-shared]"), "PostgreSQL {major}: {text}");
        let state = "SELECT rolconnlimit, (SELECT count(*) FROM pg_default_acl
              WHERE defaclrole = 'mallory'::regrole) FROM pg_roles WHERE rolname = 'shop_owner'";
        assert_eq!(fixture.query_in("shop", state), "-1|1", "PostgreSQL {major}: {text}");
        expect(&fixture.run(&definitions, &CHECK), 2);
        // What the role grants on an object is excess of the database.
        session.ask("ROLLBACK").unwrap();
        session.ask("CREATE TABLE extra.offered (id int)").unwrap();
        let granted = "SELECT relacl::text ~ 'hr_owner' FROM pg_class WHERE relname = 'offered'";
        assert_eq!(fixture.query_in("shop", granted), "t", "PostgreSQL {major}");
        apply(&["--allow", "revokes_access"]);
        assert_eq!(fixture.query_in("shop", granted), "f", "PostgreSQL {major}");
        session
            .ask("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM shop_owner, hr_owner")
            .unwrap();
        expect(&fixture.run(&definitions, &CHECK), 0);
    }
}
