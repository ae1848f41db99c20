//! The whole of an apply: lock, observe, plan, gates, record the intent, execute, observe again.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::cancellation::Cancellation;
use super::error::{Error, Kind};
use super::open::ServerOptions;
use super::records::Records;
use super::setup::{Delegation, Setup};
use crate::audit::{
    Attribution, Command, Event, EventRecorder, LedgerHead, Record, RunContext, Status,
};
use crate::config::{ApprovalPolicy, Config};
use crate::gate::{self, Approval, GateError};
use crate::plan::{Plan, SavedPlan, Step};
use crate::server::{self, Lock, Provisioner, StepResult};

/// How many plans one run carries out at most.
const ROUNDS: usize = 2;

/// What somebody says of an apply.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "aws", derive(Default))]
pub struct ApplyOptions {
    /// Of server, secrets and build.
    pub server: ServerOptions,
    /// The environment that records name until it is known.
    pub environment: Option<String>,
    /// Names the run in records; a random one by default.
    pub run_id: Option<String>,
    /// The CSV file; by default what `rdsprov.toml` says.
    pub audit_output: Option<PathBuf>,
    /// The ledger; by default what `rdsprov.toml` says.
    pub audit_ledger: Option<PathBuf>,
    /// Who runs it; by default the user of the system.
    pub actor: Option<String>,
    /// Who agreed to it.
    pub approver: Option<String>,
    /// What it was asked for by.
    pub request_id: Option<String>,
    /// The approval, as `ALLOW_DB_PROVISION` says it.
    pub approval: Option<String>,
    /// The plan that is to be carried out.
    pub plan_source: PlanSource,
    /// Whether all is done but the last step.
    pub dry_run: bool,
    /// Whether the other databases go on after a failure.
    pub keep_going: bool,
}

/// Which plan is to be carried out.
#[derive(Debug, Clone, Default)]
pub enum PlanSource {
    /// The one that is made now.
    #[default]
    Any,
    /// The one that a file holds, and no other.
    File(PathBuf),
    /// This one, and no other.
    Only(Box<SavedPlan>),
}

impl PlanSource {
    fn read(&self) -> Result<Option<SavedPlan>, Error> {
        match self {
            Self::Any => Ok(None),
            Self::Only(plan) => Ok(Some((**plan).clone())),
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| Error::PlanUnreadable { path: path.clone(), source })?;
                let saved = SavedPlan::from_json(&text)
                    .map_err(|error| Error::PlanFile { path: path.clone(), error })?;
                Ok(Some(saved))
            }
        }
    }
}

/// What a front end says and asks meanwhile. It is called where [`apply`] is awaited.
pub trait Frontend: Sync {
    /// A plan is made, and will be carried out if nothing stands in the way.
    fn on_plan(&self, _plan: &Plan) {}

    /// Records are kept.
    fn on_records(&self, _records: &[Record]) {}

    /// A step has ended; its transaction, too.
    fn on_step(&self, _step: &Step, _result: &StepResult) {}

    /// Whether somebody who may be asked says yes.
    fn confirm(&self, _plan: &Plan) -> impl Future<Output = bool> {
        std::future::ready(true)
    }
}

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The server is as declared, and a second look has shown it.
    Converged,
    /// It was so before.
    NothingToDo,
    /// Nothing was to be changed.
    DryRun,
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub result: Result<Completion, Error>,
    /// What records call it, and where it ran.
    pub recorder: EventRecorder,
    /// The plans that were made, in order; what the last left open, if not all is well.
    pub plans: Vec<Plan>,
    /// The steps that were to be carried out, and what became of each.
    pub steps: Vec<(Step, StepResult)>,
    /// Whether anything was committed.
    pub committed: bool,
    /// All rows of the CSV, in order.
    pub records: Vec<Record>,
    /// The last record of the ledger, where there is one. Whoever keeps its hash elsewhere can tell later
    /// that nothing before it was changed, and that nothing was cut off.
    pub ledger_head: Option<LedgerHead>,
}

/// What a run has come to so far.
pub(super) struct Progress {
    pub recorder: EventRecorder,
    plans: Vec<Plan>,
    steps: Vec<(Step, StepResult)>,
    pub committed: bool,
}

/// What a run is for.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "aws"),
    allow(dead_code, reason = "only Secrets Manager has versions to rotate by")
)]
pub(super) enum Operation<'a> {
    /// To make the server as declared.
    Apply,
    /// To give these applications new passwords.
    Rotate(&'a [String]),
    /// To make a role that administers in the master's place.
    Delegate,
}

impl Operation<'_> {
    /// What records call it.
    fn command(self) -> Command {
        match self {
            Self::Apply => Command::Apply,
            Self::Rotate(_) => Command::Rotate,
            Self::Delegate => Command::Delegate,
        }
    }
}

