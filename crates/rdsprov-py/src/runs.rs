//! The functions of the Python module that change a server: `apply`, `rotate`, `retire`, `teardown` and
//! `delegate`.
//!
//! Each converts its keywords to the options of a run, and the outcome of the run to a value or an exception.

use std::collections::BTreeSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rdsprov_core::config::SecretTags;
use rdsprov_core::definitions::Auth;
use rdsprov_core::desired::Backup;
use rdsprov_core::plan::{Step, Transaction};
use rdsprov_core::secret_id::RecoveryWindow;
use rdsprov_core::session::{
    self, ApplyOptions, Cancellation, Completion, Delegation, Frontend, Notice, Outcome,
    PlanSource, Retirement, RunOptions, Setup, SetupBuilder,
};
use rdsprov_core::step_result::{StepResult, StepStatus};
use serde_json::{Value, json};

use crate::call::Call;
use crate::definitions::Definitions;
use crate::event_kind::EventKind;
use crate::options::Keywords;
use crate::plan::Plan;
use crate::saved::SavedPlan;
use crate::{errors, values, wait};

/// A plan that `apply` accepts.
#[derive(FromPyObject)]
pub enum Applicable<'py> {
    Plan(Bound<'py, Plan>),
    Saved(Bound<'py, SavedPlan>),
}

impl Applicable<'_> {
    /// Returns the plan for the core, and the inputs that it was made from.
    fn source(&self) -> PyResult<(PlanSource, &Py<Definitions>, &Py<PyDict>)> {
        match self {
            Self::Plan(plan) => {
                let (py, plan) = (plan.py(), plan.get());
                plan.require_server(py)?;
                let source = PlanSource::Plan(Box::new(plan.core.clone()));
                Ok((source, &plan.definitions, &plan.keywords))
            }
            Self::Saved(saved) => {
                let (definitions, keywords) = saved.get().inputs(saved.py())?;
                let source = PlanSource::Saved(Box::new(saved.get().core.clone()));
                Ok((source, definitions, keywords))
            }
        }
    }

    fn environment(&self) -> &str {
        match self {
            Self::Plan(plan) => &plan.get().core.environment,
            Self::Saved(saved) => &saved.get().core.environment,
        }
    }

    fn digest(&self) -> &str {
        match self {
            Self::Plan(plan) => &plan.get().core.digest,
            Self::Saved(saved) => &saved.get().core.digest,
        }
    }
}

/// Implements `rdsprov.apply`.
#[pyfunction]
#[pyo3(signature = (plan, **keywords))]
pub fn apply<'py>(
    py: Python<'py>,
    plan: Applicable<'py>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = Run::new(py, keywords)?;
    let (source, definitions, inputs) = plan.source()?;
    let mut wanted = ApplyOptions::default();
    wanted.run = run.options()?;
    let of_plan = Keywords(inputs.bind(py).clone()).server(&run.call)?;
    let of_run = std::mem::replace(&mut wanted.run.server, of_plan);
    if of_run.build_id.is_some() {
        wanted.run.server.build_id = of_run.build_id;
    }
    wanted.run.server.allow.extend(of_run.allow);
    wanted.run.environment = Some(plan.environment().to_owned());
    wanted.run.plan_source = source;
    wanted.keep_going = !run.keywords.given("fail_fast")?.unwrap_or(true);
    wanted.confirm = run.keywords.given("confirm")?.unwrap_or_default();
    let builder = definitions.bind(py).get().builder(None, &[], None);
    let builder = builder.map_err(|error| errors::to_exception(py, &error))?;
    run.execute(py, Some(plan.digest()), |frontend, cancellation| {
        session::apply(builder, &wanted, frontend, cancellation)
    })
}

/// Implements `rdsprov.rotate`.
#[pyfunction]
#[pyo3(signature = (definitions, applications, **keywords))]
pub fn rotate<'py>(
    definitions: &Bound<'py, Definitions>,
    applications: Vec<String>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = definitions.py();
    let applications = named(py, applications)?;
    let run = Run::new(py, keywords)?;
    let (builder, wanted) = (run.builder(definitions)?, run.options()?);
    run.execute(py, None, |frontend, cancellation| {
        session::rotate(builder, &applications, &wanted, frontend, cancellation)
    })
}

