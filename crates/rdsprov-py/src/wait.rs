//! How a call waits: without the GIL, in a runtime of its own, and looking now and then whether somebody
//! pressed Ctrl-C. Nothing is left behind: a call may be made in any thread, after a fork, and by what
//! another call calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use rdsprov_core::session::Cancellation;
use tokio::runtime::{Builder, Handle};
use tokio::time::MissedTickBehavior;

use crate::log;

/// How often signals are looked for.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How long connections have for their goodbyes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// What Python raised meanwhile: a signal's handler, or something that was called. It stops the call.
#[derive(Default)]
pub struct PendingException {
    first: Mutex<Option<PyErr>>,
    /// Stops the call.
    pub cancellation: Cancellation,
}

impl PendingException {
    pub fn keep(&self, error: PyErr) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.cancellation.cancel();
    }

    pub fn take(&self) -> Option<PyErr> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Waits for what `start` gives to end by itself. Who calls looks at [`PendingException`] then.
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
        // Something that a call calls makes a call of its own; a thread has one runtime at a time.
        let inner = std::thread::scope(|scope| scope.spawn(wait).join());
        inner.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Ok(result?)
}

/// Waits until it ends or something is raised, which then is what becomes of it.
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

/// A dropped connection says goodbye in a task of its own.
async fn drain_connections() {
    let all_gone = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all_gone).await;
}
