//! An invocation that ends before the run.

use std::time::Duration;

use rdsprov_testkit::versions;
use serde_json::json;

use crate::fixture::{Fixture, definitions, password};

/// The time until a run is stopped that waits for a lock, and the reserve before the deadline.
const TIME: Duration = Duration::from_secs(14);
const RESERVE: u64 = 4;

#[test]
fn run_that_is_out_of_time_is_completed_by_the_next_invocation() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let mut function = fixture.function();
        let mut event = json!({
            "mode": "apply", "environment": "dev", "definitions": definitions(&["shop"]),
            "reserve_seconds": RESERVE,
        });
        assert_eq!(function.invoke(&event).unwrap()["outcome"], "applied");

        // The role is created. Its privileges wait for a transaction that changes the same schema.
        event["definitions"] = definitions(&["shop", "reports"]);
        let mut other = fixture.server.superuser_session("shop").unwrap();
        other.ask("BEGIN; GRANT USAGE ON SCHEMA public TO pg_monitor").unwrap();
        event["on_error"] = "return".into();
        let stopped = function.invoke_within(&event, TIME).unwrap();
        assert_eq!(stopped["outcome"], "out_of_time", "{stopped:#}");
        assert_eq!(stopped["exit_code"], 4, "{stopped:#}");
        let count = |name: &str| stopped["counts"][name].as_u64().unwrap();
        assert!(count("applied") > 0 && count("left") > 0, "{stopped:#}");
        assert_eq!(count("applied") + count("left"), count("steps"));
        let error = &stopped["errors"][0];
        assert_eq!(error["code"], "interrupted");
        assert_eq!(error["hints"][0], "run again to apply the remaining changes");
        let records = stopped["records"].to_string();
        assert!(records.contains("not_run") || records.contains("error"), "{records}");
        assert_eq!(function.metrics()["Left"], count("left"));

        other.ask("ROLLBACK").unwrap();
        let completed = function.invoke(&event).unwrap();
        assert_eq!(completed["outcome"], "applied", "{completed:#}");
        assert_eq!(completed["counts"]["left"], 0);
        assert!(fixture.logs_in("reports_reader", &password("reports"), "shop"));
        assert_eq!(function.invoke(&event).unwrap()["outcome"], "no_change");
    }
}

#[test]
fn invocation_without_time_changes_nothing() {
    let fixture = Fixture::new(versions()[0]);
    let mut function = fixture.function();
    for mode in ["plan", "apply"] {
        let event =
            json!({"mode": mode, "environment": "dev", "definitions": definitions(&["shop"])});
        // The default reserve is longer.
        let error = function.invoke_within(&event, Duration::from_secs(10)).unwrap_err();
        assert_eq!(error["errorType"], "interrupted");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(message.contains("the time of the run is over; nothing was changed"), "{message}");
        assert!(message.contains("give the run more time"), "{message}");
    }
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'shop%'"), "0");
}
