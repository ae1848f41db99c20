//! Executes plans: the transactions in order, each of which is committed or rolled back as a whole.
//!
//! This module does not know how a plan is made or recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

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
use super::wait::{LockHolder, place, step_words};
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName};
use crate::plan::{Action, Plan, Scope, Slots, Step};
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

/// The step in which the execution of a plan failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStep {
    /// Where its transaction runs: `database shop`, or `roles and databases`.
    pub place: String,
    /// The step in words, with its application.
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
    let listener = options.listener.unwrap_or(&());
    // A secret is created before the first statement, and is kept if a statement fails.
    let is_created = |step: &Step| step.action == Action::CreateSecret;
    let mut outcome =
        ExecutionOutcome { committed: plan.steps().any(is_created), ..ExecutionOutcome::default() };
    let template = TemplateWait::new(options.stop.clone());
    let creates_databases = plan
        .transactions
        .iter()
        .any(|one| matches!(one.scope, Scope::NewDatabase(_)) && one.before.is_some());
    let mut ended = false;
    if creates_databases && let Some(reason) = pooler::without_new_databases(admin, &lock.0).await {
        ended = true;
        outcome.error = Some(reason);
        outcome.hint = Some(use_server_itself());
    } else if creates_databases {
        let sessions = template.until_free(&lock.0).await;
        // With `keep_going`, the other databases do not need the template.
        if !sessions.is_empty() && !options.keep_going {
            ended = true;
            outcome.error = Some(template::in_use(&sessions));
            outcome.hint = Some(template::advice(&sessions));
        }
    }
    let mut unfinished: Vec<DatabaseName> = Vec::new();
    let mut failing: BTreeSet<ApplicationName> = BTreeSet::new();
    let mut oids: BTreeMap<DatabaseName, u32> = BTreeMap::new();
    for transaction in &plan.transactions {
        let is_left_out = match &transaction.scope {
            Scope::Database(name) => unfinished.contains(name),
            // It would belong to a role that may not exist.
            Scope::NewDatabase(name) => {
                let application = transaction.steps.first().map(|step| &step.application);
                let left_out = application.is_some_and(|one| failing.contains(one));
                unfinished.extend(left_out.then(|| name.clone()));
                left_out
            }
            Scope::Cluster | Scope::DroppedDatabase(_) | Scope::Secrets => false,
        };
        ended = ended || !is_left_out && listener.before(transaction).await.is_break();
        let executed = if ended || is_left_out {
            Executed::nothing(transaction)
        } else if transaction.scope == Scope::Secrets {
            deletions::delete_secrets(secrets, transaction, options.stop.as_ref()).await
        } else {
            let slots = SlotsWithOids { slots, oids: &oids };
            let template = &template;
            let slots = &slots;
            let execution = Execution { plan, admin, logins, lock, slots, options, template };
            execution.without_failing(transaction, &mut failing).await
        };
        let at = Timestamp::now();
        let steps = transaction.steps.iter().zip(executed.results);
        let results: Vec<StepResult> = steps
            .map(|(step, (status, duration))| {
                let status = if is_created(step) { StepStatus::Success } else { status };
                StepResult { status, duration, at }
            })
            .collect();
        ended |= listener.after(&transaction.steps, &results).await.is_break();
        outcome.steps.extend(results);
        if let (Scope::NewDatabase(name), Some(oid)) = (&transaction.scope, executed.oid) {
            oids.insert(name.clone(), oid);
        }
        outcome.committed |= executed.committed;
        if let (Scope::NewDatabase(name), false) =
            (&transaction.scope, executed.failures.is_empty())
        {
            unfinished.push(name.clone());
        }
        for failure in executed.failures {
            let is_isolated = transaction.scope != Scope::Cluster || failure.is_of_applications;
            ended |= failure.ends_run || !options.keep_going || !is_isolated;
            // Without its session, the run has no lock any more.
            ended |= lock.0.client.is_closed();
            outcome.silent_processes.extend(failure.process);
            if outcome.error.is_none() {
                outcome.failed_step = transaction.steps.get(failure.step).map(|step| FailedStep {
                    place: place(&transaction.scope),
                    step: step_words(step),
                    holders: failure
                        .wait
                        .as_ref()
                        .map(|wait| wait.holders.clone())
                        .unwrap_or_default(),
                    is_too_long: failure.is_too_long,
                });
                outcome.hint = failure.hint();
                outcome.cause = failure.cause;
                outcome.error = Some(failure.message);
            }
        }
    }
    outcome
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
        let _ = options.listener.unwrap_or(&()).after(&transaction.steps, &results).await;
        outcome.steps.extend(results);
    }
    outcome
}
