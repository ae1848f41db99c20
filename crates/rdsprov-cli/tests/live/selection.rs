//! `--only`: the selected applications are compared and changed, and the others stay as they are.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
    hr         = { database_name = "hr", username = "hr_owner" }
    hr_reports = { database_name = "hr", username = "analyst", access_level = "reader" }
    shop       = { database_name = "shop", username = "shop_owner", schemas = ["public", "app"] }
    shop_etl   = { database_name = "shop", username = "etl", access_level = "editor", schemas = ["app"] }
    wiki       = { database_name = "wiki", username = "wiki_owner" }
}"#;

const APPLICATIONS: [(&str, &str); 5] = [
    ("hr", "hr_owner"),
    ("hr_reports", "analyst"),
    ("shop", "shop_owner"),
    ("shop_etl", "etl"),
    ("wiki", "wiki_owner"),
];

/// A server with the definitions above and the secrets of some applications.
fn fixture(major: u32, with_secrets: &[&str]) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, role) in APPLICATIONS {
        if with_secrets.contains(&application) {
            fixture.app("dev", application, role);
        }
    }
    let definitions = fixture.definitions(DEFINITIONS);
    (fixture, definitions)
}

/// A server on which all applications are as declared.
fn applied(major: u32) -> (Fixture, String) {
    let (fixture, definitions) = fixture(major, &APPLICATIONS.map(|(application, _)| application));
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    (fixture, definitions)
}

#[test]
fn other_applications_do_not_matter() {
    for major in versions() {
        let (fixture, definitions) = fixture(major, &["shop"]);
        let run = |arguments: &[&str]| fixture.run(&definitions, arguments);
        // Neither the missing secrets of the others nor their refusals matter.
        fixture.query("CREATE ROLE hr_owner LOGIN");
        fixture.query("CREATE DATABASE wiki ALLOW_CONNECTIONS false");
        expect(&run(&["apply", "--env", "dev"]), 3);
        let output = expect(&run(&["apply", "--env", "dev", "--only", "shop"]), 0);
        let head = format!("Plan for environment dev on localhost:{}", fixture.server.port());
        assert!(output.contains(&format!("{head}, only for application shop\n")), "{output}");
        assert!(output.contains("The selected applications are as declared."), "{output}");
        let roles = fixture.query(
            "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
             WHERE rolname IN ('analyst', 'etl', 'hr_owner', 'shop_owner', 'wiki_owner')",
        );
        assert_eq!(roles, "hr_owner shop_owner");
        let table = "CREATE TABLE app.orders (id serial)";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", table).unwrap();

        let state = fixture.catalog_state();
        let nothing = "Nothing to do for application shop; other applications are not compared.";
        for command in [
            &["apply", "--env", "dev", "--only", "shop"][..],
            &["check", "--env", "dev", "--only", "shop"],
            &["plan", "--env", "dev", "--only", "shop", "--detailed-exitcode"],
        ] {
            let output = expect(&run(command), 0);
            assert!(output.contains(nothing), "PostgreSQL {major}: {output}");
        }
        assert_eq!(fixture.catalog_state(), state);

        // The editor of a database that exists.
        fixture.app("dev", "shop_etl", "etl");
        expect(&run(&["apply", "--env", "dev", "--only", "shop_etl"]), 0);
        let insert = "INSERT INTO app.orders DEFAULT VALUES";
        fixture.server.sql_as("etl", &password("shop_etl"), "shop", insert).unwrap();
        expect(&run(&["check", "--env", "dev", "--only", "shop,shop_etl"]), 0);
    }
}

#[test]
fn drift_of_other_applications_stays() {
    for major in versions() {
        let (fixture, definitions) = applied(major);
        let run = |arguments: &[&str]| fixture.run(&definitions, arguments);
        let holds = |sql: &str| fixture.query(&format!("SELECT {sql}")) == "t";
        fixture.query("REVOKE CONNECT ON DATABASE hr FROM analyst");
        fixture.query("GRANT CONNECT ON DATABASE hr TO PUBLIC");
        fixture.query("GRANT TEMPORARY ON DATABASE hr TO analyst");
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        fixture.query("ALTER ROLE hr_owner CONNECTION LIMIT 3");
        expect(&run(&["check", "--env", "dev", "--only", "wiki"]), 0);
        for (selected, code) in [("hr", 2), ("hr_reports", 2), ("shop", 2), ("shop_etl", 0)] {
            expect(&run(&["check", "--env", "dev", "--only", selected]), code);
        }

        let apply = ["apply", "--env", "dev", "--only", "hr_reports"];
        let output = expect(&run(&apply), 0);
        assert!(!output.contains("PUBLIC") && !output.contains("hr_owner"), "{output}");
        let connects = "has_database_privilege('analyst', 'hr', 'CONNECT')";
        assert!(holds(connects));
        let temporary = "datacl::text ~ 'analyst=[a-zA-Z]*T' FROM pg_database WHERE datname = 'hr'";
        assert!(!holds(temporary));
        assert!(holds("has_database_privilege('wiki_owner', 'hr', 'CONNECT')"));
        let limits = "SELECT count(*) FROM pg_roles WHERE rolconnlimit = 3";
        assert_eq!(fixture.query(limits), "2");
        assert!(expect(&run(&apply), 0).contains("Nothing to do for application hr_reports"));

        // The owner of the database: the reader, which is not selected, keeps its access.
        expect(&run(&["apply", "--env", "dev", "--only", "hr,shop"]), 0);
        assert!(!holds("has_database_privilege('wiki_owner', 'hr', 'CONNECT')"));
        assert!(holds(connects));
        assert_eq!(fixture.query(limits), "0");
        expect(&run(&["check", "--env", "dev"]), 0);
    }
}

