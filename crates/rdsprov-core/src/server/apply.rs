//! Executes plans: the transactions in order, those of different databases at the same time. Each is
//! committed or rolled back as a whole.
//!
//! This module does not know how a plan is made or recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use super::conflict_time::ConflictTime;
use super::connect::Endpoint;
use super::connect_error::use_server_itself;
use super::deletions::{self, SecretDeletion};
use super::execution::Executed;
use super::execution_options::ExecuteOptions;
use super::lock::Lock;
use super::pooler;
use super::slots::SlotsWithOids;
use super::template::{self, TemplateWait};
use super::transaction_failure::FailureCause;
use super::transaction_run::Execution;
use super::wait::{LockHolder, place, steps_in_words};
use super::workers::{Used, Workers, groups};
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName};
use crate::plan::{Action, Plan, Scope, Slots, Step, Transaction};
use crate::step_result::{StepResult, StepStatus};

/// The result of executing a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionOutcome {
    /// The result of each step.
    pub steps: Vec<StepResult>,
    /// Whether at least one transaction was committed or one secret was created.
    pub committed: bool,
    /// The message of the first failure; `None` if all steps succeeded.
    pub error: Option<String>,
    /// The step in which it occurred, if the plan was executed by transactions.
    pub failed_step: Option<FailedStep>,
    /// What to do about this failure, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
    /// The cause of this failure, if it has a code of its own.
    pub cause: Option<FailureCause>,
    /// The processes of the server that have not responded to a `COMMIT` or `CREATE DATABASE`, and may
    /// still execute it.
    pub silent_processes: Vec<i32>,
}

/// The step in which the execution of a plan failed, or the steps of one statement that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStep {
    /// Where its transaction runs: `database shop`, or `roles and databases`.
    pub place: String,
    /// The step in words, with its application, and the number of other steps of its statement.
    pub step: String,
    /// The sessions that held the lock for which its statement has waited.
    pub holders: Vec<LockHolder>,
    /// Whether its statement took longer than the limit for statements.
    pub is_too_long: bool,
}

/// Executes a plan whose new secrets were created before. Errors are in the outcome.
///
/// `secrets` deletes the secrets of the plan, if it can contain any.
/// `logins` are the roles that must still be able to log in after a transaction that could prevent it.
pub async fn apply(
    plan: &Plan,
    admin: &Endpoint,
    logins: &[Endpoint],
    lock: &Lock,
    slots: &(dyn Slots + Sync),
    secrets: Option<&SecretDeletion<'_>>,
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome =
        ExecutionOutcome { committed: plan.steps().any(is_created), ..ExecutionOutcome::default() };
    let template = TemplateWait::new(options.stop.clone());
    let conflicts = ConflictTime::default();
    let creates_databases = plan
        .transactions
        .iter()
        .any(|one| matches!(one.scope, Scope::NewDatabase(_)) && one.before.is_some());
    let mut ended = false;
    if creates_databases
        && let Some(reason) = pooler::without_new_databases(admin, &lock.session).await
    {
        ended = true;
        outcome.error = Some(reason);
        outcome.hint = Some(use_server_itself());
    } else if creates_databases {
        let sessions = template.until_free(&lock.session).await;
        // With `keep_going`, the other databases do not need the template.
        if !sessions.is_empty() && !options.keep_going {
            ended = true;
            outcome.error = Some(template::in_use(&sessions));
            outcome.hint = Some(template::advice(&sessions));
        }
    }
    let ended = AtomicBool::new(ended);
    let mut unfinished: BTreeSet<DatabaseName> = BTreeSet::new();
    let mut failing: BTreeSet<ApplicationName> = BTreeSet::new();
    let mut oids: BTreeMap<DatabaseName, u32> = BTreeMap::new();
    for transactions in groups(plan, options) {
        let workers = Workers::new(admin, lock, transactions);
        let group = Group {
            plan,
            admin,
            logins,
            lock,
            slots: &SlotsWithOids { slots, oids: &oids },
            secrets,
            options,
            template: &template.shared_by(workers.width(transactions)),
            conflicts: &conflicts,
            workers: &workers,
            unfinished: &unfinished,
            failing: &failing,
            ended: &ended,
        };
        // Boxed, because a thread can have a small stack.
        let done = Box::pin(group.execute(transactions, &mut outcome)).await;
        workers.close().await;
        for (transaction, done) in transactions.iter().zip(done) {
            failing.extend(done.failing);
            let Scope::NewDatabase(name) = &transaction.scope else { continue };
            oids.extend(done.oid.map(|oid| (name.clone(), oid)));
            unfinished.extend((!done.is_finished).then(|| name.clone()));
        }
    }
    outcome
}

/// Transactions that are executed at the same time.
struct Group<'a> {
    plan: &'a Plan,
    admin: &'a Endpoint,
    logins: &'a [Endpoint],
    lock: &'a Lock,
    slots: &'a SlotsWithOids<'a>,
    secrets: Option<&'a SecretDeletion<'a>>,
    options: &'a ExecuteOptions<'a>,
    template: &'a TemplateWait,
    conflicts: &'a ConflictTime,
    workers: &'a Workers<'a>,
    /// The databases of earlier groups that were not created as a whole.
    unfinished: &'a BTreeSet<DatabaseName>,
    /// The applications whose steps failed in earlier groups.
    failing: &'a BTreeSet<ApplicationName>,
    /// Whether no further transaction starts.
    ended: &'a AtomicBool,
}

/// What the next groups need to know about a transaction.
struct Done {
    failing: BTreeSet<ApplicationName>,
    oid: Option<u32>,
    /// Whether its database is as the plan requires.
    is_finished: bool,
}

