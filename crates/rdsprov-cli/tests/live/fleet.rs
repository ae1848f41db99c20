//! `--fleet`: one command for several servers side by side.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rdsprov_core::schema::Document;
use rdsprov_testkit::{Server, versions};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{expect, on_terminal, password, program};
use crate::schema::assert_valid;

const DEFINITIONS: &str = r#"
application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}
"#;

/// The servers of a fleet, with its files and its secrets in a directory.
struct Fleet {
    servers: Vec<Server>,
    directory: TempDir,
    instances: String,
}

impl Fleet {
    /// Starts servers of all versions, and writes a fleet file with the instances `db-1`, `db-2`, ….
    fn start(count: usize, environment: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let mut fleet = Self { servers: Vec::new(), directory, instances: String::new() };
        fleet.write("shop.tfvars", DEFINITIONS);
        for (application, username) in [("shop", "shop_owner"), ("reports", "shop_reader")] {
            let secret =
                format!(r#"{{"username": "{username}", "password": "{}"}}"#, password(application));
            fleet.write(&format!("goldenpath/{environment}/{application}/postgres.json"), &secret);
        }
        for (number, major) in versions().into_iter().cycle().take(count).enumerate() {
            let server = Server::start(major).unwrap();
            fleet.add(&format!("db-{}", number + 1), environment, &server.admin_secret());
            fleet.servers.push(server);
        }
        fleet.write_ca_file();
        fleet
    }

    /// Adds an instance with its administrator's secret.
    fn add(&mut self, name: &str, environment: &str, admin_secret: &str) {
        self.write(&format!("admin/{name}.json"), admin_secret);
        let instance = format!(
            "[[instances]]\nname = \"{name}\"\nenvironment = \"{environment}\"\n\
             admin_secret = \"admin/{name}\"\n\n"
        );
        self.instances += &instance;
        let defaults = "[defaults]\ndefinitions = [\"shop.tfvars\"]\n\n";
        self.write("fleet.toml", &format!("{defaults}{}", self.instances));
    }

    /// Writes the certificates of all servers into one file.
    fn write_ca_file(&self) {
        let mut certificates = String::new();
        for server in &self.servers {
            certificates += &std::fs::read_to_string(server.ca_file()).unwrap();
        }
        self.write("ca.pem", &certificates);
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.path()).args(arguments).args(["--fleet", "fleet.toml"]);
        command.args(["--secrets", "file:.", "--ca-file", "ca.pem"]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Returns the number of roles that the definitions declare, on each server.
    fn roles(&self) -> Vec<String> {
        let count = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'shop_%'";
        let on = |server: &Server| server.superuser("postgres", count).unwrap().trim().to_owned();
        self.servers.iter().map(on).collect()
    }
}

/// Returns an administrator's secret for a port on which no server listens.
fn secret_of_no_server() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    format!(
        r#"{{"host": "localhost", "port": {port}, "username": "platform_admin", "password": "x"}}"#
    )
}

/// Returns the outcome of each instance in the last summary of an output.
fn outcomes(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_header = |line: &&str| line.starts_with("instance ") && line.contains(" outcome ");
    let header = lines.iter().rposition(is_header).unwrap_or_else(|| panic!("{text}"));
    let column = |name: &str| lines[header].find(name).unwrap();
    let rows = lines[header + 1..].iter().take_while(|line| !line.is_empty());
    rows.map(|row| {
        let name = row.split_whitespace().next().unwrap();
        format!("{name} {}", row[column("outcome")..column("changes")].trim())
    })
    .collect()
}

/// Returns the digest over all plans in an output.
fn fleet_digest(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("Digest over all plans: "));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn twelve_servers_of_which_one_is_down() {
    let mut fleet = Fleet::start(11, "dev");
    fleet.add("db-12", "dev", &secret_of_no_server());
    let files = ["--audit-output", "records.csv", "--audit-ledger", "ledger.jsonl"];
    let records = [&files[..], &["--audit-stdout", "always"]].concat();
    let apply = [&["apply", "--parallel", "5", "--run-id", "night"], records.as_slice()].concat();
    let expected = |of_eleven: &str, of_last: &str| {
        let eleven = (1..=11).map(|number| format!("db-{number} {of_eleven}"));
        eleven.chain([format!("db-12 {of_last}")]).collect::<Vec<_>>()
    };

    let output = fleet.run(&apply);
    let text = expect(&output, 1);
    assert_eq!(outcomes(&text), expected("applied", "failed"), "{text}");
    assert!(text.contains("db-12: failed\nerror[cannot-connect]: "), "{text}");
    assert!(text.contains("12 instances: 11 applied, 1 failed."), "{text}");
    assert_eq!(fleet.roles(), ["2"; 11]);
    // The records of all instances are one stream.
    let rows = String::from_utf8(output.stdout).unwrap();
    let header = "timestamp_utc,environment,build_id,run_id,database,username,action,status,duration_ms,message,instance";
    assert!(rows.starts_with(&format!("{header}\n")), "{rows}");
    assert_eq!(rows.matches(header).count(), 1);
    for number in 1..=11 {
        let name = format!("db-{number}");
        let of_instance: Vec<&str> =
            rows.lines().filter(|row| row.ends_with(&format!(",{name}"))).collect();
        assert!(of_instance.iter().any(|row| row.contains(",create_role,success,")), "{rows}");
        assert!(of_instance.iter().all(|row| row.contains(&format!(",night/{name},"))), "{rows}");
    }
    // The instances write at the same time, each first to the file.
    let sorted = |text: &str| {
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let file = std::fs::read_to_string(fleet.path().join("records.csv")).unwrap();
    assert_eq!(sorted(&file), sorted(&rows));

    // The second time, nothing is left to do on the others.
    let text = expect(&fleet.run(&apply), 1);
    assert_eq!(outcomes(&text), expected("no change", "failed"), "{text}");

    // The last server comes up, and is completed.
    let server = Server::start(versions()[0]).unwrap();
    fleet.write("admin/db-12.json", &server.admin_secret());
    fleet.servers.push(server);
    let text = expect(&fleet.run(&apply), 0);
    assert_eq!(outcomes(&text), expected("no change", "applied"), "{text}");
    assert_eq!(fleet.roles(), ["2"; 12]);
    let text = expect(&fleet.run(&["check"]), 0);
    assert_eq!(outcomes(&text), expected("no change", "no change"), "{text}");

    // The ledger is one chain, although the runs have written it side by side.
    let mut verify = program();
    let verify = verify.current_dir(fleet.path()).args(["audit", "verify", "ledger.jsonl"]);
    expect(&verify.output().unwrap(), 0);
    let ledger = std::fs::read_to_string(fleet.path().join("ledger.jsonl")).unwrap();
    for line in ledger.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_valid(Document::Ledger, &record);
        let (run_id, name) = (record["run_id"].as_str(), record["instance"].as_str().unwrap());
        assert_eq!(run_id, Some(format!("night/{name}").as_str()));
    }
}

#[test]
fn no_further_instance_starts_after_failures() {
    let mut fleet = Fleet::start(1, "dev");
    for name in ["down-1", "down-2", "down-3"] {
        fleet.add(name, "dev", &secret_of_no_server());
    }
    let mut reversed: Vec<&str> = fleet.instances.split_inclusive("\n\n").collect();
    reversed.reverse();
    let text = format!("[defaults]\ndefinitions = [\"shop.tfvars\"]\n{}", reversed.concat());
    fleet.write("fleet.toml", &text);
    for (flags, expected) in [
        (["--fail-fast"].as_slice(), ["failed", "not run", "not run", "not run"]),
        (&["--max-failures", "2"], ["failed", "failed", "not run", "not run"]),
        (&["--max-failures", "4"], ["failed", "failed", "failed", "applied"]),
        (&[], ["failed", "failed", "failed", "no change"]),
    ] {
        let apply = [&["apply", "--parallel", "1"], flags].concat();
        let text = expect(&fleet.run(&apply), 1);
        let names = ["down-3", "down-2", "down-1", "db-1"];
        let expected: Vec<String> =
            names.iter().zip(expected).map(|(name, outcome)| format!("{name} {outcome}")).collect();
        assert_eq!(outcomes(&text), expected, "{text}");
    }
}

#[test]
fn only_selected_instances_are_changed() {
    let fleet = Fleet::start(3, "dev");
    let text =
        expect(&fleet.run(&["apply", "--only-instance", "db-3", "--only-instance", "db-1"]), 0);
    assert_eq!(outcomes(&text), ["db-1 applied", "db-3 applied"], "{text}");
    assert_eq!(fleet.roles(), ["2", "0", "2"]);
    let text = expect(&fleet.run(&["check", "--only-instance", "db-1,db-3"]), 0);
    assert_eq!(outcomes(&text), ["db-1 no change", "db-3 no change"], "{text}");
    let text = expect(&fleet.run(&["check"]), 2);
    assert_eq!(outcomes(&text), ["db-1 no change", "db-2 pending", "db-3 no change"], "{text}");
    assert!(text.contains("=== db-2 (dev) ===") && !text.contains("=== db-1"), "{text}");
    let text = expect(&fleet.run(&["apply", "--only-instance", "db-9"]), 64);
    assert!(
        text.contains("error[wrong-usage]: the fleet file contains no instance `db-9`"),
        "{text}"
    );
}

#[test]
fn pending_changes_and_findings_are_reported() {
    let fleet = Fleet::start(1, "dev");
    expect(&fleet.run(&["apply"]), 0);
    let server = &fleet.servers[0];
    let query = |sql: &str| server.superuser("postgres", sql).unwrap();
    query("ALTER ROLE shop_owner CREATEDB");
    for command in ["plan", "apply"] {
        let text = expect(&fleet.run(&[command, "--additive"]), 0);
        assert_eq!(outcomes(&text), ["db-1 pending"], "{text}");
        for words in ["db-1: pending, 1 left pending", " 0, 1 pending ", "NOCREATEDB"] {
            assert!(text.contains(words), "{command}, {words}: {text}");
        }
    }
    let json = fleet.run(&["plan", "--additive", "--format", "json"]);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["instances"][0]["pending"], 1);
    expect(&fleet.run(&["apply"]), 0);

