//! Programs from crates.io that a task needs, in fixed versions.

use std::path::Path;

use crate::process::run;

/// The directory of the programs.
const DIRECTORY: &str = "target/cargo-tools";

/// A program that a crate installs.
pub struct CargoTool {
    /// The name of the crate and of its program.
    pub name: &'static str,
    pub version: &'static str,
}

impl CargoTool {
    /// Returns the path of the program, and installs it before if it is missing.
    ///
    /// It is compiled without optimisation: compiling takes longer than running it once.
    pub fn program(&self) -> Result<String, String> {
        let Self { name, version } = self;
        let directory = format!("{DIRECTORY}/{name}-{version}");
        let program = format!("{directory}/bin/{name}");
        if !Path::new(&program).exists() {
            let install = ["install", "--locked", "--debug", "--root", &directory];
            run("cargo", &[install.as_slice(), &["--version", version, name]].concat(), &[])?;
        }
        Ok(program)
    }
}
