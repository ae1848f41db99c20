//! The functions of the Python module that change nothing.
//!
//! They convert keywords to options, call `rdsprov_core::session` without the GIL, and convert the results.
//! `rdsprov/__init__.py` documents them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rdsprov_core::export::ExportScope;
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::plan::{Plan as CorePlan, SecretFindings};
use rdsprov_core::preflight::Check;
use rdsprov_core::session::{self, RunOptions};
use serde_json::json;

use crate::access::AccessReport;
use crate::basis::Basis;
use crate::definitions::Definitions;
use crate::observed::Observed;
use crate::options::Keywords;
use crate::plan::{Inputs, MadeBy, Plan};
use crate::wait::{self};
use crate::wording::PythonWording;
use crate::{errors, values};

/// The observed state of a server, and the plan that follows from it.
struct Observation {
    basis: Basis,
    inputs: Inputs,
    plan: CorePlan,
}

fn observe_and_plan(
    definitions: &Bound<'_, Definitions>,
    keywords: &Keywords<'_>,
) -> PyResult<Observation> {
    let py = definitions.py();
    let call = keywords.call()?;
    let basis = Basis::new(definitions, keywords)?;
    let mut options = keywords.server(&call)?;
    options.audit_ledger = keywords.path("audit_ledger")?;
    let setup = &basis.setup;
    let observation = wait::run_interruptible(py, &call, || async move {
        let mut run = setup.open(&options).await?;
        let planned = run.plan().await?;
        let last_applied = planned.last_applied().to_vec();
        let (observed, findings, plan) = planned.into_parts();
        let inputs = Inputs { observed: Arc::new(observed), findings, last_applied };
        Ok::<_, session::Error>((inputs, plan))
    })?;
    let (inputs, plan) = observation.map_err(|error| errors::to_exception(py, &error))?;
    Ok(Observation { basis, inputs, plan })
}

/// Implements `rdsprov.plan`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn plan(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<Plan> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let Observation { basis, inputs, plan } = observe_and_plan(definitions, &keywords)?;
    Plan::new(basis.definitions, &keywords, MadeBy::Plan, inputs, plan)
}

/// Implements `rdsprov.check`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn check(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<bool> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let fail_on = keywords.fail_on()?;
    let mut plan = observe_and_plan(definitions, &keywords)?.plan;
    plan.fail_on = fail_on;
    if plan.refusals.is_empty() {
        Ok(plan.passes_check())
    } else {
        Err(errors::to_exception(py, &session::Error::Refused(plan.refusals)))
    }
}

/// Implements `rdsprov.preflight`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn preflight<'py>(
    py: Python<'py>,
    definitions: &Bound<'py, Definitions>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let call = keywords.call()?;
    let (environment, adopt, config) = keywords.reading()?;
    let setup = definitions
        .get()
        .builder(environment, &adopt, config)
        .map_err(|error| errors::to_exception(py, &error))?;
    let mut options = RunOptions::default();
    options.server = keywords.server(&call)?;
    options.audit_output = keywords.path("audit_output")?;
    options.audit_ledger = keywords.path("audit_ledger")?;
    options.lock_timeout = keywords.lock_timeout()?;
    let report = wait::run_interruptible(py, &call, || session::preflight(setup, &options))?;
    let check = |one: &Check| {
        json!({
            "name": one.name,
            "status": one.status,
            "subject": one.subject,
            "message": one.message,
            "code": one.code,
            "hints": one.hints.iter().map(|hint| hint.worded(&PythonWording)).collect::<Vec<_>>(),
        })
    };
    let described = json!({
        "environment": report.environment,
        "server": report.server,
        "status": report.status,
        "checks": report.checks.iter().map(check).collect::<Vec<_>>(),
        "text": report.to_text(&PythonWording),
    });
    values::value(py, "_preflight", &described)
}

/// Implements `rdsprov.observe`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn observe(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<Observed> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    Ok(Observed(observe_and_plan(definitions, &keywords)?.inputs.observed))
}

/// Implements `rdsprov.access`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn access(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<AccessReport> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let call = keywords.call()?;
    let setup = Basis::new(definitions, &keywords)?.setup;
    let options = keywords.server(&call)?;
    let mut query = AccessQuery::default();
    query.database = keywords.given::<String>("database")?.map(DatabaseName::new_unchecked);
    query.role = keywords.given::<String>("role")?.map(RoleName::new_unchecked);
    query.actor = keywords.text("actor")?;
    let report = wait::run_interruptible(py, &call, || setup.access(&options, &query))?;
    AccessReport::new(py, report.map_err(|error| errors::to_exception(py, &error))?)
}

/// Implements `rdsprov.export`.
#[pyfunction]
#[pyo3(signature = (**keywords))]
pub fn export(py: Python<'_>, keywords: Option<Bound<'_, PyDict>>) -> PyResult<String> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let call = keywords.call()?;
    let (setup, options) = (keywords.setup_without_definitions()?, keywords.server(&call)?);
    let mut scope = ExportScope::default();
    scope.databases = keywords.given("databases")?.unwrap_or_default();
    scope.owners = keywords.given("owners")?.unwrap_or_default();
    scope.exclude = keywords.given("exclude")?.unwrap_or_default();
    let format = keywords.export_format()?;
    let export = wait::run_interruptible(py, &call, || setup.export(&options, &scope))?;
    let export = export.map_err(|error| errors::to_exception(py, &error))?;
    Ok(export.to_text(format, &PythonWording))
}

/// Implements `rdsprov.validate`.
#[pyfunction]
#[pyo3(signature = (definitions, **keywords))]
pub fn validate(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<Definitions> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let (environment, adopt, config) = keywords.reading()?;
    definitions
        .get()
        .in_environment(environment, &adopt, config)
        .map_err(|error| errors::to_exception(py, &error))
}

/// Implements `rdsprov.diff`.
#[pyfunction]
#[pyo3(signature = (definitions, observed, **keywords))]
pub fn diff(
    py: Python<'_>,
    definitions: &Bound<'_, Definitions>,
    observed: &Bound<'_, PyAny>,
    keywords: Option<Bound<'_, PyDict>>,
) -> PyResult<Plan> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let basis = Basis::new(definitions, &keywords)?;
    let observed = Observed::from_python(observed)?;
    let core = py.detach(|| CorePlan::new(&basis.desired, &observed, SecretFindings::default()));
    let findings = SecretFindings::default();
    let inputs = Inputs { observed, findings, last_applied: Vec::new() };
    Plan::new(basis.definitions, &keywords, MadeBy::Diff, inputs, core)
}
