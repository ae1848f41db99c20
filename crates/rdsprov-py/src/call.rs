//! One call of a function: what ends it early, and the events that it reports.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rdsprov_core::plan::Step;
use rdsprov_core::session::{self, StopReason};
use rdsprov_core::text::visible;
use serde_json::json;

use crate::event_kind::EventKind;
use crate::values;

/// Stops calls from any thread.
///
/// Give it to a call as ``cancellation``, and call ``cancel`` in another thread.
/// It can be given to several calls, also one after another: once it is cancelled, each of them ends at once.
#[pyclass(frozen, module = "rdsprov")]
#[derive(Default)]
pub struct Cancellation(Arc<session::Cancellation>);

#[pymethods]
impl Cancellation {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Stops the calls, and returns at once. They raise `Cancelled`.
    fn cancel(&self) {
        self.0.cancel(StopReason::Request);
    }

    /// Whether `cancel` was called.
    #[getter]
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    fn __repr__(&self) -> &'static str {
        if self.cancelled() { "<Cancellation cancelled>" } else { "<Cancellation>" }
    }
}

/// One call of a function.
pub struct Call {
    /// The first exception that Python code raised: in a signal handler or in a callback.
    exception: Mutex<Option<PyErr>>,
    /// Ends the call.
    pub cancellation: session::Cancellation,
    /// Another thread requests the end of the call with it.
    requested: Option<Arc<session::Cancellation>>,
    /// When the time of the call is over.
    deadline: Option<Instant>,
    on_event: Option<Py<PyAny>>,
}

impl Call {
    /// Begins a call.
    pub fn new(
        requested: Option<&Cancellation>,
        timeout: Option<Duration>,
        on_event: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            exception: Mutex::default(),
            cancellation: session::Cancellation::default(),
            requested: requested.map(|one| one.0.clone()),
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            on_event,
        }
    }

    /// Keeps an exception, if it is the first, and cancels the call.
    pub fn keep(&self, error: PyErr) {
        self.exception.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.cancellation.cancel(StopReason::Signal);
    }

    /// Returns the exception, if there is one, and forgets it.
    pub fn take_exception(&self) -> Option<PyErr> {
        self.exception.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Cancels the call if a signal handler raises an exception, if another thread requests it, or if the time
    /// is over.
    pub fn check(&self) {
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            self.keep(error);
        }
        if self.requested.as_ref().is_some_and(|requested| requested.is_cancelled()) {
            self.cancellation.cancel(StopReason::Request);
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.cancellation.cancel(StopReason::Deadline);
        }
    }

    /// Calls `on_event`. If it raises an exception, the call ends.
    pub fn report(&self, kind: EventKind, message: &str, steps: &[Step]) {
        let Some(on_event) = &self.on_event else { return };
        let called = Python::attach(|py| {
            let event = json!({"kind": kind, "message": visible(message), "steps": steps});
            on_event.bind(py).call1((values::value(py, "_event", &event)?,)).map(drop)
        });
        if let Err(error) = called {
            self.keep(error);
        }
    }

    /// Logs what the caller needs to know as a warning of `logging.getLogger("rdsprov")`, and calls `on_event`.
    pub fn warn(&self, kind: EventKind, message: &str) {
        tracing::warn!(target: "rdsprov", "{}", visible(message));
        self.report(kind, message, &[]);
    }
}