    query("CREATE ROLE bi");
    query("GRANT CONNECT ON DATABASE shop TO bi");
    let text = expect(&fleet.run(&["check", "--fail-on", "orphaned"]), 0);
    assert_eq!(outcomes(&text), ["db-1 no change"], "{text}");
    let text = expect(&fleet.run(&["check", "--fail-on", "orphaned,undeclared"]), 2);
    assert_eq!(outcomes(&text), ["db-1 pending"], "{text}");
    assert!(text.contains("but the check fails on: undeclared."), "{text}");
}

/// The rows of all instances are under one header, and name their server.
#[test]
fn access_of_a_fleet_is_one_csv() {
    let fleet = Fleet::start(2, "dev");
    expect(&fleet.run(&["apply"]), 0);
    let output = fleet.run(&["access", "--format", "csv", "--role", "shop_reader"]);
    let text = expect(&output, 0);
    let csv = String::from_utf8(output.stdout).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    assert_eq!(csv.matches(header).count(), 1, "{csv}");
    for server in &fleet.servers {
        let name = format!("localhost:{},", server.port());
        let of_server = rows.lines().filter(|row| row.contains(&name));
        let reads = of_server.filter(|row| row.contains("shop_reader") && row.contains("CONNECT"));
        assert_eq!(reads.count(), 1, "{name} {csv}");
    }
    assert!(text.contains("db-1") && text.contains("db-2"), "{text}");
    let text = expect(&fleet.run(&["access", "--format", "html"]), 64);
    assert!(text.contains("hint: report one instance without --fleet"), "{text}");
}

