//! Starts the `rdsprov` command; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    forbid_memory_dumps();
    ExitCode::from(rdsprov_cli::run(std::env::args_os()))
}

/// Keeps passwords out of core dumps, and the memory of this process from other processes of its
/// user. A program that embeds the library decides this itself.
#[cfg(target_os = "linux")]
fn forbid_memory_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    // The operation has no error for this value.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Does nothing: only Linux has this setting.
#[cfg(not(target_os = "linux"))]
fn forbid_memory_dumps() {}
