//! The targets of `deploy/make/rdsprov.mk`, which call the command.

use std::process::{Command, Output};

use rdsprov_testkit::{scrub_environment, versions};

use crate::fixture::{Fixture, expect};

const APPLICATIONS: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// Calls make with a target and variables, in an environment with the options of the fixture.
fn make(fixture: &Fixture, arguments: &[&str]) -> Output {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/make/rdsprov.mk");
    scrub_environment(&mut Command::new("make"))
        .current_dir(fixture.path())
        .env("RDSPROV", env!("CARGO_BIN_EXE_rdsprov"))
        .env("RDSPROV_CA_FILE", fixture.server.ca_file())
        .env("RDSPROV_SECRETS", format!("file:{}", fixture.path().display()))
        .args(["-f", file])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn targets_call_the_command() {
    let fixture = Fixture::new(versions()[0]);
    for environment in ["dev", "prod"] {
        fixture.app(environment, "shop", "shop_owner");
    }
    fixture.definitions(APPLICATIONS);
    std::fs::write(
        fixture.path().join("coupled.tfvars"),
        format!("rds_config = {{\n{APPLICATIONS}\n}}"),
    )
    .unwrap();
    let definitions = "RDS_DEFINITIONS=own.tfvars";
    let exists = || fixture.query("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "1";
    let make = |arguments: &[&str], code| expect(&make(&fixture, arguments), code);

    let text = make(&["rds-provision", definitions], 2);
    assert!(text.contains("rdsprov.mk: set ENV, for example ENV=dev"), "{text}");
    let prod = ["rds-provision", "ENV=prod", definitions];
    assert!(make(&prod, 2).contains("[approval-missing]"));
    for target in ["rds-provision-dry-run", "rds-provision-auto-dry-run"] {
        let text = make(&[target, "ENV=prod", definitions], 0);
        assert!(text.contains("create database shop"), "{text}");
        assert!(!exists(), "{target}");
    }
    let coupled = ["rds-provision", "ENV=dev", "RDS_DEFINITIONS=coupled.tfvars"];
    assert!(make(&coupled, 2).contains("[no-applications]"));
    let text =
        make(&[&coupled[..], &["RDS_MODE=coupled", "BUILD_ID=b 7", "RUN_ID=r'8"]].concat(), 0);
    assert!(text.contains(",dev,b 7,r'8,shop,shop_owner,create_database,success,"), "{text}");
    assert!(exists());
    make(&["rds-provision-auto", "ENV=dev", "RDS_DEFINITIONS=coupled.tfvars"], 0);

    fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    let records = ["ALLOW_DB_PROVISION=true", "RDS_RECORDS=records.csv"];
    make(
        &[
            &prod[..2],
            &[definitions, "RDS_ARGUMENTS=--adopt-from dev --allow adopts_from_environment"],
            &records,
        ]
        .concat(),
        0,
    );
    let records = std::fs::read_to_string(fixture.path().join("records.csv")).unwrap();
    assert!(records.contains(",prod,"), "{records}");
}
