//! What a reader sees: the text of plans, questions, results and records on stdout.

use std::process::Command;

use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, on_terminal};
use crate::schema::assert_valid;

const SHOP: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

const HEADER: &str = "timestamp_utc,environment,";

fn dev(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> Command {
    let mut command = fixture.command(definitions, arguments);
    command.args(["--env", "dev"]);
    command
}

#[test]
fn plan_is_grouped_and_counted() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, SHOP);
        let run = |arguments: &[&str], code| {
            expect(&dev(&fixture, &definitions, arguments).output().unwrap(), code)
        };
        let text = run(&["plan"], 0);
        let port = fixture.server.port();
        for line in [
            &format!("  PostgreSQL {major}, as platform_admin in database "),
            "application shop: role shop_owner, owner of database shop\n  + create role shop_owner: ",
            "\n  + create database shop, owner shop_owner (",
            "application shop_reports: role shop_reader, reader of database shop\n",
            &format!(" to add, 0 to change, 0 to revoke on localhost:{port} (dev). sha256:"),
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("closed to PUBLIC") && !text.contains("GRANT"), "{text}");
        let verbose = run(&["plan", "-v"], 0);
        for words in [
            "create database shop, closed to PUBLIC\n",
            "GRANT CONNECT ON DATABASE",
            "reading 3 secrets",
        ] {
            assert!(verbose.contains(words), "{words}: {verbose}");
        }
        assert!(!verbose.contains("reading 0 "), "{verbose}");

        let applied = run(&["apply", "--audit-ledger", "ledger.jsonl"], 0);
        let done = format!(" on localhost:{port} (dev): ");
        assert!(applied.contains(&done) && applied.contains(" added, 0 changed"), "{applied}");
        fixture.query("GRANT TEMPORARY ON DATABASE shop TO shop_reader");
        let text = run(&["plan"], 0);
        let revoked = "  - revoke TEMPORARY on database shop from shop_reader   [revokes_access]\n\n\
            Hazards: revokes_access (1 step)\n\nPlan: 0 to add, 0 to change, 1 to revoke on ";
        assert!(text.contains(revoked), "{text}");
        let config = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let text = run(&["plan"], 0);
        let hint = "  hint: to apply this plan, add --allow revokes_access\n";
        assert!(text.contains(hint), "{text}");
        let quiet = dev(&fixture, &definitions, &["apply", "-q"]).output().unwrap();
        let text = expect(&quiet, 3);
        let errors = String::from_utf8(quiet.stderr).unwrap();
        assert!(errors.starts_with("error[approval-missing]"), "{text}");
        // The command that the error names has the options of the user, the approval and the hazard.
        let command = errors.lines().find_map(|line| line.strip_prefix("  $ "));
        let command = command.unwrap_or_else(|| panic!("{errors}"));
        assert!(command.starts_with("ALLOW_DB_PROVISION=sha256:"), "{command}");
        assert!(command.ends_with("--env dev --allow revokes_access"), "{command}");
        expect(&fixture.shell(command), 0);
        run(&["check"], 0);
    }
}

