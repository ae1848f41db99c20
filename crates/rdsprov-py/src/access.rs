//! `rdsprov.AccessReport`: the privileges of each role in the managed databases.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use rdsprov_core::access_report::{self as core, AccessDiff, ShownRoles};

use crate::{errors, options};

/// The privileges of each role in the managed databases, as PostgreSQL computes them.
///
/// `access` returns it.
/// `str(report)` is the text that `rdsprov access` prints.
#[pyclass(frozen, module = "rdsprov")]
pub struct AccessReport {
    core: core::AccessReport,
    json: String,
}

impl AccessReport {
    pub fn new(py: Python<'_>, core: core::AccessReport) -> PyResult<Self> {
        let json = core.to_json().map_err(|error| errors::usage(py, &error.to_string()))?;
        Ok(Self { core, json })
    }
}

fn shown(all: bool) -> ShownRoles {
    if all { ShownRoles::All } else { ShownRoles::WithoutAdministrators }
}

#[pymethods]
impl AccessReport {
    /// Returns a report from the JSON text that `to_json` returns and `rdsprov access --format json` prints.
    ///
    /// Raises `UsageError` if the text is not such a report.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str) -> PyResult<Self> {
        let report = core::AccessReport::from_json(text).map_err(|reason| {
            errors::usage(py, &format!("the text is not an access report: {reason}"))
        })?;
        Self::new(py, report)
    }

    /// Whether every database could be read.
    #[getter]
    fn complete(&self) -> bool {
        self.core.is_complete()
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
    ///
    /// - `all`: also shows administrators and predefined roles.
    #[pyo3(signature = (*, all=false))]
    fn to_markdown(&self, all: bool) -> String {
        self.core.to_markdown(shown(all))
    }

    /// Returns the report as CSV, as `rdsprov access --format csv` prints it.
    fn to_csv(&self) -> String {
        self.core.to_csv()
    }

    /// Returns the report as one HTML file, as `rdsprov access --format html` prints it.
    fn to_html(&self, py: Python<'_>) -> PyResult<String> {
        self.core.to_html().map_err(|error| errors::usage(py, &error.to_string()))
    }

    /// Returns what changed since an older report, as `rdsprov access --diff OLD --format json` prints it.
    ///
    /// Raises `UsageError` if the reports are of different environments.
    fn changes_since<'py>(
        &self,
        py: Python<'py>,
        older: &Bound<'py, AccessReport>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let diff = AccessDiff::new(&older.get().core, &self.core)
            .map_err(|reason| errors::usage(py, &reason))?;
        let json = diff.to_json().map_err(|error| errors::usage(py, &error.to_string()))?;
        py.import("json")?.call_method1("loads", (json,))
    }

    fn __str__(&self) -> String {
        self.core.to_text(ShownRoles::default())
    }

    fn __repr__(&self) -> String {
        format!(
            "<AccessReport complete={}>",
            if self.core.is_complete() { "True" } else { "False" }
        )
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let same = other.cast::<Self>().ok().map(|other| self.json == other.get().json);
        options::equality(other.py(), op, same)
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.json)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((options::restore_function(py, "restore_access")?, (self.json.clone(),)))
    }
}

/// Restores a pickled report.
#[pyfunction]
pub fn restore_access(py: Python<'_>, json: &str) -> PyResult<AccessReport> {
    AccessReport::from_json(py, json)
}
