//! The order of `apply`: lock, observe, plan, check the gates, record the
//! intent, execute, observe again.
//!
//! Each run that can open its records ends with an outcome record, even after a panic. This module
//! does not know terminals.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::cancellation::Cancellation;
use super::error::{Error, no_refusals};
use super::failure::{Committed, Continuation, StatementFailure};
use super::frontend::Frontend;
use super::listener::{RunListener, State};
use super::notice::Notice;
use super::open::ServerOptions;
use super::outcome::outcome_event;
use super::record_files::{ConfiguredFiles, is_same_file};
use super::records::Records;
use super::run_options::{ApplyOptions, Completion, PlanSource, RunOptions, read_without_setup};
use super::setup::{Delegation, Retirement, Setup, SetupBuilder};
use super::usage_error::{UsageError, check_retired};
use crate::audit::{
    Command, Event, EventKind, EventRecorder, Found, LedgerHead, Record, RunContext,
};
use crate::config::Config;
use crate::definitions::Definitions;
use crate::gate::{Approval, GateError};
use crate::name::{ApplicationName, DatabaseName};
use crate::operations::{Locked, PlanRefused, PlannedApply, Provisioner};
use crate::plan::{Action, Hazard, Plan, RefusalCode, Remainder, SavedPlan, Step};
use crate::server::{self, LockOptions};
use crate::step_result::StepResult;

/// The maximum number of plans that one run executes: the second one contains the deferred parts.
const MAX_PLANS: usize = 2;

/// The result of a run, with everything that it recorded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How the run succeeded, or why it failed.
    pub result: Result<Completion, Error>,
    /// The context of the records, such as run id, server and plan.
    pub recorder: EventRecorder,
    /// The plans of the run in order. If the server has not converged, the last plan
    /// contains the remaining steps.
    pub plans: Vec<Plan>,
    /// The steps of the executed plans, with their results.
    pub steps: Vec<(Step, StepResult)>,
    /// Whether at least one transaction was committed or one secret was created.
    pub committed: bool,
    /// All rows of the CSV file, in order.
    pub records: Vec<Record>,
    /// The last record of the ledger; `None` without a ledger. With its hash, stored elsewhere, a
    /// later verification detects a ledger that was changed or truncated.
    pub ledger_head: Option<LedgerHead>,
}

/// The state of a run so far.
pub(super) struct Progress {
    pub recorder: EventRecorder,
    plans: Vec<Plan>,
    pub steps: Vec<(Step, StepResult)>,
    pub committed: bool,
    /// See [`server::ExecutionOutcome::silent_processes`].
    pub silent_processes: Vec<i32>,
}

/// The operation of a run.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "aws"),
    allow(dead_code, reason = "only Secrets Manager has versions to rotate by")
)]
pub(super) enum Operation<'a> {
    Apply {
        /// See [`ApplyOptions::keep_going`].
        keep_going: bool,
    },
    /// Replaces the passwords of these applications.
    Rotate(&'a [String]),
    Retire,
    Teardown,
    Delegate,
}

impl Operation<'_> {
    /// Returns the operation as records contain it.
    fn command(self) -> Command {
        match self {
            Self::Apply { .. } => Command::Apply,
            Self::Rotate(_) => Command::Rotate,
            Self::Retire => Command::Retire,
            Self::Teardown => Command::Teardown,
            Self::Delegate => Command::Delegate,
        }
    }
}

/// Changes a server to its desired state, and records the run.
///
/// This function builds the setup, so that its errors are recorded, too.
pub async fn apply<F: Frontend>(
    setup: SetupBuilder,
    options: &ApplyOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let audit = setup.configured_files();
    let setup = || setup.build();
    let mut operation = Operation::Apply { keep_going: options.keep_going };
    let mut run = options.run.clone();
    run.server.retirement.confirm.clone_from(&options.confirm);
    // A file that cannot be read is reported with the other errors of the run.
    if let Ok(Some(saved)) = read_without_setup(&run.plan_source) {
        if saved.origin.retirement.is_some() {
            operation = Operation::Retire;
        }
        run.plan_source = PlanSource::Saved(Box::new(saved));
    }
    run_operation(audit, setup, &run, frontend, cancellation, operation).await
}

