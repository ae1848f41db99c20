//! Results go to stdout, talk goes to stderr. Nobody has to listen: a reader that is gone ends no run.

use std::io::Write as _;

/// A result. Who reads only the beginning (`| head`) has what it wanted.
pub fn result(text: &str) {
    if let Err(error) = std::io::stdout().write_all(text.as_bytes())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        talk(&format!("warning: stdout cannot be written: {error}"));
    }
}

/// A line for the person who looks on.
pub fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Sends on what is still held back. At its end a program of Rust's does so by itself; one that only
/// carries this library does not.
pub fn all_is_said() {
    let _ = std::io::stdout().flush();
}
