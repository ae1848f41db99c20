//! The head of a plan: the server, the administrator's secret, TLS and the approval policy, each with the
//! place that sets it. Who edits `rdsprov.toml` must not be able to change one of them unnoticed.

use std::fs;
use std::process::Command;

use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::fixture::{Fixture, expect};
use crate::schema::assert_valid;

const DEFINITIONS: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// A configuration that could be a mistake or an attack.
const LAX: &str = r#"
[secrets]
admin = "goldenpath/prod/rds/master"

[tls]
mode = "require"

[environments.prod]
approval = "none"
"#;

struct Site {
    fixture: Fixture,
    definitions: String,
}

impl Site {
    fn new() -> Self {
        let fixture = Fixture::new(versions()[0]);
        for environment in ["dev", "prod"] {
            fixture.app(environment, "shop", "shop_owner");
        }
        let definitions = fixture.definitions(DEFINITIONS);
        Self { fixture, definitions }
    }

    fn configure(&self, text: &str) {
        fs::write(self.fixture.path().join("rdsprov.toml"), text).unwrap();
    }

    /// Returns a command without a CA file.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.fixture.without_connection(&self.definitions, arguments);
        command.arg("--secrets").arg(format!("file:{}", self.fixture.path().display()));
        command
    }

    fn title(&self, environment: &str) -> String {
        format!("Plan for environment {environment} on localhost:{}\n", self.fixture.server.port())
    }
}

#[test]
fn plan_names_each_setting_and_its_source() {
    let site = Site::new();
    let ca_file = site.fixture.server.ca_file().display().to_string();
    let dev = site.title("dev");
    let major = versions()[0];
    let session = format!("  PostgreSQL {major}, as platform_admin in database platform\n");

    let text = expect(&site.fixture.run(&site.definitions, &["plan", "--env", "dev"]), 0);
    let head = format!(
        "{dev}{session}  administrator's secret goldenpath/dev/rds/master (default), host and port from this \
         secret\n  TLS verify-full (default), CA file {ca_file} (--ca-file), approval none \
         (default)\n\n"
    );
    assert!(text.starts_with(&head), "{text}");
    let markdown = ["plan", "--env", "dev", "--format", "markdown"];
    let text = expect(&site.fixture.run(&site.definitions, &markdown), 0);
    let session_in_markdown = session.trim_start().replace('_', "\\_");
    let head = format!("### {dev}\n- {session_in_markdown}- administrator's secret ");
    assert!(text.starts_with(&head), "{text}");
    assert!(text.contains("TLS verify-full (default), CA file "), "{text}");

    // What a repository sets shows its path, in each format.
    site.configure(LAX);
    let prod = site.title("prod");
    let text = expect(&site.command(&["plan", "--env", "prod"]).output().unwrap(), 0);
    let head = format!(
        "{prod}{session}  administrator's secret goldenpath/prod/rds/master (rdsprov.toml), host and port from \
         this secret\n  TLS require (rdsprov.toml), approval none (rdsprov.toml)\n\n"
    );
    assert!(text.starts_with(&head), "{text}");
    let mut command = site.command(&["plan", "--env", "prod", "--format", "json"]);
    let policy = site.fixture.path().join("policy.toml");
    fs::write(&policy, "[environments.prod]\napproval = \"required\"\n").unwrap();
    let port = site.fixture.server.port().to_string();
    command.env("RDSPROV_POLICY", &policy).env("RDSPROV_TLS", "verify-full");
    command.env("PGSSLROOTCERT", &ca_file).env("RDSPROV_PORT", &port);
    command.args(["--host", "localhost", "--admin-secret", "goldenpath/dev/rds/master"]);
    let plan: Value = serde_json::from_str(&expect(&command.output().unwrap(), 0)).unwrap();
    let setting = |name: &str, value: &str, source: &str, location: &str| json!({"name": name, "value": value, "source": source, "location": location});
    assert_eq!(
        plan["run_settings"],
        json!([
            setting("host", "localhost", "option", "host"),
            setting("port", &port, "variable", "RDSPROV_PORT"),
            setting("admin_secret", "goldenpath/dev/rds/master", "option", "admin-secret"),
            setting("tls_mode", "verify-full", "variable", "RDSPROV_TLS"),
            setting("ca_file", &ca_file, "variable", "PGSSLROOTCERT"),
            setting("approval", "required", "site_policy", policy.to_str().unwrap()),
        ])
    );
    assert_eq!(plan["origin"]["tls_mode"], "verify-full");
    assert_eq!(plan["origin"]["approval"], "required");
    assert!(!plan.to_string().contains(site.fixture.server.master_password()));
}

