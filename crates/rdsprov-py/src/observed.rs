//! `rdsprov.Observed`: the observed state of a server.

use std::sync::Arc;

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pythonize::{depythonize, pythonize};
use rdsprov_core::observed as core;
use rdsprov_core::text::pretty_json;

use crate::{errors, options};

/// The observed state of a server: its roles, databases and privileges.
///
/// `observe` reads it from a server, and `from_mapping` takes it from plain data, for example in a test.
/// It is immutable.
#[pyclass(frozen, module = "rdsprov")]
pub struct Observed(pub Arc<core::Observed>);

impl Observed {
    /// Converts an `Observed`, or a mapping of its form.
    pub fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Arc<core::Observed>> {
        if let Ok(observed) = value.cast::<Self>() {
            return Ok(observed.get().0.clone());
        }
        let wrong = |error: pythonize::PythonizeError| {
            errors::usage(value.py(), &format!("observed: {error}"))
        };
        depythonize(value).map(Arc::new).map_err(wrong)
    }

    fn text(&self) -> String {
        serde_json::to_string(&*self.0).unwrap_or_default()
    }
}

#[pymethods]
impl Observed {
    /// Returns the state that a mapping describes, in the form of `to_dict`.
    #[staticmethod]
    fn from_mapping(mapping: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::from_python(mapping).map(Self)
    }

    /// Returns the state that a JSON text describes, in the form of `to_json`.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        restore_observed(py, text)
    }

    /// The server parameter `server_version_num`, such as `170002`.
    #[getter]
    fn server_version(&self) -> u32 {
        self.0.server_version
    }

    /// Returns plain data.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &*self.0)?)
    }

    /// Returns the state as JSON text.
    fn to_json(&self) -> String {
        pretty_json(&*self.0).unwrap_or_default()
    }

    fn __repr__(&self) -> String {
        format!(
            "<Observed server_version={} roles={} databases={}>",
            self.0.server_version,
            self.0.roles.len(),
            self.0.databases.len()
        )
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let same = other.cast::<Self>().ok().map(|other| self.0 == other.get().0);
        options::equality(other.py(), op, same)
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.text())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((options::restore_function(py, "restore_observed")?, (self.text(),)))
    }
}

/// Restores a pickled state.
#[pyfunction]
pub fn restore_observed(py: Python<'_>, text: &str) -> PyResult<Observed> {
    serde_json::from_str(text)
        .map(|observed| Observed(Arc::new(observed)))
        .map_err(|error| errors::usage(py, &format!("observed: {error}")))
}
