//! The scripts of `deploy/argo/workflow-template.yaml` that run the command. `cargo xtask deploy` runs
//! the other one.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rdsprov_testkit::{scrub_environment, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, expect};

const TEMPLATE: &str = include_str!("../../../../deploy/argo/workflow-template.yaml");

const FLEET: &str = r#"
[defaults]
definitions = ["shop.tfvars"]

[[instances]]
name = "shop-prod"
environment = "prod"

[[instances]]
name = "shop-dev"
environment = "dev"
"#;

const OWNERS: &str = r#"
    books = { database_name = "books", username = "books_owner" }
    shop  = { database_name = "shop", username = "shop_owner" }"#;

/// An entry for each database: the roles are committed before the databases.
const READERS: &str = r#"
    books_reports = { database_name = "books", username = "books_reader", access_level = "reader" }
    shop_reports  = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;

/// The script waits with this program: it notes the seconds, and waits until the test has reacted.
const SLEEP: &str = "#!/bin/sh
echo \"$1\" >> slept
while [ -e hold ]; do /bin/sleep 0.05; done
";

/// Returns the script of a template.
fn script(name: &str) -> String {
    let (_, template) = TEMPLATE.split_once(&format!("    - name: {name}\n      ")).unwrap();
    let template = template.split("\n    - name: ").next().unwrap();
    let (_, source) = template.split_once("        source: |\n").unwrap();
    let lines = source.lines().take_while(|line| line.is_empty() || line.starts_with("          "));
    lines.map(|line| format!("{}\n", line.trim_start_matches("          "))).collect()
}

/// A server with the files that a pod of the workflow has.
struct Workflow(Fixture);

