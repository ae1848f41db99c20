//! The `rdsprov` command: parses arguments, calls `rdsprov_core::session`, and prints results.
//!
//! It contains no rules about plans, servers or secrets. The Python package runs the same code, so
//! that `python -m rdsprov` and `rdsprov` behave identically.
#![deny(missing_docs)]

mod access;
mod apply;
mod args;
mod audit;
mod complete;
mod config;
mod error;
mod explain;
mod export;
mod fleet;
mod graph;
mod logging;
mod man;
mod metrics;
mod output;
mod plan;
mod preflight;
mod progress;
mod rerun;
mod retire;
mod rotate;
mod setup;
mod style;
mod validate;
mod wording;

use std::ffi::OsString;

use args::{CliCommand, Format, Invocation, LogFormat};
use error::{CliError, Exit};
pub use output::replace_file;
use rdsprov_core::schema::Document;

/// Runs the command and returns its exit code. The first argument is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if complete::run(&arguments) {
        return Exit::Done.number();
    }
    let exit = command(&arguments);
    let exit = match (exit, output::flush()) {
        // The caller must not take an incomplete result for a success.
        (Exit::Done | Exit::Pending, false) => Exit::Failed,
        (exit, _) => exit,
    };
    exit.number()
}

/// Returns the environment variable of an option of `apply`, if it has one.
///
/// ```
/// assert_eq!(rdsprov_cli::variable("region").as_deref(), Some("RDSPROV_REGION"));
/// assert_eq!(rdsprov_cli::variable("dry_run"), None);
/// ```
#[must_use]
pub fn variable(option: &str) -> Option<String> {
    args::variable(option)
}

fn command(words: &[OsString]) -> Exit {
    let arguments = match args::parse(words) {
        Ok(Invocation::Run(arguments)) => arguments,
        Ok(Invocation::Version(text)) => {
            output::write_stdout(&text);
            return Exit::Done;
        }
        Err(error) => {
            if !error.use_stderr() {
                let _ = error.print();
                return Exit::Done;
            }
            let text = args::error_text(&error, words);
            output::message(&text);
            if let Some(command) = args::run_in_json(words) {
                apply::reported(command, Format::Json, CliError::of_arguments(&text, command));
            }
            return Exit::Usage;
        }
    };
    rerun::start(words);
    style::start(arguments.color);
    output::start(arguments.quiet);
    logging::start(&arguments);
    let (log, detail) = (arguments.log_format, arguments.detail());
    let view = fleet::View { detail, log };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            CliError::internal(format!("the runtime cannot be started: {error}"))
                .print(LogFormat::Text);
            return Exit::Failed;
        }
    };
    let result = runtime.block_on(async {
        match &arguments.command {
            CliCommand::Validate(options) => match &options.fleet {
                Some(file) => fleet::validate(file, options, log),
                None => validate::run(options),
            },
            CliCommand::Plan(options) => match &options.fleet.fleet {
                Some(file) => fleet::plan(file, options, view).await,
                None => plan::run(options, detail).await,
            },
            CliCommand::Check(options) => match &options.fleet.fleet {
                Some(file) => fleet::check(file, options, view).await,
                None => plan::check(options, detail).await,
            },
            CliCommand::Preflight(options) => match &options.fleet.fleet {
                Some(file) => fleet::preflight(file, options, view).await,
                None => preflight::run(options).await,
            },
            CliCommand::Apply(options) => match &options.fleet.fleet {
                Some(file) => fleet::apply(file, options, view).await,
                None => apply::run(options, detail).await,
            },
            CliCommand::Delegate(options) => apply::delegate(options, detail).await,
            CliCommand::Rotate(options) => rotate::run(options, detail).await,
            CliCommand::Retire(options) => retire::run(options, detail).await,
            CliCommand::Teardown(options) => retire::teardown(options, detail).await,
            CliCommand::Access(options) => match &options.fleet.fleet {
                Some(file) => fleet::access(file, options, view).await,
                None => access::run(options).await,
            },
            CliCommand::Export(options) => export::run(options).await,
            CliCommand::Schema { document } => print_schema(*document),
            CliCommand::Explain { code } => explain::run(code.as_deref()),
            CliCommand::Config(options) => config::run(options, arguments.global()),
            CliCommand::Graph(options) => graph::run(options),
            CliCommand::Man(options) => man::run(options),
            CliCommand::Completions { shell } => {
                output::write_stdout(&complete::script(*shell));
                Ok(Exit::Done)
            }
            CliCommand::Audit(command) => audit::run(command).await,
        }
    });
    // A thread may still be reading from the terminal: do not wait for it.
    runtime.shutdown_background();
    progress::end();
    match result {
        Ok(exit) => exit,
        Err(error) => {
            error.print_for(log);
            error.exit
        }
    }
}

fn print_schema(document: Document) -> Result<Exit, CliError> {
    let text = serde_json::to_string_pretty(&document.schema()).map_err(CliError::internal)?;
    output::write_stdout(&(text + "\n"));
    Ok(Exit::Done)
}