/// Creates a delegate for an environment, and records the run.
///
/// Gates and records are those of [`apply`].
pub async fn delegate<F: Frontend>(
    config: Config,
    delegation: Delegation,
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let environment = options.environment.as_deref();
    let audit = ConfiguredFiles::new(&config);
    let setup = || Setup::delegating(config, environment, delegation);
    run_operation(audit, setup, options, frontend, cancellation, Operation::Delegate).await
}

/// Runs an operation, and records its outcome.
pub(super) async fn run_operation<F: Frontend>(
    audit: ConfiguredFiles,
    setup: impl FnOnce() -> Result<Setup, Error>,
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
    operation: Operation<'_>,
) -> Outcome {
    let (csv, ledger, outside) =
        audit.destinations(options.audit_output.as_ref(), options.audit_ledger.as_ref());
    let (context, command) = (options.context(), operation.command());
    let recorder = EventRecorder { context, command, ..EventRecorder::default() };
    if let Err(error) = options.check() {
        // The records would contain the values that are too long.
        return Outcome {
            result: Err(error.into()),
            recorder,
            plans: Vec::new(),
            steps: Vec::new(),
            committed: false,
            records: Vec::new(),
            ledger_head: None,
        };
    }
    let (records, opened) =
        Records::open(frontend, cancellation, csv, ledger, recorder.clone()).await;
    let mut progress = Progress {
        recorder,
        plans: Vec::new(),
        steps: Vec::new(),
        committed: false,
        silent_processes: Vec::new(),
    };
    let execution = Execution { options, frontend, records: &records, cancellation, operation };
    // A dry run does not create them.
    let is_checked = !options.skip_preflight && !options.dry_run;
    let opened = match opened {
        Ok(()) if is_checked => records.check(),
        opened => opened,
    };
    let opened = opened.map_err(|error| match cancellation.is_cancelled() {
        true => Error::Stopped { reason: cancellation.reason(), committed: None },
        false => error.into(),
    });
    let mut result = match opened.and(outside) {
        Err(error) => Err(error),
        Ok(()) => tokio::select! {
            biased;
            result = execution.execute_recorded(setup, &mut progress) => result,
            () = cancellation.cancelled_while_idle() => {
                let continuation = execution.continuation();
                let committed = progress.committed.then_some(continuation);
                Err(Error::Stopped { reason: cancellation.reason(), committed })
            }
        },
    };
    let Progress { recorder, committed, .. } = &progress;
    let outcome = outcome_event(recorder, result.as_ref(), *committed);
    if let Err(error) = records.write(&recorder.context, &[outcome]).await {
        // If the run failed already, its error is more useful than that of the record.
        result = result.and(Err(error.into()));
    }
    let (records, ledger_head) = records.into_all().await;
    let Progress { recorder, plans, steps, committed, .. } = progress;
    Outcome { result, recorder, plans, steps, committed, records, ledger_head }
}

/// The inputs of a run that do not change.
pub(super) struct Execution<'a, F> {
    pub options: &'a RunOptions,
    pub frontend: &'a F,
    pub records: &'a Records<'a, F>,
    pub cancellation: &'a Cancellation,
    operation: Operation<'a>,
}