/// Implements `rdsprov.retire`.
#[pyfunction]
#[pyo3(signature = (definitions, applications, **keywords))]
pub fn retire<'py>(
    definitions: &Bound<'py, Definitions>,
    applications: Vec<String>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = definitions.py();
    let applications = named(py, applications)?;
    let run = Run::new(py, keywords)?;
    let (builder, wanted) = (run.builder(definitions)?, run.options()?);
    let mut retirement = Retirement::new(applications);
    retirement.drop_role = run.keywords.flag("drop_role")?;
    retirement.drop_database = run.keywords.flag("drop_database")?;
    run.add_drops(py, &mut retirement)?;
    run.execute(py, None, |frontend, cancellation| {
        session::retire(builder, retirement, &wanted, frontend, cancellation)
    })
}

/// Implements `rdsprov.teardown`.
#[pyfunction]
#[pyo3(signature = (environment, build_id, **keywords))]
pub fn teardown<'py>(
    py: Python<'py>,
    environment: String,
    build_id: String,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = Run::new(py, keywords)?;
    let mut wanted = run.options()?;
    wanted.server.build_id = Some(build_id);
    wanted.environment = Some(environment.clone());
    let mut retirement = Retirement::default();
    run.add_drops(py, &mut retirement)?;
    let config = run.keywords.path("config")?;
    let config = session::config(config.as_deref());
    let config = config.map_err(|error| errors::to_exception(py, &error))?;
    let builder = Setup::builder().config(config).environment(environment);
    run.execute(py, None, |frontend, cancellation| {
        session::teardown(builder, retirement, &wanted, frontend, cancellation)
    })
}

/// Implements `rdsprov.delegate`.
#[pyfunction]
#[pyo3(signature = (to, **keywords))]
pub fn delegate<'py>(
    py: Python<'py>,
    to: String,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = Run::new(py, keywords)?;
    let mut wanted = run.options()?;
    wanted.environment = run.keywords.environment()?;
    wanted.server.new_secrets.kms_key = run.keywords.parsed("secret_kms_key")?;
    wanted.server.new_secrets.tags = SecretTags::new(run.keywords.secret_tags()?);
    let mut delegation = Delegation::new(to);
    delegation.auth = run.keywords.auth()?.unwrap_or(Auth::Password);
    delegation.secret = run.keywords.given("to_secret")?;
    delegation.adopt = run.keywords.flag("adopt")?;
    let config = run.keywords.path("config")?;
    let config = session::config(config.as_deref());
    let config = config.map_err(|error| errors::to_exception(py, &error))?;
    run.execute(py, None, |frontend, cancellation| {
        session::delegate(config, delegation, &wanted, frontend, cancellation)
    })
}

/// One call that changes a server.
struct Run<'py> {
    keywords: Keywords<'py>,
    call: Arc<Call>,
    called: StepCallback,
}

impl<'py> Run<'py> {
    fn new(py: Python<'py>, keywords: Option<Bound<'py, PyDict>>) -> PyResult<Self> {
        let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
        let call = keywords.call()?;
        let called = StepCallback { on_step: keywords.given("on_step")?, call: call.clone() };
        Ok(Self { keywords, call, called })
    }

    /// Returns the inputs of a run with definitions.
    fn builder(&self, definitions: &Bound<'py, Definitions>) -> PyResult<SetupBuilder> {
        let (environment, adopt, config) = self.keywords.reading()?;
        let builder = definitions.get().builder(environment, &adopt, config);
        builder.map_err(|error| errors::to_exception(definitions.py(), &error))
    }

