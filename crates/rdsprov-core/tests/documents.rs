//! The tests that documents name exist.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

/// Returns the names `live::module::function` in a document.
fn live_tests(document: &str) -> Vec<(String, String)> {
    document
        .split('`')
        .filter_map(|code| {
            let (module, function) = code.strip_prefix("live::")?.split_once("::")?;
            Some((module.to_owned(), function.to_owned()))
        })
        .collect()
}

#[test]
fn named_tests_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut missing = Vec::new();
    for name in ["docs/security.md", "ARCHITECTURE.md"] {
        let tests = live_tests(&fs::read_to_string(root.join(name)).unwrap());
        assert!(!tests.is_empty(), "{name} names no test");
        for (module, function) in tests {
            let file = root.join(format!("crates/rdsprov-cli/tests/live/{module}.rs"));
            let source = fs::read_to_string(file).unwrap_or_default();
            if !source.contains(&format!("#[test]\nfn {function}()")) {
                missing.push(format!("{name}: live::{module}::{function}"));
            }
        }
    }
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
}