/// The result of a run is its last line, also if nothing else is printed.
#[test]
fn quiet_run_prints_its_result() {
    let (fixture, definitions) = Fixture::shop(versions()[0], SHOP);
    let records = ["--audit-output", "records.csv"];
    let quiet = |arguments: &[&str]| {
        let output = dev(&fixture, &definitions, &[arguments, &records, &["-q"]].concat()).output();
        let output = output.unwrap();
        expect(&output, 0);
        assert_eq!(output.stdout, b"", "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let text = quiet(&["apply"]);
    assert!(text.starts_with("Applied ") && text.lines().count() == 1, "{text}");
    assert!(text.contains(" added, 0 changed, 0 revoked."), "{text}");
    assert_eq!(quiet(&["apply"]), "");
    let none = SHOP.replace("\"reader\"", "\"none\"");
    fixture.definitions(&none);
    let text = quiet(&["retire", "shop_reports"]);
    assert!(text.starts_with("Applied ") && text.lines().count() == 1, "{text}");
}

#[test]
fn question_names_the_server_and_can_be_interrupted() {
    let (fixture, definitions) = Fixture::shop(versions()[0], SHOP);
    let catalog_state = fixture.catalog_state();
    let apply = dev(&fixture, &definitions, &["apply", "--audit-ledger", "ledger.jsonl"]);
    // The terminal turns the character into SIGINT.
    let output = on_terminal(&apply, "\x03");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    let port = fixture.server.port();
    let question = format!("Apply this plan on localhost:{port} (dev): ");
    assert!(
        text.contains(&question) && text.contains(" to add, 0 to change, 0 to revoke?"),
        "{text}"
    );
    assert!(text.contains("stopped by a signal") && !text.contains(HEADER), "{text}");
    let error = text.lines().find(|line| line.contains("stopped by a signal")).unwrap();
    assert!(!error.contains("to confirm"), "{text}");
    assert_eq!(fixture.catalog_state(), catalog_state);
    let output = on_terminal(&apply, "yes\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("\u{1b}[") && text.contains("Applied "), "{text}");
    let plain = on_terminal(dev(&fixture, &definitions, &["plan"]).env("NO_COLOR", "1"), "");
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(text.contains("Nothing to do") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn json_result_is_one_document() {
    let (fixture, definitions) = Fixture::shop(versions()[0], SHOP);
    let document = |command: &mut Command, code: i32| -> Value {
        let output = command.args(["--format", "json"]).output().unwrap();
        expect(&output, code);
        let document = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(Document::Run, &document);
        assert_eq!(document["exit_code"], code);
        document
    };
    let apply =
        |arguments: &[&str]| fixture.command(&definitions, &[&["apply"], arguments].concat());
    let refused = document(&mut apply(&["--env", "prod"]), 3);
    assert_eq!(refused["status"], "refused");
    assert_eq!(refused["errors"][0]["code"], "approval-missing");
    assert_eq!(refused["digest"], refused["plan"]["digest"]);
    let applied = document(&mut apply(&["--env", "dev"]), 0);
    assert_eq!((&applied["status"], &applied["command"]), (&"applied".into(), &"apply".into()));
    assert_eq!(applied["planned"]["add"], applied["committed"]);
    assert_eq!(applied["records"][0]["action"], "intent");
    assert_eq!(document(&mut apply(&["--env", "dev"]), 0)["status"], "no_change");
    std::fs::write(fixture.path().join("broken.toml"), "x").unwrap();
    let invalid = document(&mut apply(&["--env", "dev", "--config", "broken.toml"]), 64);
    assert_eq!(invalid["status"], "invalid");
    assert!(invalid["errors"][0]["code"].is_string());
    let unknown = document(&mut apply(&["--env", "dev", "--nope"]), 64);
    assert_eq!(unknown["errors"][0]["code"], "wrong-usage");
    assert_eq!(unknown["errors"][0]["message"], "unexpected argument '--nope' found");
    let mut unnamed = fixture.without_definitions(&["retire", "--env", "dev"]);
    assert_eq!(document(&mut unnamed, 64)["command"], "retire");
    // The mistake is the file, and not that no definitions are named.
    let mut missing = fixture.without_definitions(&["apply", "nofile.json", "--env", "dev"]);
    let missing = document(&mut missing, 64);
    let message = missing["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("nofile.json"), "{missing}");
    let both = apply(&["--env", "dev", "--format", "json", "--audit-stdout", "always"]).output();
    expect(&both.unwrap(), 64);
}

#[test]
fn records_go_to_stdout_only_if_nothing_else_takes_them() {
    let (fixture, definitions) = Fixture::shop(versions()[0], SHOP);
    let config = "[audit]\noutput = \"configured.csv\"\n";
    std::fs::write(fixture.path().join("other.toml"), config).unwrap();
    for (arguments, is_printed) in [
        (&[][..], true),
        (&["--audit-output", "a.csv"], false),
        (&["--config", "other.toml"], false),
        (&["--audit-output", "a.csv", "--audit-stdout", "always"], true),
        (&["--audit-stdout", "never"], false),
    ] {
        let apply = [&["apply", "--dry-run"], arguments].concat();
        let output = dev(&fixture, &definitions, &apply).output().unwrap();
        expect(&output, 0);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout.starts_with(HEADER), is_printed, "{arguments:?}: {stdout}");
        assert_eq!(stdout.is_empty(), !is_printed, "{arguments:?}: {stdout}");
    }
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let (fixture, definitions) = Fixture::shop(versions()[0], SHOP);
    fixture.query("CREATE ROLE shop_owner LOGIN");
    let mut plan = dev(&fixture, &definitions, &["plan", "--format", "github"]);
    let output = plan.env("GITHUB_STEP_SUMMARY", "summary.md").output().unwrap();
    let text = expect(&output, 3);
    let refused = "::error title=refused[role-not-managed]::shop: role shop_owner ";
    assert!(text.starts_with(refused) && text.contains("%0Ahint: "), "{text}");
    assert!(text.contains("\n::notice title=rdsprov::Refused for 1 reason"), "{text}");
    let summary = std::fs::read_to_string(fixture.path().join("summary.md")).unwrap();
    assert!(summary.starts_with("### Plan for environment dev on "), "{summary}");
    let apply = dev(&fixture, &definitions, &["apply", "--format", "github"]).output().unwrap();
    expect(&apply, 64);
}

#[test]
fn metrics_tell_drift_and_the_last_success() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, SHOP);
        let file = fixture.path().join("dev.prom");
        let run = |arguments: &[&str], code| {
            let mut command = dev(&fixture, &definitions, arguments);
            expect(&command.arg("--metrics-file").arg(&file).output().unwrap(), code);
            std::fs::read_to_string(&file).unwrap()
        };
        let value = |text: &str, start: &str| {
            let line = text.lines().find(|line| line.starts_with(start));
            let line = line.unwrap_or_else(|| panic!("{start}: {text}"));
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        };
        let success = "rdsprov_last_success_timestamp_seconds{";
        let text = run(&["check"], 2);
        assert!(!text.contains(success), "{text}");
        assert!(value(&text, "rdsprov_pending_steps{") > 0.0, "{text}");
        let text = run(&["apply"], 0);
        let server = format!(
            "environment=\"dev\",scope=\"\",server=\"localhost:{}\"",
            fixture.server.port()
        );
        assert!(text.contains(&server) && text.contains("status=\"applied\"} 1"), "{text}");
        assert!(value(&text, "rdsprov_changes{action=\"create_role\"") > 1.0, "{text}");
        assert!(!text.contains("action=\"apply\""), "{text}");
        assert_eq!(value(&text, "rdsprov_pending_steps{"), 0.0, "{text}");
        let before = value(&text, success);
        fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT 3");
        let text = run(&["check"], 2);
        assert_eq!(value(&text, "rdsprov_pending_steps{"), 1.0, "{text}");
        assert_eq!(value(&text, success), before, "{text}");
        // The node exporter would not read the file.
        let other = fixture.path().join("dev.txt");
        let command =
            dev(&fixture, &definitions, &["check"]).arg("--metrics-file").arg(&other).output();
        let text = expect(&command.unwrap(), 64);
        assert!(text.contains("its name must end in `.prom`") && !other.exists(), "{text}");
        // Without a plan, the drift is not known.
        let text = run(&["check", "--port", "1", "--connect-timeout", "1"], 1);
        assert!(!text.contains("rdsprov_pending_steps"), "{text}");
        assert!(text.contains("status=\"failed\"} 1"), "{text}");
        assert_eq!(value(&text, success), before, "{text}");
        assert!(text.contains(&server), "{text}");
        // A new file has the environment that only the definitions name.
        std::fs::remove_file(&file).unwrap();
        let named = std::fs::read_to_string(&definitions).unwrap();
        let named = fixture.definitions(&format!("environment = \"dev\"\n{named}"));
        let unreachable = ["check", "--port", "1", "--connect-timeout", "1"];
        let mut command = fixture.command(&named, &unreachable);
        expect(&command.arg("--metrics-file").arg(&file).output().unwrap(), 1);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("environment=\"dev\",scope=\"\",server=\"\"} "), "{text}");
        // The collector runs as another user.
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o644);
    }
}
