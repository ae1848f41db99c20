//! `rdsprov.AccessReport`: the privileges of each role in the managed databases.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use rdsprov_core::access_report as core;

use crate::{errors, options};

/// The privileges of each role in the managed databases, as PostgreSQL computes them.
///
/// `access` returns it.
/// `str(report)` is the text that `rdsprov access` prints.
#[pyclass(frozen, module = "rdsprov")]
pub struct AccessReport {
    json: String,
    text: String,
    markdown: String,
    complete: bool,
}

impl AccessReport {
    pub fn new(py: Python<'_>, report: &core::AccessReport) -> PyResult<Self> {
        let json = report.to_json().map_err(|error| errors::usage(py, &error.to_string()))?;
        let (text, markdown) = (report.to_text(), report.to_markdown());
        Ok(Self { json, text, markdown, complete: report.is_complete() })
    }
}

#[pymethods]
impl AccessReport {
    /// Whether every database could be read.
    #[getter]
    fn complete(&self) -> bool {
        self.complete
    }

    /// Returns plain data, as `rdsprov access --format json` prints it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (&self.json,))
    }

    /// Returns the report as JSON text.
    fn to_json(&self) -> &str {
        &self.json
    }

    /// Returns the report as Markdown tables, as `rdsprov access --format markdown` prints them.
    fn to_markdown(&self) -> &str {
        &self.markdown
    }

    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<AccessReport complete={}>", if self.complete { "True" } else { "False" })
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let same = other.cast::<Self>().ok().map(|other| self.json == other.get().json);
        options::equality(other.py(), op, same)
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.json)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, AccessState)> {
        let state = (self.json.clone(), self.text.clone(), self.markdown.clone(), self.complete);
        Ok((options::restore_function(py, "restore_access")?, state))
    }
}

/// The pickled state: JSON, text, Markdown, and whether every database could be read.
type AccessState = (String, String, String, bool);

/// Restores a pickled report.
#[pyfunction]
pub fn restore_access(
    json: String,
    text: String,
    markdown: String,
    complete: bool,
) -> AccessReport {
    AccessReport { json, text, markdown, complete }
}
