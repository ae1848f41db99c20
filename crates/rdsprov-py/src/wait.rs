//! Runs an asynchronous call of the core from Python.
//!
//! Each call has its own runtime, runs without the GIL, and checks for signals (Ctrl-C) at an interval. No thread
//! or runtime outlives the call. A call is therefore possible in any thread, after a fork, and inside a callback
//! of another call.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::time::MissedTickBehavior;

use crate::log;
use crate::pending_exception::PendingException;

/// The interval at which a call checks for signals.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The time that connections have to disconnect after a call.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a future to its end, even after an exception. The caller then has to check [`PendingException`].
pub fn run_to_completion<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    pending: &Arc<PendingException>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let log = log::subscriber(py, pending.clone())?;
    let wait = || {
        let _log = tracing::subscriber::set_default(log);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let mut work = std::pin::pin!(start());
            let mut signal_check = tokio::time::interval(SIGNAL_CHECK_INTERVAL);
            signal_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    _ = signal_check.tick() => {
                        if let Err(error) = Python::attach(|py| py.check_signals()) {
                            pending.keep(error);
                        }
                    }
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

/// Runs a future until it ends or until Python raises an exception, which is then raised.
pub fn run_interruptible<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    pending: &Arc<PendingException>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let cancellation = &pending.cancellation;
    let result = run_to_completion(py, pending, || async {
        tokio::select! {
            biased;
            result = start() => Some(result),
            () = cancellation.wait() => None,
        }
    })?;
    match (pending.take(), result) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
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
