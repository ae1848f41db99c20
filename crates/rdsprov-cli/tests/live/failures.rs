//! Failures on the server during a run: exit codes, records, and what still runs.

use std::fs::File;
use std::process::Output;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

/// Returns the records of changes, each as `database username action status`.
fn rows(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let rows = text.lines().skip(1).filter(|row| !row.contains(",no_change,"));
    rows.map(|row| {
        let fields: Vec<&str> = row.split(',').collect();
        fields[4..8].join(" ").trim_start().to_owned()
    })
    .collect()
}

/// Returns the records without the steps inside `late`, which depend on the version and never run.
#[track_caller]
fn attempted_rows(output: &Output) -> Vec<String> {
    let (inside, attempted_rows): (Vec<String>, Vec<String>) = rows(output)
        .into_iter()
        .partition(|row| row.starts_with("late ") && !row.contains("database"));
    assert!(inside.len() > 3 && inside.iter().all(|row| row.ends_with(" not_run")), "{inside:?}");
    attempted_rows
}

/// Three databases: a statement in the first fails, the second cannot be
/// created, the third succeeds.
#[test]
fn failure_in_one_database() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, username) in [
            ("broken", "broken_owner"),
            ("broken_reports", "broken_reader"),
            ("late", "late_owner"),
            ("late_reports", "late_reader"),
            ("well", "well_owner"),
            ("well_reports", "well_reader"),
        ] {
            fixture.app("dev", application, username);
        }
        let owners = r#"
            broken = { database_name = "broken", username = "broken_owner" }
            well   = { database_name = "well", username = "well_owner" }"#;
        let readers = r#"
            broken_reports = { database_name = "broken", username = "broken_reader", access_level = "reader" }
            late           = { database_name = "late", username = "late_owner" }
            late_reports   = { database_name = "late", username = "late_reader", access_level = "reader" }
            well_reports   = { database_name = "well", username = "well_reader", access_level = "reader" }"#;
        let declared =
            |text: &str| fixture.definitions(&format!("application_databases = {{ {text} }}"));
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&declared(owners), &apply), 0);
        fixture.query_in(
            "broken",
            "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE 'not today'; END $$;
             CREATE EVENT TRIGGER no ON ddl_command_start
               WHEN TAG IN ('ALTER DEFAULT PRIVILEGES') EXECUTE FUNCTION no()",
        );
        // A database that is not a template can be copied by its owner only.
        fixture.query("ALTER DATABASE template1 OWNER TO rdsadmin");
        fixture.query("ALTER DATABASE template1 IS_TEMPLATE false");
        let definitions = declared(&format!("{owners}{readers}"));

        let roles = [
            "broken_reader create_role success",
            "late_owner create_role success",
            "late_reader create_role success",
            "well_reader create_role success",
            "broken broken_reader grant success",
            "well well_reader grant success",
        ];
        let late = [
            "late late_owner create_database error",
            "late late_owner alter_database not_run",
            "late late_owner alter_database not_run",
        ];
        let in_broken = [
            "broken broken_reader grant rolled_back",
            "broken broken_reader default_privileges error",
            "broken broken_reader default_privileges not_run",
        ];
        let in_well = |status: &str| {
            ["grant", "default_privileges", "default_privileges"]
                .map(|action| format!("well well_reader {action} {status}"))
        };
        let all = |parts: &[&[&str]], well: &str| -> Vec<String> {
            let rows = parts.concat().into_iter().map(str::to_owned);
            rows.chain(in_well(well)).collect()
        };

        // By default the run stops at the first failure.
        let output = fixture.run(&definitions, &apply);
        let output_text = expect(&output, 4);
        assert!(
            output_text.contains("permission denied to copy database \"template1\""),
            "{output_text}"
        );
        let in_broken_not_run = in_broken
            .map(|row| row.replace(" error", " not_run").replace(" rolled_back", " not_run"));
        let in_broken_not_run: Vec<&str> = in_broken_not_run.iter().map(String::as_str).collect();
        let expected = all(&[&["intent intent"], &roles, &late, &in_broken_not_run], "not_run");
        assert_eq!(attempted_rows(&output), expected, "PostgreSQL {major}");

        // With `--no-fail-fast`, independent transactions still run.
        let output = fixture.run(&definitions, &[&apply, ["--no-fail-fast"].as_slice()].concat());
        let output_text = expect(&output, 4);
        assert!(output_text.contains("not today"), "{output_text}");
        let expected = all(&[&["intent intent"], &late, &in_broken], "success");
        assert_eq!(attempted_rows(&output), expected, "PostgreSQL {major}");
        assert_eq!(fixture.admin_grants(), "0");

        // This time nothing was committed: the exit code is 1.
        let output = fixture.run(&definitions, &[&apply, ["--no-fail-fast"].as_slice()].concat());
        expect(&output, 1);
        let expected = [["intent intent"].as_slice(), &late, &in_broken].concat();
        assert_eq!(attempted_rows(&output), expected, "PostgreSQL {major}");

        fixture.query("ALTER DATABASE template1 IS_TEMPLATE true");
        fixture.query_in("broken", "DROP EVENT TRIGGER no");
        expect(&fixture.run(&definitions, &apply), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// The cluster transaction comes first. If it fails, nothing else runs, with either setting.
#[test]
fn failure_in_the_cluster_transaction() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, username) in
            [("keycloak", "keycloak_user"), ("backstage", "backstage_user")]
        {
            fixture.app("dev", application, username);
        }
        let output = fixture.with_concurrent_create_role("keycloak_user", || {
            fixture.run("teams/standalone.tfvars", &["apply", "--no-fail-fast"])
        });
        let output_text = expect(&output, 4);
        assert!(
            output_text.contains("role keycloak_user was created after the server was observed"),
            "{output_text}"
        );
        // The transaction is executed again without the application whose step has failed.
        let rows = rows(&output);
        let (failed, others): (Vec<&String>, Vec<&String>) =
            rows.iter().partition(|row| row.ends_with(" error"));
        assert_eq!(failed, ["keycloak_user create_role error"]);
        let (of_failed, others): (Vec<&String>, Vec<&String>) =
            others.into_iter().partition(|row| row.contains("keycloak"));
        assert!(
            of_failed.len() > 2 && of_failed.iter().all(|row| row.ends_with(" not_run")),
            "{rows:?}"
        );
        let (intent, others): (Vec<&String>, Vec<&String>) =
            others.into_iter().partition(|row| row.ends_with(" intent"));
        assert_eq!(intent, ["intent intent"]);
        assert!(others.len() > 2 && others.iter().all(|row| row.ends_with(" success")), "{rows:?}");
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'backstage'";
        assert_eq!(fixture.query(owner), "backstage_user");
        assert_eq!(
            fixture.query("SELECT count(*) FROM pg_database WHERE datname = 'keycloak'"),
            "0"
        );
        assert_eq!(fixture.admin_grants(), "0");

        fixture.query("DROP ROLE keycloak_user");
        expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 0);
    }
}

/// If records cannot be written to stdout, the changes remain and the exit
/// code reports the failure.
#[test]
fn records_cannot_be_written_to_stdout() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let to = |path: &str, arguments: &[&str], code| {
        let file = File::options().write(true).open(path).unwrap();
        let mut command = fixture.command("teams/standalone.tfvars", arguments);
        expect(&command.stdout(file).output().unwrap(), code)
    };
    let printed = to("/dev/full", &["apply"], 4);
    assert!(printed.contains("[output-incomplete]: all changes were made"), "{printed}");
    // Nothing is left to do, and the same output still fails.
    for command in ["apply", "check", "validate"] {
        let printed = to("/dev/full", &[command], 1);
        assert_eq!(printed.matches("stdout cannot be written").count(), 1, "{printed}");
        to("/dev/null", &[command], 0);
    }
}
