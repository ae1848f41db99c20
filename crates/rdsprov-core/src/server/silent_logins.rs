//! Remembers the databases whose server has not answered a login of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::server_wait::OnServerWait;
use crate::name::DatabaseName;

/// The databases to which logins of one run had no response. All endpoints of the run share it.
#[derive(Clone, Default)]
pub struct SilentLogins {
    state: Arc<Mutex<State>>,
    /// Called for each login that takes long.
    pub(super) on_wait: OnServerWait,
}

#[derive(Default)]
struct State {
    /// When the logins in progress have started.
    started: BTreeMap<DatabaseName, Instant>,
    silent: BTreeSet<DatabaseName>,
    answered: BTreeSet<DatabaseName>,
}

impl SilentLogins {
    /// Returns no databases, with the callback for logins that take long.
    pub(crate) fn new(on_wait: OnServerWait) -> Self {
        Self { state: Arc::default(), on_wait }
    }

    /// Returns the number of databases whose last login had no response, and of those that have not answered
    /// one for this time.
    pub(super) fn count(&self, patience: Duration) -> usize {
        self.with(|state| {
            let is_late = |(name, start): &(&DatabaseName, &Instant)| {
                start.elapsed() > patience && !state.silent.contains(*name)
            };
            state.silent.len() + state.started.iter().filter(is_late).count()
        })
    }

    /// Remembers that a login to a database begins.
    pub(super) fn started(&self, database: &DatabaseName) {
        self.with(|state| state.started.insert(database.clone(), Instant::now()));
    }

    /// Returns whether the last login to a database had a response.
    pub(super) fn has_answered(&self, database: &DatabaseName) -> bool {
        self.with(|state| state.answered.contains(database))
    }

    /// Remembers whether a login to a database had a response.
    pub(super) fn ended(&self, database: &DatabaseName, has_answered: bool) {
        self.with(|state| {
            state.started.remove(database);
            let (now, before) = match has_answered {
                true => (&mut state.answered, &mut state.silent),
                false => (&mut state.silent, &mut state.answered),
            };
            before.remove(database);
            now.insert(database.clone());
        });
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_counts_once() {
        let logins = SilentLogins::default();
        let database = |name: &str| DatabaseName::new_unchecked(name);
        for (name, has_answered, count) in
            [("a", false, 1), ("a", false, 1), ("b", true, 1), ("b", false, 2), ("a", true, 1)]
        {
            logins.started(&database(name));
            logins.ended(&database(name), has_answered);
            assert_eq!(logins.count(Duration::ZERO), count, "{name}");
            assert_eq!(logins.has_answered(&database(name)), has_answered, "{name}");
        }
        // A login in progress counts when it takes too long.
        logins.started(&database("c"));
        assert_eq!(logins.count(Duration::from_secs(3600)), 1);
        assert_eq!(logins.count(Duration::ZERO), 2);
    }
}
