//! The runbook: each symptom is made on a server, and each command of its section is executed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};

use rdsprov_testkit::{Server, SilentRelay, TopologyFunction, scrub_environment, versions};

use crate::fixture::{Fixture, expect, password};

const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");

const CONFIGURATION: &str = "[definitions]\nfiles = [\"apps.tfvars\"]\n\n[audit]\nledger = \"ledger.jsonl\"\noutput = \"audit.csv\"\n";

const PROD_DELEGATE: &str = "goldenpath/prod/rds/rdsprov_admin";

const SHOP: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;
const SHOP_AND_WIKI: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  wiki = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// Declares another role in the database of the shop.
fn with_reports(level: &str) -> String {
    format!(
        r#"application_databases = {{
          shop         = {{ database_name = "shop", username = "shop_owner" }}
          shop_reports = {{ database_name = "shop", username = "shop_reports", access_level = "{level}" }}
        }}"#
    )
}

/// A section of the runbook, and the server on which its commands are executed.
struct Section {
    fixture: Fixture,
    /// The lines that the person on call sees, with `…` for what differs.
    symptom: Vec<&'static str>,
    commands: RefCell<VecDeque<&'static str>>,
    /// The digest of the last plan.
    digest: RefCell<String>,
}

impl Section {
    fn new(title: &str) -> Self {
        Self::on(Fixture::new(versions()[0]), title)
    }

    fn on_secrets_manager(title: &str) -> Self {
        Self::on(Fixture::with_secrets_manager(versions()[0]), title)
    }

    fn on(fixture: Fixture, title: &str) -> Self {
        let text = RUNBOOK
            .split("\n## ")
            .find_map(|section| section.strip_prefix(title)?.strip_prefix('\n'))
            .unwrap_or_else(|| panic!("the runbook has no section {title:?}"));
        for (application, user) in [("shop", "shop_owner"), ("wiki", "wiki_owner")] {
            fixture.app("prod", application, user);
        }
        std::fs::write(fixture.path().join("rdsprov.toml"), CONFIGURATION).unwrap();
        let section = Self {
            fixture,
            symptom: blocks(text, "text").collect(),
            commands: RefCell::new(commands(text).collect()),
            digest: RefCell::default(),
        };
        section.declare(SHOP);
        section
    }

    fn declare(&self, definitions: &str) {
        std::fs::write(self.fixture.path().join("apps.tfvars"), definitions).unwrap();
    }

    /// Returns a shell with a command line, in the environment of the job.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let directory = Path::new(env!("CARGO_BIN_EXE_rdsprov")).parent().unwrap();
        let line = format!("PATH={}:$PATH; {line}", directory.display());
        scrub_environment(&mut command)
            .args(["-c", &line])
            .current_dir(self.fixture.path())
            .envs(self.fixture.server.psql_environment())
            .env("RDSPROV_ENV", "prod")
            .env("RDSPROV_CA_FILE", self.fixture.server.ca_file());
        match &self.fixture.secrets_manager {
            Some(manager) => command.envs(manager.environment()),
            None => {
                command.env("RDSPROV_SECRETS", format!("file:{}", self.fixture.path().display()))
            }
        };
        command
    }

    /// Runs a command line.
    fn run(&self, line: &str, code: i32) -> String {
        let text = expect(&self.command(line).output().unwrap(), code);
        let mut plans = text.lines().filter(|line| line.starts_with("Plan: "));
        if let Some((_, digest)) = plans.next_back().and_then(|line| line.rsplit_once(' ')) {
            digest.clone_into(&mut self.digest.borrow_mut());
        }
        text
    }

    /// Applies the definitions, with an approval of any plan.
    fn apply(&self, code: i32) -> String {
        self.run("ALLOW_DB_PROVISION=true rdsprov apply", code)
    }

    /// Asserts that the output contains the lines that the runbook shows.
    fn shows(&self, output: &str) {
        assert!(!self.symptom.is_empty(), "the section shows no message");
        for line in &self.symptom {
            let mut parts = line.split('…');
            let first = parts.next().unwrap();
            let mut candidates = output.lines().filter_map(|printed| printed.strip_prefix(first));
            let is_shown = candidates.any(|rest| {
                let mut rest = Some(rest);
                for part in parts.clone() {
                    rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
                }
                rest.is_some()
            });
            assert!(is_shown, "{line:?} is not printed: {output}");
        }
    }

    /// Returns the next command, with the digest of the last plan.
    fn next(&self) -> String {
        let line =
            self.commands.borrow_mut().pop_front().expect("the section has no more commands");
        line.replace("sha256:…", &self.digest.borrow())
    }

    /// Executes the next command.
    fn step(&self, code: i32) -> String {
        self.run(&self.next(), code)
    }

    /// Executes the next command with another address.
    fn step_at(&self, written: &str, actual: &str, code: i32) -> String {
        let line = self.next();
        assert!(line.contains(written), "{line} does not contain {written}");
        self.run(&line.replace(written, actual), code)
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = self.commands.borrow();
            assert!(left.is_empty(), "commands that were not executed: {left:?}");
        }
    }
}

