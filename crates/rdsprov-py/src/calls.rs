//! The functions of the Python module.
//!
//! They convert keywords to options, call `rdsprov_core::session` without the GIL, and convert the results.
//! `rdsprov/__init__.py` documents them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rdsprov_core::export::ExportScope;
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::observed as core_observed;
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::plan::{Plan as CorePlan, SecretFindings, Step};
use rdsprov_core::preflight::Check;
use rdsprov_core::session::{
    self, ApplyOptions, Completion, Frontend, Notice, Outcome, PlanSource, RunOptions,
};
use rdsprov_core::step_result::{StepResult, StepStatus};
use rdsprov_core::text::visible;
use serde_json::{Value, json};

use crate::access::AccessReport;
use crate::definitions::Definitions;
use crate::observed::Observed;
use crate::options::{self, Keywords};
use crate::pending_exception::PendingException;
use crate::plan::{Basis, MadeBy, Plan};
use crate::wait::{self};
use crate::wording::PythonWording;
use crate::{errors, values};

/// The observed state of a server, and the plan that follows from it.
struct Observation {
    basis: Basis,
    observed: core_observed::Observed,
    findings: SecretFindings,
    plan: CorePlan,
}

fn observe_and_plan(
    definitions: &Bound<'_, Definitions>,
    keywords: &Keywords<'_>,
) -> PyResult<Observation> {
    let py = definitions.py();
    let pending = Arc::new(PendingException::default());
    let basis = Basis::new(definitions, keywords)?;
    let options = keywords.server(&pending)?;
    let setup = &basis.setup;
    let observation = wait::run_interruptible(py, &pending, || async move {
        let mut run = setup.open(&options).await?;
        Ok::<_, session::Error>(run.plan().await?.into_parts())
    })?;
    let (observed, findings, plan) =
        observation.map_err(|error| errors::to_exception(py, &error))?;
    Ok(Observation { basis, observed, findings, plan })
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
    let Observation { basis, observed, findings, plan } = observe_and_plan(definitions, &keywords)?;
    Plan::new(py, basis.definitions, &keywords, MadeBy::Plan, Arc::new(observed), findings, plan)
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
    let plan = observe_and_plan(definitions, &keywords)?.plan;
    if plan.refusals.is_empty() {
        Ok(plan.passes_check(&fail_on))
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
    let pending = Arc::new(PendingException::default());
    let (environment, adopt, config) = keywords.reading()?;
    let setup = definitions
        .get()
        .builder(environment, &adopt, config)
        .map_err(|error| errors::to_exception(py, &error))?;
    let mut options = RunOptions::default();
    options.server = keywords.server(&pending)?;
    options.audit_output = keywords.path("audit_output")?;
    options.audit_ledger = keywords.path("audit_ledger")?;
    options.lock_timeout = keywords.lock_timeout()?;
    let report = wait::run_interruptible(py, &pending, || session::preflight(setup, &options))?;
    let check = |one: &Check| {
        json!({
            "name": one.name,
            "status": one.status,
            "subject": one.subject,
            "message": one.message,
            "code": one.code,
            "hint": one.hint().map(|hint| hint.worded(&PythonWording)),
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
    Ok(Observed(Arc::new(observe_and_plan(definitions, &keywords)?.observed)))
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
    let pending = Arc::new(PendingException::default());
    let setup = Basis::new(definitions, &keywords)?.setup;
    let options = keywords.server(&pending)?;
    let mut query = AccessQuery::default();
    query.database = keywords.given::<String>("database")?.map(DatabaseName::new_unchecked);
    query.role = keywords.given::<String>("role")?.map(RoleName::new_unchecked);
    query.actor = keywords.text("actor")?;
    let report = wait::run_interruptible(py, &pending, || setup.access(&options, &query))?;
    AccessReport::new(py, report.map_err(|error| errors::to_exception(py, &error))?)
}

/// Implements `rdsprov.export`.
#[pyfunction]
#[pyo3(signature = (**keywords))]
pub fn export(py: Python<'_>, keywords: Option<Bound<'_, PyDict>>) -> PyResult<String> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let pending = Arc::new(PendingException::default());
    let (setup, options) = (keywords.setup_without_definitions()?, keywords.server(&pending)?);
    let mut scope = ExportScope::default();
    scope.databases = keywords.given("databases")?.unwrap_or_default();
    scope.owners = keywords.given("owners")?.unwrap_or_default();
    scope.exclude = keywords.given("exclude")?.unwrap_or_default();
    let format = keywords.export_format()?;
    let export = wait::run_interruptible(py, &pending, || setup.export(&options, &scope))?;
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
    let made_by = MadeBy::Diff;
    Plan::new(py, basis.definitions, &keywords, made_by, observed, SecretFindings::default(), core)
}

/// Implements `rdsprov.apply`.
#[pyfunction]
#[pyo3(signature = (plan, **keywords))]
pub fn apply<'py>(
    py: Python<'py>,
    plan: &Bound<'py, Plan>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let plan = plan.get();
    if plan.made_by == MadeBy::Diff {
        let message = "the plan was made by `diff()`, without a server; make one with `plan()`";
        return Err(errors::usage(py, message));
    }
    let pending = Arc::new(PendingException::default());
    let mut options = Keywords(plan.keywords.bind(py).clone()).server(&pending)?;
    if let Some(build_id) = keywords.given("build_id")? {
        options.build_id = Some(build_id);
    }
    options.allow.extend(keywords.allow()?);
    let approval = match keywords.given("approval")? {
        Some(approval) => Some(approval),
        None => options::environment_variable(py, "ALLOW_DB_PROVISION")?,
    };
    let definitions = plan.definitions.bind(py).get();
    let to_exception = |error| errors::to_exception(py, &error);
    let builder = definitions.builder(None, &[], None).map_err(to_exception)?;
    let mut wanted = ApplyOptions::default();
    wanted.run.server = options;
    wanted.run.environment = Some(plan.core.environment.clone());
    wanted.run.run_id = keywords.text("run_id")?;
    wanted.run.audit_output = keywords.path("audit_output")?;
    wanted.run.audit_ledger = keywords.path("audit_ledger")?;
    wanted.run.actor = keywords.text("actor")?;
    wanted.run.approver = keywords.text("approver")?;
    wanted.run.request_id = keywords.text("request_id")?;
    wanted.run.approval = approval;
    wanted.run.plan_source = PlanSource::Plan(Box::new(plan.core.clone()));
    wanted.run.lock_timeout = keywords.lock_timeout()?;
    wanted.run.dry_run = keywords.given("dry_run")?.unwrap_or(false);
    wanted.keep_going = !keywords.given("fail_fast")?.unwrap_or(true);
    let called = StepCallback { on_step: keywords.given("on_step")?, pending: pending.clone() };
    let outcome = wait::run_to_completion(py, &pending, || {
        session::apply(builder, &wanted, &called, &pending.cancellation)
    })?;
    let value = values::value(py, "_outcome", &described(&outcome, &plan.core.digest))?;
    let failure = outcome
        .result
        .as_ref()
        .err()
        .map(|error| errors::apply_error(py, error, outcome.committed, &value));
    match (pending.take(), failure) {
        (None, None) => Ok(value),
        (None, Some(failure)) => Err(failure),
        (Some(error), None) => Err(error),
        (Some(error), Some(failure)) => {
            // The caller can read the outcome of the run from the context of the exception.
            if error.value(py).getattr("__context__")?.is_none() {
                error.value(py).setattr("__context__", failure.value(py))?;
            }
            Err(error)
        }
    }
}

/// Calls the Python function `on_step` with the result of each step.
struct StepCallback {
    on_step: Option<Py<PyAny>>,
    pending: Arc<PendingException>,
}

impl Frontend for StepCallback {
    /// Logs the notice as a warning of `logging.getLogger("rdsprov")`.
    fn on_notice(&self, notice: &Notice) {
        tracing::warn!(target: "rdsprov", "{}", visible(&notice.to_string()));
    }

    fn on_step(&self, step: &Step, result: &StepResult) {
        let Some(on_step) = &self.on_step else { return };
        let called = Python::attach(|py| {
            let result = values::value(py, "_step_result", &step_result(step, result))?;
            on_step.bind(py).call1((result,)).map(drop)
        });
        if let Err(error) = called {
            self.pending.keep(error);
        }
    }
}

fn step_result(step: &Step, result: &StepResult) -> Value {
    let (status, error) = match &result.status {
        StepStatus::Success => ("success", None),
        StepStatus::Error(reason) => ("error", Some(reason)),
        StepStatus::RolledBack { remains } => ("rolled_back", remains.as_ref()),
        StepStatus::Unknown(reason) => ("unknown", reason.as_ref()),
        StepStatus::NotRun => ("not_run", None),
    };
    let milliseconds = u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX);
    json!({"step": step, "status": status, "error": error, "duration_ms": milliseconds})
}

fn described(outcome: &Outcome, digest: &str) -> Value {
    let steps: Vec<Value> =
        outcome.steps.iter().map(|(step, result)| step_result(step, result)).collect();
    json!({
        "environment": outcome.recorder.context.environment,
        "build_id": outcome.recorder.context.build_id,
        "run_id": outcome.recorder.context.run_id,
        "digest": digest,
        "converged": matches!(
            outcome.result,
            Ok(Completion::Converged | Completion::NothingToDo | Completion::AlreadyApplied)
        ),
        "committed": outcome.committed,
        "steps": steps,
        "records": outcome.records,
        "ledger_head": outcome.ledger_head.as_ref().map(|head| &head.hash),
        "error": outcome.result.as_ref().err().map(ToString::to_string),
    })
}
