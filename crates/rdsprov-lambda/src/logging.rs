//! Starts logging to stderr, which CloudWatch Logs receives.

use std::fmt::Display;
use std::io::{self, Write};

use rdsprov_core::text::visible_json;
use tracing_subscriber::EnvFilter;

/// The messages that are logged: warnings, but not those of the AWS SDK about each source without
/// credentials.
const LEVEL: &str = "warn,aws_config=error";

/// Writes events without hidden characters: an event can contain the text of a server.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = visible_json(String::from_utf8_lossy(event).into_owned());
        io::stderr().write_all(text.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging, once in each process.
pub fn start_logging() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(LEVEL))
        .with_writer(|| Escaped)
        .json()
        .init();
}

/// Writes a line of JSON to stdout, which CloudWatch Logs receives. No character in it is hidden.
///
/// # Errors
/// Returns the error of the operating system.
pub(crate) fn write_line(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", visible_json(line.to_string()))
}

/// Writes a line to stdout. If that fails, the log contains an error instead.
pub(crate) fn log_line(line: impl Display) {
    if let Err(error) = write_line(line) {
        tracing::error!("stdout cannot be written: {error}");
    }
}
