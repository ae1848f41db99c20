//! Checks the dependencies against `deny.toml`: licences, versions, sources, and known
//! vulnerabilities where their database can be had.

use crate::cargo_tool::CargoTool;
use crate::process::run;

const DENY: CargoTool =
    CargoTool { name: "cargo-deny", program: "cargo-deny", version: "0.20.2", optimised: false };

/// Checks what every machine can check and, with `advisories`, the database of RustSec, which is
/// fetched from GitHub.
pub fn check(advisories: bool) -> Result<(), String> {
    let mut checks = vec!["check", "bans", "licenses", "sources"];
    if advisories {
        checks.push("advisories");
    }
    let program = DENY.program()?;
    run(&program, &[["--locked", "--all-features"].as_slice(), &checks].concat(), &[])
}
