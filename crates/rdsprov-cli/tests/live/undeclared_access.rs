//! The note and the refusal of access that the definitions do not declare.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password, writes};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner", creators = ["pipeline"] }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki         = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// Starts a server on which the definitions are applied.
fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in
        [("shop", "shop_owner"), ("shop_reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        fixture.app("dev", application, user);
    }
    fixture.query("CREATE ROLE pipeline LOGIN; GRANT pipeline TO platform_admin");
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let table = "CREATE TABLE orders (id int); CREATE SEQUENCE numbers";
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", table).unwrap();
    (fixture, definitions)
}

/// Makes roles that have access, and roles that are never reported.
fn add_roles(fixture: &Fixture, major: u32) {
    let set_only = if major >= 16 { "WITH INHERIT FALSE, SET TRUE" } else { "" };
    let admin_only =
        if major >= 16 { "WITH ADMIN TRUE, INHERIT FALSE, SET TRUE" } else { "WITH ADMIN OPTION" };
    fixture.query(&format!(
        "CREATE ROLE bi LOGIN; CREATE ROLE dba LOGIN; GRANT shop_owner TO dba;
         CREATE ROLE shy LOGIN NOINHERIT; GRANT shop_reader TO shy {set_only};
         CREATE ROLE lead LOGIN NOINHERIT; GRANT shop_reader TO lead {admin_only};
         CREATE ROLE analysts; CREATE ROLE ann LOGIN; GRANT analysts TO ann;
         CREATE ROLE old_grant LOGIN; CREATE ROLE unrelated LOGIN;
         CREATE ROLE second_admin LOGIN IN ROLE rds_superuser;
         CREATE ROLE other_super LOGIN SUPERUSER; CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data;
         CREATE ROLE nobody_in LOGIN"
    ));
    fixture.query_in(
        "shop",
        "GRANT CONNECT ON DATABASE shop TO bi, analysts, pipeline, second_admin, other_super, pg_monitor;
         ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner GRANT SELECT ON TABLES TO bi;
         ALTER DEFAULT PRIVILEGES FOR ROLE pipeline IN SCHEMA public GRANT ALL ON SEQUENCES TO bi;
         GRANT SELECT ON orders TO bi, old_grant; GRANT USAGE ON SEQUENCE numbers TO bi;
         GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_reset() TO nobody_in",
    );
}

/// Returns the lines of the notes and refusals about access that is not declared.
fn findings(text: &str) -> Vec<&str> {
    let is_finding =
        |line: &&str| line.contains("undeclared-access") || line.contains("access-not-declared");
    text.lines().filter(is_finding).collect()
}

#[test]
fn roles_with_access_are_reported_until_the_statements_are_executed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let run = |arguments: &[&str], code| {
            let words = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(&definitions, &words), code)
        };
        assert_eq!(findings(&run(&["plan"], 0)), Vec::<&str>::new());
        run(&["check", "--strict"], 0);
        run(&["check", "--fail-on", "undeclared"], 0);
        add_roles(&fixture, major);
        // PUBLIC may not connect after the plan, so that it gives no role access.
        fixture.query("GRANT CONNECT ON DATABASE wiki TO PUBLIC");
        run(&["apply"], 0);
        let mark = fixture.server.log().len();
        let text = run(&["check"], 0);
        assert_eq!(writes(&fixture.server.log()[mark..]), Vec::<String>::new());
        let found = findings(&text);
        for (role, words) in [
            ("analysts", "can connect to database shop: it has CONNECT;"),
            ("ann", "can connect to database shop: it has the privileges of role analysts;"),
            (
                "bi",
                "can connect to database shop: it has CONNECT, and privileges on relations in schema public;",
            ),
            ("dba", "can connect to database shop: it has the privileges of role shop_owner;"),
            ("lead", "can connect to database shop: it has ADMIN OPTION on role shop_reader;"),
            (
                "old_grant",
                "has privileges on relations in schema public of database shop, which it cannot use without CONNECT;",
            ),
            // `creators` declares no access.
            ("pipeline", "can connect to database shop: it has CONNECT;"),
            ("shy", "can connect to database shop: it has SET ROLE to role shop_reader;"),
        ] {
            let line = format!("role {role} is not declared and {words}");
            let lines = found.iter().filter(|one| one.contains(&line)).count();
            // Before PostgreSQL 16, ADMIN OPTION is part of a membership with SET ROLE.
            assert_eq!(lines, 1, "PostgreSQL {major}: {line}\n{text}");
        }
        assert_eq!(found.len(), 8, "PostgreSQL {major}: {text}");
        assert!(run(&["check", "--strict"], 2).contains("undeclared-access"));
        let text = run(&["check", "--fail-on", "orphaned,undeclared"], 2);
        let closing = "Nothing to do, but the check fails on: undeclared.";
        assert_eq!(text.trim_end().lines().last(), Some(closing), "{text}");
        let json = run(&["plan", "--format", "json"], 0);
        assert_eq!(json.matches(r#""code": "undeclared-access""#).count(), 8, "{json}");
        // Each note names the statements that end it.
        for line in found {
            for statement in line.split('`').skip(1).step_by(2).filter(|one| one.contains(' ')) {
                fixture.query_in("shop", statement);
            }
        }
        assert_eq!(findings(&run(&["check", "--strict"], 0)), Vec::<&str>::new());
        // Neither has the role access to tables that are created later.
        let later = "SELECT count(*) FROM pg_default_acl WHERE defaclacl::text ~ '[{,]bi='";
        assert_eq!(fixture.query_in("shop", later), "0");
    }
}