impl Group<'_> {
    /// Executes the transactions, several at the same time, and reports their results in their order. After
    /// a failure that ends the run, those that have started are completed.
    async fn execute(
        &self,
        transactions: &[Transaction],
        outcome: &mut ExecutionOutcome,
    ) -> Vec<Done> {
        let width = self.workers.width(transactions);
        let report = async {
            let mut all = Vec::with_capacity(transactions.len());
            let executions = transactions.iter().map(|one| Box::pin(self.execute_one(one)));
            let executions = stream::iter(executions).buffered(width);
            let mut executions = pin!(executions.zip(stream::iter(transactions)));
            while let Some(((executed, done), transaction)) = executions.next().await {
                self.report(transaction, executed, outcome).await;
                all.push(done);
            }
            all
        };
        let open = async {
            self.workers.open(self.admin).await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            all = report => all,
            never = open => match never {},
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Returns whether a transaction relies on what was not created.
    fn is_left_out(&self, transaction: &Transaction) -> bool {
        match &transaction.scope {
            Scope::Database(name) => self.unfinished.contains(name),
            // It would belong to a role that may not exist.
            Scope::NewDatabase(_) => {
                let application = transaction.steps.first().map(|step| &step.application);
                application.is_some_and(|one| self.failing.contains(one))
            }
            Scope::Cluster | Scope::DroppedDatabase(_) | Scope::Secrets => false,
        }
    }

    async fn execute_one(&self, transaction: &Transaction) -> (Executed, Done) {
        let Self {
            plan, admin, logins, lock, slots, options, template, conflicts, workers, ..
        } = *self;
        let is_in_database = matches!(transaction.scope, Scope::Database(_));
        let used = if is_in_database { None } else { Some(workers.take().await) };
        let session = used.as_ref().map_or(&lock.session, Used::session);
        let is_left_out = self.is_left_out(transaction);
        let listener = options.listener.unwrap_or(&());
        if !self.has_ended() && !is_left_out && listener.before(transaction).await.is_break() {
            self.end();
        }
        let mut failing = self.failing.clone();
        let executed = if self.has_ended() || is_left_out {
            Executed::nothing(transaction)
        } else if transaction.scope == Scope::Secrets {
            deletions::delete_secrets(self.secrets, transaction, options.stop.as_ref()).await
        } else {
            let execution = Execution {
                plan,
                admin,
                logins,
                lock,
                session,
                workers,
                slots,
                options,
                template,
                conflicts,
            };
            execution.without_failing(transaction, &mut failing).await
        };
        for failure in &executed.failures {
            let is_isolated = transaction.scope != Scope::Cluster || failure.is_of_applications;
            // Without its session, the run has no lock any more.
            let has_lock = !lock.session.client.is_closed();
            if failure.ends_run || !options.keep_going || !is_isolated || !has_lock {
                self.end();
            }
        }
        let is_finished = !is_left_out && executed.failures.is_empty();
        let oid = executed.oid;
        (executed, Done { failing, oid, is_finished })
    }

    /// Adds the results of a transaction to the outcome of the run.
    async fn report(
        &self,
        transaction: &Transaction,
        executed: Executed,
        outcome: &mut ExecutionOutcome,
    ) {
        let at = Timestamp::now();
        let steps = transaction.steps.iter().zip(executed.results);
        let results: Vec<StepResult> = steps
            .map(|(step, (status, duration))| {
                let status = if is_created(step) { StepStatus::Success } else { status };
                StepResult { status, duration, at }
            })
            .collect();
        let listener = self.options.listener.unwrap_or(&());
        if listener.after(transaction, &transaction.steps, &results).await.is_break() {
            self.end();
        }
        outcome.steps.extend(results);
        outcome.committed |= executed.committed;
        let processes = executed.failures.iter().filter_map(|failure| failure.process);
        outcome.silent_processes.extend(processes);
        let Some(failure) = executed.failures.into_iter().next() else { return };
        if outcome.error.is_none() {
            let steps = transaction.steps.get(failure.steps.clone()).unwrap_or_default();
            outcome.failed_step = steps_in_words(steps).map(|step| FailedStep {
                place: place(&transaction.scope),
                step,
                holders: failure.wait.as_ref().map(|wait| wait.holders.clone()).unwrap_or_default(),
                is_too_long: failure.is_too_long,
            });
            outcome.hint = failure.hint();
            outcome.cause = failure.cause;
            outcome.error = Some(failure.message);
        }
    }
}

/// Returns whether a step has created a secret: before the first statement, so that it remains if a statement
/// fails.
fn is_created(step: &Step) -> bool {
    step.action == Action::CreateSecret
}

/// Returns the outcome of a plan whose execution could not start, because an action that precedes
/// the first statement failed.
pub(crate) async fn outcome_not_started(
    plan: &Plan,
    action: Action,
    message: &str,
    options: &ExecuteOptions<'_>,
) -> ExecutionOutcome {
    let mut outcome =
        ExecutionOutcome { error: Some(message.to_owned()), ..ExecutionOutcome::default() };
    for transaction in &plan.transactions {
        let results = transaction.steps.iter().map(|step| StepResult {
            status: if step.action == action {
                StepStatus::Error(message.to_owned())
            } else {
                StepStatus::NotRun
            },
            duration: Duration::ZERO,
            at: Timestamp::now(),
        });
        let results: Vec<StepResult> = results.collect();
        // The run ends anyway.
        let _ =
            options.listener.unwrap_or(&()).after(transaction, &transaction.steps, &results).await;
        outcome.steps.extend(results);
    }
    outcome
}
