//! The whole of an apply: lock, observe, plan, gates, record the intent, execute, observe again.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::error::{Error, Kind};
use super::interruption::Interruption;
use super::open::ServerOptions;
use super::records::Records;
use super::setup::{Delegation, Setup};
use crate::audit::{Command, Event, Facts, Head, Record, Status, Trail, Who};
use crate::config::{Approval, Config};
use crate::gate::{self, GateError, Given};
use crate::plan::{Plan, SavedPlan, Step};
use crate::server::{self, Lock, Run, StepResult};

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
    pub planned: Planned,
    /// Whether all is done but the last step.
    pub dry_run: bool,
    /// Whether the other databases go on after a failure.
    pub keep_going: bool,
}

/// Which plan is to be carried out.
#[derive(Debug, Clone, Default)]
pub enum Planned {
    /// The one that is made now.
    #[default]
    Any,
    /// The one that a file holds, and no other.
    File(PathBuf),
    /// This one, and no other.
    Only(Box<SavedPlan>),
}

impl Planned {
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
pub trait Front: Sync {
    /// A plan is made, and will be carried out if nothing stands in the way.
    fn planned(&self, _plan: &Plan) {}

    /// Records are kept.
    fn recorded(&self, _records: &[Record]) {}

    /// A step has ended; its transaction, too.
    fn ended(&self, _step: &Step, _result: &StepResult) {}

    /// Whether somebody who may be asked says yes.
    fn agrees(&self, _plan: &Plan) -> impl Future<Output = bool> {
        std::future::ready(true)
    }
}

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
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
    pub ended: Result<Done, Error>,
    /// What records call it, and where it ran.
    pub trail: Trail,
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
    pub ledger_head: Option<Head>,
}

/// What a run has come to so far.
pub(super) struct Progress {
    pub trail: Trail,
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
pub(super) enum Work<'a> {
    /// To make the server as declared.
    Apply,
    /// To give these applications new passwords.
    Rotate(&'a [String]),
    /// To make a role that administers in the master's place.
    Delegate,
}

impl Work<'_> {
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
pub async fn apply<F: Front>(
    config: Config,
    setup: impl FnOnce(Config) -> Result<Setup, Error>,
    options: &ApplyOptions,
    front: &F,
    interruption: &Interruption,
) -> Outcome {
    work(config, setup, options, front, interruption, Work::Apply).await
}

/// Makes a role that administers an environment in the master's place, whatever is declared there. What
/// records and gates ask for is as for [`apply`].
pub async fn delegate<F: Front>(
    config: Config,
    delegation: Delegation,
    options: &ApplyOptions,
    front: &F,
    interruption: &Interruption,
) -> Outcome {
    let environment = options.environment.as_deref();
    let setup = |config| Setup::delegating(config, environment, delegation);
    work(config, setup, options, front, interruption, Work::Delegate).await
}

/// Does it, and records how it ended.
pub(super) async fn work<F: Front>(
    config: Config,
    setup: impl FnOnce(Config) -> Result<Setup, Error>,
    options: &ApplyOptions,
    front: &F,
    interruption: &Interruption,
    work: Work<'_>,
) -> Outcome {
    let facts = Facts {
        environment: options.environment.clone().unwrap_or_default(),
        build_id: options.server.build_id.clone().unwrap_or_default(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        who: Who::here(options.actor.clone(), options.approver.clone(), options.request_id.clone()),
        ..Facts::default()
    };
    let csv = options.audit_output.clone().or_else(|| config.audit.output.clone());
    let ledger = options.audit_ledger.clone().or_else(|| config.audit.ledger.clone());
    let trail = Trail { facts, command: work.command() };
    let (records, opened) = Records::open(front, csv, ledger, trail.clone());
    let mut progress = Progress { trail, plans: Vec::new(), steps: Vec::new(), committed: false };
    let run = Attempt { options, front, records: &records, interruption, work };
    let mut ended = match opened {
        Err(error) => Err(error.into()),
        Ok(()) => tokio::select! {
            biased;
            ended = run.recorded(config, setup, &mut progress) => ended,
            () = interruption.outside_of_work() => {
                Err(Error::Stopped { committed: progress.committed })
            }
        },
    };
    let Progress { trail, committed, .. } = &progress;
    let outcome = match &ended {
        Ok(Done::Converged) => trail.outcome(Status::Success, "", false),
        Ok(Done::NothingToDo) => trail.outcome(Status::NoChange, "", false),
        Ok(Done::DryRun) => trail.outcome(Status::DryRun, "", false),
        Err(error) => {
            let status = match error.kind() {
                Kind::Refused if !committed => Status::Refused,
                _ => Status::Error,
            };
            // What a step's record says need not be said again.
            let told = matches!(error, Error::Statement(_));
            trail.outcome(status, &error.to_string(), told)
        }
    };
    if let Err(error) = records.write(&trail.facts, &[outcome]) {
        // The first error is what a reader needs.
        ended = ended.and(Err(error.into()));
    }
    let (records, ledger_head) = records.into_all();
    let Progress { trail, plans, steps, committed } = progress;
    Outcome { ended, trail, plans, steps, committed, records, ledger_head }
}

/// One attempt, with what stays the same in it.
pub(super) struct Attempt<'a, F> {
    pub options: &'a ApplyOptions,
    pub front: &'a F,
    records: &'a Records<'a, F>,
    pub interruption: &'a Interruption,
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "there is one kind of work then"))]
    work: Work<'a>,
}

