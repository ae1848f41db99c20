//! The runbook: each symptom is made on a server, and each command of its section is executed.

use std::process::Stdio;

use rdsprov_testkit::{Server, SilentRelay, TopologyFunction, documents, versions};

use crate::fixture::{Fixture, expect, password};
use crate::walkthrough::{SHOP, Walkthrough, blocks, with_reports};

const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");

const CONFIGURATION: &str = "[definitions]\nfiles = [\"apps.tfvars\"]\n\n[audit]\nledger = \"ledger.jsonl\"\noutput = \"audit.csv\"\n";

const PROD_DELEGATE: &str = "goldenpath/prod/rds/rdsprov_admin";

const SHOP_AND_WIKI: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  wiki = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// Returns a section of the runbook, and a server on which its commands are executed.
fn section(title: &str) -> Walkthrough {
    section_on(Fixture::new(versions()[0]), title)
}

fn section_on_secrets_manager(title: &str) -> Walkthrough {
    section_on(Fixture::with_secrets_manager(versions()[0]), title)
}

fn section_on(fixture: Fixture, title: &str) -> Walkthrough {
    let text = documents::section(RUNBOOK, title)
        .unwrap_or_else(|| panic!("the runbook has no section {title:?}"));
    for (application, user) in [("shop", "shop_owner"), ("wiki", "wiki_owner")] {
        fixture.app("prod", application, user);
    }
    let section = Walkthrough::new(fixture, text, "prod");
    section.write("rdsprov.toml", CONFIGURATION);
    section.declare(SHOP);
    section
}

#[test]
fn configuration_is_the_one_that_is_shown() {
    for line in blocks(RUNBOOK, "toml") {
        assert!(CONFIGURATION.contains(line), "{line}");
    }
}

#[test]
fn before_you_begin() {
    let section = section("Before you begin");
    section.step(0);
    section.step(0);
}

#[test]
fn refused_plan() {
    let section = section("The plan is refused");
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
    let section = section("The plan is not approved");
    section.shows(&section.run("rdsprov apply", 3));
    section.step(0);
    section.step(0);
    section.run("rdsprov check", 0);
}

#[test]
fn stale_plan() {
    let section = section("The plan is stale");
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
    let section = section("A part was committed");
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
    let section = section("Another run holds the lock");
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
    let section = section_on_secrets_manager("The administrator cannot log in");
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
    let section = section("An application cannot log in");
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
    let section = section_on_secrets_manager("A rotation was not finished");
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
    let section = section_on_secrets_manager("Wrong region or account");
    section.shows(&section.run("AWS_REGION=us-east-1 rdsprov plan", 1));
    section.step(0);
    section.step(0);
}

#[test]
fn silent_server() {
    let section = section("The server does not respond");
    let relay = SilentRelay::start(&section.fixture.server, 0).unwrap();
    let port = format!("rdsprov plan --connect-timeout 1s --port {}", relay.port());
    section.shows(&section.run(&port, 1));
    section.step(0);
}

#[test]
fn reader() {
    let primary = Server::start(versions()[0]).unwrap();
    let standby = Server::start_standby_of(&primary).unwrap();
    let section = section_on(Fixture::on(standby, None), "The server is a reader");
    let apply = "ALLOW_DB_PROVISION=true rdsprov apply --connect-timeout 1s";
    section.shows(&section.run(apply, 1));
    section.step(0);
    let writer = "shop.cluster-abc123.eu-west-2.rds.amazonaws.com";
    section.step_at(writer, &format!("localhost --port {}", primary.port()), 0);
}

#[test]
fn full_ledger() {
    let section = section("The ledger is full");
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
    let section = section("A blue/green deployment is in progress");
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
    let section = section("The server has drifted");
    section.apply(0);
    section.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    section.step(2);
    section.step(0);
    section.step(0);
    section.run("rdsprov check", 0);
}

#[test]
fn without_kubernetes() {
    let section = section("Kubernetes is not available");
    section.step(0);
    section.step(0);
    section.step_at("15432", &section.fixture.server.port().to_string(), 0);
    section.run("rdsprov check", 0);
}

#[test]
fn change_that_is_undone() {
    let section = section("Undo a change");
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
