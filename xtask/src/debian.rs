//! Installs the Debian packages that the tests and the demo need.

use std::path::Path;
use std::process::Command;

use crate::process::run;

/// Installs `psql`, PgBouncer, make, jq, `tc`, zsh, fish and Chromium, and PostgreSQL 15 if `versions` contains it. The test kit installs the other
/// versions and moto itself.
pub fn install_missing(versions: &[u32]) -> Result<(), String> {
    let mut packages = Vec::new();
    if Command::new("psql").arg("--version").output().is_err() {
        packages.push("postgresql-client");
    }
    if versions.contains(&15) && !Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        packages.push("postgresql-15");
    }
    if !Path::new("/usr/sbin/pgbouncer").exists() {
        packages.push("pgbouncer");
    }
    if Command::new("tc").arg("-V").output().is_err() {
        packages.push("iproute2");
    }
    if Command::new("jq").arg("--version").output().is_err() {
        packages.push("jq");
    }
    // The completion scripts are tested in them.
    for shell in ["zsh", "fish"] {
        if Command::new(shell).arg("--version").output().is_err() {
            packages.push(shell);
        }
    }
    // The HTML access report is tested in it.
    if Command::new("chromium").arg("--version").output().is_err() {
        packages.push("chromium");
    }
    if Command::new("make").arg("--version").output().is_err() {
        packages.push("make");
    }
    if packages.is_empty() {
        return Ok(());
    }
    let hint = format!("install the Debian packages {}", packages.join(" and "));
    // The packages would start servers, but the tests only need its programs.
    let quiet = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
    let install =
        [&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat();
    run("apt-get", &["update", "-qq"], &quiet)
        .and_then(|()| run("apt-get", &install, &quiet))
        .map_err(|error| format!("{error}; {hint}"))
}
