//! Runs the operations for the instances of a fleet side by side.
//!
//! Each instance has its own [`Setup`](super::Setup), its own gates and its own records. This module
//! decides only how many instances run at the same time, when no further one is started, and whether an
//! approval is that of all plans together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tracing::Instrument as _;

use super::apply::{Outcome, apply};
use super::cancellation::Cancellation;
use super::error::{Error, Kind};
use super::fleet_instance::{self, FleetOptions};
use super::frontend::Frontend;
use super::notice::Notice;
use super::open::ServerOptions;
use super::outcome::record_failure;
use super::preflight::preflight;
use super::record_files::ConfiguredFiles;
use super::run_options::{ApplyOptions, Completion};
use super::setup::{Setup, SetupBuilder};
use crate::audit::Record;
use crate::fleet::{Fleet, FleetReport, Instance, InstanceReport, InstanceStatus};
use crate::gate::{Approval, GateError};
use crate::operations::AccessQuery;
use crate::plan::{Plan, Step, Transaction};
use crate::step_result::{StepResult, StepStatus};

/// The callbacks of a front end for a fleet.
pub trait FleetFrontend: Sync {
    /// Returns the callbacks for one instance.
    fn instance<'a>(&'a self, name: &'a str) -> impl Frontend + 'a;

    /// Called when an instance has ended.
    fn on_end(&self, _report: &InstanceReport) {}

    /// Called before the instances run, with their number.
    fn on_start(&self, _instances: usize) {}

    /// Called with all plans, before the first instance is changed.
    fn on_plans(&self, _report: &FleetReport) {}

    /// Returns whether the user confirms all plans. By default, no confirmation is required.
    fn confirm(&self, _report: &FleetReport) -> impl Future<Output = bool> {
        std::future::ready(true)
    }
}

/// Shows nothing, and confirms all plans.
impl FleetFrontend for () {
    fn instance<'a>(&'a self, _name: &'a str) -> impl Frontend + 'a {}
}

/// The result for a fleet, with the error that concerns all instances.
#[derive(Debug)]
#[non_exhaustive]
pub struct FleetOutcome {
    /// What happened to each instance.
    pub report: FleetReport,
    /// Why no instance was changed, although their plans could be made.
    pub error: Option<Error>,
}

/// An instance with its validated inputs, or with the reason why they are invalid.
type InstanceSetup = (Instance, Result<Setup, Error>);

/// Reads and validates the definitions of each instance. Contacts nothing.
///
/// # Errors
/// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance).
pub fn fleet_setups(fleet: &Fleet, options: &FleetOptions) -> Result<Vec<InstanceSetup>, Error> {
    let cancellation = Cancellation::default();
    let run = FleetRun::new(fleet, options, &(), &cancellation)?;
    let setup = |one: &&Instance| {
        let setup = run.setup(one).and_then(SetupBuilder::build);
        (Instance::clone(one), setup)
    };
    Ok(run.instances.iter().map(setup).collect())
}