/// An approval covers exactly the plans of all instances: if one of them is another one, nothing is
/// changed on any.
#[test]
fn approval_is_that_of_all_plans() {
    let fleet = Fleet::start(3, "prod");
    let text = expect(&fleet.run(&["apply"]), 3);
    assert_eq!(outcomes(&text), ["db-1 refused", "db-2 refused", "db-3 refused"], "{text}");
    assert!(text.contains("error[approval-missing]"), "{text}");

    let planned = fleet_digest(&expect(&fleet.run(&["plan"]), 0));
    let apply = |digest: &str, more: &[&str]| {
        let mut command = fleet.command(&[&["apply", "--audit-ledger", "l.jsonl"], more].concat());
        command.env("ALLOW_DB_PROVISION", digest).output().unwrap()
    };
    // One plan changes: a role with the name exists meanwhile.
    fleet.servers[1].superuser("postgres", "CREATE ROLE shop_reader").unwrap();
    let text = expect(&apply(&planned, &[]), 3);
    assert!(
        text.contains(&format!("error[plan-stale]: the approved plan ({planned}) is stale")),
        "{text}"
    );
    assert_eq!(fleet.roles(), ["0", "1", "0"]);
    fleet.servers[1].superuser("postgres", "DROP ROLE shop_reader").unwrap();
    // A part of the instances is another set.
    let text = expect(&apply(&planned, &["--only-instance", "db-1"]), 3);
    assert!(text.contains("error[plan-stale]"), "{text}");
    assert_eq!(fleet.roles(), ["0", "0", "0"]);

    let text = expect(&apply(&planned, &[]), 0);
    assert_eq!(outcomes(&text), ["db-1 applied", "db-2 applied", "db-3 applied"], "{text}");
    assert_eq!(fleet.roles(), ["2", "2", "2"]);
    let ledger = std::fs::read_to_string(fleet.path().join("l.jsonl")).unwrap();
    let records = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut intents = records.filter(|record| record["event"] == "intent").peekable();
    assert!(intents.peek().is_some());
    for record in intents {
        assert_eq!(record["fleet_approval"], planned.as_str());
        assert_eq!(record["approval"], record["plan"]);
        assert!(record["system_identifier"].is_string(), "{record:#}");
    }
    // Nothing is left to do: the digest of other plans is not recorded as an approval.
    let foreign = format!("sha256:{}", "0".repeat(64));
    expect(&apply(&foreign, &[]), 0);
    let text = std::fs::read_to_string(fleet.path().join("l.jsonl")).unwrap();
    assert!(text.len() > ledger.len());
    for line in text[ledger.len()..].lines() {
        let record = serde_json::from_str::<Value>(line).unwrap();
        assert_eq!((&record["approval"], record.get("fleet_approval")), (&Value::Null, None));
    }
    expect(&apply(&fleet_digest(&expect(&fleet.run(&["plan"]), 0)), &[]), 0);

    // An instance without a plan is part of the approved set, and is not changed by it.
    for server in &fleet.servers {
        server.superuser("postgres", "ALTER ROLE shop_reader CONNECTION LIMIT 3").unwrap();
    }
    let secret = std::fs::read_to_string(fleet.path().join("admin/db-3.json")).unwrap();
    fleet.write("admin/db-3.json", &secret_of_no_server());
    let planned = fleet_digest(&expect(&fleet.run(&["plan"]), 1));
    fleet.write("admin/db-3.json", &secret);
    let apply = |digest: &str| {
        fleet.command(&["apply"]).env("ALLOW_DB_PROVISION", digest).output().unwrap()
    };
    expect(&apply(&planned), 3);
    let limits = |fleet: &Fleet| -> Vec<String> {
        let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop_reader'";
        let on = |server: &Server| server.superuser("postgres", limit).unwrap().trim().to_owned();
        fleet.servers.iter().map(on).collect()
    };
    assert_eq!(limits(&fleet), ["3", "3", "3"]);
    fleet.write("admin/db-3.json", &secret_of_no_server());
    let text = expect(&apply(&planned), 1);
    assert_eq!(outcomes(&text), ["db-1 applied", "db-2 applied", "db-3 failed"], "{text}");
    assert_eq!(limits(&fleet), ["-1", "-1", "3"]);
    fleet.write("admin/db-3.json", &secret);

    // The gates of an instance remain: a hazard must be allowed for it.
    for server in &fleet.servers {
        server.superuser("shop", "GRANT CREATE ON DATABASE shop TO shop_reader").unwrap();
    }
    let planned = fleet_digest(&expect(&fleet.run(&["plan"]), 0));
    let text = expect(&apply(&planned), 3);
    assert!(text.contains("error[hazards-not-allowed]"), "{text}");
    let allowed = fleet.instances.replacen(
        "admin_secret = \"admin/db-2\"\n",
        "admin_secret = \"admin/db-2\"\nallow = [\"revokes_access\"]\n",
        1,
    );
    let defaults = "[defaults]\ndefinitions = [\"shop.tfvars\"]\n\n";
    fleet.write("fleet.toml", &format!("{defaults}{allowed}"));
    let text = expect(&apply(&planned), 3);
    assert_eq!(outcomes(&text), ["db-1 refused", "db-2 applied", "db-3 refused"], "{text}");
}

