//! The time that a run spends on transactions that conflict with other sessions.
//!
//! The owner of several databases can hold locks in each of them. Without a common limit, the run would wait for
//! each database, and the applications of other databases with it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The time after which the run repeats no transaction any more.
const CONFLICT_TIME: Duration = Duration::from_secs(30);

/// Limits how long a statement waits for a lock afterwards.
pub(super) const SHORT_LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";

/// The time that the executions which ended with a conflict have taken, and the statements of others that have
/// waited for a lock for a second or longer, in all databases together.
#[derive(Default)]
pub(super) struct ConflictTime(Mutex<Duration>);

impl ConflictTime {
    pub fn add(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// Returns whether each further transaction is executed only once, with a shorter limit for locks.
    pub fn is_exhausted(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) >= CONFLICT_TIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_all_databases_counts_together() {
        let conflicts = ConflictTime::default();
        for _ in 0..9 {
            conflicts.add(Duration::from_secs(3));
            assert!(!conflicts.is_exhausted());
        }
        conflicts.add(Duration::from_secs(3));
        assert!(conflicts.is_exhausted());
    }
}
