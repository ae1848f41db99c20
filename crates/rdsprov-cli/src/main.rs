//! Starts the `rdsprov` command; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rdsprov_cli::run(std::env::args_os()))
}
