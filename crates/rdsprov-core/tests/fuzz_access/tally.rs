//! Counts what the cases exercised, to detect a generator that produces too little.

use std::collections::BTreeMap;
use std::fmt;

use crate::declared::Declared;
use crate::starting::Kind;

#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<String, usize>,
    did: BTreeMap<Kind, usize>,
    could_not: BTreeMap<Kind, (usize, String)>,
}

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub fn count_levels(&mut self, declared: &Declared) {
        for app in &declared.applications {
            self.count(format!("entries: {}", app.level.word()));
        }
        self.count(format!("databases: {}", declared.databases().len()));
        self.count(format!("roles: {:>2}", declared.roles().len()));
    }

    pub fn did(&mut self, kind: Kind) {
        *self.did.entry(kind).or_default() += 1;
    }

    pub fn could_not(&mut self, kind: Kind, said: String) {
        self.could_not.entry(kind).or_insert_with(|| (0, said)).0 += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (kind, count) in other.did {
            *self.did.entry(kind).or_default() += count;
        }
        for (kind, (count, said)) in other.could_not {
            self.could_not.entry(kind).or_insert_with(|| (0, said)).0 += count;
        }
    }

    /// Returns the kinds of manual changes that never occurred.
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.iter().filter(|kind| !self.did.contains_key(kind)).copied().collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>7}  {what}")?;
        }
        for (kind, count) in &self.did {
            writeln!(f, "{count:>7}  by hand: {kind:?}")?;
        }
        for (kind, (count, said)) in &self.could_not {
            writeln!(f, "{count:>7}  not let: {kind:?}, the first: {said}")?;
        }
        Ok(())
    }
}
