//! What the owner of one database does concerns that application only.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner", createdb = true }
    wiki = { database_name = "wiki", username = "wiki_owner" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for application in ["shop", "wiki", "crm"] {
        fixture.app("dev", application, &format!("{application}_owner"));
    }
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    (fixture, definitions)
}

fn as_owner(fixture: &Fixture, sql: &str) {
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
}

fn comment(fixture: &Fixture, database: &str) -> String {
    fixture.query(&format!(
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = '{database}'"
    ))
}

const KEEP_GOING: [&str; 4] = ["apply", "--env", "dev", "--no-fail-fast"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// Each attack, and the refusal that it leads to for the application itself.
const ATTACKS: [(&str, &str, &str); 3] = [
    (
        "ALTER DATABASE shop CONNECTION LIMIT 0",
        "refused[database-unreachable] shop: ",
        "ALTER DATABASE shop CONNECTION LIMIT -1",
    ),
    (
        "ALTER DATABASE shop SET local_preload_libraries = 'no_such_library'",
        "refused[database-unreachable] shop: ",
        "ALTER DATABASE shop RESET local_preload_libraries",
    ),
    (
        "ALTER DATABASE shop SET default_transaction_read_only = on",
        "refused[database-read-only] shop: ",
        "ALTER DATABASE shop RESET default_transaction_read_only",
    ),
];

#[test]
fn closed_database_stops_no_other_application() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        for (attack, refusal, undone) in ATTACKS {
            as_owner(&fixture, attack);
            fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 3");
            fixture.query_in("wiki", "GRANT CREATE ON SCHEMA public TO shop_owner");
            fixture.query("GRANT CONNECT ON DATABASE shop TO wiki_owner");
            let output = expect(&fixture.run(&definitions, &KEEP_GOING), 3);
            assert!(output.contains(refusal), "PostgreSQL {major}: {attack}: {output}");
            assert!(!output.contains("] wiki: "), "PostgreSQL {major}: {attack}: {output}");
            let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wiki_owner'";
            assert_eq!(fixture.query(limit), "-1", "PostgreSQL {major}: {attack}");
            fixture.query(undone);
            expect(&fixture.run(&definitions, &KEEP_GOING), 0);
            expect(&fixture.run(&definitions, &CHECK), 0);
        }
        // Settings that end sessions do not end those of a run.
        let settings = ["statement_timeout = 1", "idle_session_timeout = 1", "lock_timeout = 1"]
            .map(|setting| format!("ALTER DATABASE shop SET {setting}"));
        as_owner(&fixture, &settings.join("; "));
        fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 3");
        let output = fixture.run(&definitions, &KEEP_GOING);
        let text = expect(&output, output.status.code().unwrap());
        let allowed = text.contains("refused[database-unreachable] shop: ");
        assert!(output.status.success() || allowed, "PostgreSQL {major}: {text}");
        let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wiki_owner'";
        assert_eq!(fixture.query(limit), "-1", "PostgreSQL {major}: {text}");
    }
}

/// A marker that any owner can write does not make a run connect to a database.
#[test]
fn database_with_a_forged_marker_is_not_read() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "old", "old_owner");
        let shop = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
        let old = r#"old = { database_name = "old", username = "old_owner" }"#;
        let declare = |entries: &[&str]| {
            fixture.definitions(&format!("application_databases = {{\n{}\n}}", entries.join("\n")))
        };
        expect(&fixture.run(&declare(&[shop, old]), &["apply", "--env", "dev"]), 0);
        fixture.query("CREATE ROLE meddler LOGIN CREATEDB PASSWORD 'Canary-meddler'");
        let meddle = |sql: &str| {
            fixture.server.sql_as("meddler", "Canary-meddler", "postgres", sql).unwrap();
        };
        meddle("CREATE DATABASE trap");
        meddle(
            "COMMENT ON DATABASE trap IS
             '[managed by rdsprov: environment=dev application=trap build_id=1 name=\"trap\"]'",
        );
        let sessions = |database: &str| -> i64 {
            let count =
                format!("SELECT sessions FROM pg_stat_database WHERE datname = '{database}'");
            fixture.query(&count).parse().unwrap()
        };
        let before = sessions("old");
        expect(&fixture.run(&declare(&[shop]), &["check", "--env", "dev"]), 0);
        // The database that left the definitions is read; the statistics show it with a delay.
        while sessions("old") == before {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(sessions("trap"), 0, "PostgreSQL {major}");
    }
}

