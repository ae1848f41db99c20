//! Runs all checks and tests that decide whether a change can be merged, or the fast part of them.

use std::process::Command;
use std::time::Instant;

use crate::process::run;
use crate::{debian, demo, python};

/// The PostgreSQL version of the main path in `--quick`.
const QUICK_VERSION: &str = "15";

/// Runs a named step and prints how long it took.
fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    let result = work();
    eprintln!("xtask: {name}: {:.0} s", started.elapsed().as_secs_f64());
    result
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    run("cargo", arguments, environment)
}

fn format_and_clippy() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo(&clippy, &[])
}

/// Runs formatting, clippy, the tests without a server, and the main path on one version.
pub fn quick() -> Result<(), String> {
    debian::install_missing(&[15])?;
    step("format and clippy", format_and_clippy)?;
    step("tests without a server", || {
        let test = ["test", "--locked", "--quiet", "--workspace", "--lib", "--bins"];
        let offline = ["definitions", "documents", "layers", "ledger", "planner", "wiped"]
            .map(|name| ["--test", name])
            .concat();
        cargo(&[test.as_slice(), &offline].concat(), &[])
    })?;
    step("main path", || {
        let test = ["test", "--locked", "--quiet", "--workspace", "--test", "live", "--", "path::"];
        cargo(&test, &[("RDSPROV_TEST_PG", QUICK_VERSION)])
    })
}

/// Runs all checks and tests. `versions` are the PostgreSQL versions of the live
/// tests, such as `14,17`.
pub fn all(versions: Option<&str>) -> Result<(), String> {
    // The demo and the Python tests use PostgreSQL 15 in any case.
    debian::install_missing(&[15])?;
    step("format and clippy", format_and_clippy)?;
    step("core without features", || {
        let core = ["test", "--locked", "--quiet", "-p", "rdsprov-core", "--no-default-features"];
        cargo(&[core.as_slice(), &["--test", "planner"]].concat(), &[])
    })?;
    step("documentation", || {
        let warnings = [("RUSTDOCFLAGS", "-D warnings")];
        // All features. With the examples, cargo selects the same features of the dependencies as clippy
        // does for all targets, so that it does not check them again.
        let all = ["doc", "--locked", "--no-deps", "--workspace", "--lib", "--examples"];
        cargo(&all, &warnings)?;
        let core = ["doc", "--locked", "--no-deps", "-p", "rdsprov-core", "--features"];
        ["postgres", ""]
            .iter()
            .try_for_each(|features| cargo(&[core.as_slice(), &[*features]].concat(), &warnings))
    })?;
    let mut interpreter = String::new();
    step("build", || {
        interpreter = python::interpreter_with_module()?;
        Ok(())
    })?;
    // The tests wait for servers half of their time: three threads keep two cores busy.
    let mut environment =
        vec![("RDSPROV_TEST_PYTHON", interpreter.as_str()), ("RUST_TEST_THREADS", "3")];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    step("Rust tests", || cargo(&["test", "--locked", "--workspace"], &environment))?;
    if versions.is_none() {
        // The other versions run the main path and some scenarios. `--tests` and not `--test`, so that
        // the dependencies have the same features as before and are not compiled again.
        let between = [("RDSPROV_TEST_PG", "16,17"), ("RDSPROV_SCENARIO", "role")];
        let test = ["test", "--locked", "--workspace", "--tests", "--", "path::", "scenarios::"];
        step("PostgreSQL 16 and 17", || cargo(&test, &between))?;
    }
    step("Python tests", || python::test(versions, &[]))?;
    step("demo", || demo::compare_with_readme(&demo::run(15)?))?;
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!(
            "xtask: all passed, but terraform is not installed: definitions were compared with its recorded \
             results in testdata/definitions/terraform, not with an installed version"
        );
    }
    Ok(())
}