/// Returns the lines of the fenced blocks in a language.
fn blocks(text: &'static str, language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}");
    let mut within = false;
    text.lines().filter(move |line| {
        let is_content = within && *line != "```";
        within = *line == fence || is_content;
        is_content
    })
}

/// Returns the commands of a text, except those of AWS.
fn commands(text: &'static str) -> impl Iterator<Item = &'static str> {
    blocks(text, "console")
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| !line.starts_with("aws "))
}

/// Each section with commands has a test.
#[test]
fn each_section_is_tried() {
    let tests = include_str!("runbook.rs");
    let mut sections = 0;
    for section in RUNBOOK.split("\n## ").skip(1) {
        let (title, text) = section.split_once('\n').unwrap();
        assert!(
            commands(text).next().is_none() || tests.contains(&format!("\"{title}\"")),
            "section {title:?} has no test"
        );
        sections += 1;
    }
    assert!(sections > 10, "{sections}");
    for line in blocks(RUNBOOK, "toml") {
        assert!(CONFIGURATION.contains(line), "{line}");
    }
}

#[test]
fn before_you_begin() {
    let section = Section::new("Before you begin");
    section.step(0);
    section.step(0);
}

#[test]
fn refused_plan() {
    let section = Section::new("The plan is refused");
    section.declare(SHOP_AND_WIKI);
    section.fixture.server.master("postgres", "CREATE ROLE shop_owner LOGIN").unwrap();
    section.shows(&section.apply(3));
    section.step(3);
    section.step(0);
    section.step(3);
    let databases =
        "SELECT string_agg(datname, ',') FROM pg_database WHERE datname IN ('shop', 'wiki')";
    assert_eq!(section.fixture.query(databases), "wiki");
    section.step(0);
    section.step(0);
    section.run("rdsprov check", 0);
}

#[test]
fn plan_that_is_not_approved() {
    let section = Section::new("The plan is not approved");
    section.shows(&section.run("rdsprov apply", 3));
    section.step(0);
    section.step(0);
    section.run("rdsprov check", 0);
}

#[test]
fn stale_plan() {
    let section = Section::new("The plan is stale");
    section.apply(0);
    section.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    section.run("rdsprov plan", 0);
    section.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 4");
    let approval = format!("ALLOW_DB_PROVISION={} rdsprov apply", section.digest.borrow());
    section.shows(&section.run(&approval, 3));
    for _ in 0..4 {
        section.step(0);
    }
    section.run("rdsprov check", 0);
}

#[test]
fn part_that_was_committed() {
    let section = Section::new("A part was committed");
    section.fixture.app("prod", "shop_reports", "shop_reports");
    section.apply(0);
    section.fixture.query_in(
        "shop",
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE 'not now'; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_start
           WHEN TAG IN ('ALTER DEFAULT PRIVILEGES') EXECUTE FUNCTION refuse()",
    );
    section.declare(&with_reports("reader"));
    section.run("rdsprov plan --out plan.json", 0);
    let digest = section.digest.borrow().clone();
    section.shows(&section.run(&format!("ALLOW_DB_PROVISION={digest} rdsprov apply plan.json"), 4));
    assert!(section.step(0).contains("create_role"));
    section.step(0);
    // The approval is that of the saved plan.
    *section.digest.borrow_mut() = digest;
    section.fixture.query_in("shop", "DROP EVENT TRIGGER refuse");
    section.step(0);
    section.step(0);
}

#[test]
fn lock_of_another_run() {
    let section = Section::new("Another run holds the lock");
    let class = i32::from_be_bytes(*b"rdsp");
    let mut other = section.fixture.server.master_session("postgres").unwrap();
    other
        .ask(&format!("SET application_name = 'rdsprov 17'; SELECT pg_advisory_lock({class}, 1)"))
        .unwrap();
    section.shows(&section.run("ALLOW_DB_PROVISION=true rdsprov apply --lock-timeout 1s", 1));
    assert!(section.step(0).contains("rdsprov 17"));
    let mut waiting = section.command(&section.next());
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(other);
    expect(&waiting.wait_with_output().unwrap(), 0);

    let mut other = section.fixture.server.master_session("postgres").unwrap();
    other
        .ask(&format!("SET application_name = 'rdsprov 18'; SELECT pg_advisory_lock({class}, 1)"))
        .unwrap();
    let pid = other.ask("SELECT pg_backend_pid()").unwrap().rows;
    section.step_at("PID", pid.trim(), 0);
    section.step(0);
}

