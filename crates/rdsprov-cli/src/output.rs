//! Writes results to stdout and status lines to stderr.
//!
//! A failure to write does not stop a run: a change on a server must be completed and recorded even
//! if the reader has closed the pipe.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::text::visible_lines;

/// Set if a result could not be written to stdout, except to a closed pipe.
static STDOUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Writes a result to stdout. A closed pipe (`| head`) is not an error.
pub fn write_stdout(text: &str) {
    check_written(io::stdout().write_all(text.as_bytes()));
}

fn check_written(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !STDOUT_FAILED.swap(true, Ordering::Relaxed)
    {
        let code = ErrorCode::OutputIncomplete;
        status(&format!("error[{code}]: stdout cannot be written: {error}"));
    }
}

/// Replaces the content of a file, or creates it for its user only. A reader never sees a part of
/// the text.
///
/// # Errors
/// Returns an error if the path leads to something other than a regular file, such as a symbolic
/// link, and leaves it as it is.
pub fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("it is not a regular file"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Writes status lines to stderr without hidden characters, and ignores errors.
pub fn status(text: &str) {
    let _ = writeln!(io::stderr(), "{}", visible_lines(text));
}

/// Returns a number with its noun in the singular or plural: `1 change`, `2 changes`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Flushes stdout, and returns whether all results since the last call were written.
///
/// Rust flushes stdout at the end of `main`. The Python package has no such `main`, so it
/// relies on this call.
pub fn flush() -> bool {
    check_written(io::stdout().flush());
    !STDOUT_FAILED.swap(false, Ordering::Relaxed)
}
