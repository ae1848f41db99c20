//! Writes the metrics of an operation to stdout in the embedded metric format of CloudWatch.

use std::time::Duration;

use rdsprov_core::Timestamp;
use rdsprov_core::session::ExitCode;
use serde_json::{Value, json};

use crate::result::RunResult;

const NAMESPACE: &str = "rdsprov";

/// The metrics and their units.
const METRICS: [(&str, &str); 8] = [
    ("Steps", "Count"),
    ("Applied", "Count"),
    ("Left", "Count"),
    ("Refusals", "Count"),
    ("Drift", "Count"),
    ("Failed", "Count"),
    ("Refused", "Count"),
    ("Duration", "Milliseconds"),
];

/// Returns the metrics of an operation as one line.
pub(crate) fn line(result: &RunResult, duration: Duration) -> String {
    let is =
        |codes: &[ExitCode]| u8::from(codes.iter().any(|code| code.number() == result.exit_code));
    let metrics: Vec<Value> =
        METRICS.iter().map(|(name, unit)| json!({"Name": name, "Unit": unit})).collect();
    json!({
        "_aws": {
            "Timestamp": Timestamp::now().as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Environment", "Mode"]],
                "Metrics": metrics,
            }],
        },
        "Environment": result.environment,
        "Mode": result.mode,
        "Steps": result.counts.steps,
        "Applied": result.counts.applied,
        "Left": result.counts.left,
        "Refusals": result.counts.refusals,
        "Drift": is(&[ExitCode::Pending]),
        "Failed": is(&[ExitCode::Failed, ExitCode::Partial, ExitCode::Usage]),
        "Refused": is(&[ExitCode::Refused]),
        "Duration": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "instance": result.instance,
        "run_id": result.run_id,
        "digest": result.digest,
        "exit_code": result.exit_code,
    })
    .to_string()
}