/// Returns the rows of a CSV file: the instance, the action and the status of each.
fn rows(fleet: &Fleet, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(fleet.path().join(name)).unwrap_or_default();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        format!("{} {} {}", fields[fields.len() - 1], fields[6], fields[7])
    };
    text.lines().skip(1).map(row).collect()
}

/// Returns the outcomes in a ledger: the instance, the status and the code of each.
fn recorded_outcomes(fleet: &Fleet, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(fleet.path().join(name)).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let outcome = |record: Value| {
        assert_valid(Document::Ledger, &record);
        let text = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
        (record["event"] == "outcome")
            .then(|| format!("{} {} {}", text("instance"), text("status"), text("code")))
    };
    records.filter_map(outcome).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// A run that ends before its first change is recorded for each instance, as it is for one server.
#[test]
fn instance_that_is_not_changed_has_a_record() {
    let mut fleet = Fleet::start(2, "prod");
    fleet.add("down", "prod", &secret_of_no_server());
    let apply = |fleet: &Fleet, name: &str, approval: &str| {
        let (csv, ledger) = (format!("{name}.csv"), format!("{name}.jsonl"));
        let arguments = ["apply", "--audit-output", &csv, "--audit-ledger", &ledger];
        let arguments = [&arguments[..], &["--audit-stdout", "always"]].concat();
        let output = fleet.command(&arguments).env("ALLOW_DB_PROVISION", approval).output();
        output.unwrap()
    };
    let planned = fleet_digest(&expect(&fleet.run(&["plan"]), 1));

    // The digest is another one: no instance is changed.
    let other = format!("sha256:{}", "0".repeat(64));
    let output = apply(&fleet, "stale", &other);
    expect(&output, 3);
    let expected =
        ["db-1 refused plan-stale", "db-2 refused plan-stale", "down error cannot-connect"];
    // The records are written side by side.
    assert_eq!(sorted(recorded_outcomes(&fleet, "stale.jsonl")), expected);
    let expected = ["db-1 apply refused", "db-2 apply refused", "down apply error"];
    assert_eq!(sorted(rows(&fleet, "stale.csv")), expected);
    let lines = |text: String| sorted(text.lines().map(str::to_owned).collect());
    let printed = lines(String::from_utf8(output.stdout).unwrap());
    assert_eq!(lines(std::fs::read_to_string(fleet.path().join("stale.csv")).unwrap()), printed);
    let ledger = std::fs::read_to_string(fleet.path().join("stale.jsonl")).unwrap();
    let records = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = records.into_iter().find(|one| one["instance"] == "db-1").unwrap();
    // The digest approves other plans, and none of these.
    assert_eq!(first["fleet_approval"], Value::Null);
    let server = format!("localhost:{}", fleet.servers[0].port());
    assert_eq!(first["server"], server, "{first:#}");
    assert!(first["plan"].as_str().unwrap().starts_with("sha256:"), "{first:#}");

    // An instance without a plan is not changed; the others are.
    expect(&apply(&fleet, "approved", &planned), 1);
    let recorded = sorted(recorded_outcomes(&fleet, "approved.jsonl"));
    assert_eq!(recorded, ["db-1 success -", "db-2 success -", "down error cannot-connect"]);
    let of_down = |row: &&String| row.starts_with("down ");
    let rows_of_down: Vec<String> =
        rows(&fleet, "approved.csv").iter().filter(of_down).cloned().collect();
    assert_eq!(rows_of_down, ["down apply error"]);

    // The same approval again is stale, because the plans of the others are now empty.
    expect(&apply(&fleet, "again", &planned), 3);
    let expected =
        ["db-1 refused plan-stale", "db-2 refused plan-stale", "down error cannot-connect"];
    assert_eq!(sorted(recorded_outcomes(&fleet, "again.jsonl")), expected);

    // A configuration that is invalid has a record, too.
    std::fs::remove_file(fleet.path().join("shop.tfvars")).unwrap();
    expect(&apply(&fleet, "invalid", "true"), 64);
    let outcomes = recorded_outcomes(&fleet, "invalid.jsonl");
    assert!(outcomes.contains(&"db-1 error file-unreadable".to_owned()), "{outcomes:?}");
    let broken =
        fleet.instances.replacen("admin_secret", "config = \"absent.toml\"\nadmin_secret", 1);
    fleet.write("fleet.toml", &broken);
    expect(&apply(&fleet, "config", "true"), 64);
    assert!(
        recorded_outcomes(&fleet, "config.jsonl")
            .contains(&"db-1 error file-unreadable".to_owned())
    );
}

/// An approved fleet without remaining changes is repeated without a new approval.
#[test]
fn approved_fleet_is_repeated_without_change() {
    let fleet = Fleet::start(2, "prod");
    let planned = fleet_digest(&expect(&fleet.run(&["plan"]), 0));
    let apply = |arguments: &[&str]| {
        let mut command = fleet.command(&[&["apply"], arguments].concat());
        command.env("ALLOW_DB_PROVISION", &planned).output().unwrap()
    };
    // A dry run plans and records, and needs no approval.
    for approval in [planned.as_str(), ""] {
        let mut command = fleet.command(&["apply", "--dry-run", "--audit-output", "dry.csv"]);
        let output = command.env("ALLOW_DB_PROVISION", approval).output().unwrap();
        let text = expect(&output, 0);
        assert_eq!(outcomes(&text), ["db-1 dry run", "db-2 dry run"], "{text}");
    }
    assert!(rows(&fleet, "dry.csv").contains(&"db-2 create_role dry_run".to_owned()));
    assert_eq!(fleet.roles(), ["0", "0"]);
    let text = expect(&apply(&[]), 0);
    assert_eq!(outcomes(&text), ["db-1 applied", "db-2 applied"], "{text}");
    let text = expect(&apply(&["--audit-output", "again.csv"]), 0);
    assert_eq!(outcomes(&text), ["db-1 no change", "db-2 no change"], "{text}");
    let again = rows(&fleet, "again.csv");
    assert!(!again.is_empty() && again.iter().all(|row| row.ends_with(" no_change")), "{again:?}");
}

/// Runs `apply` on a terminal, with an answer to its question.
fn apply_on_terminal(fleet: &Fleet, answer: &str) -> Output {
    on_terminal(&fleet.command(&["apply", "--audit-output", "records.csv"]), &format!("{answer}\n"))
}

#[test]
fn user_confirms_all_plans_on_a_terminal() {
    let fleet = Fleet::start(2, "dev");
    let output = apply_on_terminal(&fleet, "no");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!(text.matches("Apply these plans? Enter \"yes\" to confirm:").count(), 1, "{text}");
    assert!(text.contains("=== db-1 (dev) ===") && text.contains("=== db-2 (dev) ==="), "{text}");
    assert!(text.contains("error[not-confirmed]"), "{text}");
    assert_eq!(fleet.roles(), ["0", "0"]);
    assert_eq!(sorted(rows(&fleet, "records.csv")), ["db-1 apply refused", "db-2 apply refused"]);
    let output = apply_on_terminal(&fleet, "yes");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(fleet.roles(), ["2", "2"]);
    // Without changes, there is no question.
    let output = apply_on_terminal(&fleet, "no");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("Apply these plans?"), "{text}");
}

