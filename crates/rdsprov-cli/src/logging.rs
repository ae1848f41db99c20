//! Starts logging to stderr; stdout is reserved for results.

use crate::args::{CommandLine, LogFormat};

/// Silences the warnings of the AWS SDK about each source without a region or credentials.
/// If no source has them, rdsprov itself reports an error.
const QUIET: &str = "aws_config::imds=error,aws_config::meta=error,aws_config::profile=error";

/// Leaves out the debug messages of the AWS SDK: they contain requests with the access key id.
const WITHOUT_REQUESTS: &str = "aws=info";

/// Starts logging with the level and the format that the arguments select.
pub fn start(arguments: &CommandLine) {
    let level = match arguments.verbose {
        0 => format!("warn,{QUIET}"),
        1 => format!("rdsprov_cli=info,rdsprov_core=info,warn,{QUIET}"),
        _ => format!("debug,{WITHOUT_REQUESTS}"),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
