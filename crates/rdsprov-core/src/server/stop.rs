//! The signal that ends an execution.

use tokio::sync::watch;

/// Ends an execution when its cancellation is requested.
///
/// [`Cancellation::stop`](crate::session::Cancellation::stop) creates it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Creates the signal from the receiver of a value that becomes `true`.
    pub(crate) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Returns whether the end of the execution was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// Waits until the end of the execution is requested: forever, if this is not possible.
pub(crate) async fn stopped(stop: Option<Stop>) {
    let is_stopped = match stop {
        Some(Stop(mut receiver)) => receiver.wait_for(|stop| *stop).await.is_ok(),
        None => false,
    };
    if !is_stopped {
        std::future::pending::<()>().await;
    }
}
