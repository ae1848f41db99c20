//! Cancels an operation, because of a signal or at the request of the front end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::server::Stop;

/// Cancels an operation from another thread or task.
///
/// While a plan is executed, the execution itself reacts: it rolls back the current transaction and
/// records its end. At any other time, the operation ends at once.
#[derive(Debug)]
pub struct Cancellation {
    sender: watch::Sender<bool>,
    executing: AtomicBool,
}

impl Default for Cancellation {
    fn default() -> Self {
        Self { sender: watch::Sender::new(false), executing: AtomicBool::new(false) }
    }
}

impl Cancellation {
    /// Requests the cancellation and returns at once.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
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

    pub(super) fn set_executing(&self, executing: bool) {
        self.executing.store(executing, Ordering::Relaxed);
    }

    /// Waits until the cancellation is requested while no plan is executed.
    pub(super) async fn cancelled_while_idle(&self) {
        self.wait().await;
        while self.executing.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
