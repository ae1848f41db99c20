//! Validates the JSON output and files of the command with the schemas that it prints.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::fixture::{Fixture, expect, program};

/// The schemas that `rdsprov schema` prints.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let validator = |document: Document| {
        let mut command = program();
        let output = command.args(["schema", &document.to_string()]).output().unwrap();
        expect(&output, 0);
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        (document.to_string(), jsonschema::validator_for(&schema).unwrap())
    };
    Document::all().map(validator).collect()
});

fn validation_errors(document: Document, value: &Value) -> Vec<String> {
    let errors = SCHEMAS[&document.to_string()].iter_errors(value);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Asserts that a document is valid for its schema.
#[track_caller]
pub fn assert_valid(document: Document, value: &Value) {
    assert_eq!(validation_errors(document, value), Vec::<String>::new(), "{document}: {value:#}");
}

/// The schemas are strict: each of these changes makes a document invalid.
#[test]
fn invalid_documents_are_rejected() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let run = |arguments: &[&str]| {
        let output = fixture.run("teams/standalone.tfvars", arguments);
        expect(&output, 0);
        output.stdout
    };
    let plan = run(&["plan", "--format", "json", "--out", "plan.json"]);
    run(&["apply", "--audit-ledger", "ledger.jsonl"]);
    let read = |name: &str| std::fs::read(fixture.path().join(name)).unwrap();
    let ledger = read("ledger.jsonl");
    let first = ledger.split(|byte| *byte == b'\n').next().unwrap();
    let table: [(Document, &[u8], &str, Value); 10] = [
        (Document::Plan, &plan, "/digest", json!(1)),
        (Document::Plan, &plan, "/transactions/0/steps/0/action", json!("drop_table")),
        (Document::Plan, &plan, "/transactions/0/steps/0/hazards", json!(["harmless"])),
        (Document::Plan, &plan, "/transactions/0/steps/0/statements/0", json!({})),
        (Document::SavedPlan, &read("plan.json"), "/origin/administrator", Value::Null),
        (Document::SavedPlan, &read("plan.json"), "/transactions/0/scope", json!("universe")),
        (Document::Ledger, first, "/event", json!("party")),
        (Document::Ledger, first, "/actor", Value::Null),
        (
            Document::Definitions,
            &run(&["validate", "--format", "json"]),
            "/applications/0/access_level",
            json!("king"),
        ),
        (
            Document::Access,
            &run(&["access", "--format", "json"]),
            "/databases/0/roles/0/status",
            json!("somehow"),
        ),
    ];
    for (document, text, place, other) in table {
        let mut value: Value = serde_json::from_slice(text).unwrap();
        assert_valid(document, &value);
        *value.pointer_mut(place).unwrap() = other;
        assert_ne!(validation_errors(document, &value), Vec::<String>::new(), "{document} {place}");
        // Top-level keys are always present, except these.
        const OPTIONAL: [&str; 3] = ["aws_region", "system_identifier", "definition_digests"];
        let value: Value = serde_json::from_slice(text).unwrap();
        for key in value.as_object().unwrap().keys().filter(|key| !OPTIONAL.contains(&key.as_str()))
        {
            let mut value = value.clone();
            value.as_object_mut().unwrap().remove(key);
            assert_ne!(
                validation_errors(document, &value),
                Vec::<String>::new(),
                "{document} {key}"
            );
        }
    }
}
