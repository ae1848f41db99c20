//! Results go to stdout, talk goes to stderr. Nobody has to listen: a reader that is gone ends no run.

use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result is lost that somebody wanted.
static STDOUT_FAILED: AtomicBool = AtomicBool::new(false);

/// A result. Who reads only the beginning (`| head`) has what it wanted.
pub fn write_stdout(text: &str) {
    check_written(io::stdout().write_all(text.as_bytes()));
}

fn check_written(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !STDOUT_FAILED.swap(true, Ordering::Relaxed)
    {
        status(&format!("error: stdout cannot be written: {error}"));
    }
}

/// A line for the person who looks on.
pub fn status(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Sends on what is still held back, and tells whether all results since the last time got out. At its end a
/// program of Rust's sends it by itself; one that only carries this library does not.
pub fn flush() -> bool {
    check_written(io::stdout().flush());
    !STDOUT_FAILED.swap(false, Ordering::Relaxed)
}
