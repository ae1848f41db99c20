//! Starts logging to stderr; stdout is reserved for results.

use std::io::{self, Write};

use rdsprov_core::text::{visible_json, visible_lines};

use crate::args::{CommandLine, LogFormat};

/// Silences the warnings of the AWS SDK about each source without a region or credentials.
/// If no source has them, rdsprov itself reports an error.
const QUIET: &str = "aws_config::imds=error,aws_config::meta=error,aws_config::profile=error,aws_config::web_identity_token=off";

/// Leaves out the debug messages of the AWS SDK: they contain requests with the access key id.
const WITHOUT_REQUESTS: &str = "aws=info";

/// Writes events to stderr without hidden characters: an event can contain the text of a server.
struct Escaped {
    format: LogFormat,
}

impl Write for Escaped {
    /// Writes one whole event, as `tracing_subscriber` passes it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event).into_owned();
        let text = match self.format {
            LogFormat::Text => visible_lines(&text),
            LogFormat::Json => visible_json(text),
        };
        io::stderr().write_all(text.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging with the level and the format that the arguments select.
pub fn start(arguments: &CommandLine) {
    let level = match arguments.verbose {
        0 => format!("warn,{QUIET}"),
        1 => format!("rdsprov_cli=info,rdsprov_core=info,warn,{QUIET}"),
        _ => format!("debug,{WITHOUT_REQUESTS}"),
    };
    let format = arguments.log_format;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(move || Escaped { format });
    match arguments.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
