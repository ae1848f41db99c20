//! Runs an asynchronous call of the core from Python.
//!
//! Each call has its own runtime, runs without the GIL, and checks for signals (Ctrl-C), a cancellation
//! and its deadline at an interval. No thread or runtime outlives the call. A call is therefore possible in any thread, after a fork, and inside a callback
//! of another call.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::time::MissedTickBehavior;

use crate::call::Call;
use crate::{errors, log};

/// The interval at which a call checks whether it has to end.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The time that connections have to disconnect after a call.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a future to its end, even after an exception. The caller then has to check the [`Call`].
pub fn run_to_completion<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    call: &Arc<Call>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let log = log::subscriber(py, call.clone())?;
    let wait = || {
        let _log = tracing::subscriber::set_default(log);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let mut work = std::pin::pin!(start());
            let mut check = tokio::time::interval(CHECK_INTERVAL);
            check.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    _ = check.tick() => call.check(),
                }
            }
        });
        runtime.block_on(drain_connections());
        runtime.shutdown_background();
        Ok(result)
    };
    let result: std::io::Result<T> = py.detach(|| {
        if Handle::try_current().is_err() {
            return wait();
        }
        // A callback of another call made this call; a thread can run only one runtime at a time.
        let inner = std::thread::scope(|scope| scope.spawn(wait).join());
        inner.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Ok(result?)
}

/// Runs a future until it ends or the call is stopped, which raises an exception.
pub fn run_interruptible<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    call: &Arc<Call>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let cancellation = &call.cancellation;
    let result = run_to_completion(py, call, || async {
        tokio::select! {
            biased;
            result = start() => Some(result),
            () = cancellation.wait() => None,
        }
    })?;
    match (call.take_exception(), result) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(errors::stopped(py, cancellation.reason())),
    }
}

/// Waits until dropped connections have disconnected, each in its own task.
async fn drain_connections() {
    let disconnected = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, disconnected).await;
}