/// The marker of a database is believed only together with that of its owner.
#[test]
fn removed_and_forged_markers() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let marked = comment(&fixture, "shop");
        let forged = |environment: &str, application: &str, name: &str| {
            format!(
                "COMMENT ON DATABASE shop IS '[managed by rdsprov: environment={environment} \
                 application={application} build_id=1 name=\"{name}\"]'"
            )
        };
        for attack in [
            "COMMENT ON DATABASE shop IS NULL".to_owned(),
            "COMMENT ON DATABASE shop IS '[managed by rdsprov: nonsense]'".to_owned(),
            forged("prod", "shop", "shop"),
            forged("dev", "wiki", "crm"),
        ] {
            as_owner(&fixture, &attack);
            let found = expect(&fixture.run(&definitions, &CHECK), 2);
            assert!(found.contains("alter database shop: marker "), "{found}");
            expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
            let is_marker = |line: &str| line.contains("name=\"shop\"");
            let restored = comment(&fixture, "shop");
            assert_eq!(restored.lines().filter(|line| is_marker(line)).count(), 1, "{restored}");
            assert!(marked.contains("environment=dev") && restored.contains("environment=dev"));
            expect(&fixture.run(&definitions, &CHECK), 0);
        }

        // A marker does not speak for another application: neither as its renamed database, nor as
        // the one that it leaves.
        as_owner(&fixture, &forged("dev", "crm", "crm"));
        as_owner(&fixture, "CREATE DATABASE plugin");
        as_owner(
            &fixture,
            "COMMENT ON DATABASE plugin IS '[managed by rdsprov: environment=dev application=crm build_id=1 name=\"plugin\"]'",
        );
        let more = DEFINITIONS
            .replace("\n}", "\n    crm = { database_name = \"crm\", username = \"crm_owner\" }\n}");
        let more = fixture.definitions(&more);
        expect(&fixture.run(&more, &["apply", "--env", "dev"]), 0);
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'crm'";
        assert_eq!(fixture.query(owner), "crm_owner", "PostgreSQL {major}");
    }
}

/// A database that has the name of one that is declared later is not taken over, and only the
/// application that declares it is refused.
#[test]
fn squatted_name_is_not_taken_over() {
    for major in versions() {
        let (fixture, _) = fixture(major);
        as_owner(&fixture, "CREATE DATABASE crm");
        let marker = "COMMENT ON DATABASE crm IS '[managed by rdsprov: environment=dev application=crm build_id=1 name=\"crm\"]'";
        for (comment, refusal) in [
            ("COMMENT ON DATABASE crm IS NULL", "refused[database-not-managed] crm: "),
            (marker, "refused[database-owner-differs] crm: "),
        ] {
            as_owner(&fixture, comment);
            let definitions = fixture.definitions(&DEFINITIONS.replace(
                "\n}",
                "\n    crm = { database_name = \"crm\", username = \"crm_owner\" }\n}",
            ));
            fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 3");
            let output = expect(&fixture.run(&definitions, &KEEP_GOING), 3);
            assert!(output.contains(refusal), "PostgreSQL {major}: {output}");
            let refusals = output.lines().filter(|line| line.starts_with("refused["));
            assert!(refusals.clone().count() > 0, "{output}");
            for line in refusals {
                assert!(line.contains("] crm: "), "PostgreSQL {major}: {line}");
            }
            let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wiki_owner'";
            assert_eq!(fixture.query(limit), "-1", "PostgreSQL {major}: {output}");
            let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'crm'";
            assert_eq!(fixture.query(owner), "shop_owner", "PostgreSQL {major}");
        }
    }
}