/// The members of `pg_monitor` are members of other predefined roles, too.
#[test]
fn members_of_predefined_roles_are_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let check = ["check", "--env", "dev", "--strict"];
        fixture.query("CREATE ROLE ada LOGIN IN ROLE pg_monitor");
        expect(&fixture.run(&definitions, &check), 0);
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        for (gives, takes) in [
            (
                "GRANT CONNECT ON DATABASE shop TO pg_read_all_stats",
                "REVOKE CONNECT ON DATABASE shop FROM pg_read_all_stats",
            ),
            // Before PostgreSQL 15, each role can grant itself.
            ("GRANT shop_owner TO pg_read_all_stats", "REVOKE shop_owner FROM pg_read_all_stats"),
        ] {
            if gives.contains("shop_owner") && major >= 15 {
                continue;
            }
            owner(gives);
            let text = expect(&fixture.run(&definitions, &check), 2);
            let found = findings(&text);
            let line = "role ada is not declared and can connect to database shop";
            assert!(found.iter().any(|one| one.contains(line)), "PostgreSQL {major}: {text}");
            owner(takes);
        }
        expect(&fixture.run(&definitions, &check), 0);
    }
}

/// The setting of `rdsprov.toml`, its lower limit in the site policy, and what a refusal stops.
#[test]
fn configuration_decides_what_access_is() {
    let (fixture, definitions) = fixture(versions()[0]);
    add_roles(&fixture, versions()[0]);
    let configure = |value: &str| {
        let text = format!("[access]\nundeclared = \"{value}\"\n");
        std::fs::write(fixture.path().join("rdsprov.toml"), text).unwrap();
    };
    let run = |arguments: &[&str], code| {
        let words = [arguments, &["--env", "dev"]].concat();
        expect(&fixture.run(&definitions, &words), code)
    };
    configure("allow");
    assert_eq!(findings(&run(&["check"], 0)), Vec::<&str>::new());
    assert_eq!(findings(&run(&["check", "--strict"], 2)).len(), 8);
    configure("refuse");
    let text = run(&["check"], 3);
    assert_eq!(findings(&text).len(), 8, "{text}");
    assert!(text.contains("role bi is not declared"), "{text}");
    assert!(text.contains(r#"REVOKE CONNECT ON DATABASE "shop" FROM "bi""#), "{text}");
    // Role shop_reader belongs to another application than the database.
    let reports = run(&["check", "--only", "shop_reports"], 3);
    let reports = findings(&reports);
    assert!(
        reports.len() == 2 && reports.iter().all(|one| one.contains("shop_reader")),
        "{reports:?}"
    );
    // The other applications are not concerned.
    run(&["check", "--only", "wiki"], 0);
    fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 7");
    run(&["apply", "--no-fail-fast"], 3);
    let limit = fixture.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wiki_owner'");
    assert_eq!(limit, "-1");
    run(&["apply", "--only", "wiki"], 0);
    // The site policy is at least as strict.
    configure("allow");
    let policy = fixture.path().join("policy.toml");
    std::fs::write(&policy, "[environments.dev]\nundeclared_access = \"refuse\"\n").unwrap();
    let mut command = fixture.command(&definitions, &["check", "--env", "dev"]);
    let text = expect(&command.env("RDSPROV_POLICY", &policy).output().unwrap(), 3);
    assert!(text.contains("access-not-declared"), "{text}");
    configure("deny");
    assert!(run(&["check"], 64).contains("rdsprov.toml is not valid"));
}

/// Who writes the secret of one application must not hide a role in the databases of others.
#[test]
fn secret_with_a_clone_hides_no_access() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let superuser = |sql: &str| fixture.server.superuser("postgres", sql).unwrap();
        // No administrator has ADMIN OPTION on it, as on roles that a role with CREATEROLE has created.
        superuser("CREATE ROLE shop_owner_clone LOGIN PASSWORD 'p'");
        superuser("GRANT CONNECT ON DATABASE wiki TO shop_owner_clone");
        let check =
            |code| expect(&fixture.run(&definitions, &["check", "--strict", "--env", "dev"]), code);
        let before = check(2);
        assert!(before.contains("role shop_owner_clone is not declared"), "{before}");
        let secret = serde_json::json!({
            "username": "shop_owner", "password": password("shop"),
            "masterarn": "goldenpath/dev/rds/master",
        });
        fixture.secret("goldenpath/dev/shop/postgres", &secret.to_string());
        if major >= 16 {
            assert_eq!(findings(&check(2)), findings(&before), "PostgreSQL {major}");
        } else {
            // The administrator has power over it: its privileges are compared, or the clone is refused.
            check(3);
        }
    }
}

/// Each role with `CREATEROLE` can create a role whose name begins as those of Amazon RDS do.
#[test]
fn names_like_those_of_rds_hide_no_access() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE provisioner LOGIN CREATEROLE");
        fixture.query(
            "SET ROLE provisioner; CREATE ROLE rds_helper LOGIN; CREATE ROLE rds_group; RESET ROLE",
        );
        fixture.query_in(
            "shop",
            "GRANT CONNECT ON DATABASE shop TO rds_helper, rds_group, rds_replication;
             GRANT SELECT ON orders TO rds_helper, rds_group, rds_replication",
        );
        let run = |arguments: &[&str], code| {
            let words = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(&definitions, &words), code)
        };
        let text = run(&["check", "--strict"], 2);
        let access = run(&["access"], 0);
        for role in ["rds_helper", "rds_group"] {
            assert!(findings(&text).iter().any(|line| line.contains(role)), "{major}: {text}");
            let is_line = |line: &str| line.trim_start().starts_with(role);
            assert!(access.lines().any(is_line), "{role}: {access}");
        }
        assert!(!findings(&text).iter().any(|line| line.contains("rds_replication")), "{text}");
    }
}