#[test]
fn records_that_stdout_does_not_take_are_a_failure() {
    let fleet = Fleet::start(1, "dev");
    let to = |path: &str, code| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        expect(&fleet.command(&["apply"]).stdout(file).output().unwrap(), code)
    };
    let text = to("/dev/full", 4);
    assert!(
        text.contains("error[output-incomplete]: all changes were made, but the records"),
        "{text}"
    );
    assert_eq!(fleet.roles(), ["2"]);
    // Nothing is changed any more, and the output is still incomplete.
    let text = to("/dev/full", 1);
    assert_eq!(text.matches("stdout cannot be written").count(), 1, "{text}");
    to("/dev/null", 0);
}

#[test]
fn json_is_one_document() {
    let mut fleet = Fleet::start(2, "dev");
    fleet.add("db-3", "dev", &secret_of_no_server());
    let document = |arguments: &[&str], code| {
        let output = fleet.run(&[arguments, &["--format", "json"]].concat());
        expect(&output, code);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(Document::Fleet, &document);
        document
    };
    let plan = document(&["plan"], 1);
    assert_eq!(plan["status"], "failed");
    assert_eq!(plan["instances"][0]["status"], "pending");
    let instance = &plan["instances"][0];
    assert_eq!(instance["digest"], instance["plan"]["digest"]);
    assert_eq!(plan["instances"][2]["errors"][0]["code"], "cannot-connect");
    expect(&fleet.run(&["apply", "--only-instance", "db-1"]), 0);
    let access = document(&["access", "--only-instance", "db-1,db-2"], 0);
    assert_eq!(access["status"], "reported");
    assert_eq!(access["instances"][0]["access"]["databases"][0]["database"], "shop");
    assert_eq!(access["instances"][1]["plan"], Value::Null);
    // For readers, each report has a heading.
    let text = expect(&fleet.run(&["access", "--only-instance", "db-1"]), 0);
    assert!(text.contains("=== db-1 (dev) ===") && text.contains("shop_reader"), "{text}");
    let text = expect(&fleet.run(&["plan", "--format", "markdown"]), 1);
    assert!(text.contains("## db-2 (dev)\n") && text.contains("## Summary\n"), "{text}");
}

