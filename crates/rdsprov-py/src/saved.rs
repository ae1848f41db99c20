//! `rdsprov.SavedPlan`: a plan in a file, and the inputs with which `apply` makes it again.

use std::path::Path;

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyTuple};
use rdsprov_core::plan as core;
use rdsprov_core::session;

use crate::basis::Basis;
use crate::definitions::Definitions;
use crate::options::{self, Keywords};
use crate::{errors, values};

/// A plan that was read from a file, for review and for `apply`.
///
/// `Plan.from_file` returns it.
/// Its statements are never executed: `apply` plans again, and continues only if nothing has changed.
/// Iterating over it gives its steps.
/// It is immutable.
#[pyclass(frozen, module = "rdsprov")]
pub struct SavedPlan {
    pub core: core::SavedPlan,
    /// The definitions, read for the environment of the plan, and the keywords of the call.
    inputs: Option<(Py<Definitions>, Py<PyDict>)>,
}

impl SavedPlan {
    pub fn read(
        py: Python<'_>,
        path: &Path,
        definitions: Option<&Bound<'_, Definitions>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let checked = py.import("rdsprov._reading")?;
        let checked = checked.getattr("checked_options_of_plan")?.call((), options)?;
        let keywords = Keywords(checked.cast_into::<PyDict>()?);
        let to_exception = |error| errors::to_exception(py, &error);
        let core = session::saved_plan(path).map_err(to_exception)?;
        let Some(definitions) = definitions else { return Ok(Self { core, inputs: None }) };
        let basis = Basis::new(definitions, &keywords)?;
        core.check_environment(basis.setup.environment())
            .map_err(|error| to_exception(error.into()))?;
        Ok(Self { core, inputs: Some((basis.definitions, keywords.of_plan()?)) })
    }

    /// Returns the definitions and the keywords with which the plan is made again.
    pub fn inputs(&self, py: Python<'_>) -> PyResult<(&Py<Definitions>, &Py<PyDict>)> {
        let inputs = self.inputs.as_ref().map(|(definitions, keywords)| (definitions, keywords));
        inputs.ok_or_else(|| {
            let message = "the saved plan was read without definitions; \
                           read it with `Plan.from_file(path, definitions)`";
            errors::usage(py, message)
        })
    }

    fn text(&self) -> String {
        self.core.to_json().unwrap_or_default()
    }
}

#[pymethods]
impl SavedPlan {
    /// The name of the environment.
    #[getter]
    fn environment(&self) -> &str {
        &self.core.environment
    }

    /// The selected applications, which the plan is restricted to; empty if it covers all.
    #[getter]
    fn only<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.core.origin.only.iter().map(ToString::to_string))
    }

    /// The digest (`sha256:…`) of the steps and of the observed state that they are based on.
    #[getter]
    fn digest(&self) -> &str {
        &self.core.digest
    }

    /// The server, as `host:port`.
    #[getter]
    fn server(&self) -> Option<&str> {
        self.core.origin.server.as_deref()
    }

    /// The steps, in order, as `Step` objects.
    #[getter]
    fn changes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let steps = self.core.transactions.iter().flat_map(|transaction| &transaction.steps);
        values::values(py, "_step", steps)
    }

    /// The steps that the plan leaves out because they take access away, as `Step` objects.
    #[getter]
    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_step", &self.core.pending)
    }

    /// The hazards of all steps.
    #[getter]
    fn hazards<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let steps = self.core.transactions.iter().flat_map(|transaction| &transaction.steps);
        let hazards: std::collections::BTreeSet<_> =
            steps.flat_map(|step| step.hazards.iter().copied()).collect();
        values::values(py, "Hazard", hazards)
    }

    /// The definitions with which `apply` makes the plan again, or `None`.
    #[getter]
    fn definitions(&self, py: Python<'_>) -> Option<Py<Definitions>> {
        self.inputs.as_ref().map(|(definitions, _)| definitions.clone_ref(py))
    }

    /// Returns the text of the file.
    fn to_json(&self) -> String {
        self.text()
    }

    fn __repr__(&self) -> String {
        let changes: usize = self.core.transactions.iter().map(|one| one.steps.len()).sum();
        format!(
            "<SavedPlan environment='{}' changes={changes} digest='{}'>",
            self.core.environment, self.core.digest
        )
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.changes(py)?.try_iter()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let same = other.cast::<Self>().ok().map(|other| self.core == other.get().core);
        options::equality(other.py(), op, same)
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.core.digest)
    }
}
