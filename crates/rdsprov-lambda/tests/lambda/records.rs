//! Records: in the log, and in objects of S3 that are never replaced.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use rdsprov_testkit::{Bucket, HttpEndpoint, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, definitions, password};

fn event(records: Option<&str>, more: Value) -> Value {
    let mut event = json!({
        "mode": "apply", "environment": "dev", "definitions": definitions(&["shop"]),
    });
    if let Some(records) = records {
        event["records"] = records.into();
    }
    let Value::Object(more) = more else { panic!("not an object") };
    event.as_object_mut().unwrap().extend(more);
    event
}

fn is_created(fixture: &Fixture) -> bool {
    fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'") == "1"
}

#[test]
fn objects_are_never_replaced() {
    let fixture = Fixture::new(versions()[0]);
    let bucket = Bucket::create(&fixture.manager, "records").unwrap();
    let mut function = fixture.function();

    // Without a place for its records, the run is not started.
    let error = function.invoke(&event(Some("s3://absent/dev"), json!({}))).unwrap_err();
    assert_eq!(error["errorType"], "audit-file-unwritable", "{error:#}");
    assert!(!is_created(&fixture));

    let nightly = event(Some("s3://records/dev/"), json!({"run_id": "night 1", "build_id": "b7"}));
    let result = function.invoke(&nightly).unwrap();
    assert_eq!(result["outcome"], "applied", "{result:#}");
    assert_eq!(result["records_object"], "s3://records/dev/night_1/invocation-2.csv");
    let first = bucket.get("dev/night_1/invocation-2.csv").unwrap();
    let records = result["records"].as_array().unwrap();
    assert_eq!(first.lines().count(), records.len() + 1, "{first}");
    assert!(first.starts_with("timestamp_utc,environment,") && first.contains(",create_role,"));
    assert!(!first.lines().next().unwrap().contains("instance"), "{first}");
    let started = bucket.get("dev/night_1/invocation-2.started.json").unwrap();
    let started: Value = serde_json::from_str(&started).unwrap();
    assert_eq!((&started["run_id"], &started["build_id"]), (&json!("night 1"), &json!("b7")));
    assert_eq!((&started["function"], &started["environment"]), (&json!("rdsprov"), &json!("dev")));
    // The log has each row.
    assert_eq!(function.logged_records(), *records);

    // The same event: the records of the first invocation are kept.
    assert_eq!(function.invoke(&nightly).unwrap()["outcome"], "no_change");
    // Lambda repeats an invocation with the same request id.
    let mut repeated = fixture.function();
    repeated.invoke(&event(None, json!({}))).unwrap();
    let result = repeated.invoke(&nightly).unwrap();
    assert_eq!(result["records_object"], "s3://records/dev/night_1/invocation-2-2.csv");
    assert_eq!(bucket.get("dev/night_1/invocation-2.csv").unwrap(), first);
    let names = ["invocation-2", "invocation-3", "invocation-2-2"];
    let mut expected: Vec<String> = names
        .iter()
        .flat_map(|name| [".csv", ".started.json"].map(|end| format!("dev/night_1/{name}{end}")))
        .collect();
    expected.sort();
    assert_eq!(bucket.keys("dev/").unwrap(), expected);

    // A run id that is not part of a name of an object.
    let wrong = event(Some("s3://records/dev"), json!({"run_id": ".."}));
    let error = function.invoke(&wrong).unwrap_err();
    assert_eq!(error["errorType"], "wrong-usage", "{error:#}");
}

/// S3 that accepts no CSV file, or loses the response to the first one.
fn failing_s3(loses_response: bool) -> (HttpEndpoint, Arc<Mutex<BTreeMap<String, String>>>) {
    let objects = Arc::new(Mutex::new(BTreeMap::<String, String>::new()));
    let stored = Arc::clone(&objects);
    let endpoint = HttpEndpoint::start(move |request| {
        let path = request.line.split([' ', '?']).nth(1).unwrap().to_owned();
        assert_eq!(request.header("if-none-match"), Some("*"), "{path}");
        let error = |status, code: &str| (status, format!("<Error><Code>{code}</Code></Error>"));
        let mut stored = stored.lock().unwrap();
        match path.ends_with(".csv") {
            true if !loses_response => return error(403, "AccessDenied"),
            _ if stored.contains_key(&path) => return error(412, "PreconditionFailed"),
            _ => {}
        }
        let is_lost = path.ends_with(".csv") && !stored.keys().any(|path| path.ends_with(".csv"));
        stored.insert(path, request.body.clone());
        if is_lost { error(500, "InternalError") } else { (200, String::new()) }
    });
    (endpoint.unwrap(), objects)
}

#[test]
fn records_that_cannot_be_delivered_are_in_the_outcome_and_in_the_log() {
    let fixture = Fixture::new(versions()[0]);
    let (endpoint, _) = failing_s3(false);
    let mut environment = fixture.manager.environment();
    environment.push(("AWS_ENDPOINT_URL_S3", endpoint.url()));
    let mut function = fixture.function_with(&environment);
    let records = Some("s3://records/dev");
    let result =
        function.invoke(&event(records, json!({"on_error": "return", "format": "none"}))).unwrap();
    assert_eq!((&result["outcome"], &result["exit_code"]), (&json!("failed"), &json!(4)));
    assert_eq!(result["errors"][0]["code"], "audit-file-unwritable", "{result:#}");
    assert_eq!(result.get("records_object"), None);
    assert!(is_created(&fixture));
    let log = function.new_log();
    assert!(log.contains("\"level\":\"ERROR\"") && log.contains("AccessDenied"), "{log}");
    assert!(log.contains(r#""action":"create_role""#), "{log}");
    // A failure of the run comes first.
    let mut wrong = event(records, json!({"on_error": "return"}));
    wrong["admin_secret"] = "absent".into();
    let result = function.invoke(&wrong).unwrap();
    let codes: Vec<&Value> =
        result["errors"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["secret-not-found", "audit-file-unwritable"], "{result:#}");
    assert_eq!(result["exit_code"], 1);
}

#[test]
fn object_whose_creation_is_not_known_gets_another_name() {
    let fixture = Fixture::new(versions()[0]);
    let (endpoint, objects) = failing_s3(true);
    let mut environment = fixture.manager.environment();
    environment.push(("AWS_ENDPOINT_URL_S3", endpoint.url()));
    let mut function = fixture.function_with(&environment);
    let result = function.invoke(&event(Some("s3://records/dev"), json!({}))).unwrap();
    let name = "/dev/invocation-1/invocation-1-2.csv";
    assert_eq!(result["records_object"], format!("s3://records{name}"), "{result:#}");
    let objects = objects.lock().unwrap();
    let first = &objects["/records/dev/invocation-1/invocation-1.csv"];
    assert_eq!(&objects[&format!("/records{name}")], first);
}

#[test]
fn log_that_cannot_be_written_is_an_error_of_the_outcome() {
    let fixture = Fixture::new(versions()[0]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut function = fixture.start(&fixture.manager.environment(), Some(full));
    let returned = event(None, json!({"on_error": "return"}));
    let result = function.invoke(&returned).unwrap();
    assert_eq!((&result["outcome"], &result["exit_code"]), (&json!("failed"), &json!(4)));
    assert_eq!(result["errors"][0]["code"], "output-incomplete", "{result:#}");
    // The changes are made, and the result contains their records.
    assert!(fixture.logs_in("shop_owner", &password("shop"), "shop"));
    assert!(result["records"].to_string().contains("create_role"));
}
