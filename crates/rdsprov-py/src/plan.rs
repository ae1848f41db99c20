//! `rdsprov.Plan`: a plan, and the inputs from which it was made.
//!
//! `apply` plans again from these inputs, to detect that the plan is stale. `pickle` plans again from them, too.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyIterator, PyTuple};
use pythonize::pythonize;
use rdsprov_core::desired::LastApplied;
use rdsprov_core::observed as core_observed;
use rdsprov_core::plan::{self as core, SecretFindings};
use rdsprov_core::session;
use rdsprov_core::text::os_reason;

use crate::basis::Basis;
use crate::definitions::Definitions;
use crate::observed::Observed;
use crate::options::{self, Keywords};
use crate::saved::SavedPlan;
use crate::wording::PythonWording;
use crate::{errors, values};

/// The steps that change the observed state of a server into the desired state.
///
/// `plan` and `diff` return it, and `apply` applies a plan of `plan`.
/// Iterating over it gives its steps; `str(plan)` is the text that `rdsprov plan` prints.
/// It is immutable.
#[pyclass(frozen, module = "rdsprov")]
pub struct Plan {
    pub core: core::Plan,
    /// The definitions, read for the environment of the plan.
    pub definitions: Py<Definitions>,
    /// The keywords of the call that made the plan.
    pub keywords: Py<PyDict>,
    pub made_by: MadeBy,
    inputs: Inputs,
    changes: PyOnceLock<Py<PyTuple>>,
}

/// What a plan was made from, in addition to its definitions and keywords.
#[derive(Clone)]
pub struct Inputs {
    pub observed: Arc<core_observed::Observed>,
    pub findings: SecretFindings,
    pub last_applied: Vec<LastApplied>,
}

/// The function that made a plan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// `plan`, which has observed the server.
    Plan,
    /// `diff`, which has contacted no server: its plan cannot be applied, even if it names the server
    /// that the observed state comes from.
    Diff,
}

impl Plan {
    pub fn new(
        definitions: Py<Definitions>,
        keywords: &Keywords<'_>,
        made_by: MadeBy,
        inputs: Inputs,
        core: core::Plan,
    ) -> PyResult<Self> {
        Ok(Self {
            core,
            definitions,
            keywords: keywords.of_plan()?,
            made_by,
            inputs,
            changes: PyOnceLock::new(),
        })
    }

    /// Returns an error if no server was observed.
    pub fn require_server(&self, py: Python<'_>) -> PyResult<()> {
        if self.made_by == MadeBy::Plan {
            return Ok(());
        }
        let message = "the plan was made by `diff()`, without a server; make one with `plan()`";
        Err(errors::usage(py, message))
    }

    fn tuple<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || values::values(py, "_step", self.core.steps()).map(Bound::unbind);
        self.changes.get_or_try_init(py, make).map(|tuple| tuple.bind(py))
    }

    fn text(&self) -> String {
        serde_json::to_string(&self.core).unwrap_or_default()
    }
}

#[pymethods]
impl Plan {
    /// The name of the environment.
    #[getter]
    fn environment(&self) -> &str {
        &self.core.environment
    }

    /// The scope of the definitions, or `None`.
    #[getter]
    fn scope(&self) -> Option<&str> {
        self.core.origin.scope.as_deref()
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

    /// The server, as `host:port`; `None` if the observed state does not come from a server.
    #[getter]
    fn server(&self) -> Option<&str> {
        self.core.origin.server.as_deref()
    }

    /// How the run reached the server, and the approval policy, as `RunSetting` objects.
    #[getter]
    fn run_settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_run_setting", &self.core.run_settings)
    }

    /// The major version of the server, such as `17`.
    #[getter]
    fn server_major(&self) -> u32 {
        self.core.server_major
    }

