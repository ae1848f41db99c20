//! Errors of the core as the exceptions of `rdsprov/_errors.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rdsprov_core::audit::UnknownName;
use rdsprov_core::definitions::DefinitionError;
use rdsprov_core::diagnostic::{self, Diagnostic};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::gate::GateError;
use rdsprov_core::hint::{Hint, Operation, Opt, Wording as _};
use rdsprov_core::operations::RunError;
use rdsprov_core::plan::{Refusal, SavedPlanError};
use rdsprov_core::server::ObserveError;
use rdsprov_core::session::{self, Error, Kind, StopReason, Unreadable};
use serde::Serialize;

use crate::values::{refusals, value, values};
use crate::wording::PythonWording;

/// Makes an exception of a class of `rdsprov._errors`; `fill` adds the keywords of this class.
fn make(
    py: Python<'_>,
    class: &str,
    errors: &[Diagnostic],
    code: ErrorCode,
    fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let exception = || -> PyResult<PyErr> {
        let keywords = PyDict::new(py);
        fill(&keywords)?;
        let class = py.import("rdsprov._errors")?.getattr(class)?;
        let exception = class.call((message(errors),), Some(&keywords))?;
        exception.setattr("code", value(py, "ErrorCode", &code)?)?;
        let hints = errors.iter().flat_map(|error| &error.hints);
        let hints: Vec<String> = hints.map(|hint| hint.worded(&PythonWording)).collect();
        exception.setattr("hints", PyTuple::new(py, hints)?)?;
        Ok(PyErr::from_value(exception))
    };
    exception().unwrap_or_else(|error| error)
}

/// Returns what `str()` of an exception gives. Several errors have their codes in it.
pub fn message(errors: &[Diagnostic]) -> String {
    match errors {
        [error] if error.margin.is_empty() => error.text(&PythonWording),
        errors => diagnostic::labelled(errors, &PythonWording),
    }
}

/// Returns every hint and message of the core as Python words it, for a test.
#[pyfunction]
pub fn example_messages() -> Vec<String> {
    let options = Opt::all().flat_map(|option| {
        [PythonWording.option(option, None), PythonWording.option(option, Some("1"))]
    });
    let operations = Operation::all().map(|operation| PythonWording.operation(operation));
    let errors = session::error_examples();
    let messages = errors.iter().flat_map(|error| {
        let errors = error.diagnostics();
        [message(&errors), diagnostic::labelled(&errors, &PythonWording), error.to_string()]
    });
    options.chain(operations).chain(messages).collect()
}

/// Makes the exception for an argument that is not valid.
pub fn usage(py: Python<'_>, fact: &str) -> PyErr {
    usage_with_code(py, ErrorCode::WrongUsage, fact)
}

/// Makes a `UsageError` with another code.
pub fn usage_with_code(py: Python<'_>, code: ErrorCode, fact: &str) -> PyErr {
    make(py, "UsageError", &[Diagnostic::new(code, fact, Vec::new())], code, |_| Ok(()))
}

/// Makes an `Error` for a file that cannot be written.
pub fn unwritable(py: Python<'_>, fact: &str) -> PyErr {
    let code = ErrorCode::FileUnwritable;
    let diagnostic = Diagnostic::new(code, fact, vec!["name another file".into()]);
    make(py, "Error", &[diagnostic], code, |_| Ok(()))
}

/// One error in the definitions, as `rdsprov.DefinitionProblem` has it.
#[derive(Serialize)]
struct Problem<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    code: ErrorCode,
    message: String,
    hint: String,
    text: &'a str,
}

impl<'a> From<&'a DefinitionError> for Problem<'a> {
    fn from(error: &'a DefinitionError) -> Self {
        Self {
            file: Some(&error.location.file),
            line: Some(error.location.line),
            column: Some(error.location.column),
            code: error.code,
            message: error.message.clone(),
            hint: error.hint.worded(&PythonWording),
            text: error.excerpt.as_ref().map_or("", |excerpt| &excerpt.text),
        }
    }
}

impl<'a> From<&'a Unreadable> for Problem<'a> {
    fn from(error: &'a Unreadable) -> Self {
        let problem = Diagnostic::new(error.code(), error, error.hints());
        Self { file: Some(error.path()), ..Self::without_position(&problem) }
    }
}

impl Problem<'_> {
    fn without_position(error: &Diagnostic) -> Self {
        let hints: Vec<String> =
            error.hints.iter().map(|hint| hint.worded(&PythonWording)).collect();
        Self {
            file: None,
            line: None,
            column: None,
            code: error.code,
            message: error.fact.clone(),
            hint: hints.join("; "),
            text: "",
        }
    }
}