    /// Adds the options of the functions that drop databases.
    fn add_drops(&self, py: Python<'py>, retirement: &mut Retirement) -> PyResult<()> {
        retirement.end_sessions = self.keywords.flag("end_sessions")?;
        let without_backup = self.keywords.flag("without_backup")?;
        retirement.backup = match self.keywords.given("backup")? {
            Some(_) if without_backup => {
                let message = "`backup=` and `without_backup=` contradict each other";
                return Err(errors::usage(py, message));
            }
            Some(path) => Some(Backup::File(path)),
            None => without_backup.then_some(Backup::Nothing),
        };
        retirement.confirm = self.keywords.given("confirm")?.unwrap_or_default();
        if self.keywords.flag("delete_secret")? {
            let days: Option<u8> = self.keywords.given("recovery_window_days")?;
            let window = days.map_or(Some(RecoveryWindow::default()), RecoveryWindow::new);
            let window = window.ok_or_else(|| {
                errors::usage(py, "`recovery_window_days=` is not a number from 7 to 30")
            })?;
            retirement.delete_secrets = Some(window);
        }
        Ok(())
    }

    /// Returns the options that all runs have.
    fn options(&self) -> PyResult<RunOptions> {
        let keywords = &self.keywords;
        let mut wanted = RunOptions::default();
        wanted.server = keywords.server(&self.call)?;
        wanted.environment = keywords.environment()?;
        wanted.run_id = keywords.text("run_id")?;
        wanted.audit_output = keywords.path("audit_output")?;
        wanted.audit_ledger = keywords.path("audit_ledger")?;
        wanted.actor = keywords.text("actor")?;
        wanted.approver = keywords.text("approver")?;
        wanted.request_id = keywords.text("request_id")?;
        wanted.approval = keywords.approval()?;
        wanted.lock_timeout = keywords.lock_timeout()?;
        wanted.dry_run = keywords.flag("dry_run")?;
        Ok(wanted)
    }

    /// Executes the run. Returns its outcome, or raises the exception for it. `digest` is that of the
    /// plan, if the caller has given one.
    fn execute<'a, F: Future<Output = Outcome>>(
        &'a self,
        py: Python<'py>,
        digest: Option<&str>,
        start: impl FnOnce(&'a StepCallback, &'a Cancellation) -> F + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (called, call) = (&self.called, &self.call);
        let outcome = wait::run_to_completion(py, call, || start(called, &call.cancellation))?;
        let digest = digest.or_else(|| outcome.plans.first().map(|plan| plan.digest.as_str()));
        let value = values::value(py, "_outcome", &described(&outcome, digest))?;
        let failure = outcome
            .result
            .as_ref()
            .err()
            .map(|error| errors::apply_error(py, error, outcome.committed, &value));
        match (call.take_exception(), failure) {
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
}

/// Returns the named applications, of which there has to be at least one.
fn named(py: Python<'_>, applications: Vec<String>) -> PyResult<Vec<String>> {
    let applications: BTreeSet<String> = applications.into_iter().collect();
    if applications.is_empty() {
        return Err(errors::usage(py, "no application is named"));
    }
    Ok(applications.into_iter().collect())
}

/// Calls the Python functions `on_step` and `on_event`.
struct StepCallback {
    on_step: Option<Py<PyAny>>,
    call: Arc<Call>,
}

impl Frontend for StepCallback {
    fn on_notice(&self, notice: &Notice) {
        let kind = match notice {
            Notice::WaitingForLock { .. } => EventKind::WaitingForLock,
            Notice::WaitingForStatement(_) => EventKind::WaitingForStatement,
            _ => EventKind::Notice,
        };
        self.call.warn(kind, &notice.to_string());
    }

    fn on_begin(&self, transaction: &Transaction, message: &str) {
        self.call.report(EventKind::StepsBegin, message, &transaction.steps);
    }

    fn on_step(&self, step: &Step, result: &StepResult) {
        let Some(on_step) = &self.on_step else { return };
        let called = Python::attach(|py| {
            let result = values::value(py, "_step_result", &step_result(step, result))?;
            on_step.bind(py).call1((result,)).map(drop)
        });
        if let Err(error) = called {
            self.call.keep(error);
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

fn described(outcome: &Outcome, digest: Option<&str>) -> Value {
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
        // Those of the first plan, as the JSON of the command has them.
        "notes": outcome.plans.first().map(|plan| &plan.notes[..]).unwrap_or_default(),
        "records": outcome.records,
        "ledger_head": outcome.ledger_head.as_ref().map(|head| &head.hash),
        "error": outcome.result.as_ref().err().map(ToString::to_string),
    })
}