/// Plans each instance. Changes nothing.
///
/// # Errors
/// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance).
pub async fn plan_fleet<F: FleetFrontend>(
    fleet: &Fleet,
    options: &FleetOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Result<FleetReport, Error> {
    let run = FleetRun::new(fleet, options, frontend, cancellation)?;
    Ok(run.plans().await.0)
}

/// Makes the access report of each instance.
///
/// # Errors
/// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance).
pub async fn fleet_access<F: FleetFrontend>(
    fleet: &Fleet,
    query: &AccessQuery,
    options: &FleetOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Result<FleetReport, Error> {
    let run = FleetRun::new(fleet, options, frontend, cancellation)?;
    Ok(run
        .side_by_side(async |instance, stop| {
            let report = async {
                let setup = run.setup(instance)?.build()?;
                setup.access(&run.server_options(instance), query).await
            };
            let result = stoppable(stop, report).await;
            let mut report = InstanceReport::not_run(&instance.name, &instance.environment);
            match result {
                Ok(access) => {
                    report.status = if access.is_complete() {
                        InstanceStatus::Reported
                    } else {
                        InstanceStatus::Failed
                    };
                    report.access = Some(access);
                }
                Err(error) => fail(&mut report, &error, false),
            }
            report
        })
        .await)
}

/// Checks for each instance what a run needs. Changes nothing.
///
/// # Errors
/// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance).
pub async fn preflight_fleet<F: FleetFrontend>(
    fleet: &Fleet,
    options: &FleetOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Result<FleetReport, Error> {
    let run = FleetRun::new(fleet, options, frontend, cancellation)?;
    Ok(run
        .side_by_side(async |instance, stop| {
            let checks = async {
                let setup = run.setup(instance)?;
                let options =
                    fleet_instance::apply_options(run.fleet, instance, run.options, &run.run_id);
                Ok(preflight(setup, &options.run).await)
            };
            let mut report = InstanceReport::not_run(&instance.name, &instance.environment);
            match stoppable(stop, checks).await {
                Ok(checks) => report.set_preflight(checks),
                Err(error) => fail(&mut report, &error, false),
            }
            report
        })
        .await)
}

/// Changes each instance to its desired state, and records its run.
///
/// If the approval is a digest, all instances are planned first, and nothing is changed unless it is the
/// digest over all plans. Each instance then has the approval of exactly its plan.
///
/// An instance that cannot be planned, or whose plan is not applied because the approval is stale or the
/// run was not confirmed or was stopped, also has a record of the reason. An instance that is not started
/// has none. If [`FleetOptions::max_failures`] is reached while all instances are planned, those that
/// were planned have none, either, unless the approval is stale.
///
/// # Errors
/// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance) or [`GateError::InvalidApproval`].
pub async fn apply_fleet<F: FleetFrontend>(
    fleet: &Fleet,
    options: &FleetOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Result<FleetOutcome, Error> {
    let run = FleetRun::new(fleet, options, frontend, cancellation)?;
    let approved = match Approval::parse(options.run.approval.as_deref())? {
        Approval::Digest(digest) if !options.run.dry_run => Some(digest),
        _ => None,
    };
    if approved.is_none() && !options.confirm {
        let report = run.side_by_side(async |one, stop| run.apply(one, None, None, stop).await);
        return Ok(FleetOutcome { report: report.await, error: None });
    }
    let (planned, errors) = run.plans().await;
    frontend.on_plans(&planned);
    let gate = async {
        if cancellation.is_cancelled() {
            return Err(Error::Stopped { reason: cancellation.reason(), committed: None });
        }
        // Nothing is left to approve, as for one server: the run was repeated.
        let is_done = planned.instances.iter().all(|one| one.status == InstanceStatus::NoChange);
        let is_other = |approved: &&String| planned.digest.as_ref() != Some(approved);
        if let Some(approved) = approved.as_ref().filter(is_other).filter(|_| !is_done) {
            let digest = planned.digest.clone().unwrap_or_else(|| "not known".to_owned());
            return Err(GateError::Stale { approved: approved.clone(), digest }.into());
        }
        let failures = planned.instances.iter().filter(|one| one.status.is_failure()).count();
        let may_continue = run.may_start(failures);
        let has_changes = planned.instances.iter().any(|one| one.changes > 0);
        if may_continue && options.confirm && has_changes && !frontend.confirm(&planned).await {
            return Err(Error::NotConfirmed);
        }
        Ok(may_continue)
    };
    let gate = gate.await;
    // A digest of other plans approves nothing, also if nothing is left to do.
    let approved = approved.filter(|approved| planned.digest.as_ref() == Some(approved));
    // Side by side: each record may have to wait for the lock of a file.
    let recorded = run.instances.iter().zip(&planned.instances).filter_map(|(instance, report)| {
        let is_stopped = gate.as_ref().err().filter(|_| report.plan.is_some());
        let error = errors.get(&instance.name).or(is_stopped)?;
        Some(run.record_failure(instance, approved.as_deref(), error, report.plan.as_ref()))
    });
    join_all(recorded).await;
    match gate {
        Ok(true) => {}
        Ok(false) => return Ok(FleetOutcome { report: planned, error: None }),
        Err(error) => return Ok(FleetOutcome { report: planned, error: Some(error) }),
    }
    let plans: BTreeMap<String, InstanceReport> =
        planned.instances.into_iter().map(|one| (one.instance.clone(), one)).collect();
    let report = run.side_by_side(async |instance, stop| match plans.get(&instance.name) {
        Some(InstanceReport { digest: Some(digest), .. }) => {
            run.apply(instance, approved.as_deref(), Some(digest), stop).await
        }
        // Without a plan, there is nothing that was approved or confirmed.
        Some(failed) => failed.clone(),
        None => InstanceReport::not_run(&instance.name, &instance.environment),
    });
    Ok(FleetOutcome { report: report.await, error: None })
}

/// A run of the selected instances of a fleet.
struct FleetRun<'a, F> {
    fleet: &'a Fleet,
    options: &'a FleetOptions,
    frontend: &'a F,
    cancellation: &'a Cancellation,
    /// The selected instances, in the order of the file.
    instances: Vec<&'a Instance>,
    /// The run id, which is the start of that of each instance.
    run_id: String,
}

impl<'a, F: FleetFrontend> FleetRun<'a, F> {
    fn new(
        fleet: &'a Fleet,
        options: &'a FleetOptions,
        frontend: &'a F,
        cancellation: &'a Cancellation,
    ) -> Result<Self, Error> {
        options.run.check()?;
        let instances = fleet_instance::selected(fleet, options)?;
        let run_id = fleet_instance::run_id(options);
        Ok(Self { fleet, options, frontend, cancellation, instances, run_id })
    }

    /// Returns whether an instance may be started after this number of failures.
    fn may_start(&self, failures: usize) -> bool {
        self.options.max_failures.is_none_or(|limit| failures < limit.get())
            && !self.cancellation.is_cancelled()
    }

    /// Runs an operation for each instance: at most [`FleetOptions::parallel`] at the same time, and no
    /// further one after too many failures or a cancellation. Waits for those that were started.
    async fn side_by_side(
        &self,
        operation: impl AsyncFn(&Instance, &Cancellation) -> InstanceReport,
    ) -> FleetReport {
        self.frontend.on_start(self.instances.len());
        let failures = Cell::new(0);
        let operation = &operation;
        let runs = self.instances.iter().enumerate().map(|(index, instance)| {
            let failures = &failures;
            async move {
                if !self.may_start(failures.get()) {
                    let report = InstanceReport::not_run(&instance.name, &instance.environment);
                    return (index, report);
                }
                let started = Instant::now();
                let stop = Cancellation::default();
                let follow = async {
                    self.cancellation.wait().await;
                    stop.cancel(self.cancellation.reason());
                    std::future::pending::<InstanceReport>().await
                };
                let span = tracing::info_span!("instance", name = instance.name);
                let mut report = tokio::select! {
                    report = operation(instance, &stop).instrument(span) => report,
                    report = follow => report,
                };
                let elapsed = started.elapsed().as_millis();
                report.duration_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
                failures.set(failures.get() + usize::from(report.status.is_failure()));
                self.frontend.on_end(&report);
                (index, report)
            }
        });
        let parallel = self.options.parallel.get();
        let mut reports: Vec<_> = stream::iter(runs).buffer_unordered(parallel).collect().await;
        reports.sort_by_key(|(index, _)| *index);
        FleetReport::new(reports.into_iter().map(|(_, report)| report).collect())
    }

    /// Plans each instance. Also returns the errors of those that could not be planned.
    async fn plans(&self) -> (FleetReport, BTreeMap<String, Error>) {
        let errors = RefCell::new(BTreeMap::new());
        let plan = async |instance: &Instance, stop: &Cancellation| {
            let plan = async {
                let setup = self.setup(instance)?.build()?;
                let mut run = setup.open(&self.server_options(instance)).await?;
                Ok(run.plan().await?.into_parts().2)
            };
            let result = stoppable(stop, plan).await;
            let mut report = InstanceReport::not_run(&instance.name, &instance.environment);
            match result {
                Ok(plan) => {
                    report.status = if !plan.refusals.is_empty() {
                        InstanceStatus::Refused
                    } else if plan.passes_check() {
                        InstanceStatus::NoChange
                    } else {
                        InstanceStatus::Pending
                    };
                    report.set_plan(plan);
                }
                Err(error) => {
                    fail(&mut report, &error, false);
                    errors.borrow_mut().insert(instance.name.clone(), error);
                }
            }
            report
        };
        let report = self.side_by_side(plan).await;
        (report, errors.into_inner())
    }

    /// Applies the plan of one instance. `digest` is that of the plan which was shown before.
    async fn apply(
        &self,
        instance: &Instance,
        fleet_approval: Option<&str>,
        digest: Option<&str>,
        stop: &Cancellation,
    ) -> InstanceReport {
        let mut report = InstanceReport::not_run(&instance.name, &instance.environment);
        let mut options =
            fleet_instance::apply_options(self.fleet, instance, self.options, &self.run_id);
        if let Some(approval) = fleet_approval {
            options.run.approval = digest.map(str::to_owned);
            options.run.fleet_approval = Some(approval.to_owned());
        }
        let setup = match self.setup(instance) {
            Ok(setup) => setup,
            Err(error) => {
                self.record_failure(instance, fleet_approval, &error, None).await;
                fail(&mut report, &error, false);
                return report;
            }
        };
        let frontend = Confirmed { frontend: self.frontend.instance(&instance.name), digest };
        let Outcome { result, plans, steps, committed, .. } =
            apply(setup, &options, &frontend, stop).await;
        if let Some(plan) = plans.into_iter().next() {
            report.set_plan(plan);
        }
        match result {
            Ok(completion) => {
                report.status = match completion {
                    Completion::Converged => InstanceStatus::Applied,
                    Completion::NothingToDo if report.pending > 0 => InstanceStatus::Pending,
                    Completion::NothingToDo | Completion::AlreadyApplied => {
                        InstanceStatus::NoChange
                    }
                    Completion::DryRun => InstanceStatus::DryRun,
                };
            }
            Err(error) => fail(&mut report, &error, committed),
        }
        if !self.options.run.dry_run {
            let is_done = |(_, result): &&(Step, StepResult)| result.status == StepStatus::Success;
            report.changes = steps.iter().filter(is_done).count();
        }
        report
    }

    /// Records that the run of an instance was not started.
    async fn record_failure(
        &self,
        instance: &Instance,
        fleet_approval: Option<&str>,
        error: &Error,
        plan: Option<&Plan>,
    ) {
        let ApplyOptions { mut run, .. } =
            fleet_instance::apply_options(self.fleet, instance, self.options, &self.run_id);
        run.fleet_approval = fleet_approval.map(str::to_owned);
        let files = match self.setup(instance) {
            Ok(setup) => setup.configured_files(),
            Err(_) => ConfiguredFiles::new(&self.options.config),
        };
        let frontend = self.frontend.instance(&instance.name);
        record_failure(files, error, plan, &run, &frontend, self.cancellation).await;
    }

    fn setup(&self, instance: &Instance) -> Result<SetupBuilder, Error> {
        fleet_instance::setup(self.fleet, instance, self.options)
    }

    fn server_options(&self, instance: &Instance) -> ServerOptions {
        fleet_instance::server_options(self.fleet, instance, self.options)
    }
}

/// Runs an operation that changes nothing until it ends or is stopped.
async fn stoppable<T>(
    stop: &Cancellation,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = stop.wait() => Err(Error::Stopped { reason: stop.reason(), committed: None }),
        result = operation => result,
    }
}

/// Reports an error of an instance.
fn fail(report: &mut InstanceReport, error: &Error, committed: bool) {
    report.status = match error.kind() {
        _ if committed && !error.is_about_left_out() => InstanceStatus::Partial,
        Kind::Usage => InstanceStatus::Invalid,
        Kind::Refused => InstanceStatus::Refused,
        Kind::Failed => InstanceStatus::Failed,
    };
    report.set_diagnostics(error.diagnostics());
}

/// The front end of an instance, which confirms only the plan that was shown before.
struct Confirmed<'a, F> {
    frontend: F,
    digest: Option<&'a str>,
}

impl<F: Frontend> Frontend for Confirmed<'_, F> {
    fn on_plan(&self, plan: &Plan) {
        self.frontend.on_plan(plan);
    }

    fn on_records(&self, records: &[Record]) {
        self.frontend.on_records(records);
    }

    fn on_notice(&self, notice: &Notice) {
        self.frontend.on_notice(notice);
    }

    fn on_begin(&self, transaction: &Transaction, message: &str) {
        self.frontend.on_begin(transaction, message);
    }

    fn on_step(&self, step: &Step, result: &StepResult) {
        self.frontend.on_step(step, result);
    }

    async fn confirm(&self, plan: &Plan) -> bool {
        self.digest.is_none_or(|digest| digest == plan.digest) && self.frontend.confirm(plan).await
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::definitions::{SourceText, Syntax};

    fn fleet(count: usize) -> Fleet {
        let one = |number| {
            format!(
                "[[instances]]\nname = \"i{number}\"\nenvironment = \"dev\"\nhost = \"h{number}\"\n"
            )
        };
        let text = (0..count).map(one).collect();
        let path = "fleet.toml".to_owned();
        Fleet::parse(&SourceText { path, text, syntax: Syntax::Toml }).unwrap()
    }

    fn report(instance: &Instance, status: InstanceStatus) -> InstanceReport {
        let mut report = InstanceReport::not_run(&instance.name, &instance.environment);
        report.status = status;
        report
    }

    fn options(parallel: usize) -> FleetOptions {
        FleetOptions { parallel: NonZeroUsize::new(parallel).unwrap(), ..FleetOptions::default() }
    }

    fn statuses(report: &FleetReport) -> Vec<InstanceStatus> {
        report.instances.iter().map(|one| one.status).collect()
    }

    #[tokio::test]
    async fn only_so_many_instances_run_at_the_same_time() {
        let fleet = fleet(20);
        for parallel in [1, 3, 8, 20, 100] {
            let (options, cancellation) = (options(parallel), Cancellation::default());
            let run = FleetRun::new(&fleet, &options, &(), &cancellation).unwrap();
            let (running, most) = (Cell::new(0), Cell::new(0));
            let report = run.side_by_side(async |instance, _| {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                running.set(running.get() - 1);
                report(instance, InstanceStatus::Applied)
            });
            let report = report.await;
            assert_eq!((most.get(), running.get()), (parallel.min(20), 0));
            // The order is that of the file, whichever ends first.
            let names: Vec<String> =
                report.instances.iter().map(|one| one.instance.clone()).collect();
            assert_eq!(names, (0..20).map(|number| format!("i{number}")).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn no_instance_starts_after_too_many_failures() {
        let fleet = fleet(6);
        for (limit, started) in [(None, 6), (Some(1), 2), (Some(2), 4), (Some(3), 6)] {
            let mut options = options(1);
            options.max_failures = limit.and_then(NonZeroUsize::new);
            let cancellation = Cancellation::default();
            let run = FleetRun::new(&fleet, &options, &(), &cancellation).unwrap();
            let count = Cell::new(0_usize);
            // Every second instance fails.
            let report = run.side_by_side(async |instance, _| {
                count.set(count.get() + 1);
                let is_even = count.get().is_multiple_of(2);
                let status = if is_even { InstanceStatus::Failed } else { InstanceStatus::Pending };
                report(instance, status)
            });
            let report = report.await;
            assert_eq!(count.get(), started, "{limit:?}");
            let not_run =
                statuses(&report).iter().filter(|one| **one == InstanceStatus::NotRun).count();
            assert_eq!((not_run, report.status), (6 - started, InstanceStatus::Failed));
        }
    }

    #[tokio::test]
    async fn cancellation_reaches_each_instance_and_is_waited_for() {
        use InstanceStatus::{Failed, NotRun};

        let (fleet, options, cancellation) = (fleet(5), options(2), Cancellation::default());
        let run = FleetRun::new(&fleet, &options, &(), &cancellation).unwrap();
        let (started, ended) = (Cell::new(0), Cell::new(0));
        let report = run.side_by_side(async |instance, stop| {
            started.set(started.get() + 1);
            if started.get() == 2 {
                cancellation.cancel(crate::session::StopReason::Signal);
            }
            stop.wait().await;
            // An instance that rolls back needs time.
            tokio::task::yield_now().await;
            ended.set(ended.get() + 1);
            report(instance, Failed)
        });
        let report = report.await;
        assert_eq!((started.get(), ended.get()), (2, 2));
        assert_eq!(statuses(&report), [Failed, Failed, NotRun, NotRun, NotRun]);
    }

    #[tokio::test]
    async fn selected_instances_exist() {
        let (fleet, mut options, cancellation) = (fleet(3), options(2), Cancellation::default());
        options.only = vec!["i2".to_owned(), "i0".to_owned()];
        let run = FleetRun::new(&fleet, &options, &(), &cancellation).unwrap();
        let names: Vec<&str> = run.instances.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["i0", "i2"]);
        options.only = vec!["j0".to_owned()];
        let error = FleetRun::new(&fleet, &options, &(), &cancellation).err().unwrap();
        assert_eq!(error.to_string(), "the fleet file contains no instance `j0`");
        options.only = vec!["i2".to_owned()];
        options.environment = Some(fleet.instances[2].environment.clone());
        assert_eq!(FleetRun::new(&fleet, &options, &(), &cancellation).unwrap().instances.len(), 1);
        options.environment = Some("nowhere".to_owned());
        let error = FleetRun::new(&fleet, &options, &(), &cancellation).err().unwrap();
        let message = "the run selects no instance in environment `nowhere`";
        assert_eq!(error.to_string(), message);

        options.environment = None;
        options.run.run_id = Some("x".repeat(201));
        let error = FleetRun::new(&fleet, &options, &(), &cancellation).err().unwrap();
        assert_eq!(error.to_string(), "the run id has 201 characters; the maximum is 200");
    }
}
