//! Runs other programs, and reports those that fail.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Runs a program and prints its command line. A failure of the program is an error.
pub fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    eprintln!("$ {program} {}", arguments.join(" "));
    wait(program, arguments, environment, None)
}

/// Runs a program whose output goes to a file, and prints the file when the program has ended.
pub fn run_with_log(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
    log: &Path,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", log.display());
    eprintln!("$ {program} {} > {}", arguments.join(" "), log.display());
    let file = File::create(log).map_err(failed)?;
    let result = wait(program, arguments, environment, Some(file));
    eprint!("{}", String::from_utf8_lossy(&fs::read(log).map_err(failed)?));
    result
}

fn wait(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
    output: Option<File>,
) -> Result<(), String> {
    let mut command = Command::new(program);
    // Cargo sets these variables for xtask. In its child they would cause rebuilds.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let failed = |error| format!("cannot run {program}: {error}");
    if let Some(file) = output {
        command.stdout(file.try_clone().map_err(failed)?).stderr(file);
    }
    let status =
        command.args(arguments).envs(environment.iter().copied()).status().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed", arguments.join(" "))) }
}
