//! The script of `deploy/argo/workflow-template.yaml` that runs the command for one instance.
//! `cargo xtask deploy` runs the other one.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use rdsprov_testkit::{scrub_environment, versions};

use crate::fixture::{Fixture, expect};

const TEMPLATE: &str = include_str!("../../../../deploy/argo/workflow-template.yaml");

/// Returns the script of the template `instance`.
fn script() -> String {
    let (_, template) = TEMPLATE.split_once("    - name: instance\n      inputs:").unwrap();
    let (_, source) = template.split_once("        source: |\n").unwrap();
    let lines = source.lines().take_while(|line| line.is_empty() || line.starts_with("          "));
    lines.map(|line| format!("{}\n", line.trim_start_matches("          "))).collect()
}

/// Runs the script with the variables of the template, and returns its output and the outcome.
fn instance(fixture: &Fixture, command: &str, dry_run: &str, approval: &str) -> (Output, String) {
    let programs = fixture.path().join("programs");
    let path = format!("{}:/usr/bin:/bin", programs.display());
    if !programs.exists() {
        std::fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_rdsprov"), programs.join("rdsprov")).unwrap();
    }
    let outcome = fixture.path().join("outcome.json");
    let _ = std::fs::remove_file(&outcome);
    let output = scrub_environment(&mut Command::new("sh"))
        .current_dir(fixture.path())
        .args(["-c", &script()])
        .env("PATH", path)
        .env("INSTANCE", "shop")
        .env("DEFINITIONS", "own.tfvars")
        .env("COMMAND", command)
        .env("DRY_RUN", dry_run)
        .env("OUTCOME", &outcome)
        .env("ALLOW_DB_PROVISION", approval)
        .env("RDSPROV_ADMIN_SECRET", "goldenpath/prod/rds/master")
        .env("RDSPROV_BUILD_ID", "")
        .env("RDSPROV_CA_FILE", fixture.server.ca_file())
        .env("RDSPROV_ENV", "prod")
        .env("RDSPROV_RUN_ID", "rdsprov-7")
        .env("RDSPROV_SECRETS", format!("file:{}", fixture.path().display()))
        .output()
        .unwrap();
    (output, std::fs::read_to_string(outcome).unwrap_or_default())
}

#[test]
fn script_runs_the_command_for_an_instance() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("prod", "shop", "shop_owner");
    fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner" }
        }"#,
    );
    let exists = || fixture.query("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "1";
    let run = |command: &str, dry_run: &str, approval: &str, code: i32| {
        let (output, outcome) = instance(&fixture, command, dry_run, approval);
        let text = expect(&output, code);
        let outcome: serde_json::Value = serde_json::from_str(&outcome).unwrap();
        assert_eq!(outcome, serde_json::json!({"instance": "shop", "exit_code": code}));
        text
    };
    run("check", "false", "", 2);
    assert!(run("apply", "false", "", 3).contains("[approval-missing]"));
    run("apply", "true", "", 0);
    assert!(!exists());
    let text = run("apply", "false", "true", 0);
    assert!(text.contains(",prod,,rdsprov-7,shop,shop_owner,create_database,success,"), "{text}");
    assert!(exists());
    run("check", "false", "", 0);

    let (output, outcome) = instance(&fixture, "destroy", "false", "true");
    assert!(expect(&output, 64).contains("destroy is neither apply nor check"));
    assert_eq!(outcome, "");
}
