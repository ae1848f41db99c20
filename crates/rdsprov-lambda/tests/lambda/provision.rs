//! The operations of the command.

use std::time::Duration;

use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::fixture::{Fixture, definitions, password};

fn event(mode: &str, more: Value) -> Value {
    let mut event = json!({
        "mode": mode, "environment": "dev", "definitions": definitions(&["shop", "reports"]),
    });
    let Value::Object(more) = more else { panic!("not an object") };
    event.as_object_mut().unwrap().extend(more);
    event
}

#[track_caller]
fn ended(result: Result<Value, Value>, outcome: &str, exit: u8) -> Value {
    let result = result.unwrap();
    assert_eq!(result["outcome"], outcome, "{result:#}");
    assert_eq!(result["exit_code"], exit, "{result:#}");
    result
}

/// Returns the message of a function error with this type.
#[track_caller]
fn raised(result: Result<Value, Value>, code: &str) -> String {
    let error = result.unwrap_err();
    assert_eq!(error["errorType"], code, "{error:#}");
    error["errorMessage"].as_str().unwrap().to_owned()
}

#[test]
fn plan_apply_and_check() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let mut function = fixture.function();
        let planned = ended(function.invoke(&event("plan", json!({}))), "planned", 0);
        assert_eq!(planned["server"], format!("localhost:{}", fixture.server.port()));
        assert!(
            planned["summary"].as_str().unwrap().contains(" to add, 0 to change, 0 to revoke on ")
        );
        assert_eq!(planned["digest"], planned["plan"]["digest"]);
        assert_eq!(planned["counts"]["applied"], 0);
        assert!(!fixture.logs_in("shop_owner", &password("shop"), "shop"));

        let more = json!({"build_id": "b7", "format": "none"});
        let applied = ended(function.invoke(&event("apply", more)), "applied", 0);
        assert_eq!(applied["digest"], planned["digest"]);
        assert_eq!(applied["counts"]["steps"], planned["counts"]["steps"]);
        assert_eq!(applied["counts"]["left"], 0);
        assert_eq!(applied.get("plan"), None);
        // The ids of records and invocation are the same.
        let records = applied["records"].as_array().unwrap();
        assert_eq!(applied["run_id"], "invocation-2");
        assert!(
            records.iter().all(|one| one["run_id"] == "invocation-2" && one["build_id"] == "b7")
        );
        assert!(records.iter().any(|one| one["action"] == "create_role"), "{records:?}");
        assert!(fixture.logs_in("shop_owner", &password("shop"), "shop"));
        let metrics = function.metrics();
        assert_eq!(metrics["Applied"], applied["counts"]["steps"]);
        assert_eq!((&metrics["Failed"], &metrics["Mode"]), (&json!(0), &json!("apply")));

        let again = ended(function.invoke(&event("apply", json!({}))), "no_change", 0);
        assert_eq!(again["counts"]["steps"], 0);
        ended(function.invoke(&event("check", json!({}))), "as_declared", 0);

        fixture
            .server
            .superuser("shop", "REVOKE USAGE ON SCHEMA public FROM reports_reader")
            .unwrap();
        let drift =
            ended(function.invoke(&event("check", json!({"format": "text"}))), "differs", 2);
        assert!(drift["plan"].as_str().unwrap().contains("reports_reader"), "{drift:#}");
        assert_eq!(function.metrics()["Drift"], 1);
        ended(function.invoke(&event("apply", json!({"dry_run": true}))), "dry_run", 0);
        // What takes access away stays pending.
        fixture
            .server
            .superuser("shop", "GRANT CREATE ON SCHEMA public TO reports_reader")
            .unwrap();
        let more = json!({"additive": true, "format": "none"});
        ended(function.invoke(&event("apply", more)), "applied", 0);
        let drift =
            ended(function.invoke(&event("check", json!({"format": "text"}))), "differs", 2);
        assert_eq!(drift["counts"]["steps"], 1, "{drift:#}");
        ended(function.invoke(&event("apply", json!({}))), "applied", 0);
        ended(function.invoke(&event("check", json!({}))), "as_declared", 0);

        let more = json!({"database": "shop"});
        let report = ended(function.invoke(&event("access", more)), "reported", 0);
        let roles = report["access"]["databases"][0]["roles"].to_string();
        assert!(roles.contains("reports_reader"), "{report:#}");
        let more = json!({"database": "absent"});
        raised(function.invoke(&event("access", more)), "unknown-database");
    }
}

#[test]
fn refused_plan_changes_nothing() {
    let fixture = Fixture::new(versions()[0]);
    fixture.query("CREATE ROLE shop_owner LOGIN");
    let mut function = fixture.function();
    for mode in ["plan", "check", "apply"] {
        let message = raised(function.invoke(&event(mode, json!({}))), "plan-refused");
        assert!(message.contains("role-not-managed"), "{message}");
        // The log contains the result of a function error.
        assert!(function.new_log().contains("\"exit_code\":3"));
        let more = json!({"on_error": "return"});
        let result = ended(function.invoke(&event(mode, more)), "refused", 3);
        assert_eq!(result["counts"]["refusals"], 1, "{result:#}");
        assert_eq!(result["errors"][0]["code"], "plan-refused");
        assert_eq!(function.metrics()["Refused"], 1);
    }
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'reports%'"), "0");
}

