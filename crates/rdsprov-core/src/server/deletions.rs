//! Executes the steps of a plan that delete secrets, between its transactions.

use std::time::Instant;

use super::execution::Executed;
use super::stop::Stop;
use super::transaction_failure::{TransactionFailure, stopped_at};
use super::wait::step_words;
use crate::hint::Hint;
use crate::plan::{Step, Transaction};
use crate::secret_id::{RecoveryWindow, SecretId};
use crate::secrets::SecretSource;
use crate::step_result::StepStatus;

/// The source with the secrets that a plan deletes.
pub(crate) struct SecretDeletion<'a> {
    pub source: &'a SecretSource,
    /// How long they can be restored.
    pub window: RecoveryWindow,
}

/// Why the secret of a step is not deleted, with what to do next.
type NotDeleted = (String, Option<Hint>);

/// Schedules the deletion of the secret of a step.
async fn delete(deletion: Option<&SecretDeletion<'_>>, step: &Step) -> Result<(), NotDeleted> {
    let changed = step.changed_secret.as_ref();
    let Some(id) = changed.and_then(|one| one.old.clone()).map(SecretId) else {
        return Err(("the step names no secret".to_owned(), None));
    };
    let Some(SecretDeletion { source, window }) = deletion else {
        return Err(("the run deletes no secrets".to_owned(), None));
    };
    let deleted = source.schedule_deletion(&id, *window).await;
    deleted.map_err(|error| (error.to_string(), Some(Hint::joined(&error.hints()))))
}

/// Deletes the secrets of the steps, one after the other, until one cannot be deleted or the end of the run
/// is requested.
pub(super) async fn delete_secrets(
    deletion: Option<&SecretDeletion<'_>>,
    transaction: &Transaction,
    stop: Option<&Stop>,
) -> Executed {
    let mut executed = Executed::nothing(transaction);
    for (number, step) in transaction.steps.iter().enumerate() {
        if stop.is_some_and(Stop::is_requested) {
            executed.failures.push(stopped_at(number..number + 1, &step_words(step)));
            break;
        }
        let started = Instant::now();
        let deleted = delete(deletion, step).await;
        let status = match &deleted {
            Ok(()) => StepStatus::Success,
            Err((reason, _)) => StepStatus::Error(reason.clone()),
        };
        executed.results[number] = (status, started.elapsed());
        match deleted {
            Ok(()) => executed.committed = true,
            Err((reason, hint)) => {
                let failure = TransactionFailure::at(number..number + 1, reason);
                executed.failures.push(TransactionFailure { hint, ..failure });
                break;
            }
        }
    }
    executed
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::plan::{ChangedSecret, Plan, SecretFindings, test_states};

    /// A step whose secret cannot be deleted is never one that has succeeded.
    #[tokio::test]
    async fn step_without_a_secret_or_a_source_fails() {
        let (desired, observed) = (test_states::desired(), test_states::observed());
        let plan = Plan::new(&desired, &observed, SecretFindings::default());
        let mut transaction = plan.transactions[0].clone();
        transaction.steps.truncate(2);
        let source = SecretSource::Files(PathBuf::new());
        let known = SecretDeletion { source: &source, window: RecoveryWindow::default() };
        for (old, deletion, reason) in [
            (None, Some(&known), "names no secret"),
            (Some("shop".to_owned()), None, "deletes no secrets"),
            (Some("shop".to_owned()), Some(&known), "not in Secrets Manager"),
        ] {
            for step in &mut transaction.steps {
                step.changed_secret = Some(ChangedSecret { old: old.clone(), new: None });
            }
            let executed = delete_secrets(deletion, &transaction, None).await;
            assert!(!executed.committed);
            let [failure] = executed.failures.as_slice() else { panic!("{reason}") };
            assert!(failure.message.contains(reason), "{}", failure.message);
            let [(StepStatus::Error(_), _), (StepStatus::NotRun, _)] = executed.results.as_slice()
            else {
                panic!("{reason}")
            };
        }
    }
}
