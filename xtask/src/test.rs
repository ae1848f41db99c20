//! Runs all checks and tests that decide whether a change can be merged, or the fast part of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::process::{run, run_with_log};
use crate::{debian, demo, deploy, python};

/// The PostgreSQL version of the main path in `--quick`.
const QUICK_VERSION: &str = "15";

/// The name of the live tests of the command, which take more time than all others.
const LIVE: &str = "live";

/// The versions between the oldest and the newest one, and the scenarios that run on them.
const BETWEEN: [(&str, &str); 2] = [("RDSPROV_TEST_PG", "15,16,17"), ("RDSPROV_SCENARIO", "role")];

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
        let offline = [
            "corpus",
            "definitions",
            "documents",
            "layers",
            "ledger",
            "linear",
            "planner",
            "wiped",
        ]
        .map(|name| ["--test", name])
        .concat();
        // It waits for a minute.
        let skip = ["--", "--skip", "connection_that_stops_acknowledging_ends"];
        cargo(&[test.as_slice(), &offline, &skip].concat(), &[])
    })?;
    step("main path", || {
        let test = ["test", "--locked", "--quiet", "--workspace", "--test", "live", "--", "path::"];
        cargo(&test, &[("RDSPROV_TEST_PG", QUICK_VERSION)])
    })
}

/// Runs the live tests of the command, and prints their output when they have ended, because other
/// tests print theirs meanwhile.
fn live_tests(environment: &[(&str, &str)]) -> Result<(), String> {
    let environment = [environment, &[("RUST_TEST_THREADS", "4")]].concat();
    let test = ["test", "--locked", "--workspace", "--test", LIVE];
    run_with_log("cargo", &test, &environment, Path::new("target/live-tests.log"))
}

/// Runs all tests except the live tests of the command.
fn other_tests(versions: Option<&str>, environment: &[(&str, &str)]) -> Result<(), String> {
    step("Rust tests", || {
        let names = integration_tests()?;
        let mut test = vec!["test", "--locked", "--workspace", "--lib", "--bins"];
        test.extend(names.iter().flat_map(|name| ["--test", name]));
        cargo(&test, environment)?;
        cargo(&["test", "--locked", "--workspace", "--doc"], &[])
    })?;
    if versions.is_none() {
        let between = [environment, &BETWEEN].concat();
        let test = ["test", "--locked", "--workspace", "--test", LIVE, "--", "path::", "access::"];
        let test = [test.as_slice(), &["ownership::", "delegate::", "scenarios::"]].concat();
        step("PostgreSQL 15, 16 and 17", || cargo(&test, &between))?;
    }
    step("deploy", deploy::check)?;
    step("Python tests", || python::test(versions, &[]))?;
    step("demo", || demo::compare_with_readme(&demo::run(15)?))
}

/// Returns the names of all integration tests except the live tests.
fn integration_tests() -> Result<Vec<String>, String> {
    let files = |directory: &Path| -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(directory);
        let paths = entries.and_then(|found| found.map(|one| Ok(one?.path())).collect());
        paths.map_err(|error| format!("{}: {error}", directory.display()))
    };
    let mut names = Vec::new();
    for package in files(Path::new("crates"))? {
        let tests = package.join("tests");
        if !tests.is_dir() {
            continue;
        }
        for path in files(&tests)? {
            let is_test = path.extension().is_some_and(|extension| extension == "rs")
                || path.join("main.rs").is_file();
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            names.extend(name.filter(|name| is_test && name != LIVE));
        }
    }
    names.sort();
    Ok(names)
}

/// Runs all checks and tests. `versions` are the PostgreSQL versions of the live
/// tests, such as `14,17`.
pub fn all(versions: Option<&str>) -> Result<(), String> {
    // The demo and the Python tests use PostgreSQL 15 in any case.
    debian::install_missing(&[15])?;
    step("format and clippy", format_and_clippy)?;
    step("core without features", || {
        cargo(&["check", "--locked", "--quiet", "-p", "rdsprov-core", "--no-default-features"], &[])
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
    let mut environment = vec![("RDSPROV_TEST_PYTHON", interpreter.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    // Each lane waits for servers part of its time: together they keep two cores busy.
    std::thread::scope(|scope| {
        let live = scope.spawn(|| step("live tests", || live_tests(&environment)));
        let others = step("other tests", || other_tests(versions, &environment));
        live.join().map_err(|_| "the thread of the live tests panicked".to_owned())?.and(others)
    })?;
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!(
            "xtask: all passed, but terraform is not installed: definitions were compared with its recorded \
             results in testdata/definitions/terraform, not with an installed version"
        );
    }
    Ok(())
}
