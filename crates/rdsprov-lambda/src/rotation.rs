//! Executes one step of a rotation by Secrets Manager.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use rdsprov_core::operations::{RotationStepError, StepEffect};
use rdsprov_core::secret_id::SecretId;
use rdsprov_core::session::{self, Error, ExitCode, StopReason};
use serde_json::json;

use crate::event::RotationEvent;
use crate::failure::Failure;
use crate::logging::log_line;

impl From<RotationStepError> for Failure {
    fn from(error: RotationStepError) -> Self {
        Self::new(ExitCode::Failed, error.diagnostic())
    }
}

/// Executes the step that Secrets Manager requests. It can be repeated at any time, also if the
/// invocation ends before the step.
pub(crate) async fn run(event: &RotationEvent, context: &Context) -> Result<(), Failure> {
    let RotationEvent { step, secret_id, client_request_token } = event;
    let config = session::config(None)?;
    let function = session::rotation_function(&config).await?;
    let id = SecretId(secret_id.clone());
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    // The error must reach Secrets Manager before the invocation ends.
    let time = left.saturating_sub(Duration::from_secs(2));
    let executed = tokio::time::timeout(time, function.execute(*step, &id, client_request_token));
    let stopped = Error::Stopped { reason: StopReason::Deadline, committed: None };
    let effect = executed.await.map_err(|_| stopped)??;
    let effect = match effect {
        StepEffect::Done => "done",
        StepEffect::AlreadyDone => "already_done",
    };
    log_line(json!({"step": step, "secret_id": secret_id, "effect": effect}));
    Ok(())
}