    /// The steps, in order, as `Step` objects.
    #[getter]
    fn changes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple(py).cloned()
    }

    /// The steps that a plan with `additive=True` leaves out because they take access away, as `Step` objects.
    #[getter]
    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_step", &self.core.pending)
    }

    /// The reasons why the plan must not be applied, as `Refusal` objects.
    #[getter]
    fn refusals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::refusals(py, &self.core.refusals)
    }

    /// The hazards of all steps.
    #[getter]
    fn hazards<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "Hazard", self.core.hazards())
    }

    /// The managed roles and databases that the definitions no longer declare, as `Orphan` objects.
    #[getter]
    fn orphaned<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_orphan", &self.core.orphaned)
    }

    /// The number of roles and databases that definitions of other scopes manage in the environment.
    #[getter]
    fn in_other_scopes(&self) -> usize {
        self.core.in_other_scopes
    }

    /// The databases of declared roles that no entry declares, as `UndeclaredDatabase` objects.
    #[getter]
    fn undeclared_databases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_undeclared_database", &self.core.undeclared_databases)
    }

    /// The access of roles that are not declared to declared databases, as `UndeclaredRoleAccess` objects.
    #[getter]
    fn undeclared_access<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_undeclared_access", &self.core.undeclared_access)
    }

    /// Facts that do not stop the plan.
    #[getter]
    fn notes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::values(py, "_note", &self.core.notes)
    }

    /// The parts of the comparison that are possible only after the plan is applied.
    #[getter]
    fn deferred<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.core.deferred.iter().map(|one| &one.comparison))
    }

    /// The observed state that the plan is based on.
    #[getter]
    fn observed(&self) -> Observed {
        Observed(self.inputs.observed.clone())
    }

    /// The definitions, read for the environment of the plan.
    #[getter]
    fn definitions(&self, py: Python<'_>) -> Py<Definitions> {
        self.definitions.clone_ref(py)
    }

    /// The last line of the text: the number of changes, the server and the digest, or why there are none.
    #[getter]
    fn summary(&self) -> String {
        self.core.closing()
    }

    /// Writes the plan to a file, which `from_file` and the command `rdsprov apply FILE` read.
    /// A plan with refusals raises `PlanRefused`.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.require_server(py)?;
        let to_exception = |error| errors::to_exception(py, &error);
        if !self.core.refusals.is_empty() {
            return Err(to_exception(session::Error::Refused(self.core.refusals.clone())));
        }
        let saved = core::SavedPlan::new(&self.core).map_err(|error| to_exception(error.into()))?;
        let text = saved.to_json().unwrap_or_default();
        rdsprov_cli::replace_file(&path, &text, 0o600).map_err(|error| {
            let fact = format!("{} cannot be written: {}", path.display(), os_reason(&error));
            errors::unwritable(py, &fact)
        })
    }

    /// Reads a plan that `save` or `rdsprov plan --out FILE` has written, and verifies that it is unchanged.
    ///
    /// `apply` needs the definitions and the options with which the plan was made; the options are those of `plan`.
    #[staticmethod]
    #[pyo3(signature = (path, definitions=None, **options))]
    fn from_file(
        py: Python<'_>,
        path: PathBuf,
        definitions: Option<&Bound<'_, Definitions>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<SavedPlan> {
        SavedPlan::read(py, &path, definitions, options)
    }

    /// Returns plain data, as `rdsprov plan --format json` prints it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.core)?)
    }

    /// Returns the plan as JSON text.
    fn to_json(&self) -> String {
        self.core.to_json().unwrap_or_default()
    }

    /// Returns a script for `psql`, as `rdsprov plan --format sql` prints it.
    fn to_sql(&self) -> String {
        self.core.to_sql_worded(&PythonWording)
    }

    fn __str__(&self) -> String {
        self.core.to_text_worded(&PythonWording)
    }

    fn __repr__(&self) -> String {
        format!(
            "<Plan environment='{}' changes={} refusals={} digest='{}'>",
            self.core.environment,
            self.core.steps().count(),
            self.core.refusals.len(),
            self.core.digest
        )
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.tuple(py)?.try_iter()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let same = other.cast::<Self>().ok().map(|other| self.core == other.get().core);
        options::equality(other.py(), op, same)
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.core.digest)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, PlanState)> {
        let state = (
            self.definitions.clone_ref(py),
            self.keywords.clone_ref(py),
            self.made_by == MadeBy::Plan,
            serde_json::to_string(&*self.inputs.observed).unwrap_or_default(),
            serde_json::to_string(&self.inputs.findings).unwrap_or_default(),
            serde_json::to_string(&self.inputs.last_applied).unwrap_or_default(),
            self.text(),
        );
        Ok((options::restore_function(py, "restore_plan")?, state))
    }
}

/// The pickled state: definitions, keywords, and whether `plan` made the plan; observed state, secret findings,
/// the last `apply` on each server, and plan as JSON.
type PlanState = (Py<Definitions>, Py<PyDict>, bool, String, String, String, String);

/// Restores a pickled plan: plans again, because equal inputs give an equal plan.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are the pickled state")]
pub fn restore_plan(
    py: Python<'_>,
    definitions: Bound<'_, Definitions>,
    keywords: Bound<'_, PyDict>,
    made_by_plan: bool,
    observed: &str,
    findings: &str,
    last_applied: &str,
    text: &str,
) -> PyResult<Plan> {
    let keywords = Keywords(keywords);
    let mut basis = Basis::new(&definitions, &keywords)?;
    let wrong = |error: serde_json::Error| errors::usage(py, &format!("the plan: {error}"));
    let observed: Arc<core_observed::Observed> =
        Arc::new(serde_json::from_str(observed).map_err(wrong)?);
    let findings: SecretFindings = serde_json::from_str(findings).map_err(wrong)?;
    let last_applied: Vec<LastApplied> = serde_json::from_str(last_applied).map_err(wrong)?;
    basis.desired.last_applied.clone_from(&last_applied);
    let core = core::Plan::new(&basis.desired, &observed, findings.clone());
    let made_by = if made_by_plan { MadeBy::Plan } else { MadeBy::Diff };
    let inputs = Inputs { observed, findings, last_applied };
    let plan = Plan::new(basis.definitions, &keywords, made_by, inputs, core)?;
    if plan.text() == text {
        Ok(plan)
    } else {
        Err(errors::usage(
            py,
            "the plan was pickled by another version of rdsprov, or under another configuration or site policy; make a new one with `plan()`",
        ))
    }
}
