//! Exceptions that Python code raises while the core runs.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use rdsprov_core::session::Cancellation;

/// The first exception that Python code raised during a call: in a signal handler or in a callback.
#[derive(Default)]
pub struct PendingException {
    first: Mutex<Option<PyErr>>,
    /// Ends the call; triggered together with the exception.
    pub cancellation: Cancellation,
}

impl PendingException {
    /// Keeps an exception, if it is the first, and cancels the call.
    pub fn keep(&self, error: PyErr) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.cancellation.cancel();
    }

    /// Returns the exception, if there is one, and forgets it.
    pub fn take(&self) -> Option<PyErr> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
