//! Programs from crates.io that a task needs, in fixed versions.

use std::path::Path;

use crate::process::run;

/// The directory of the programs.
const DIRECTORY: &str = "target/cargo-tools";

/// A program that a crate installs.
pub struct CargoTool {
    /// The name of the crate.
    pub name: &'static str,
    /// The name of its program.
    pub program: &'static str,
    pub version: &'static str,
    /// Whether it is compiled with optimisation. That takes longer than running a program once without.
    pub optimised: bool,
}

impl CargoTool {
    /// Returns the path of the program, and installs it before if it is missing.
    pub fn program(&self) -> Result<String, String> {
        let Self { name, program, version, optimised } = self;
        let directory = format!("{DIRECTORY}/{name}-{version}");
        let program = format!("{directory}/bin/{program}");
        if !Path::new(&program).exists() {
            let install = ["install", "--locked", "--root", &directory, "--version", version];
            let profile: &[&str] = if *optimised { &[] } else { &["--debug"] };
            run("cargo", &[install.as_slice(), profile, &[name]].concat(), &[])?;
        }
        Ok(program)
    }
}
