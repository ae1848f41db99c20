//! The `rdsprov` command: arguments in, text out. It holds no rules of its own.

mod apply;
mod args;
mod plan;
mod rotate;
mod say;
mod setup;
mod validate;

use std::process::ExitCode;

use args::{Asked, Command, LogFormat};

/// The exit codes that the contract promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Pending = 2,
    Refused = 3,
    Partial = 4,
    Usage = 64,
}

/// What ends a command early: the code, and what a person reads.
#[derive(Debug)]
struct Stop {
    exit: Exit,
    message: String,
}

impl Stop {
    fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }
}

fn main() -> ExitCode {
    let arguments = match args::parse() {
        Ok(Asked::Run(arguments)) => arguments,
        Ok(Asked::Version(text)) => {
            say::result(&text);
            return code(Exit::Done);
        }
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { code(Exit::Usage) } else { code(Exit::Done) };
        }
    };
    args::start_logging(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::talk(&format!("error: the runtime cannot be started: {error}"));
            return code(Exit::Failed);
        }
    };
    let result = runtime.block_on(async {
        match &arguments.command {
            Command::Validate(options) => validate::run(options),
            Command::Plan(options) => plan::run(options).await,
            Command::Check(options) => plan::check(options).await,
            Command::Apply(options) => apply::run(options).await,
            Command::Rotate(options) => rotate::run(options).await,
        }
    });
    // A thread may still wait for an answer on the terminal; nobody waits for it.
    runtime.shutdown_background();
    match result {
        Ok(exit) => code(exit),
        Err(stop) => {
            match arguments.log_format {
                LogFormat::Json => tracing::error!(exit = stop.exit as u8, "{}", stop.message),
                LogFormat::Text => say::talk(&format!("error: {}", stop.message)),
            }
            code(stop.exit)
        }
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