impl<F: Frontend> Execution<'_, F> {
    async fn execute_recorded(
        &self,
        setup: impl FnOnce() -> Result<Setup, Error>,
        progress: &mut Progress,
    ) -> Result<Completion, Error> {
        let options = self.options;
        let setup = setup().map_err(|error| match read_without_setup(&options.plan_source) {
            // This mistake explains why the definitions are missing.
            Err(mistake @ Error::DefinitionsAsPlan { .. }) => mistake,
            // The user has named a plan, and the plan names no definitions.
            Err(unreadable) if matches!(error, Error::NoDefinitions) => unreadable,
            _ => error,
        })?;
        let context = &mut progress.recorder.context;
        setup.environment().clone_into(&mut context.environment);
        context.scope = setup.scope().map(str::to_owned);
        context.definitions = Some(setup.definitions_sha256.clone());
        if !options.dry_run {
            setup.site.check_ledger(self.records.ledger().as_deref(), is_same_file)?;
            setup.site.check_audit_table(setup.audit_table(&options.server))?;
        }
        let saved = options.plan_source.read(&setup.site)?;
        if let Some(saved) = &saved {
            saved.check_environment(setup.environment())?;
        }
        let approval = if options.dry_run {
            Approval::Nothing
        } else {
            setup.policy.parse_approval(options.approval.as_deref())?
        };
        let context = &mut progress.recorder.context;
        context.approval = (!options.dry_run).then(|| approval.to_string());
        context.allowed_hazards = options.server.allow.iter().copied().collect();

        #[cfg(feature = "aws")]
        if let Operation::Rotate(applications) = self.operation {
            return self.rotate(&setup, applications, saved.as_ref(), &approval, progress).await;
        }
        let server_options = server_options(options, saved.as_ref())?;
        if matches!(self.operation, Operation::Apply { .. }) && server_options.only.is_empty() {
            let definitions = setup.definitions();
            progress.recorder.definitions =
                definitions.map(Definitions::digests).unwrap_or_default();
        }
        let mut provisioner = setup.open(&server_options).await?;
        let server = provisioner.server();
        progress.recorder.context.server = Some(server.clone());
        if let Some(saved) = &saved {
            saved.check_server(&server)?;
        }
        let mut run = self.lock(&setup, &mut provisioner, progress).await?;
        let mut planned = run.plan().await?;
        let plan = planned.plan();
        if saved.is_none() {
            // A saved plan was checked, and can have been applied since.
            check_retired(plan)?;
        }
        self.show(progress, plan);
        if !options.dry_run && plan.lacks_backup() {
            return Err(UsageError::NoBackup.into());
        }
        self.check_confirmed(&planned)?;
        self.recover(progress, plan).await?;
        let whole = plan.digest.clone();
        if let Some(saved) = &saved {
            self.report_adoptions(saved, plan);
        }
        let allowed: BTreeSet<Hazard> = options.server.allow.iter().copied().collect();
        let gate = (&setup.policy, &allowed);
        let mut left_out = self.leave_out(&mut planned, saved.as_ref(), gate, progress)?;
        let plan = planned.plan();
        let remainder = match &saved {
            Some(saved) => saved.remainder(plan)?,
            None => Remainder::Whole,
        };
        if options.dry_run {
            self.record(progress, &progress.recorder.dry_run(plan)).await?;
            return Ok(Completion::DryRun);
        }
        let approval = match (&saved, remainder) {
            (Some(saved), Remainder::Part { left, of }) => {
                if left_out.applications.is_empty() {
                    self.frontend.on_notice(&Notice::Resumed { left, of });
                }
                approval.of_remainder(&saved.digest, &plan.digest)
            }
            // Who approved the whole plan has approved its part.
            _ => approval.of_remainder(&whole, &plan.digest),
        };
        if let Approval::Digest(digest) = &approval
            && *digest != plan.digest
            && saved.as_ref().is_none_or(|saved| saved.digest != *digest)
        {
            progress.recorder.context.approval = None;
        }
        setup.policy.check(plan, &approval, &allowed)?;
        self.records.create().await?;
        if plan.is_empty() {
            progress.recorder.ends_with(plan);
            self.record(progress, &progress.recorder.no_change(plan)).await?;
            return Ok(match remainder {
                Remainder::Nothing => Completion::AlreadyApplied,
                Remainder::Whole | Remainder::Part { .. } => Completion::NothingToDo,
            });
        }
        if !self.frontend.confirm(plan).await {
            return Err(Error::NotConfirmed);
        }
        self.confirm_drops(plan).await?;
        // Parts that the first plan deferred are visible after its execution. They are
        // in the second plan.
        for round in 1..=MAX_PLANS {
            let plan = match self.execute(planned, progress).await {
                Err(Error::Statement(failure)) if failure.committed.unknown > 0 => {
                    drop(run);
                    drop(provisioner);
                    return Err(self.look(&setup, &server_options, failure, progress).await);
                }
                executed => executed?,
            };
            planned = run.plan().await?;
            let refusals = planned.plan().refusals.clone();
            if self.keeps_going() {
                left_out.extend(planned.plan(), &setup.policy, &allowed);
                planned.leave_out(&left_out.applications);
            }
            let next = planned.plan();
            if next.is_empty() && next.refusals.is_empty() {
                progress.recorder.ends_with(next);
                self.record(progress, &progress.recorder.no_change(&plan)).await?;
                return left_out.result(refusals).map(|()| Completion::Converged);
            }
            self.show(progress, next);
            if plan.deferred.is_empty() || round == MAX_PLANS {
                break;
            }
            no_refusals(next)?;
            if saved.is_some() {
                return Err(Error::SecondPlan);
            }
            setup.policy.check(next, &approval, &allowed).map_err(|error| match error {
                GateError::Stale { digest, .. } => Error::SecondApproval { digest },
                error => error.into(),
            })?;
        }
        let plan = planned.plan();
        let of_steps = plan.steps().map(|step| step.application.clone());
        Err(Error::NotConverged(of_steps.chain(plan.refused_applications()).collect()))
    }

    /// Reports the applications that only the saved plan takes over, before they are refused.
    fn report_adoptions(&self, saved: &SavedPlan, plan: &Plan) {
        let steps = saved.transactions.iter().flat_map(|transaction| &transaction.steps);
        let adopted = steps.filter(|step| step.action == Action::Adopt);
        let is_unmanaged =
            |code| matches!(code, RefusalCode::RoleNotManaged | RefusalCode::DatabaseNotManaged);
        let refused: BTreeSet<&ApplicationName> = plan
            .refusals
            .iter()
            .filter(|refusal| is_unmanaged(refusal.code()))
            .map(|refusal| &refusal.application)
            .collect();
        let applications: BTreeSet<ApplicationName> = adopted
            .map(|step| &step.application)
            .filter(|application| refused.contains(application))
            .cloned()
            .collect();
        if !applications.is_empty() {
            self.frontend.on_notice(&Notice::Adopted { applications });
        }
    }

    /// Refuses the name of an existing database that a plan does not drop.
    fn check_confirmed(&self, planned: &PlannedApply<'_>) -> Result<(), Error> {
        let plan = planned.plan();
        let dropped = plan.dropped_databases();
        let confirmed = &self.options.server.retirement.confirm;
        for name in confirmed {
            let database = DatabaseName::new_unchecked(name.clone());
            // A refusal says why it is not dropped. After the drop, the same command does nothing.
            if plan.refusals.is_empty()
                && planned.has_database(&database)
                && !dropped.contains(&database)
            {
                let is_confirmed =
                    |one: &DatabaseName| confirmed.iter().any(|name| name == one.as_str());
                let unconfirmed = dropped.into_iter().filter(|one| !is_confirmed(one));
                let unconfirmed = unconfirmed.cloned().collect();
                let is_teardown = plan.origin.torn_down_build.is_some();
                let error = GateError::ConfirmedNotDropped { database, unconfirmed, is_teardown };
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Requires the name of each database that a plan drops.
    async fn confirm_drops(&self, plan: &Plan) -> Result<(), Error> {
        let confirmed = &self.options.server.retirement.confirm;
        let mut databases: Vec<DatabaseName> = Vec::new();
        for database in plan.dropped_databases() {
            if confirmed.iter().any(|name| name == database.as_str()) {
                continue;
            }
            // After the first answer that does not confirm, the user is not asked again.
            if !databases.is_empty() || !self.frontend.confirm_drop(database).await {
                databases.push(database.clone());
            }
        }
        if databases.is_empty() {
            return Ok(());
        }
        Err(GateError::DropUnconfirmed { databases }.into())
    }

    /// Returns whether one failure or refusal does not end the run.
    pub(super) fn keeps_going(&self) -> bool {
        matches!(self.operation, Operation::Apply { keep_going: true })
    }

    pub(super) async fn record(&self, progress: &Progress, events: &[Event]) -> Result<(), Error> {
        Ok(self.records.write(&progress.recorder.context, events).await?)
    }

    pub(super) fn show(&self, progress: &mut Progress, plan: &Plan) {
        progress.recorder.context.plan = Some(plan.digest.clone());
        progress.recorder.context.system_identifier.clone_from(&plan.origin.system_identifier);
        progress.plans.push(plan.clone());
        self.frontend.on_plan(plan);
    }

    /// Records the intent and executes a plan. Returns it.
    async fn execute(
        &self,
        planned: PlannedApply<'_>,
        progress: &mut Progress,
    ) -> Result<Plan, Error> {
        let plan = planned.plan().clone();
        let settings = server::ExecuteOptions {
            keep_going: self.keeps_going(),
            stop: Some(self.cancellation.stop()),
            allowed: self.options.server.allow.iter().copied().collect(),
            audited: progress.recorder.context.names(),
            ..server::ExecuteOptions::default()
        };
        let build_id = progress.recorder.context.build_id.clone();
        let _executing = self.cancellation.executing();
        let (outcome, committed) = self
            .reported(&plan, progress, async |listener| {
                let settings = server::ExecuteOptions { listener: Some(listener), ..settings };
                planned.apply(&build_id, &settings).await
            })
            .await?;
        if outcome.error.is_none() {
            return Ok(plan);
        }
        progress.silent_processes.clone_from(&outcome.silent_processes);
        self.record(progress, &progress.recorder.no_change(&plan)).await?;
        Err(self.failure(outcome, committed, progress))
    }

    /// Returns the error of an execution that has failed.
    fn failure(
        &self,
        outcome: server::ExecutionOutcome,
        committed: Committed,
        progress: &Progress,
    ) -> Error {
        let continuation = self.continuation();
        // The message of a commit without a response says what is not known.
        // So does a failure with a cause of its own, such as a login that is prevented.
        if self.cancellation.is_cancelled() && committed.unknown == 0 && outcome.cause.is_none() {
            let committed = progress.committed.then_some(continuation);
            return Error::Stopped { reason: self.cancellation.reason(), committed };
        }
        Error::Statement(Box::new(StatementFailure {
            message: outcome.error.unwrap_or_default(),
            step: outcome.failed_step,
            committed,
            hint: outcome.hint,
            cause: outcome.cause,
            continuation: if progress.committed { continuation } else { Continuation::RunAgain },
        }))
    }

    /// Returns how a user continues after a part of the plan was committed.
    fn continuation(&self) -> Continuation {
        let is_digest =
            matches!(Approval::parse(self.options.approval.as_deref()), Ok(Approval::Digest(_)));
        match &self.options.plan_source {
            PlanSource::File(_) | PlanSource::Saved(_) | PlanSource::Plan(_) => {
                Continuation::SamePlan
            }
            PlanSource::Any if is_digest => Continuation::NewApproval,
            PlanSource::Any => Continuation::RunAgain,
        }
    }

    /// Takes the lock of the server.
    pub(super) async fn lock<'a>(
        &self,
        setup: &Setup,
        run: &'a mut Provisioner,
        progress: &Progress,
    ) -> Result<Locked<'a>, Error> {
        let RunContext { run_id, attribution, .. } = &progress.recorder.context;
        let timeout = self.options.lock_timeout.or(setup.config.lock_timeout).unwrap_or_default();
        let server = run.server();
        let on_wait = |holder: Option<&server::LockHolder>| {
            let (server, holder) = (server.clone(), holder.cloned());
            self.frontend.on_notice(&Notice::WaitingForLock { server, holder, timeout });
        };
        let on_ignored = |holders: &[server::LockHolder]| {
            let (server, holders) = (server.clone(), holders.to_vec());
            self.frontend.on_notice(&Notice::LocksIgnored { server, holders });
        };
        let options = LockOptions {
            timeout: timeout.0,
            label: format!("{run_id} {}@{}", attribution.actor, attribution.host),
            on_wait: &on_wait,
            on_ignored: &on_ignored,
        };
        Ok(run.lock_with(&options).await?)
    }

    /// Records what the current plan shows about steps whose results an earlier run has not
    /// recorded.
    pub(super) async fn recover(&self, progress: &Progress, plan: &Plan) -> Result<(), Error> {
        let recorder = &progress.recorder;
        for intent in self.records.unrecorded(&recorder.context).await? {
            let events = recorder.recovered(plan, &intent);
            if events.is_empty() {
                continue;
            }
            self.record(progress, &events).await?;
            let is_done = |event: &&Event| {
                matches!(event.kind, EventKind::Recovered { found: Found::Done, .. })
            };
            self.frontend.on_notice(&Notice::Recovered {
                run_id: intent.run_id,
                changes: events.len(),
                done: events.iter().filter(is_done).count(),
            });
        }
        Ok(())
    }

    /// Records the intent, executes an operation, and records the result of each step. Also returns
    /// the number of committed changes. The caller has marked the time of the execution.
    pub(super) async fn reported(
        &self,
        plan: &Plan,
        progress: &mut Progress,
        operation: impl AsyncFnOnce(
            &dyn server::Listener,
        ) -> Result<server::ExecutionOutcome, PlanRefused>,
    ) -> Result<(server::ExecutionOutcome, Committed), Error> {
        let intent = progress.recorder.intent(plan);
        if let Err(not_written) = self.records.write(&progress.recorder.context, &[intent]).await {
            // The other file contains the intent: there, the steps need a result.
            let _ = self.record(progress, &progress.recorder.not_run(plan)).await;
            return Err(not_written.into());
        }
        let listener = RunListener {
            frontend: self.frontend,
            records: self.records,
            recorder: &progress.recorder,
            plan,
            state: Mutex::<State>::default(),
        };
        let outcome = operation(&listener).await;
        let mut state = listener.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let committed = state.committed();
        let outcome = outcome?;
        progress.committed |= outcome.committed;
        let recorded = state.failure(outcome.error.is_some(), self.continuation(), self.frontend);
        progress.steps.extend(state.steps);
        recorded?;
        Ok((outcome, committed))
    }
}