/// SIGINT stops all instances, and the command waits until each has recorded its end.
#[test]
fn a_signal_stops_all_instances() {
    let fleet = Fleet::start(3, "dev");
    let class = i32::from_be_bytes(*b"rdsp");
    let sessions: Vec<_> = fleet.servers[..2]
        .iter()
        .map(|server| {
            let mut session = server.master_session("postgres").unwrap();
            session.ask(&format!("SELECT pg_advisory_lock({class}, 7)")).unwrap();
            session
        })
        .collect();
    let apply = ["apply", "--parallel", "2", "--audit-ledger", "ledger.jsonl"];
    let mut command = fleet.command(&apply);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE '%/db-%' AND query ~ 'pg_locks'";
    for server in &fleet.servers[..2] {
        while server.superuser("postgres", waits).unwrap().trim() == "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    let text = expect(&run.wait_with_output().unwrap(), 1);
    drop(sessions);
    assert_eq!(outcomes(&text), ["db-1 failed", "db-2 failed", "db-3 not run"], "{text}");
    assert_eq!(text.matches("error[interrupted]: stopped by a signal").count(), 2, "{text}");
    let ledger = std::fs::read_to_string(fleet.path().join("ledger.jsonl")).unwrap();
    assert_eq!(ledger.matches(r#""event":"outcome""#).count(), 2, "{ledger}");
    assert_eq!(fleet.roles(), ["0", "0", "0"]);
}

/// An instance that waits for the lock of its ledger does not keep the others waiting, and a signal ends the
/// wait.
#[test]
fn locked_ledger_keeps_its_instance_waiting_only() {
    let mut fleet =
        Fleet { servers: Vec::new(), directory: TempDir::new().unwrap(), instances: String::new() };
    fleet.write("shop.tfvars", DEFINITIONS);
    fleet.write("ca.pem", "");
    fleet.add("stuck", "dev", &secret_of_no_server());
    fleet.instances = fleet.instances.replace("\n\n", "\nconfig = \"stuck/rdsprov.toml\"\n\n");
    fleet.add("free", "dev", &secret_of_no_server());
    fleet.write("stuck/rdsprov.toml", "[audit]\nledger = \"ledger.jsonl\"\n");
    fleet.write("stuck/ledger.jsonl", "");
    fleet.write("stuck/ledger.jsonl.lock", "");
    let lock = std::fs::File::open(fleet.path().join("stuck/ledger.jsonl.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = program();
    command.current_dir(fleet.path()).args(["apply", "--fleet", "fleet.toml"]);
    command.args(["--secrets", "file:."]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = command.spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.find(|line| line.contains("free") || line.contains("stuck")).unwrap();
    assert!(first.contains("free"), "{first}");
    Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("stuck")), "{rest:#?}");
    assert_eq!(run.wait().unwrap().code(), Some(1), "{rest:#?}");
    assert_eq!(std::fs::read_to_string(fleet.path().join("stuck/ledger.jsonl")).unwrap(), "");
}

/// A program that runs the instances itself, such as a state machine, reads them from the command.
#[test]
fn validate_prints_the_instances() {
    let mut fleet = Fleet::start(0, "dev");
    fleet.add("db-1", "dev", &secret_of_no_server());
    fleet.add("db-2", "dev", &secret_of_no_server());
    let validate = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(fleet.path()).args(["validate", "--fleet", "fleet.toml"]);
        command.args(arguments).output().unwrap()
    };
    let text = expect(&validate(&[]), 0);
    assert_eq!(text, "db-1 (dev): 2 applications\ndb-2 (dev): 2 applications\n");
    let output = validate(&["--format", "json"]);
    expect(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let second = &document["instances"][1];
    assert_eq!(second["name"], "db-2");
    assert_eq!(second["definitions"][0], "shop.tfvars");
    assert_eq!((&second["host"], &second["allow"]), (&Value::Null, &Value::Array(Vec::new())));
    // Mistakes in another environment are not read.
    fleet.write("broken.tfvars", "application_databases =");
    let file = std::fs::read_to_string(fleet.path().join("fleet.toml")).unwrap();
    let broken =
        "[[instances]]\nname = \"db-3\"\nenvironment = \"prod\"\ndefinitions = [\"broken.tfvars\"]";
    fleet.write("fleet.toml", &format!("{file}\n{broken}\n"));
    expect(&validate(&[]), 1);
    let output = validate(&["--env", "dev", "--format", "json"]);
    expect(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["instances"].as_array().unwrap().len(), 2, "{document}");
    fleet.write("fleet.toml", &file);
    fleet.write("shop.tfvars", "application_databases = { shop = { database_name = \"shop\" } }");
    let output = validate(&["--format", "json"]);
    let text = expect(&output, 1);
    assert!(text.contains("db-1: invalid\nerror[missing-key]"), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
}

#[test]
fn mistakes_are_errors_before_anything_is_contacted() {
    let mut fleet = Fleet::start(0, "dev");
    fleet.add("db-1", "dev", &secret_of_no_server());
    for (arguments, expected) in [
        (["apply", "--host", "h"].as_slice(), "--host cannot be used with --fleet"),
        (&["plan", "-d", "shop.tfvars"], "write `definitions` in [[instances]] or [defaults]"),
        (&["check", "--env", "prd"], "the environments of the fleet file are dev"),
        (&["plan", "--out", "plan.json"], "run the command for this instance alone"),
        (&["plan", "--format", "sql"], "a script is for one server"),
        (&["rotate"], "unexpected argument '--fleet'"),
        (&["delegate", "--to", "x"], "unexpected argument '--fleet'"),
        (&["apply", "--parallel", "0"], "invalid value '0'"),
    ] {
        let text = expect(&fleet.run(arguments), 64);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(text.lines().all(|line| line.len() < 100), "{text}");
    }
    let variable = fleet.command(&["apply"]).env("RDSPROV_HOST", "h").output().unwrap();
    let text = expect(&variable, 64);
    assert!(text.contains("the variable RDSPROV_HOST cannot be used with --fleet"), "{text}");
    let mut alone = program();
    let text = expect(&alone.args(["plan", "--parallel", "2"]).output().unwrap(), 64);
    assert!(text.contains("--fleet <FILE>"), "{text}");

    let with = |fleet: &Fleet, line: &str| {
        let mut text = String::from("[defaults]\ndefinitions = [\"shop.tfvars\"]\n");
        writeln!(text, "[[instances]]\nname = \"a\"\nenvironment = \"dev\"\n{line}").unwrap();
        fleet.write("fleet.toml", &text);
    };
    with(&fleet, "hots = \"h\"");
    let text = expect(&fleet.run(&["plan"]), 64);
    let excerpt = " --> fleet.toml:6:1\n6 | hots = \"h\"\n  | ^\n  = hint: write `host`";
    assert!(text.contains("error[unknown-key]: instance `a` has the unknown key `hots`"), "{text}");
    assert!(text.contains(excerpt), "{text}");
    // A fleet file names only files below its directory.
    for (line, expected) in [
        ("definitions = [\"../other.tfvars\"]", "error[file-outside]"),
        ("definitions = [\"absent.tfvars\"]", "error[file-unreadable]"),
        ("config = \"/etc/hostname\"", "error[file-outside]"),
        ("config = \"absent.toml\"", "error[file-unreadable]"),
    ] {
        with(&fleet, line);
        let text = expect(&fleet.run(&["plan"]), 64);
        assert!(text.contains(expected), "{line}: {text}");
        assert_eq!(outcomes(&text), ["a invalid"], "{text}");
    }
    std::fs::remove_file(fleet.path().join("fleet.toml")).unwrap();
    let text = expect(&fleet.run(&["plan"]), 64);
    assert!(text.contains("fleet.toml cannot be read"), "{text}");
}