/// A saved plan is for its TLS mode and approval policy; where they are set does not matter.
#[test]
fn changed_protection_makes_a_saved_plan_stale() {
    let site = Site::new();
    let ca_file = site.fixture.server.ca_file().display().to_string();
    let verify = ["--ca-file", &ca_file];
    let run = |words: &[&str], more: &[&str]| {
        let mut command = site.command(&[words, &["--env", "dev"], more].concat());
        command.env("ALLOW_DB_PROVISION", "true");
        command.output().unwrap()
    };
    expect(&run(&["plan", "--out", "plan.json"], &verify), 0);
    let apply = ["apply", "plan.json", "--dry-run"];
    let changed = "the TLS mode, the CA file, the address of the server, the approval policy, the audit table, a check of passwords or access, or the ledger or CSV file of the configuration file has changed";
    let text = expect(&run(&apply, &["--tls", "require"]), 3);
    assert!(text.contains("error[plan-stale]") && text.contains(changed), "{text}");
    for (configuration, code) in [
        ("[environments.dev]\napproval = \"required\"\n", 3),
        ("[access]\nundeclared = \"allow\"\n", 3),
        ("[passwords]\nverify = \"never\"\n", 3),
        ("[passwords]\nminimum_length = 3\n", 3),
        ("[audit]\nledger = \"records/ledger.jsonl\"\n", 3),
        ("[audit]\noutput = \"records/audit.csv\"\n", 3),
        ("[environments.dev]\napproval = \"none\"\n[tls]\nmode = \"verify-full\"\n", 0),
    ] {
        site.configure(configuration);
        let text = expect(&run(&apply, &verify), code);
        assert_eq!(text.contains(changed), code == 3, "{configuration}: {text}");
    }
    // The other way round: the approved plan had a ledger, and stricter checks.
    site.configure(
        "[access]\nundeclared = \"refuse\"\n[audit]\nledger = \"records/ledger.jsonl\"\n",
    );
    expect(&run(&["plan", "--out", "strict.json"], &verify), 0);
    let apply_strict = ["apply", "strict.json", "--dry-run"];
    expect(&run(&apply_strict, &verify), 0);
    // An option decides for itself which ledger a run has.
    expect(&run(&apply_strict, &[&verify[..], &["--audit-ledger", "own.jsonl"]].concat()), 0);
    for configuration in [
        "[access]\nundeclared = \"refuse\"\n",
        "[audit]\nledger = \"records/ledger.jsonl\"\n",
        "[access]\nundeclared = \"refuse\"\n[audit]\nledger = \"records/other.jsonl\"\n",
    ] {
        site.configure(configuration);
        let text = expect(&run(&apply_strict, &verify), 3);
        assert!(text.contains("error[plan-stale]") && text.contains(changed), "{text}");
    }
    site.configure("[environments.dev]\napproval = \"none\"\n");

    // The path of the CA file differs between machines.
    fs::copy(&ca_file, site.fixture.path().join("own.pem")).unwrap();
    expect(&run(&apply, &["--ca-file", "own.pem"]), 0);

    // Its certificates decide which server is believed.
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
    let both = fs::read_to_string(&ca_file).unwrap() + &other;
    fs::write(site.fixture.path().join("own.pem"), both).unwrap();
    let text = expect(&run(&apply, &["--ca-file", "own.pem"]), 3);
    assert!(text.contains("error[plan-stale]") && text.contains(changed), "{text}");

    // Neither value can be edited.
    let path = site.fixture.path().join("plan.json");
    let saved = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"tls_mode\": \"verify-full\"", "\"tls_mode\": \"require\""),
        ("\"approval\": \"none\"", "\"approval\": \"required\""),
        ("\"ca_certificates\": \"sha256:", "\"ca_certificates\": \"sha256:0"),
    ] {
        assert!(saved.contains(from), "{saved}");
        fs::write(&path, saved.replace(from, to)).unwrap();
        let text = expect(&run(&apply, &verify), 3);
        assert!(text.contains("error[plan-file-changed]"), "{text}");
    }
}