impl Workflow {
    fn new(entries: &str) -> Self {
        let workflow = Self(Fixture::new(versions()[0]));
        for environment in ["dev", "prod"] {
            for application in ["books", "shop"] {
                workflow.0.app(environment, application, &format!("{application}_owner"));
                let (reports, reader) =
                    (format!("{application}_reports"), format!("{application}_reader"));
                workflow.0.app(environment, &reports, &reader);
            }
        }
        // As Kubernetes mounts a ConfigMap.
        std::fs::create_dir_all(workflow.path("etc/..2026_11_29")).unwrap();
        symlink("..2026_11_29", workflow.path("etc/..data")).unwrap();
        for file in ["fleet.toml", "shop.tfvars"] {
            symlink(format!("..data/{file}"), workflow.path("etc").join(file)).unwrap();
        }
        std::fs::create_dir(workflow.path("programs")).unwrap();
        symlink(env!("CARGO_BIN_EXE_rdsprov"), workflow.path("programs/rdsprov")).unwrap();
        let sleep = workflow.path("programs/sleep");
        std::fs::write(&sleep, SLEEP).unwrap();
        std::fs::set_permissions(sleep, std::fs::Permissions::from_mode(0o755)).unwrap();
        workflow.write("fleet.toml", FLEET);
        workflow.declare(entries);
        workflow
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("etc/..data").join(name), text).unwrap();
    }

    fn declare(&self, entries: &str) {
        self.write("shop.tfvars", &format!("application_databases = {{ {entries} }}"));
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new("sh");
        scrub_environment(&mut command)
            .current_dir(self.path("etc"))
            .args(["-c", &script(name)])
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("programs").display()));
        command
    }

    fn list(&self, environment: &str) -> Output {
        self.script("list").env("ENVIRONMENT", environment).output().unwrap()
    }

    /// Returns the script for the instance in prod, with the variables of the template.
    fn instance(&self, command: &str, dry_run: &str, approval: &str) -> Command {
        let _ = std::fs::remove_file(self.path("outcome.json"));
        let _ = std::fs::remove_file(self.path("etc/slept"));
        let approvals = json!({"shop-prod": approval, "other": "true"});
        let mut script = self.script("instance");
        script
            .env("INSTANCE", "shop-prod")
            .env("APPROVALS", approvals.to_string())
            .env("COMMAND", command)
            .env("DRY_RUN", dry_run)
            .env("OUTCOME", self.path("outcome.json"))
            .env("RDSPROV_BUILD_ID", "")
            .env("RDSPROV_RUN_ID", "rdsprov-7")
            .env("RDSPROV_CA_FILE", self.0.server.ca_file())
            .env("RDSPROV_SECRETS", format!("file:{}", self.0.path().display()));
        script
    }

    /// Runs the script, and returns its output and the digest in its outcome.
    #[track_caller]
    fn run(&self, command: &str, dry_run: &str, approval: &str, code: i32) -> (String, String) {
        let output = self.instance(command, dry_run, approval).output().unwrap();
        let text = expect(&output, 0);
        let outcome = std::fs::read_to_string(self.path("outcome.json")).unwrap();
        let outcome: Value = serde_json::from_str(&outcome).unwrap();
        assert_eq!(outcome["instance"], "shop-prod");
        assert_eq!(outcome["exit_code"], code);
        (text, outcome["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// Returns the seconds that the script has waited between its attempts.
    fn waited(&self) -> String {
        let text = std::fs::read_to_string(self.path("etc/slept")).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Has each change of default privileges in a database fail, or not any more.
    fn break_database(&self, broken: bool) {
        self.0.query_in(
            "books",
            if broken {
                "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE 'not today'; END $$;
                 CREATE EVENT TRIGGER no ON ddl_command_start
                   WHEN TAG IN ('ALTER DEFAULT PRIVILEGES') EXECUTE FUNCTION no()"
            } else {
                "DROP EVENT TRIGGER no; DROP FUNCTION no()"
            },
        );
    }
}

#[test]
fn scripts_run_the_command_for_each_instance_of_the_fleet_file() {
    let workflow = Workflow::new(OWNERS);
    assert_eq!(expect(&workflow.list("prod"), 0).trim(), r#"["shop-prod"]"#);
    assert!(expect(&workflow.list("qa"), 64).contains("no instance in environment `qa`"));
    workflow.write("shop.tfvars", "application_databases = {");
    expect(&workflow.list("prod"), 1);
    workflow.declare(OWNERS);

    let exists =
        || workflow.0.query("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "1";
    workflow.run("check", "false", "", 2);
    assert!(workflow.run("apply", "false", "", 3).0.contains("[approval-missing]"));
    let (text, digest) = workflow.run("apply", "true", "", 0);
    assert!(text.contains(&digest) && digest.starts_with("sha256:"), "{text}");
    assert!(!exists());
    let text = workflow.run("apply", "false", &digest, 0).0;
    assert!(
        text.contains(",prod,,rdsprov-7/shop-prod,shop,shop_owner,create_database,success,"),
        "{text}"
    );
    assert!(exists());
    workflow.run("check", "false", "", 0);

    let output = workflow.instance("destroy", "false", "true").output().unwrap();
    assert!(expect(&output, 0).contains("destroy is neither apply nor check"));
    let outcome = std::fs::read_to_string(workflow.path("outcome.json")).unwrap();
    assert!(outcome.contains("\"exit_code\": 64"), "{outcome}");
}

#[test]
fn rest_is_not_applied_with_the_digest_of_the_whole_plan() {
    let workflow = Workflow::new(OWNERS);
    workflow.run("apply", "false", "true", 0);
    workflow.declare(&format!("{OWNERS}{READERS}"));
    let (_, digest) = workflow.run("apply", "true", "", 0);
    workflow.break_database(true);
    let (_, broken) = workflow.run("apply", "true", "", 0);
    assert_eq!(broken, digest);
    assert!(workflow.run("apply", "false", &digest, 4).0.contains("not today"));
    assert_eq!(workflow.waited(), "");
    // What a repetition would report.
    assert!(workflow.run("apply", "false", &digest, 3).0.contains("[plan-stale]"));
    assert_eq!(workflow.waited(), "");
    workflow.break_database(false);
    let (_, rest) = workflow.run("apply", "true", "", 0);
    workflow.run("apply", "false", &rest, 0);
    workflow.run("check", "false", "", 0);
}

#[test]
fn failed_run_is_repeated() {
    let workflow = Workflow::new(OWNERS);
    workflow.run("apply", "false", "true", 0);
    workflow.declare(&format!("{OWNERS}{READERS}"));
    workflow.break_database(true);
    // The second and the third run commit nothing, and the first one has.
    let text = workflow.run("apply", "false", "true", 4).0;
    assert_eq!(text.matches(",error,").count(), 3, "{text}");
    assert_eq!(workflow.waited(), "10 20");

    // The reason is removed while the script waits.
    std::fs::write(workflow.path("etc/hold"), "").unwrap();
    let (_, digest) = workflow.run("apply", "true", "", 0);
    let mut script = workflow.instance("apply", "false", &digest);
    let running = script.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while workflow.waited().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    workflow.break_database(false);
    std::fs::remove_file(workflow.path("etc/hold")).unwrap();
    assert!(running.wait_with_output().unwrap().status.success());
    // Nothing was changed by the first attempt, so that the digest was valid for the second one.
    assert_eq!(workflow.waited(), "10");
    workflow.run("check", "false", "", 0);
}
