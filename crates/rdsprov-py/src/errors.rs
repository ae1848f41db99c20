//! What goes wrong in the core, as the exceptions of `rdsprov/_errors.py`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rdsprov_core::definitions::DefinitionError;
use rdsprov_core::gate::GateError;
use rdsprov_core::plan::SavedPlanError;
use rdsprov_core::server::{ObserveError, RunError};
use rdsprov_core::session::{Error, Kind, Unreadable};
use serde::Serialize;

use crate::values::values;

/// A class of `rdsprov._errors`, made with a message and what else it takes.
fn make(
    py: Python<'_>,
    class: &str,
    message: &str,
    fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let more = PyDict::new(py);
        fill(&more)?;
        let class = py.import("rdsprov._errors")?.getattr(class)?;
        Ok(PyErr::from_value(class.call((message,), Some(&more))?))
    };
    made().unwrap_or_else(|error| error)
}

/// What was asked for means nothing.
pub fn usage(py: Python<'_>, message: &str) -> PyErr {
    make(py, "UsageError", message, |_| Ok(()))
}

/// What stands in one place.
#[derive(Serialize, Default)]
struct Problem<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    message: String,
    help: &'a str,
    text: &'a str,
}

impl<'a> From<&'a DefinitionError> for Problem<'a> {
    fn from(error: &'a DefinitionError) -> Self {
        Self {
            file: Some(&error.location.file),
            line: Some(error.location.line),
            column: Some(error.location.column),
            message: error.message.clone(),
            help: &error.help,
            text: &error.line_text,
        }
    }
}

impl<'a> From<&'a Unreadable> for Problem<'a> {
    fn from(error: &'a Unreadable) -> Self {
        let (Unreadable::Syntax { path }
        | Unreadable::Twice { path }
        | Unreadable::System { path, .. }) = error;
        Self { file: Some(path), message: error.to_string(), ..Self::default() }
    }
}

fn definitions(py: Python<'_>, message: &str, problems: Vec<Problem<'_>>) -> PyErr {
    make(py, "DefinitionError", message, |more| {
        more.set_item("errors", values(py, "_definition_problem", problems)?)
    })
}

/// Definitions that are wrong in a way that has no place in a text.
pub fn no_definitions(py: Python<'_>, message: &str) -> PyErr {
    let problem = Problem { message: message.to_owned(), ..Problem::default() };
    definitions(py, message, vec![problem])
}

/// An error of the core's as an exception.
pub fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    let plain = |class| make(py, class, &message, |_| Ok(()));
    match error {
        Error::Definitions(errors) => {
            definitions(py, &message, errors.0.iter().map(Into::into).collect())
        }
        Error::Unreadable { files, others } => {
            let others = others.0.iter().map(Into::into);
            definitions(py, &message, files.iter().map(Into::into).chain(others).collect())
        }
        Error::OtherEnvironment { .. } | Error::PlanAmongDefinitions { .. } => {
            no_definitions(py, &message)
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
            | RunError::Lock(_)
            | RunError::Observe(ObserveError::Connect(_)),
        ) => plain("ConnectError"),
        Error::Gate(GateError::Stale { .. }) | Error::SavedPlan(SavedPlanError::Stale(_)) => {
            plain("StalePlan")
        }
        Error::SavedPlan(
            SavedPlanError::OtherEnvironment { .. } | SavedPlanError::OtherServer { .. },
        ) => plain("StalePlan"),
        Error::Gate(_) => plain("ApprovalRequired"),
        Error::Refused(refusals) => make(py, "PlanRefused", &message, |more| {
            more.set_item("refusals", values(py, "_refusal", refusals)?)
        }),
        error if error.kind() == Kind::Usage => plain("UsageError"),
        _ => plain("Error"),
    }
}

/// The error of an apply, with what became of it.
pub fn apply_error(
    py: Python<'_>,
    error: &Error,
    committed: bool,
    outcome: &Bound<'_, PyAny>,
) -> PyErr {
    let of_apply = committed
        || matches!(
            error,
            Error::Statement(_) | Error::Audit(_) | Error::Stopped { .. } | Error::NotConverged
        );
    let exception = if of_apply {
        make(py, "ApplyError", &error.to_string(), |_| Ok(()))
    } else {
        to_exception(py, error)
    };
    match exception.value(py).setattr("outcome", outcome) {
        Ok(()) => exception,
        Err(error) => error,
    }
}