impl<F: Front> Attempt<'_, F> {
    async fn recorded(
        &self,
        config: Config,
        setup: impl FnOnce(Config) -> Result<Setup, Error>,
        progress: &mut Progress,
    ) -> Result<Done, Error> {
        let options = self.options;
        let setup = setup(config)?;
        let facts = &mut progress.trail.facts;
        facts.environment.clone_from(&setup.environment);
        facts.definitions = Some(setup.definitions_sha256.clone());
        let saved = options.planned.read()?;
        if let Some(saved) = &saved {
            saved.is_for_environment(&setup.environment)?;
        }
        let given = match Given::parse(options.approval.as_deref()) {
            // Nobody asks.
            Err(_) if options.dry_run || setup.approval == Approval::None => Given::Nothing,
            given => given?,
        };
        if !options.dry_run {
            gate::before_contact(&setup.environment, setup.approval, &given)?;
        }

        #[cfg(feature = "aws")]
        if let Work::Rotate(applications) = self.work {
            return self.rotate(&setup, applications, &given, progress).await;
        }
        let run = setup.open(&options.server).await?;
        let origin = setup.origin(&run);
        progress.trail.facts.server = Some(origin.server.clone());
        if let Some(saved) = &saved {
            saved.is_for_server(&origin.server)?;
        }
        let lock = run.lock().await?;
        let mut plan = run.plan().await?;
        self.show(progress, &plan);
        no_refusals(&plan)?;
        if let Some(saved) = &saved {
            saved.still_holds(&plan, &origin)?;
        }
        if options.dry_run {
            self.record(progress, &progress.trail.dry_run(&plan))?;
            return Ok(Done::DryRun);
        }
        let allowed = options.server.allow.iter().copied().collect();
        gate::check(&plan, setup.approval, &given, &allowed)?;
        if plan.is_empty() {
            self.record(progress, &progress.trail.no_change(&plan))?;
            return Ok(Done::NothingToDo);
        }
        if !self.front.agrees(&plan).await {
            return Err(Error::NotAgreed);
        }
        // What could not be seen before the first plan had run is a second plan's; then all was seen.
        for _ in 0..ROUNDS {
            self.execute(&run, &lock, &plan, progress).await?;
            let again = run.plan().await?;
            if again.is_empty() && again.refusals.is_empty() {
                self.record(progress, &progress.trail.no_change(&plan))?;
                return Ok(Done::Converged);
            }
            self.show(progress, &again);
            if plan.unseen.is_empty() {
                break;
            }
            no_refusals(&again)?;
            if saved.is_some() {
                return Err(Error::SecondPlan);
            }
            gate::check(&again, setup.approval, &given, &allowed).map_err(|error| match error {
                GateError::Stale { digest, .. } => Error::SecondApproval { digest },
                error => error.into(),
            })?;
            plan = again;
        }
        Err(Error::NotConverged)
    }

    pub(super) fn record(&self, progress: &Progress, events: &[Event]) -> Result<(), Error> {
        Ok(self.records.write(&progress.trail.facts, events)?)
    }

    pub(super) fn show(&self, progress: &mut Progress, plan: &Plan) {
        progress.trail.facts.plan = Some(plan.digest.clone());
        progress.plans.push(plan.clone());
        self.front.planned(plan);
    }

    /// Records the intent and carries a plan out.
    async fn execute(
        &self,
        run: &Run,
        lock: &Lock,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let settings = server::ApplyOptions {
            keep_going: self.options.keep_going,
            stop: Some(self.interruption.receiver()),
            ..server::ApplyOptions::default()
        };
        let build_id = progress.trail.facts.build_id.clone();
        let outcome = self
            .reported(plan, progress, async |report| {
                let settings = server::ApplyOptions { report: Some(report), ..settings };
                run.apply(lock, plan, &build_id, &settings).await
            })
            .await?;
        let Some(error) = outcome.error else { return Ok(()) };
        self.record(progress, &progress.trail.no_change(plan))?;
        Err(if self.interruption.told() {
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
        work: impl AsyncFnOnce(&server::Report<'_>) -> server::Outcome,
    ) -> Result<server::Outcome, Error> {
        let intent = progress.trail.intent(plan);
        self.record(progress, &[intent])?;
        let trail = &progress.trail;
        let (ended, kept) = (Mutex::new(Vec::new()), Mutex::new(Ok(())));
        let report = |steps: &[Step], results: &[StepResult]| {
            let written = self.records.write(&trail.facts, &trail.results(steps, results));
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = std::mem::replace(&mut *kept, Ok(())).and(written);
            drop(kept);
            let both = steps.iter().cloned().zip(results.iter().cloned());
            ended.lock().unwrap_or_else(PoisonError::into_inner).extend(both);
            for (step, result) in steps.iter().zip(results) {
                self.front.ended(step, result);
            }
        };
        self.interruption.set_working(true);
        let outcome = work(&report).await;
        self.interruption.set_working(false);
        progress.steps.extend(ended.into_inner().unwrap_or_else(PoisonError::into_inner));
        progress.committed |= outcome.committed;
        // A record that could not be kept ends the run only now: what is done is done.
        kept.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Ok(outcome)
    }
}

pub(super) fn no_refusals(plan: &Plan) -> Result<(), Error> {
    if plan.refusals.is_empty() { Ok(()) } else { Err(Error::Refused(plan.refusals.clone())) }
}
