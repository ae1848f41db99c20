//! What the function reports as a function error.

use lambda_runtime::Diagnostic;
use rdsprov_core::diagnostic::{self, Diagnostic as CoreDiagnostic};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::secrets::ObjectError;
use rdsprov_core::session::{Error, ExitCode};

use crate::wording::EventWording;

/// Why an operation has failed or was refused.
#[derive(Debug)]
pub struct Failure {
    pub(crate) exit: ExitCode,
    /// The code of all errors together.
    pub(crate) code: ErrorCode,
    pub(crate) errors: Vec<CoreDiagnostic>,
}

impl Failure {
    /// Returns the failure because of one error.
    pub(crate) fn new(exit: ExitCode, error: CoreDiagnostic) -> Self {
        Self { exit, code: error.code, errors: vec![error] }
    }

    /// Returns the failure of an event that is invalid.
    pub(crate) fn event(reason: String) -> Self {
        let fact = format!("the event is invalid: {reason}");
        let hint = "see `docs/guides/lambda.md` for the keys of events";
        let error = CoreDiagnostic::new(ErrorCode::WrongUsage, fact, vec![hint.into()]);
        Self::new(ExitCode::Usage, error)
    }

    pub(crate) fn internal(error: impl ToString) -> Self {
        let error = CoreDiagnostic::new(ErrorCode::InternalError, error, Vec::new());
        Self::new(ExitCode::Failed, error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit: error.exit_code(), code: error.code(), errors: error.diagnostics() }
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Error::from(error).into()
    }
}

impl Failure {
    /// Returns the text of all errors.
    pub(crate) fn text(&self) -> String {
        diagnostic::labelled(&self.errors, &EventWording)
    }
}

/// The error type is the code, by which callers such as Step Functions decide.
impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.code.to_string(), error_message: failure.text() }
    }
}
