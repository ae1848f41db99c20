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