/// `rdsprov config` contacts nothing: it shows what a run would use, also without definitions.
#[test]
fn config_shows_each_setting_and_its_source() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("dev.tfvars"), format!("environment = \"dev\"\n{DEFINITIONS}")).unwrap();
    fs::write(
        path("rdsprov.toml"),
        "connect_timeout = \"90s\"\n[definitions]\nfiles = [\"dev.tfvars\"]\n[tls]\nmode = \"require\"\n",
    )
    .unwrap();
    fs::write(
        path("policy.toml"),
        "[environments.dev]\napproval = \"plan\"\nundeclared_access = \"refuse\"\n",
    )
    .unwrap();
    let config = |arguments: &[&str]| {
        let mut command = crate::fixture::program();
        command.current_dir(folder.path()).arg("config").args(arguments);
        command.env("RDSPROV_POLICY", "policy.toml").env("RDSPROV_HOST", "db.example.com");
        command.output().unwrap()
    };
    let arguments = ["--port", "5433", "--audit-ledger", "a.jsonl", "--format", "json"];
    let document: Value = serde_json::from_str(&expect(&config(&arguments), 0)).unwrap();
    assert_valid(Document::Config, &document);
    let settings = document["settings"].as_array().unwrap();
    let of = |name: &str| {
        let mut found = settings.iter().filter(|one| one["name"] == name);
        let one = found.next().unwrap_or_else(|| panic!("{name} is not in {document:#}"));
        assert!(found.next().is_none(), "{name} is in {document:#} twice");
        [&one["value"], &one["source"], &one["location"]].map(|part| part.as_str().unwrap_or("-"))
    };
    for (name, expected) in [
        ("config", ["rdsprov.toml", "default", "-"]),
        ("site policy", ["policy.toml", "variable", "RDSPROV_POLICY"]),
        ("env", ["dev", "definitions", "-"]),
        ("definitions", ["dev.tfvars", "config_file", "rdsprov.toml"]),
        ("host", ["db.example.com", "variable", "RDSPROV_HOST"]),
        ("port", ["5433", "option", "port"]),
        ("dbname", ["-", "secret", "goldenpath/dev/rds/master"]),
        ("tls", ["require", "config_file", "rdsprov.toml"]),
        ("connect-timeout", ["90 s", "config_file", "rdsprov.toml"]),
        ("lock-timeout", ["10 min", "default", "-"]),
        ("environments.dev.approval", ["plan", "site_policy", "policy.toml"]),
        ("access.undeclared", ["refuse", "site_policy", "policy.toml"]),
        ("audit-ledger", ["a.jsonl", "option", "audit-ledger"]),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
    let text = expect(&config(&[]), 0);
    let line = text.lines().find(|line| line.starts_with("--host ")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["--host", "db.example.com", "RDSPROV_HOST"]
    );

    // Without an environment, and with an unknown one, the settings are shown all the same.
    let empty = tempfile::TempDir::new().unwrap();
    let config_in_empty = |arguments: &[&str]| {
        let mut command = crate::fixture::program();
        command.current_dir(empty.path()).arg("config").args(arguments).output().unwrap()
    };
    for (arguments, code, environment, says) in [
        (&[][..], 0, "-", "note: the environment is not known: use --env NAME\n"),
        (&["--env", "prd"], 64, "prd", "error[unknown-environment]: environment `prd` is not"),
    ] {
        let output = config_in_empty(arguments);
        let text = expect(&output, code);
        assert!(text.contains(says), "{text}");
        let shown = String::from_utf8(output.stdout).unwrap();
        let line = |name: &str| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(line("--env "), environment, "{shown}");
        assert_eq!(line("--admin-secret "), "goldenpath/{environment}/rds/master", "{shown}");
        assert_eq!(line("environments.{environment}.approval"), "-", "{shown}");
    }

    // A setting that a run would refuse is refused.
    let refused = expect(&config(&["--ca-file", "ca.pem"]), 64);
    assert!(refused.contains("TLS mode `require` does not verify"), "{refused}");
}