/// Returns the options for the server. A saved plan keeps its restriction to some applications and to
/// additions, and how it retires applications.
///
/// # Errors
/// Returns [`UsageError::OtherSelection`] if the options name other applications than the saved plan,
/// [`UsageError::NotAdditive`] if only the options restrict the run to additions, and the errors of
/// [`Retirement::check_backup`].
fn server_options(
    options: &RunOptions,
    saved: Option<&SavedPlan>,
) -> Result<ServerOptions, UsageError> {
    let audit_ledger = options.audit_ledger.clone();
    let server = ServerOptions { audit_ledger, ..options.server.clone() };
    let Some(saved) = saved else { return Ok(server) };
    let of_plan: Vec<String> = saved.origin.only.iter().map(ToString::to_string).collect();
    let given: BTreeSet<&str> = server.only.iter().map(String::as_str).collect();
    if !given.is_empty() && !of_plan.iter().map(String::as_str).eq(given.iter().copied()) {
        return Err(UsageError::OtherSelection { saved: of_plan });
    }
    let additive = saved.origin.additive;
    if server.additive && !additive {
        return Err(UsageError::NotAdditive);
    }
    let Some(retirement) = &saved.origin.retirement else {
        return Ok(ServerOptions { only: of_plan, additive, ..server });
    };
    let confirm = server.retirement.confirm.clone();
    let retirement = Retirement::of_saved(retirement, of_plan, confirm);
    retirement.check_backup()?;
    Ok(ServerOptions { only: Vec::new(), retirement, ..server })
}