#[test]
fn approval_is_required_as_for_the_command() {
    let fixture = Fixture::new(versions()[0]);
    let mut function = fixture.function();
    let prod = |mode: &str, more: Value| {
        let mut event = event(mode, json!({"environment": "prod"}));
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let message = raised(function.invoke(&prod("apply", json!({}))), "approval-missing");
    assert!(message.contains("`\"approval\": "), "{message}");
    let wrong = json!({"approval": format!("sha256:{}", "0".repeat(64)), "on_error": "return"});
    let stale = ended(function.invoke(&prod("apply", wrong)), "refused", 3);
    assert_eq!(stale["errors"][0]["code"], "plan-stale");
    assert!(!fixture.logs_in("shop_owner", &password("shop"), "shop"));
    let planned = ended(function.invoke(&prod("plan", json!({}))), "planned", 0);
    let approved = json!({"approval": planned["digest"]});
    ended(function.invoke(&prod("apply", approved)), "applied", 0);
    assert!(fixture.logs_in("shop_owner", &password("shop"), "shop"));
}

#[test]
fn invalid_events_are_function_errors() {
    let fixture = Fixture::new(versions()[0]);
    let mut function = fixture.function();
    for (more, code, reason) in [
        (json!({"enviroment": "dev"}), "wrong-usage", "unknown field `enviroment`"),
        (json!({"environment": "nowhere"}), "unknown-environment", "nowhere"),
        (json!({"environment": null}), "no-environment", "the key `environment` of the event"),
        (
            json!({"definitions": {"application_databases": {"a": {}}}}),
            "invalid-definitions",
            "database_name",
        ),
        (json!({"definitions": "absent.tfvars"}), "file-unreadable", "absent.tfvars"),
        (json!({"definitions": "/etc/passwd.json"}), "file-outside", "/etc/passwd.json"),
        (json!({"definitions": "../x.tfvars"}), "file-outside", "../x.tfvars"),
        (json!({"only": ["absent"]}), "unknown-application", "absent"),
        (json!({"admin_secret": "absent"}), "secret-not-found", "absent"),
    ] {
        let message = raised(function.invoke(&event("plan", more)), code);
        assert!(message.contains(reason), "{code}: {message}");
    }
    let twice = r#"{"mode": "plan", "mode": "apply"}"#;
    let message = raised(function.invoke_text(twice, Duration::from_secs(60)), "wrong-usage");
    assert!(message.contains("the key `mode` is given twice"), "{message}");
    let invoke = |text: String| (text, Duration::from_secs(60));
    let (nested, time) = invoke(format!("{}{}", "[".repeat(5000), "]".repeat(5000)));
    let message = raised(function.invoke_text(&nested, time), "wrong-usage");
    assert!(message.contains("recursion limit"), "{message}");
    let (long, time) = invoke(format!(r#"{{"mode": "plan", "{}": 1}}"#, "a".repeat(100_000)));
    let message = raised(function.invoke_text(&long, time), "wrong-usage");
    assert!(message.contains("unknown field") && message.len() < 10_000, "{}", message.len());
    // The function still works.
    ended(function.invoke(&event("plan", json!({}))), "planned", 0);
}

#[test]
fn packaged_definitions_are_read() {
    let fixture = Fixture::new(versions()[0]);
    let text = r#"
        environment = "dev"
        application_databases = {
          shop = { database_name = "shop", username = "shop_owner" }
        }"#;
    std::fs::write(fixture.package.path().join("dev.tfvars"), text).unwrap();
    let mut function = fixture.function();
    let packaged = json!({"mode": "plan", "definitions": "dev.tfvars"});
    let of_package = ended(function.invoke(&packaged), "planned", 0);
    let inline = json!({"mode": "plan", "definitions": {"text": text, "syntax": "hcl"}});
    let of_event = ended(function.invoke(&inline), "planned", 0);
    assert_eq!(of_package["digest"], of_event["digest"]);
    raised(function.invoke(&json!({"mode": "plan"})), "no-definitions");
}

/// Names of objects are written by their owners: the response and the log contain no hidden character.
#[test]
fn hidden_characters_are_escaped() {
    let fixture = Fixture::new(versions()[0]);
    let mut function = fixture.function();
    ended(function.invoke(&event("apply", json!({}))), "applied", 0);
    let name = "e\u{202e}gpj\u{2028}";
    let grant = format!(
        "CREATE SCHEMA \"{name}\"; CREATE TABLE public.\"{name}\" (a int);
         GRANT INSERT ON public.\"{name}\" TO reports_reader"
    );
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", &grant).unwrap();
    fixture.query(&format!("CREATE DATABASE \"{name}\" OWNER shop_owner"));
    let found = ended(function.invoke(&event("check", json!({}))), "differs", 2);
    assert!(found["plan"].to_string().contains(name), "{found:#}");
    for text in [function.text().to_owned(), function.new_log()] {
        assert!(text.contains("e\\u202egpj\\u2028"), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text}");
    }
}
