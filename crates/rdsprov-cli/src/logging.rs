//! Starts logging to stderr; stdout is reserved for results.

use std::io::{self, Write};

use rdsprov_core::text::{visible, visible_json};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::{CommandLine, LogFormat};
use crate::progress::{self, Progress};

/// Silences what the AWS SDK logs about the sources of credentials: warnings about each source without
/// them, access key ids, external ids, answers of STS, and the output of programs. If no source has a region
/// or credentials, rdsprov itself reports an error.
const QUIET: &str = "aws_config=error,aws_config::web_identity_token=off";

/// Leaves out the debug messages of the AWS SDK, which contain requests with the access key id, and those of
/// the connection pool of its HTTP client, which contain addresses with their passwords.
const WITHOUT_REQUESTS: &str = "aws=info,hyper_util::client::legacy::pool=info";

/// Writes events to stderr without hidden characters: an event can contain the text of a server. Each event is
/// one line, so that no text in it looks like another event.
struct Escaped {
    format: LogFormat,
}

impl Write for Escaped {
    /// Writes one whole event, as `tracing_subscriber` passes it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event).into_owned();
        let text = match self.format {
            LogFormat::Text => visible(text.trim_end_matches('\n')) + "\n",
            LogFormat::Json => visible_json(text),
        };
        let mut written = Ok(());
        progress::without_line(|| written = io::stderr().write_all(text.as_bytes()));
        written?;
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
        _ => format!("debug,{WITHOUT_REQUESTS},{QUIET}"),
    };
    let format = arguments.log_format;
    let layer = fmt::layer().with_writer(move || Escaped { format });
    let layer = match (arguments.log_format, arguments.verbose) {
        (LogFormat::Json, _) => layer.json().boxed(),
        (LogFormat::Text, 0 | 1) => {
            layer.with_ansi(false).without_time().with_target(false).boxed()
        }
        (LogFormat::Text, _) => layer.with_ansi(false).boxed(),
    };
    let shows_progress = arguments.verbose == 0
        && !arguments.quiet
        && !arguments.no_progress
        && matches!(arguments.log_format, LogFormat::Text);
    let activities = Targets::new().with_target("rdsprov_core", LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(layer.with_filter(EnvFilter::new(level)))
        .with(shows_progress.then(|| Progress::start().with_filter(activities)))
        .init();
}
