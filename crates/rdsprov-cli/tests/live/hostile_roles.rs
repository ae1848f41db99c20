//! Attacks of roles of applications on the runs of others, with locks and memberships.

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
            let hr = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
            let wiki = r#"wiki = { database_name = "wiki", username = "wiki_owner" }"#;
            let definitions = declare(&fixture, &[hr, SHOP, wiki]);
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
        let hr = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
        let definitions = declare(&fixture, &[hr, SHOP]);
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
