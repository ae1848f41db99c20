//! A server that was restored from a snapshot of another environment carries its markers.

use std::process::Output;

use rdsprov_testkit::versions;

use crate::fixture::{DELEGATE, Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;
const HAZARD: [&str; 2] = ["--allow", "adopts_from_environment"];
const FROM: [&str; 2] = ["--adopt-from", "prod"];

/// Returns a server on which `prod` has created everything, with the secrets of `test`.
fn restored(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for environment in ["prod", "test"] {
        fixture.app(environment, "shop", "shop_owner");
        fixture.app(environment, "reports", "shop_reader");
    }
    fixture.secret("goldenpath/test/rds/master", &fixture.server.admin_secret());
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&run(&fixture, &definitions, &["apply", "--env", "prod"]), 0);
    fixture.query_in("shop", "SET ROLE shop_owner; CREATE TABLE orders AS SELECT 1 AS id");
    (fixture, definitions)
}

fn run(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> Output {
    let mut command = fixture.command(definitions, arguments);
    command.env("ALLOW_DB_PROVISION", "true").output().unwrap()
}

/// Returns the environments in the markers of roles and databases.
fn environments(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT string_agg(DISTINCT substring(description FROM 'environment=([a-z]+)'), ' ' ORDER BY substring(description FROM 'environment=([a-z]+)'))
         FROM pg_shdescription WHERE description LIKE '%managed by rdsprov%'",
    )
}

#[test]
fn restored_snapshot_is_taken_over_in_one_plan() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let (fixture, definitions) = restored(major);
        let test = |arguments: &[&str]| {
            run(&fixture, &definitions, &[arguments, &["--env", "test"]].concat())
        };
        let before = fixture.catalog_state();
        let refused = expect(&test(&["apply"]), 3);
        for says in [
            "refused[role-of-other-environment] reports: role shop_reader is managed in environment `prod`",
            "refused[database-of-other-environment] shop: ",
            "--adopt-from prod",
            "--allow adopts_from_environment",
        ] {
            assert!(refused.contains(says), "{when}: {says} is not in {refused}");
        }
        // The option alone is not enough, nor that of an environment without markers.
        let hazards = expect(&test(&[["apply"].as_slice(), &FROM].concat()), 3);
        assert!(hazards.contains("adopts_from_environment (3 changes)"), "{when}: {hazards}");
        expect(&test(&[["apply", "--adopt-from", "dev"].as_slice(), &HAZARD].concat()), 3);
        assert_eq!(fixture.catalog_state(), before, "{when}");

        let plan = expect(&test(&[["plan"].as_slice(), &FROM].concat()), 0);
        assert!(!plan.contains("mixes_environments") && !plan.contains("changes_secret"), "{plan}");
        let applied = expect(&test(&[["apply"].as_slice(), &FROM, &HAZARD].concat()), 0);
        assert!(applied.contains("adopt,success"), "{when}: {applied}");
        assert_eq!(environments(&fixture), "test", "{when}");
        let after = fixture.catalog_state();
        for arguments in [&["apply"][..], &["apply", "--adopt-from", "prod"]] {
            assert!(expect(&test(arguments), 0).contains("no_change"), "{when}");
        }
        expect(&test(&["check"]), 0);
        assert_eq!(fixture.catalog_state(), after, "{when}");
        assert_eq!(
            fixture
                .query_in("shop", "SELECT has_table_privilege('shop_reader', 'orders', 'SELECT')"),
            "t"
        );
        // The other way round, it is the same refusal.
        expect(&run(&fixture, &definitions, &["apply", "--env", "prod"]), 3);
    }
}

/// What the definitions do not declare stays as it is, and does not hide that environments are mixed.
#[test]
fn option_without_effect_allows_nothing() {
    for major in versions() {
        let (fixture, _) = restored(major);
        fixture.app("test", "wiki", "wiki_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
              wiki = { database_name = "wiki", username = "wiki_owner" }
            }"#,
        );
        let apply = [["apply", "--env", "test"].as_slice(), &FROM, &HAZARD].concat();
        let printed = expect(&run(&fixture, &definitions, &apply), 3);
        assert!(printed.contains("mixes_environments"), "PostgreSQL {major}: {printed}");
        expect(
            &run(
                &fixture,
                &definitions,
                &[apply.as_slice(), &["--allow", "mixes_environments"]].concat(),
            ),
            0,
        );
        assert_eq!(environments(&fixture), "prod test", "PostgreSQL {major}");
    }
}

/// The owner of a database can write the marker of the other environment into its comment.
#[test]
fn forged_marker_of_the_other_environment_is_not_believed() {
    for major in versions() {
        let (fixture, _) = restored(major);
        fixture.query("CREATE ROLE intruder LOGIN");
        fixture.query("CREATE DATABASE hr OWNER intruder");
        fixture.query(
            "COMMENT ON DATABASE hr IS '[managed by rdsprov: environment=prod application=hr build_id=1 name=\"hr\"]'",
        );
        fixture.app("test", "hr", "hr_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
              hr = { database_name = "hr", username = "hr_reader", access_level = "reader" }
            }"#,
        );
        let apply = [
            ["apply", "--env", "test", "--allow", "mixes_environments"].as_slice(),
            &FROM,
            &HAZARD,
        ]
        .concat();
        let printed = expect(&run(&fixture, &definitions, &apply), 3);
        assert!(
            printed.contains("refused[database-not-managed] hr"),
            "PostgreSQL {major}: {printed}"
        );
    }
}

#[test]
fn delegate_is_taken_over_without_the_roles_of_the_other_environment() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let (fixture, definitions) = restored(major);
        let delegate = |environment: &str, arguments: &[&str]| {
            let mut command = fixture.delegate(environment);
            command.args(arguments).env("ALLOW_DB_PROVISION", "true").output().unwrap()
        };
        // Before PostgreSQL 15, the delegate gets schema `public`.
        let owner = ["--allow", "changes_owner"];
        expect(&delegate("prod", &owner), 0);
        let refused = expect(&delegate("test", &owner), 3);
        assert!(refused.contains("refused[role-of-other-environment]"), "{when}: {refused}");
        let apply = [["apply", "--env", "test"].as_slice(), &FROM, &HAZARD].concat();
        expect(&run(&fixture, &definitions, &apply), 0);
        expect(&delegate("test", &[FROM.as_slice(), &HAZARD, &owner].concat()), 0);
        assert_eq!(environments(&fixture), "test", "{when}");
        let again = expect(&delegate("test", &owner), 0);
        assert!(again.contains("Nothing to do"), "{when}: {again}");
        assert_eq!(
            fixture
                .query(&format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{DELEGATE}'")),
            "t"
        );
    }
}

/// A server cannot be the restored snapshot of its own environment.
#[test]
fn own_environment_is_not_taken_over() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "reports", "shop_reader");
    let definitions = fixture.definitions(DEFINITIONS);
    let from = ["--env", "dev", "--adopt-from", "dev"];
    for command in ["plan", "apply", "check"] {
        let output = fixture.run(&definitions, &[&[command], from.as_slice()].concat());
        let printed = expect(&output, 64);
        for says in [
            "error[wrong-usage]: what environment `dev` manages cannot be taken over into itself\n",
            "hint: name the environment of the snapshot with --adopt-from NAME, or remove it",
        ] {
            assert!(printed.contains(says), "{command}: {says} is not in {printed}");
        }
    }
    let mut delegate = fixture.delegate("dev");
    expect(&delegate.args(["--adopt-from", "dev"]).output().unwrap(), 64);
}