/// Makes a server as declared. The setup is made here, so that what is wrong with it is recorded.
pub async fn apply<F: Frontend>(
    config: Config,
    setup: impl FnOnce(Config) -> Result<Setup, Error>,
    options: &ApplyOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    run_operation(config, setup, options, frontend, cancellation, Operation::Apply).await
}

/// Makes a role that administers an environment in the master's place, whatever is declared there. What
/// records and gates ask for is as for [`apply`].
pub async fn delegate<F: Frontend>(
    config: Config,
    delegation: Delegation,
    options: &ApplyOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let environment = options.environment.as_deref();
    let setup = |config| Setup::delegating(config, environment, delegation);
    run_operation(config, setup, options, frontend, cancellation, Operation::Delegate).await
}

/// Does it, and records how it ended.
pub(super) async fn run_operation<F: Frontend>(
    config: Config,
    setup: impl FnOnce(Config) -> Result<Setup, Error>,
    options: &ApplyOptions,
    frontend: &F,
    cancellation: &Cancellation,
    work: Operation<'_>,
) -> Outcome {
    let context = RunContext {
        environment: options.environment.clone().unwrap_or_default(),
        build_id: options.server.build_id.clone().unwrap_or_default(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        attribution: Attribution::detect(
            options.actor.clone(),
            options.approver.clone(),
            options.request_id.clone(),
        ),
        ..RunContext::default()
    };
    let csv = options.audit_output.clone().or_else(|| config.audit.output.clone());
    let ledger = options.audit_ledger.clone().or_else(|| config.audit.ledger.clone());
    let recorder = EventRecorder { context, command: work.command() };
    let (records, opened) = Records::open(frontend, csv, ledger, recorder.clone());
    let mut progress =
        Progress { recorder, plans: Vec::new(), steps: Vec::new(), committed: false };
    let execution = Execution { options, frontend, records: &records, cancellation, work };
    let mut result = match opened {
        Err(error) => Err(error.into()),
        Ok(()) => tokio::select! {
            biased;
            result = execution.execute_recorded(config, setup, &mut progress) => result,
            () = cancellation.cancelled_while_idle() => {
                Err(Error::Stopped { committed: progress.committed })
            }
        },
    };
    let Progress { recorder, committed, .. } = &progress;
    let outcome = match &result {
        Ok(Completion::Converged) => recorder.outcome(Status::Success, "", false),
        Ok(Completion::NothingToDo) => recorder.outcome(Status::NoChange, "", false),
        Ok(Completion::DryRun) => recorder.outcome(Status::DryRun, "", false),
        Err(error) => {
            let status = match error.kind() {
                Kind::Refused if !committed => Status::Refused,
                _ => Status::Error,
            };
            // What a step's record says need not be said again.
            let already_recorded = matches!(error, Error::Statement(_));
            recorder.outcome(status, &error.to_string(), already_recorded)
        }
    };
    if let Err(error) = records.write(&recorder.context, &[outcome]) {
        // The first error is what a reader needs.
        result = result.and(Err(error.into()));
    }
    let (records, ledger_head) = records.into_all();
    let Progress { recorder, plans, steps, committed } = progress;
    Outcome { result, recorder, plans, steps, committed, records, ledger_head }
}

/// One attempt, with what stays the same in it.
pub(super) struct Execution<'a, F> {
    pub options: &'a ApplyOptions,
    pub frontend: &'a F,
    records: &'a Records<'a, F>,
    pub cancellation: &'a Cancellation,
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "there is one kind of work then"))]
    work: Operation<'a>,
}

