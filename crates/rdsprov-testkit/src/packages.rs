//! Installs packages from PyPI and npm exactly as a lock file in `locks` lists them.
//!
//! A lock file names each package with its version and hash, those that other packages depend on
//! included. A release that the registry receives later cannot change what is installed. `cargo
//! xtask update` renews the lock files.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Error, io_error};

/// A package lock of npm and the manifest that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct NpmLock {
    /// The text of `package.json`.
    pub manifest: &'static str,
    /// The text of `package-lock.json`.
    pub lock: &'static str,
}

/// Creates a virtual environment in `home` with the packages of `requirements`, a text with hashes
/// in the format of `requirements.txt`. An environment that this function completed earlier for the
/// same `python` and `requirements` is kept.
///
/// Packages are installed from wheels only, because building one would fetch tools that
/// no lock file lists.
///
/// # Errors
/// Returns an error if `python` has neither `venv` nor `virtualenv`, or if a
/// package cannot be installed.
pub fn install_python_packages(python: &str, home: &Path, requirements: &str) -> Result<(), Error> {
    let complete = format!("{python}\n{requirements}");
    if is_complete(home, &complete) {
        return Ok(());
    }
    create_virtual_environment(python, home)?;
    let list = home.join("requirements.txt");
    fs::write(&list, requirements).map_err(io_error(list.display().to_string()))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(home.join("bin/python"))
        .args(install)
        .args(["--require-hashes", "--only-binary", ":all:", "-r"])
        .arg(&list))?;
    mark_complete(home, &complete)
}

/// Creates an empty virtual environment in `home`, which must not exist or is removed.
///
/// # Errors
/// Returns an error if `python` has neither `venv` nor `virtualenv`.
pub fn create_virtual_environment(python: &str, home: &Path) -> Result<(), Error> {
    let create = |module: &str| {
        let _ = fs::remove_dir_all(home);
        run(Command::new(python).args(["-m", module]).arg(home))
    };
    // Debian's Python has no `venv` unless a package adds it; `virtualenv`
    // is the usual replacement.
    create("venv").or_else(|error| create("virtualenv").map_err(|_| error)).map(drop)
}

/// Installs the packages of `lock` in `home/node_modules`. Their install scripts do not run.
/// Packages that this function installed earlier from the same `lock` are kept.
///
/// # Errors
/// Returns an error if npm is not installed or a package does not match the lock.
pub fn install_npm_packages(home: &Path, lock: NpmLock) -> Result<(), Error> {
    let complete = format!("{}\n{}", lock.manifest, lock.lock);
    if is_complete(home, &complete) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home).map_err(io_error(home.display().to_string()))?;
    for (name, text) in [("package.json", lock.manifest), ("package-lock.json", lock.lock)] {
        fs::write(home.join(name), text).map_err(io_error(name))?;
    }
    run(Command::new("npm")
        .args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(home))?;
    mark_complete(home, &complete)
}

/// The file that records from which lock a directory was installed. It is written last.
const COMPLETE: &str = "installed-from";

fn is_complete(home: &Path, complete: &str) -> bool {
    fs::read_to_string(home.join(COMPLETE)).is_ok_and(|text| text == complete)
}

fn mark_complete(home: &Path, complete: &str) -> Result<(), Error> {
    fs::write(home.join(COMPLETE), complete).map_err(io_error(home.display().to_string()))
}

/// Runs a program until it ends and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(io_error(format!("cannot run {program}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Program {
            program,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
