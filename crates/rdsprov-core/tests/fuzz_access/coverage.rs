//! Counts what the cases exercised, to detect a generator that produces too little.

use std::collections::BTreeMap;
use std::fmt;

use crate::declared::Declared;
use crate::initial_state::Kind;

#[derive(Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<String, usize>,
    changes: BTreeMap<Kind, usize>,
    rejected: BTreeMap<Kind, (usize, String)>,
}

impl Coverage {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub fn count_levels(&mut self, declared: &Declared) {
        for app in &declared.applications {
            self.count(format!("entries: {}", app.level.name()));
        }
        self.count(format!("databases: {}", declared.databases().len()));
        self.count(format!("roles: {:>2}", declared.roles().len()));
    }

    pub fn count_change(&mut self, kind: Kind) {
        *self.changes.entry(kind).or_default() += 1;
    }

    pub fn count_rejected(&mut self, kind: Kind, message: String) {
        self.rejected.entry(kind).or_insert_with(|| (0, message)).0 += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (kind, count) in other.changes {
            *self.changes.entry(kind).or_default() += count;
        }
        for (kind, (count, message)) in other.rejected {
            self.rejected.entry(kind).or_insert_with(|| (0, message)).0 += count;
        }
    }

    /// Returns the kinds of manual changes that never occurred.
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.iter().filter(|kind| !self.changes.contains_key(kind)).copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>7}  {what}")?;
        }
        for (kind, count) in &self.changes {
            writeln!(f, "{count:>7}  by hand: {kind:?}")?;
        }
        for (kind, (count, message)) in &self.rejected {
            writeln!(f, "{count:>7}  rejected: {kind:?}, first error: {message}")?;
        }
        Ok(())
    }
}
