//! The errors of the command, and its exit codes.

use rdsprov_core::diagnostic;
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::hint::Hint;
use rdsprov_core::session::Error;
pub use rdsprov_core::session::ExitCode as Exit;

use crate::args::LogFormat;
use crate::output;
use crate::wording::CommandWording;

/// Ends a command early: the exit code, and the errors that are printed.
#[derive(Debug)]
pub struct CliError {
    pub exit: Exit,
    pub errors: Vec<Diagnostic>,
}

impl CliError {
    pub fn new(exit: Exit, code: ErrorCode, fact: impl ToString) -> Self {
        Self { exit, errors: vec![Diagnostic::new(code, fact, Vec::new())] }
    }

    pub fn usage(fact: impl ToString) -> Self {
        Self::new(Exit::Usage, ErrorCode::WrongUsage, fact)
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
        Self { exit: error.exit_code(), errors: error.diagnostics() }
    }
}