fn definitions(
    py: Python<'_>,
    errors: &[Diagnostic],
    code: ErrorCode,
    problems: Vec<Problem<'_>>,
) -> PyErr {
    make(py, "DefinitionError", errors, code, |keywords| {
        keywords.set_item("errors", values(py, "_definition_problem", problems)?)
    })
}

/// Makes the exception for definitions that are wrong in a way that has no position in a text.
pub fn no_definitions(py: Python<'_>, code: ErrorCode, fact: &str, hint: impl Into<Hint>) -> PyErr {
    without_position(py, &Diagnostic::new(code, fact, vec![hint.into()]))
}

fn without_position(py: Python<'_>, error: &Diagnostic) -> PyErr {
    let problem = Problem::without_position(error);
    definitions(py, std::slice::from_ref(error), error.code, vec![problem])
}

/// Makes the exception for a call that was stopped, and has changed nothing.
pub fn stopped(py: Python<'_>, reason: StopReason) -> PyErr {
    to_exception(py, &Error::Stopped { reason, committed: None })
}

/// Makes the exception for an error of the core.
pub fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    let errors = error.diagnostics();
    let code = error.code();
    let plain = |class| make(py, class, &errors, code, |_| Ok(()));
    let refused = |found: &[Refusal]| {
        make(py, "PlanRefused", &errors, code, |keywords| {
            keywords.set_item("refusals", refusals(py, found)?)
        })
    };
    match error {
        Error::Definitions(of_files) => {
            definitions(py, &errors, code, of_files.errors.iter().map(Into::into).collect())
        }
        Error::Unreadable { files, others } => {
            let others = others.errors.iter().map(Into::into);
            let problems = files.iter().map(Into::into).chain(others).collect();
            definitions(py, &errors, code, problems)
        }
        Error::OtherEnvironment { .. } | Error::PlanAmongDefinitions { .. } => {
            without_position(py, &Diagnostic::new(code, error, error.hints()))
        }
        Error::Source(_)
        | Error::Run(
            RunError::Source(_)
            | RunError::AdminSecret { .. }
            | RunError::AdminSecretIncomplete { .. },
        ) => plain("SecretError"),
        Error::Tls(_)
        | Error::Token(_)
        | Error::Run(
            RunError::NoHost
            | RunError::Connect(_)
            | RunError::AdminLogin { .. }
            | RunError::Lock(_)
            | RunError::Observe(ObserveError::Connect(_)),
        ) => plain("ConnectError"),
        Error::LeftOut(reasons) => match code {
            ErrorCode::PlanRefused => refused(&reasons.refusals),
            ErrorCode::PlanStale => plain("StalePlan"),
            _ => plain("ApprovalRequired"),
        },
        Error::Gate(GateError::Stale { .. }) | Error::SavedPlan(SavedPlanError::Stale(_)) => {
            plain("StalePlan")
        }
        Error::SavedPlan(
            SavedPlanError::OtherEnvironment { .. }
            | SavedPlanError::OtherServer { .. }
            | SavedPlanError::Replaced { .. },
        ) => plain("StalePlan"),
        Error::Stopped { reason: StopReason::Deadline, .. } => plain("TimedOut"),
        Error::Stopped { reason: StopReason::Request, .. } => plain("Cancelled"),
        Error::Gate(_) => plain("ApprovalRequired"),
        Error::Refused(found) => refused(found),
        error if error.kind() == Kind::Usage => plain("UsageError"),
        _ => plain("Error"),
    }
}

/// Makes an `Error` for a name that a ledger does not contain.
pub fn unknown_name(py: Python<'_>, error: &UnknownName) -> PyErr {
    let diagnostic = Diagnostic::new(error.code(), error, error.hints());
    make(py, "Error", &[diagnostic], error.code(), |_| Ok(()))
}

/// Makes the exception for the error of an `apply`, with the outcome of the run.
pub fn apply_error(
    py: Python<'_>,
    error: &Error,
    committed: bool,
    outcome: &Bound<'_, PyAny>,
) -> PyErr {
    let of_apply = match error {
        Error::Statement(_)
        | Error::Audit(_)
        | Error::NotRecorded(_)
        | Error::NoSpaceForRecords(_)
        | Error::Stopped { reason: StopReason::Signal, .. }
        | Error::NotConverged(_) => true,
        Error::Stopped { .. } => false,
        error => committed && !error.is_about_left_out(),
    };
    let exception = if of_apply {
        make(py, "ApplyError", &error.diagnostics(), error.code(), |_| Ok(()))
    } else {
        to_exception(py, error)
    };
    match exception.value(py).setattr("outcome", outcome) {
        Ok(()) => exception,
        Err(error) => error,
    }
}
