//! Converts plain data of the core to the classes of `rdsprov/_values.py`, through serde.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use pythonize::pythonize;
use rdsprov_core::audit::Status;
use rdsprov_core::definitions::{Auth, KEYS, Mode};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::plan::{Action, Hazard, NoteCode, OrphanKind, Refusal, RefusalCode};
use rdsprov_core::preflight::{CheckName, CheckStatus};
use rdsprov_core::privilege::AccessLevel;
use rdsprov_core::run_setting::{RunSettingName, SourceKind};
use rdsprov_core::text::visible;
use serde::Serialize;
use serde_json::Value;

use crate::event_kind::EventKind;
use crate::wording::PythonWording;

/// Imports the Python module `rdsprov._values`.
fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE
        .get_or_try_init(py, || py.import("rdsprov._values").map(Bound::unbind))
        .map(|module| module.bind(py))
}

/// Converts a value with a function or class of `rdsprov._values`.
pub fn value<'py, T: Serialize + ?Sized>(
    py: Python<'py>,
    maker: &str,
    value: &T,
) -> PyResult<Bound<'py, PyAny>> {
    module(py)?.getattr(maker)?.call1((readable(py, value)?,))
}

/// The keys whose values are sentences for people, which programs print.
const SENTENCES: [&str; 8] =
    ["summary", "message", "hint", "hints", "notes", "reason", "error", "defect"];

/// Converts a value to dictionaries and lists, in which the sentences are escaped as in the output of the
/// command. Names and statements remain as they are: they are data.
fn readable<'py, T: Serialize + ?Sized>(py: Python<'py>, value: &T) -> PyResult<Bound<'py, PyAny>> {
    fn escape(value: &mut Value, is_sentence: bool) {
        match value {
            Value::String(text) if is_sentence => *text = visible(text),
            Value::Array(all) => all.iter_mut().for_each(|one| escape(one, is_sentence)),
            Value::Object(keys) => {
                keys.iter_mut()
                    .for_each(|(key, one)| escape(one, SENTENCES.contains(&key.as_str())));
            }
            _ => {}
        }
    }
    let mut value =
        serde_json::to_value(value).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    escape(&mut value, false);
    Ok(pythonize(py, &value)?)
}

/// Converts several values to a tuple, each with a function or class of `rdsprov._values`.
pub fn values<'py, T: Serialize>(
    py: Python<'py>,
    maker: &str,
    of: impl IntoIterator<Item = T>,
) -> PyResult<Bound<'py, PyTuple>> {
    let maker = module(py)?.getattr(maker)?;
    let objects: Vec<_> =
        of.into_iter().map(|one| maker.call1((readable(py, &one)?,))).collect::<PyResult<_>>()?;
    PyTuple::new(py, objects)
}

/// Refusals with their hints in the words of Python, as a tuple.
pub fn refusals<'py>(py: Python<'py>, of: &[Refusal]) -> PyResult<Bound<'py, PyTuple>> {
    values(py, "_refusal", of.iter().map(|refusal| refusal.worded(&PythonWording)))
}

/// Returns the members of the enums and the keys of an application as the core has them, for tests.
#[pyfunction]
pub fn closed_sets(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let sets = PyDict::new(py);
    sets.set_item(
        "AccessLevel",
        pythonize(
            py,
            &[AccessLevel::Owner, AccessLevel::Editor, AccessLevel::Reader, AccessLevel::None],
        )?,
    )?;
    sets.set_item("Auth", pythonize(py, &Auth::all().collect::<Vec<_>>())?)?;
    sets.set_item("Mode", pythonize(py, &Mode::all().collect::<Vec<_>>())?)?;
    sets.set_item("Hazard", pythonize(py, &Hazard::all().collect::<Vec<_>>())?)?;
    sets.set_item("Action", pythonize(py, &Action::all().collect::<Vec<_>>())?)?;
    sets.set_item("RefusalCode", pythonize(py, &RefusalCode::all().collect::<Vec<_>>())?)?;
    sets.set_item("NoteCode", pythonize(py, &NoteCode::all().collect::<Vec<_>>())?)?;
    sets.set_item("OrphanKind", pythonize(py, &OrphanKind::all().collect::<Vec<_>>())?)?;
    sets.set_item("RunSettingName", pythonize(py, &RunSettingName::all().collect::<Vec<_>>())?)?;
    sets.set_item("SourceKind", pythonize(py, &SourceKind::all().collect::<Vec<_>>())?)?;
    sets.set_item("CheckName", pythonize(py, &CheckName::all().collect::<Vec<_>>())?)?;
    sets.set_item("CheckStatus", pythonize(py, &CheckStatus::all().collect::<Vec<_>>())?)?;
    sets.set_item("Status", pythonize(py, &Status::all().collect::<Vec<_>>())?)?;
    sets.set_item("ErrorCode", pythonize(py, &ErrorCode::all().collect::<Vec<_>>())?)?;
    sets.set_item("EventKind", pythonize(py, &EventKind::ALL)?)?;
    sets.set_item("keys", KEYS)?;
    Ok(sets)
}
