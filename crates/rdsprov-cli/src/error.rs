//! The errors of the command, and its exit codes.

use rdsprov_core::audit::Command;
use rdsprov_core::diagnostic;
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::hint::Hint;
use rdsprov_core::session::Error;
pub use rdsprov_core::session::ExitCode as Exit;

use crate::args::LogFormat;
use crate::output;
use crate::rerun::Rerun;
use crate::wording::CommandWording;

/// Ends a command early: the exit code, and the errors that are printed.
#[derive(Debug)]
pub struct CliError {
    pub exit: Exit,
    pub errors: Vec<Diagnostic>,
    /// What the command needs in addition, if a gate has refused its plan.
    pub rerun: Option<Rerun>,
}

impl CliError {
    pub fn new(exit: Exit, code: ErrorCode, fact: impl ToString) -> Self {
        Self { exit, errors: vec![Diagnostic::new(code, fact, Vec::new())], rerun: None }
    }

    pub fn usage(fact: impl ToString) -> Self {
        Self::new(Exit::Usage, ErrorCode::WrongUsage, fact)
    }

    /// Returns the error for arguments that clap rejects, with its message, which is printed already.
    pub fn of_arguments(text: &str, command: Command) -> Self {
        let fact = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Self::usage(fact).with_hint(format!("run `rdsprov {command} --help` for the options"))
    }

    pub fn internal(error: impl ToString) -> Self {
        Self::new(Exit::Failed, ErrorCode::InternalError, error)
    }

    pub fn with_hint(mut self, hint: impl Into<Hint>) -> Self {
        if let Some(error) = self.errors.last_mut() {
            error.hints.push(hint.into());
        }
        self
    }

    /// Prints the errors and the command that would succeed.
    pub fn print_for(&self, format: LogFormat) {
        self.print(format);
        if let (LogFormat::Text, Some(rerun)) = (format, &self.rerun) {
            // In a line of its own, which is not broken.
            output::message(&format!("hint: {}", rerun.hint(["\n  $ ", ""])));
        }
    }

    /// Prints the errors as text, or as one event of the JSON log.
    pub fn print(&self, format: LogFormat) {
        match format {
            LogFormat::Text => {
                output::message(&diagnostic::labelled(&self.errors, &CommandWording))
            }
            LogFormat::Json => {
                let code = self.errors.first().map(|error| error.code.name());
                let text: Vec<String> =
                    self.errors.iter().map(|error| error.text(&CommandWording)).collect();
                tracing::error!(exit = self.exit.number(), code, "{}", text.join("\n\n"));
            }
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        Self { exit: error.exit_code(), errors: error.diagnostics(), rerun: None }
    }
}
