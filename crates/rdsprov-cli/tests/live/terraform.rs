//! The example `deploy/terraform/examples/local-exec`, which calls the command.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use rdsprov_testkit::{scrub_environment, versions};

use crate::fixture::{Fixture, expect};

/// Runs Terraform in the example, with the command and the options of the fixture.
fn terraform(fixture: &Fixture, arguments: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap();
    scrub_environment(&mut Command::new("terraform"))
        .current_dir(fixture.path())
        .env("PATH", format!("{}:{path}", fixture.path().join("programs").display()))
        .env("TF_IN_AUTOMATION", "1")
        .env("TF_CLI_CONFIG_FILE", "/dev/null")
        .env("CHECKPOINT_DISABLE", "1")
        .env("RDSPROV_CA_FILE", fixture.server.ca_file())
        .env("RDSPROV_SECRETS", format!("file:{}", fixture.path().display()))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn example_provisions_with_the_files_and_outputs_of_terraform() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("terraform is not installed");
        return;
    }
    let fixture = Fixture::new(versions()[0]);
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/terraform/examples/local-exec");
    for file in ["main.tf", "terraform.tfvars"] {
        std::fs::copy(example.join(file), fixture.path().join(file)).unwrap();
    }
    std::fs::create_dir(fixture.path().join("programs")).unwrap();
    symlink(env!("CARGO_BIN_EXE_rdsprov"), fixture.path().join("programs/rdsprov")).unwrap();
    fixture.app("dev", "keycloak", "keycloak_user");
    let roles = || {
        fixture.query(
            "SELECT count(*) FROM pg_roles WHERE rolname IN ('keycloak_user', 'analytics_ro')",
        )
    };
    let run = |arguments: &[&str], code| expect(&terraform(&fixture, arguments), code);
    let apply = ["apply", "-auto-approve", "-input=false", "-no-color"];
    let plan = ["plan", "-detailed-exitcode", "-input=false", "-no-color"];

    run(&["init", "-input=false"], 0);
    run(&["validate"], 0);
    // The secret of the second application is missing: the apply fails, and the next one tries again.
    assert!(run(&apply, 1).contains("goldenpath/dev/analytics/postgres"));
    assert_eq!(roles(), "0");
    fixture.app("dev", "analytics", "analytics_ro");
    run(&plan, 2);
    run(&apply, 0);
    assert_eq!(roles(), "2");
    run(&plan, 0);

    // The outputs declare the same as the variable file.
    let outputs = terraform(&fixture, &["output", "-json"]).stdout;
    std::fs::write(fixture.path().join("outputs.json"), outputs).unwrap();
    for file in ["outputs.json", "terraform.tfvars"] {
        expect(&fixture.run(&fixture.path().join(file).display().to_string(), &["check"]), 0);
    }
}
