//! Executes the steps of a plan that delete secrets, between its transactions.

use std::time::Instant;

use super::execution::Executed;
use super::stop::Stop;
use super::transaction_failure::{TransactionFailure, stopped_at};
use super::wait::step_words;
use crate::hint::Hint;
use crate::plan::{Step, Transaction};
use crate::secret_id::{RecoveryWindow, SecretId};
use crate::secrets::{SecretError, SecretSource};
use crate::step_result::StepStatus;

/// The source with the secrets that a plan deletes.
pub(crate) struct SecretDeletion<'a> {
    pub source: &'a SecretSource,
    /// How long they can be restored.
    pub window: RecoveryWindow,
}

impl SecretDeletion<'_> {
    async fn delete(&self, step: &Step) -> Result<(), SecretError> {
        let changed = step.changed_secret.as_ref();
        match changed.and_then(|one| one.old.clone()).map(SecretId) {
            Some(id) => self.source.schedule_deletion(&id, self.window).await,
            None => Ok(()),
        }
    }
}

/// Deletes the secrets of the steps, one after the other, until one cannot be deleted or the end of the run
/// is requested.
pub(super) async fn delete_secrets(
    deletion: Option<&SecretDeletion<'_>>,
    transaction: &Transaction,
    stop: Option<&Stop>,
) -> Executed {
    let mut executed = Executed::nothing(transaction);
    let Some(deletion) = deletion else { return executed };
    for (number, step) in transaction.steps.iter().enumerate() {
        if stop.is_some_and(Stop::is_requested) {
            executed.failures.push(stopped_at(number, &step_words(step)));
            break;
        }
        let started = Instant::now();
        let result = deletion.delete(step).await;
        let message = result.as_ref().err().map(ToString::to_string);
        let status = message.clone().map_or(StepStatus::Success, StepStatus::Error);
        executed.results[number] = (status, started.elapsed());
        executed.committed |= result.is_ok();
        if let (Err(error), Some(message)) = (result, message) {
            let hint = Some(Hint::joined(&error.hints()));
            executed
                .failures
                .push(TransactionFailure { hint, ..TransactionFailure::at(number, message) });
            break;
        }
    }
    executed
}
