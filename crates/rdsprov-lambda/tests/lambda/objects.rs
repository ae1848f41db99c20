//! Definitions in S3.

use rdsprov_testkit::{Bucket, versions};
use serde_json::json;

use crate::fixture::{Fixture, definitions};

#[test]
fn definitions_are_read() {
    let fixture = Fixture::new(versions()[0]);
    let bucket = Bucket::create(&fixture.manager, "platform").unwrap();
    let mut function = fixture.function();
    bucket.put("dev/a%20b.json", &definitions(&["shop"]).to_string()).unwrap();
    bucket.put("large.json", &" ".repeat(17 << 20)).unwrap();
    bucket.put("text.txt", "").unwrap();

    let event = |definitions: &str| json!({"mode": "plan", "environment": "dev", "definitions": definitions});
    for (definitions, reason) in [
        ("s3://platform/absent.json", "NoSuchKey"),
        ("s3://absent/a.json", "NoSuchBucket"),
        ("s3://platform/large.json", "it is larger than 16777216 bytes"),
        ("s3://platform/text.txt", "its key does not end in"),
    ] {
        let error = function.invoke(&event(definitions)).unwrap_err();
        assert_eq!(error["errorType"], "file-unreadable", "{error:#}");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(message.contains(reason) && message.contains(definitions), "{message}");
    }
    let planned = function.invoke(&event("s3://platform/dev/a b.json")).unwrap();
    assert_eq!(planned["outcome"], "planned", "{planned:#}");
    assert!(planned["summary"].as_str().unwrap().contains(" to add, 0 to change, 0 to revoke on "));
}
