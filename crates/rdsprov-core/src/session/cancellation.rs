//! A way to stop a session from outside: a signal, or whoever called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Stops a session. While a plan is carried out, that ends by itself where it stands; at any other time
/// nothing is lost by ending at once.
#[derive(Debug)]
pub struct Cancellation {
    sender: watch::Sender<bool>,
    working: AtomicBool,
}

impl Default for Cancellation {
    fn default() -> Self {
        Self { sender: watch::Sender::new(false), working: AtomicBool::new(false) }
    }
}

impl Cancellation {
    /// Stops it.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until it is told to stop.
    pub async fn wait(&self) {
        let mut already_recorded = self.receiver();
        if already_recorded.wait_for(|already_recorded| *already_recorded).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn receiver(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }

    pub(super) fn set_working(&self, working: bool) {
        self.working.store(working, Ordering::Relaxed);
    }

    /// Waits until it is told to stop, and no plan is being carried out.
    pub(super) async fn cancelled_while_idle(&self) {
        self.wait().await;
        while self.working.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
