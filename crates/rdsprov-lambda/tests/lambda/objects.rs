//! Definitions and records in S3.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rdsprov_testkit::{HttpEndpoint, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, definitions};

/// The objects of a bucket service, by their paths: `/bucket/key`.
type Objects = Arc<Mutex<BTreeMap<String, String>>>;

/// Serves objects. Those below `/denied/` can be neither read nor written.
fn serve(objects: &Objects) -> HttpEndpoint {
    let objects = Arc::clone(objects);
    HttpEndpoint::start(move |request| {
        let mut words = request.line.split(' ');
        let (method, url) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = url.split_once('?').unwrap();
        assert!(query.contains("X-Amz-Signature="), "{query}");
        let error = |status, code: &str| (status, format!("<Error><Code>{code}</Code></Error>"));
        let mut objects = objects.lock().unwrap();
        match (method, objects.get(path)) {
            _ if path.starts_with("/denied/") => error(403, "AccessDenied"),
            ("PUT", _) => {
                objects.insert(path.to_owned(), request.body.clone());
                (200, String::new())
            }
            (_, Some(text)) => {
                let range = request.header("range").unwrap();
                let last = range.strip_prefix("bytes=0-").unwrap().parse::<usize>().unwrap();
                (206, text.chars().take(last + 1).collect())
            }
            (_, None) => error(404, "NoSuchKey"),
        }
    })
    .unwrap()
}

#[test]
fn definitions_are_read_and_records_are_written() {
    let fixture = Fixture::new(versions()[0]);
    let objects = Objects::default();
    let endpoint = serve(&objects);
    let mut environment = fixture.manager.environment();
    environment.push(("AWS_ENDPOINT_URL_S3", endpoint.url()));
    let mut function = fixture.function_with(&environment);
    let put = |path: &str, text: &str| {
        objects.lock().unwrap().insert(path.to_owned(), text.to_owned());
    };
    put("/bucket/dev/a%20b.json", &definitions(&["shop"]).to_string());
    put("/bucket/large.json", &" ".repeat(17 << 20));
    put("/bucket/text.txt", "");

    let event = |mode: &str, definitions: &str, records: Option<&str>| {
        let mut event = json!({"mode": mode, "environment": "dev", "definitions": definitions});
        if let Some(records) = records {
            event["records"] = records.into();
        }
        event
    };
    for (definitions, reason) in [
        ("s3://bucket/absent.json", "NoSuchKey"),
        ("s3://denied/a.json", "AccessDenied"),
        ("s3://bucket/large.json", "it is larger than 16777216 bytes"),
        ("s3://bucket/text.txt", "its key does not end in"),
    ] {
        let error = function.invoke(&event("plan", definitions, None)).unwrap_err();
        assert_eq!(error["errorType"], "file-unreadable", "{error:#}");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(message.contains(reason) && message.contains(definitions), "{message}");
    }

    // Without a place for its records, the run is not started.
    let definitions = "s3://bucket/dev/a b.json";
    let denied = event("apply", definitions, Some("s3://denied/records.csv"));
    let error = function.invoke(&denied).unwrap_err();
    assert_eq!(error["errorType"], "audit-file-unwritable", "{error:#}");
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'"), "0");

    let records = "s3://bucket/records/1.csv";
    let result = function.invoke(&event("apply", definitions, Some(records))).unwrap();
    assert_eq!(result["outcome"], "applied", "{result:#}");
    assert_eq!(result["records_object"], records);
    let csv = objects.lock().unwrap()["/bucket/records/1.csv"].clone();
    let rows = result["records"].as_array().map(Vec::len).unwrap();
    assert_eq!(csv.lines().count(), rows + 1, "{csv}");
    assert!(csv.starts_with("timestamp_utc,environment,"), "{csv}");
    let is_created = |one: &Value| one["action"] == "create_role";
    assert!(result["records"].as_array().unwrap().iter().any(is_created));
}
