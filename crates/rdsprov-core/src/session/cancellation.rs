//! Cancels an operation, because of a signal or at the request of the front end.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::server::Stop;

/// Why an operation is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// A signal.
    Signal,
    /// The program that has started the operation.
    Request,
    /// The time that the operation may take is over.
    Deadline,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "stopped by a signal",
            Self::Request => "stopped by the calling program",
            Self::Deadline => "stopped because the time of the run is over",
        })
    }
}

/// Cancels an operation from another thread or task.
///
/// While a plan is executed, the execution itself reacts: it rolls back the current transaction and
/// records its end. At any other time, the operation ends at once.
#[derive(Debug)]
pub struct Cancellation {
    sender: watch::Sender<bool>,
    executing: AtomicBool,
    reason: OnceLock<StopReason>,
}

impl Default for Cancellation {
    fn default() -> Self {
        Self {
            sender: watch::Sender::new(false),
            executing: AtomicBool::new(false),
            reason: OnceLock::new(),
        }
    }
}

impl Cancellation {
    /// Requests the cancellation and returns at once. The first reason is kept.
    pub fn cancel(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.sender.send_replace(true);
    }

    /// Returns why the cancellation was requested.
    #[must_use]
    pub fn reason(&self) -> StopReason {
        self.reason.get().copied().unwrap_or(StopReason::Signal)
    }

    /// Returns whether the cancellation was requested.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the cancellation is requested.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns the signal that ends an execution when the cancellation is requested.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop::new(self.sender.subscribe())
    }

    /// Marks the time in which a plan is executed, from its intent to the record of its end: the execution
    /// notices the cancellation itself. It ends when the returned value is dropped.
    pub(super) fn executing(&self) -> Executing<'_> {
        self.executing.store(true, Ordering::Relaxed);
        Executing(&self.executing)
    }

    /// Waits until the cancellation is requested while no plan is executed.
    pub(super) async fn cancelled_while_idle(&self) {
        self.wait().await;
        while self.executing.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The time in which a plan is executed: see [`Cancellation::executing`].
#[must_use = "the time ends when it is dropped"]
pub(super) struct Executing<'a>(&'a AtomicBool);

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
