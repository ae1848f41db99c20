//! Counts the logins of a run that the server has not answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of logins of one run that have no response, or none yet. All endpoints of the run share it.
#[derive(Clone, Default)]
pub struct SilentLogins(Arc<AtomicUsize>);

impl SilentLogins {
    /// Counts another login, unless `max` have no response. Returns the number of the others.
    pub(super) fn start(&self, max: usize) -> Option<usize> {
        let one_more = |number: usize| (number < max).then_some(number + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()
    }

    /// Ends a login that the server has answered.
    pub(super) fn answered(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
