//! How a call waits: without the GIL, in a runtime of its own, and looking now and then whether somebody
//! pressed Ctrl-C. Nothing is left behind: a call may be made in any thread, after a fork, and by what
//! another call calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use rdsprov_core::session::Interruption;
use tokio::runtime::{Builder, Handle};
use tokio::time::MissedTickBehavior;

use crate::log;

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// How long connections have for their goodbyes.
const GOODBYE: Duration = Duration::from_millis(500);

/// What Python raised meanwhile: a signal's handler, or something that was called. It stops the call.
#[derive(Default)]
pub struct Raised {
    first: Mutex<Option<PyErr>>,
    /// Stops the call.
    pub interruption: Interruption,
}

impl Raised {
    pub fn keep(&self, error: PyErr) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.interruption.tell();
    }

    pub fn take(&self) -> Option<PyErr> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Waits for what `start` gives to end by itself. Who calls looks at [`Raised`] then.
pub fn to_the_end<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    raised: &Arc<Raised>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let log = log::subscriber(py, raised.clone())?;
    let wait = || {
        let _log = tracing::subscriber::set_default(log);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let mut work = std::pin::pin!(start());
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    _ = look.tick() => {
                        if let Err(error) = Python::attach(|py| py.check_signals()) {
                            raised.keep(error);
                        }
                    }
                }
            }
        });
        runtime.block_on(goodbye());
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
pub fn or_raised<T: Send, F: Future<Output = T>>(
    py: Python<'_>,
    raised: &Arc<Raised>,
    start: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    let interruption = &raised.interruption;
    let result = to_the_end(py, raised, || async {
        tokio::select! {
            biased;
            result = start() => Some(result),
            () = interruption.wait() => None,
        }
    })?;
    match (raised.take(), result) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
    }
}

/// A dropped connection says goodbye in a task of its own.
async fn goodbye() {
    let all_gone = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, all_gone).await;
}
