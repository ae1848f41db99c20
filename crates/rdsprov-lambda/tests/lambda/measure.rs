//! The cold start and the memory of the function, for `deploy/lambda/README.md`.
//!
//! `RDSPROV_FUNCTION=$PWD/target/release/bootstrap cargo test --test lambda -- --ignored --nocapture measure`

use std::time::Instant;

use rdsprov_testkit::NEWEST;
use serde_json::json;

use crate::fixture::{Fixture, definitions};

#[test]
#[ignore = "it prints times, and asserts nothing about them"]
fn cold_start_and_memory() {
    let fixture = Fixture::new(NEWEST);
    let definitions = definitions(&["shop", "reports", "wiki"]);
    let event =
        |mode: &str| json!({"mode": mode, "environment": "dev", "definitions": definitions});
    for _ in 0..5 {
        let started = Instant::now();
        let mut function = fixture.function();
        function.invoke(&json!({})).unwrap_err();
        let first = started.elapsed();
        let mut line = format!("first response after {} ms", first.as_millis());
        for mode in ["plan", "apply", "check"] {
            let started = Instant::now();
            function.invoke(&event(mode)).unwrap();
            line += &format!(", {mode} {} ms", started.elapsed().as_millis());
        }
        println!("{line}, peak memory {}", function.peak_memory());
    }
}