#[test]
fn applications_that_must_be_selected_in_addition() {
    for major in versions() {
        let all = APPLICATIONS.map(|(application, _)| application);
        let (fixture, definitions) = fixture(major, &all);
        let refused = |definitions: &str, selected: &str, reason: &str, needed: &str| {
            let state = fixture.catalog_state();
            let arguments = ["apply", "--env", "dev", "--only", selected];
            let output = expect(&fixture.run(definitions, &arguments), 3);
            let fact = format!(
                "refused[application-not-selected] {selected}: {reason}, and application \
                 {needed}, which declares it, is not selected\n  \
                 hint: select application {needed} in addition, with --only {needed}\n  \
                 hint: or apply application {needed} first\n"
            );
            assert!(output.contains(&fact), "PostgreSQL {major}: {output}");
            assert_eq!(fixture.catalog_state(), state);
        };
        refused(&definitions, "hr_reports", "database hr does not exist", "hr");
        fixture.query(
            "CREATE ROLE shop_owner LOGIN; GRANT shop_owner TO platform_admin WITH ADMIN OPTION",
        );
        fixture.query("CREATE DATABASE shop OWNER shop_owner");
        let adopted = fixture.definitions(
            &DEFINITIONS
                .replace("\"app\"] }\n    shop_etl", "\"app\"], adopt = true }\n    shop_etl"),
        );
        refused(&adopted, "shop_etl", "schema app of database shop does not exist", "shop");
        fixture.query_in("shop", "CREATE SCHEMA app AUTHORIZATION shop_owner");
        refused(&adopted, "shop_etl", "database shop is not managed by rdsprov yet", "shop");
        fixture.query("ALTER DATABASE shop CONNECTION LIMIT 0");
        fixture.query("ALTER DATABASE shop ALLOW_CONNECTIONS false");
        let hidden = "the administrator cannot connect to database shop yet";
        refused(&adopted, "shop_etl", hidden, "shop");
        fixture.query("ALTER DATABASE shop ALLOW_CONNECTIONS true CONNECTION LIMIT -1");
        expect(&fixture.run(&adopted, &["apply", "--env", "dev", "--only", "shop,shop_etl"]), 0);
        expect(&fixture.run(&adopted, &["check", "--env", "dev", "--only", "shop_etl"]), 0);

        // A creator that another application declares and that does not exist.
        let with_creator = DEFINITIONS.replace(
            "schemas = [\"public\", \"app\"] }",
            "schemas = [\"public\", \"app\"], creators = [\"wiki_owner\"] }",
        );
        let definitions = fixture.definitions(&with_creator);
        refused(&definitions, "shop_etl", "role wiki_owner does not exist", "wiki");
    }
}

#[test]
fn saved_plans_keep_their_selection() {
    for major in versions() {
        let (fixture, definitions) = applied(major);
        let run = |arguments: &[&str]| fixture.run(&definitions, arguments);
        let digest = |arguments: &[&str]| {
            let words = [&["plan", "--env", "dev", "--format", "json"], arguments].concat();
            let output = fixture.run(&definitions, &words);
            expect(&output, 0);
            let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let only = plan["origin"]["only"].clone();
            (plan["digest"].as_str().unwrap().to_owned(), only)
        };
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        let (all, none) = digest(&[]);
        let (restricted, only) = digest(&["--only", "shop"]);
        let every = digest(&["--only", "hr,hr_reports", "--only", "shop,shop_etl,wiki"]).0;
        assert!(none.is_null());
        assert_eq!(only, serde_json::json!(["shop"]));
        assert!(all != restricted && all != every && restricted != every);
        let server = format!("localhost:{}", fixture.server.port());
        let markdown =
            format!("### Plan for environment dev on {server}, only for application shop\n");
        for (format, words) in [
            ("sql", "-- environment dev, only for application shop, sha256:"),
            ("markdown", markdown.as_str()),
        ] {
            let arguments = ["plan", "--env", "dev", "--only", "shop", "--format", format];
            assert!(expect(&run(&arguments), 0).starts_with(words), "{format}");
        }

        // What concerns other applications does not make the plan stale.
        expect(&run(&["plan", "--env", "dev", "--only", "shop", "--out", "plan.json"]), 0);
        fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 5");
        assert_eq!(digest(&["--only", "shop"]).0, restricted);
        let other = ["apply", "plan.json", "--env", "dev", "--only", "wiki"];
        let output = expect(&run(&other), 64);
        assert!(output.contains("the saved plan covers only shop, but"), "{output}");
        let output = expect(&run(&["apply", "plan.json", "--env", "dev"]), 0);
        assert!(output.contains("only for application shop"), "{output}");
        let limits = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolconnlimit IN (3, 5)";
        assert_eq!(fixture.query(limits), "wiki_owner");
        let output = expect(&run(&["apply", "plan.json", "--env", "dev", "--only", "shop"]), 0);
        assert!(output.contains("already been applied"), "{output}");
    }
}

#[test]
fn unknown_application() {
    let fixture = Fixture::new(versions()[0]);
    let definitions = fixture.definitions(DEFINITIONS);
    let output =
        expect(&fixture.run(&definitions, &["plan", "--env", "dev", "--only", "shop,wikki"]), 64);
    assert!(
        output.contains(
            "error[unknown-application]: application `wikki` is not declared\n\
             hint: use a declared application: is `wiki` meant?"
        ),
        "{output}"
    );
}