#[test]
fn administrator_that_cannot_log_in() {
    let section = Section::on_secrets_manager("The administrator cannot log in");
    section.apply(0);
    let delegate = format!("rdsprov delegate --to rdsprov_admin --to-secret {PROD_DELEGATE}");
    // Before PostgreSQL 15, the delegate gets the schemas `public`.
    section.run(&format!("ALLOW_DB_PROVISION=true {delegate} --allow changes_owner"), 0);
    section.fixture.query("ALTER ROLE rdsprov_admin PASSWORD 'changed-by-hand'");
    section.shows(&section.run(&format!("rdsprov plan --admin-secret {PROD_DELEGATE}"), 1));
    section.step(0);
    section.step(0);
}

#[test]
fn application_that_cannot_log_in() {
    let section = Section::new("An application cannot log in");
    section.apply(0);
    section.fixture.query("ALTER ROLE shop_owner PASSWORD 'changed-by-hand'");
    assert!(section.step(0).contains("password"));
    section.step(0);
    section.step(0);
    let server = &section.fixture.server;
    server.sql_as("shop_owner", &password("shop"), "shop", "SELECT 1").unwrap();
    section.step(0);
    assert!(section.step(0).contains('t'));
}

#[test]
fn rotation_that_was_not_finished() {
    let section = Section::on_secrets_manager("A rotation was not finished");
    section.apply(0);
    let mut other = section.fixture.server.superuser_session("postgres").unwrap();
    other.ask("BEGIN; ALTER ROLE shop_owner CONNECTION LIMIT 9").unwrap();
    section.run("ALLOW_DB_PROVISION=true rdsprov rotate shop", 4);
    drop(other);
    section.step(0);
    section.step(0);
}

#[test]
fn wrong_region() {
    let section = Section::on_secrets_manager("Wrong region or account");
    section.shows(&section.run("AWS_REGION=us-east-1 rdsprov plan", 1));
    section.step(0);
    section.step(0);
}

#[test]
fn silent_server() {
    let section = Section::new("The server does not respond");
    let relay = SilentRelay::start(&section.fixture.server, 0).unwrap();
    let port = format!("rdsprov plan --connect-timeout 1s --port {}", relay.port());
    section.shows(&section.run(&port, 1));
    section.step(0);
}

#[test]
fn reader() {
    let primary = Server::start(versions()[0]).unwrap();
    let standby = Server::start_standby_of(&primary).unwrap();
    let section = Section::on(Fixture::on(standby, None), "The server is a reader");
    let apply = "ALLOW_DB_PROVISION=true rdsprov apply --connect-timeout 1s";
    section.shows(&section.run(apply, 1));
    section.step(0);
    let writer = "shop.cluster-abc123.eu-west-2.rds.amazonaws.com";
    section.step_at(writer, &format!("localhost --port {}", primary.port()), 0);
}

#[test]
fn full_ledger() {
    let section = Section::new("The ledger is full");
    section.apply(0);
    section.declare(SHOP_AND_WIKI);
    section.shows(
        &section.run("trap '' XFSZ; ulimit -f 16; ALLOW_DB_PROVISION=true rdsprov apply", 1),
    );
    for _ in 0..4 {
        section.step(0);
    }
    section.run("rdsprov check", 0);
}

#[test]
fn blue_green_deployment() {
    let section = Section::new("A blue/green deployment is in progress");
    let nodes = [
        ("BLUE_GREEN_DEPLOYMENT_SOURCE", "AVAILABLE"),
        ("BLUE_GREEN_DEPLOYMENT_TARGET", "AVAILABLE"),
    ];
    section.fixture.server.report_topology(TopologyFunction::ALL[0], &nodes).unwrap();
    section.shows(&section.apply(3));
    section.step(3);
    section.step(0);
}

#[test]
fn drift() {
    let section = Section::new("The server has drifted");
    section.apply(0);
    section.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    section.step(2);
    section.step(0);
    section.step(0);
    section.run("rdsprov check", 0);
}

#[test]
fn without_kubernetes() {
    let section = Section::new("Kubernetes is not available");
    section.step(0);
    section.step(0);
    section.step_at("15432", &section.fixture.server.port().to_string(), 0);
    section.run("rdsprov check", 0);
}

#[test]
fn change_that_is_undone() {
    let section = Section::new("Undo a change");
    section.fixture.app("prod", "shop_reports", "shop_reports");
    section.declare(&with_reports("editor"));
    section.apply(0);
    section.fixture.query_in("shop", "SET ROLE shop_owner; CREATE TABLE orders ()");
    let may_insert = "SELECT has_table_privilege('shop_reports', 'orders', 'INSERT')";
    assert_eq!(section.fixture.query_in("shop", may_insert), "t");
    section.declare(&with_reports("reader"));
    section.step(0);
    section.step(0);
    assert_eq!(section.fixture.query_in("shop", may_insert), "f");
    assert!(section.step(0).contains("shop_reports"));
}