impl<F: Frontend> Execution<'_, F> {
    async fn execute_recorded(
        &self,
        config: Config,
        setup: impl FnOnce(Config) -> Result<Setup, Error>,
        progress: &mut Progress,
    ) -> Result<Completion, Error> {
        let options = self.options;
        let setup = setup(config)?;
        let context = &mut progress.recorder.context;
        context.environment.clone_from(&setup.environment);
        context.definitions = Some(setup.definitions_sha256.clone());
        let saved = options.plan_source.read()?;
        if let Some(saved) = &saved {
            saved.check_environment(&setup.environment)?;
        }
        let approval = match Approval::parse(options.approval.as_deref()) {
            // Nobody asks.
            Err(_) if options.dry_run || setup.approval_policy == ApprovalPolicy::None => {
                Approval::Nothing
            }
            approval => approval?,
        };
        if !options.dry_run {
            gate::check_before_connecting(&setup.environment, setup.approval_policy, &approval)?;
        }

        #[cfg(feature = "aws")]
        if let Operation::Rotate(applications) = self.work {
            return self.rotate(&setup, applications, &approval, progress).await;
        }
        let run = setup.open(&options.server).await?;
        let origin = setup.origin(&run);
        progress.recorder.context.server = Some(origin.server.clone());
        if let Some(saved) = &saved {
            saved.check_server(&origin.server)?;
        }
        let lock = run.lock().await?;
        let mut plan = run.plan().await?;
        self.show(progress, &plan);
        no_refusals(&plan)?;
        if let Some(saved) = &saved {
            saved.check_current(&plan, &origin)?;
        }
        if options.dry_run {
            self.record(progress, &progress.recorder.dry_run(&plan))?;
            return Ok(Completion::DryRun);
        }
        let allowed = options.server.allow.iter().copied().collect();
        gate::check(&plan, setup.approval_policy, &approval, &allowed)?;
        if plan.is_empty() {
            self.record(progress, &progress.recorder.no_change(&plan))?;
            return Ok(Completion::NothingToDo);
        }
        if !self.frontend.confirm(&plan).await {
            return Err(Error::NotAgreed);
        }
        // What could not be seen before the first plan had run is a second plan's; then all was seen.
        for _ in 0..ROUNDS {
            self.execute(&run, &lock, &plan, progress).await?;
            let again = run.plan().await?;
            if again.is_empty() && again.refusals.is_empty() {
                self.record(progress, &progress.recorder.no_change(&plan))?;
                return Ok(Completion::Converged);
            }
            self.show(progress, &again);
            if plan.deferred.is_empty() {
                break;
            }
            no_refusals(&again)?;
            if saved.is_some() {
                return Err(Error::SecondPlan);
            }
            gate::check(&again, setup.approval_policy, &approval, &allowed).map_err(|error| {
                match error {
                    GateError::Stale { digest, .. } => Error::SecondApproval { digest },
                    error => error.into(),
                }
            })?;
            plan = again;
        }
        Err(Error::NotConverged)
    }

    pub(super) fn record(&self, progress: &Progress, events: &[Event]) -> Result<(), Error> {
        Ok(self.records.write(&progress.recorder.context, events)?)
    }

    pub(super) fn show(&self, progress: &mut Progress, plan: &Plan) {
        progress.recorder.context.plan = Some(plan.digest.clone());
        progress.plans.push(plan.clone());
        self.frontend.on_plan(plan);
    }

    /// Records the intent and carries a plan out.
    async fn execute(
        &self,
        run: &Provisioner,
        lock: &Lock,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let settings = server::ExecuteOptions {
            keep_going: self.options.keep_going,
            stop: Some(self.cancellation.receiver()),
            ..server::ExecuteOptions::default()
        };
        let build_id = progress.recorder.context.build_id.clone();
        let outcome = self
            .reported(plan, progress, async |report| {
                let settings = server::ExecuteOptions { report: Some(report), ..settings };
                run.apply(lock, plan, &build_id, &settings).await
            })
            .await?;
        let Some(error) = outcome.error else { return Ok(()) };
        self.record(progress, &progress.recorder.no_change(plan))?;
        Err(if self.cancellation.is_cancelled() {
            Error::Stopped { committed: progress.committed }
        } else {
            Error::Statement(error)
        })
    }

    /// Records the intent, does what changes something, and records what became of each step.
    pub(super) async fn reported(
        &self,
        plan: &Plan,
        progress: &mut Progress,
        operation: impl AsyncFnOnce(&server::Report<'_>) -> server::ExecutionOutcome,
    ) -> Result<server::ExecutionOutcome, Error> {
        let intent = progress.recorder.intent(plan);
        self.record(progress, &[intent])?;
        let recorder = &progress.recorder;
        let (completed_steps, kept) = (Mutex::new(Vec::new()), Mutex::new(Ok(())));
        let report = |steps: &[Step], results: &[StepResult]| {
            let written = self.records.write(&recorder.context, &recorder.results(steps, results));
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = std::mem::replace(&mut *kept, Ok(())).and(written);
            drop(kept);
            let both = steps.iter().cloned().zip(results.iter().cloned());
            completed_steps.lock().unwrap_or_else(PoisonError::into_inner).extend(both);
            for (step, result) in steps.iter().zip(results) {
                self.frontend.on_step(step, result);
            }
        };
        self.cancellation.set_working(true);
        let outcome = operation(&report).await;
        self.cancellation.set_working(false);
        progress.steps.extend(completed_steps.into_inner().unwrap_or_else(PoisonError::into_inner));
        progress.committed |= outcome.committed;
        // A record that could not be kept ends the run only now: what is done is done.
        kept.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Ok(outcome)
    }
}

pub(super) fn no_refusals(plan: &Plan) -> Result<(), Error> {
    if plan.refusals.is_empty() { Ok(()) } else { Err(Error::Refused(plan.refusals.clone())) }
}
