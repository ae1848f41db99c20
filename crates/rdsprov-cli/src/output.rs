//! Writes results to stdout and status lines to stderr.
//!
//! A failure to write does not stop a run: a change on a server must be completed and recorded even
//! if the reader has closed the pipe.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rdsprov_core::error_code::ErrorCode;
pub use rdsprov_core::text::counted;
use rdsprov_core::text::{os_reason, visible_lines};

use crate::{progress, style};

/// Set if a result could not be written to stdout, except to a closed pipe.
static STDOUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Set if only results and errors are printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Selects whether only results and errors are printed.
pub fn start(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Writes a text for a reader to stdout.
pub fn write_text(text: &str) {
    write_stdout(&style::shown(&visible_lines(text), &io::stdout()));
}

/// Writes a result to stdout. A closed pipe (`| head`) is not an error.
pub fn write_stdout(text: &str) {
    progress::without_line(|| check_written(io::stdout().write_all(text.as_bytes())));
}

fn check_written(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !STDOUT_FAILED.swap(true, Ordering::Relaxed)
    {
        let code = ErrorCode::OutputIncomplete;
        let _ = writeln!(
            io::stderr(),
            "error[{code}]: stdout cannot be written: {}",
            os_reason(&error)
        );
    }
}

/// Replaces the content of a file, which gets a mode such as `0o600`. A reader never sees a part of the
/// text.
///
/// # Errors
/// Returns an error if the path leads to something other than a regular file, such as a symbolic
/// link, and leaves it as it is.
pub fn replace_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("it is not a regular file"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // Otherwise, the error would name the temporary file.
    directory.metadata()?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Writes status lines to stderr without hidden characters, and ignores errors. With `--quiet`, writes
/// nothing.
pub fn status(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        message(text);
    }
}

/// Writes lines that the user must see to stderr: errors, and the plan that a question is about.
pub fn message(text: &str) {
    let text = style::shown(&visible_lines(text), &io::stderr());
    progress::without_line(|| drop(writeln!(io::stderr(), "{text}")));
}

/// Flushes stdout, and returns whether all results since the last call were written.
///
/// Rust flushes stdout at the end of `main`. The Python package has no such `main`, so it
/// relies on this call.
pub fn flush() -> bool {
    check_written(io::stdout().flush());
    !STDOUT_FAILED.swap(false, Ordering::Relaxed)
}