/// The owner of a database without an owner entry writes a marker into its comment: the definitions
/// that only read the database do not take it over.
#[test]
fn forged_marker_of_a_database_without_owner_entry() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "reports", "analyst");
        fixture.query("CREATE ROLE legacy_owner LOGIN PASSWORD 'legacy'");
        fixture.query("GRANT legacy_owner TO platform_admin WITH ADMIN OPTION");
        fixture.query("CREATE DATABASE legacy OWNER legacy_owner");
        let as_owner =
            |sql: &str| fixture.server.sql_as("legacy_owner", "legacy", "legacy", sql).unwrap();
        let marker = "COMMENT ON DATABASE legacy IS '[managed by rdsprov: environment=dev application=reports build_id=1 name=\"legacy\"]'";
        let definitions = fixture.definitions(
            r#"application_databases = {
                reports = { database_name = "legacy", username = "analyst", access_level = "reader" }
            }"#,
        );
        let refused = || {
            let state = fixture.catalog_state();
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            assert!(
                output.contains("refused[database-not-managed] reports: "),
                "PostgreSQL {major}: {output}"
            );
            assert_eq!(fixture.catalog_state(), state);
        };
        refused();
        as_owner(marker);
        refused();
        // The owner cannot write the record of an adoption.
        let written = fixture.server.sql_as(
            "legacy_owner",
            "legacy",
            "legacy",
            "COMMENT ON ROLE platform_admin IS 'x'",
        );
        assert!(written.is_err(), "PostgreSQL {major}");

        // An adoption is needed once, although the marker of the database can be removed or forged.
        let adopt = ["apply", "--env", "dev", "--adopt", "reports"];
        expect(&fixture.run(&definitions, &adopt), 0);
        let state = fixture.catalog_state();
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        assert_eq!(
            fixture.catalog_state(),
            state,
            "PostgreSQL {major}: the second run changes nothing"
        );
        expect(&fixture.run(&definitions, &CHECK), 0);
        for comment in ["COMMENT ON DATABASE legacy IS NULL", &marker.replace("=dev", "=prod")] {
            as_owner(comment);
            let found = expect(&fixture.run(&definitions, &CHECK), 2);
            assert!(found.contains("database legacy: marker written again"), "{found}");
            expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
            expect(&fixture.run(&definitions, &CHECK), 0);
        }
        let role =
            "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'analyst'";
        let role = fixture.query(role);
        assert!(role.contains(r#"databases=["legacy"]"#), "PostgreSQL {major}: {role}");
        assert!(
            fixture.server.sql_as("analyst", &password("reports"), "legacy", "SELECT 1").is_ok()
        );
        assert!(
            fixture
                .server
                .sql_as("analyst", &password("reports"), "legacy", "COMMENT ON ROLE analyst IS 'x'")
                .is_err(),
            "PostgreSQL {major}: the role writes its own marker"
        );
    }
}

/// A marker neither hides a database nor makes it an orphan, and gives no application another key.
#[test]
fn forged_markers_change_no_report() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let strict = ["check", "--env", "dev", "--fail-on", "orphaned"];
        let marker = |environment: &str, application: &str, name: &str| {
            format!(
                "COMMENT ON DATABASE {name} IS '[managed by rdsprov: environment={environment} \
                 application={application} build_id=1 name=\"{name}\"]'"
            )
        };
        // A database of a role that is not managed, closed to the administrator.
        fixture.query("CREATE ROLE meddler LOGIN CREATEDB PASSWORD 'Canary-meddler'");
        let forged = marker("dev", "payments", "junk");
        for sql in ["CREATE DATABASE junk", &forged, "REVOKE CONNECT ON DATABASE junk FROM PUBLIC"]
        {
            fixture.server.sql_as("meddler", "Canary-meddler", "postgres", sql).unwrap();
        }
        let text = expect(&fixture.run(&definitions, &strict), 0);
        assert!(!text.contains("junk"), "PostgreSQL {major}: {text}");
        let text = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
        assert!(!text.contains("junk"), "PostgreSQL {major}: {text}");

        // Undeclared databases of a declared role.
        as_owner(&fixture, "CREATE DATABASE stash");
        for (environment, application) in
            [("prod", "shop"), ("dev", "rdsprov:administrator"), ("dev", "shop")]
        {
            as_owner(&fixture, &marker(environment, application, "stash"));
            let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
            assert!(text.contains(" database stash"), "PostgreSQL {major}: {text}");
        }

        // The owner of one database claims the key of another application.
        as_owner(&fixture, &marker("dev", "wiki", "shop"));
        let text = expect(&fixture.export(&[]).output().unwrap(), 0);
        let wiki = text.lines().find(|line| line.trim_start().starts_with("wiki "));
        assert!(wiki.is_some_and(|line| !line.contains("shop")), "PostgreSQL {major}: {text}");
    }
}
