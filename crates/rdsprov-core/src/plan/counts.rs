//! The last line of a plan: its steps, counted by what they do.

use std::fmt;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::Serialize;

use super::groups::{Detail, Kind};
use super::words::selected_words;
use super::{Action, Finding, Plan};
use crate::text::counted;

/// The number of steps of a plan. A step that completes a creation counts as an addition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// The steps that create or grant something.
    pub add: usize,
    /// The steps that change something that exists.
    pub change: usize,
    /// The steps that revoke something.
    pub revoke: usize,
    /// The databases that are dropped.
    pub drop_databases: usize,
    /// The roles that are dropped.
    pub drop_roles: usize,
    /// The passwords that are rotated. The steps of a rotation are counted in no other way.
    pub rotate: usize,
}

impl Counts {
    /// Returns the counts of changes that are made: `5 added, 3 changed, 3 revoked`.
    #[must_use]
    pub fn done(&self) -> String {
        self.in_words(["added", "changed", "revoked", "dropped", "rotated"])
    }

    /// Returns the number of all steps.
    #[must_use]
    pub fn total(&self) -> usize {
        self.add + self.change + self.revoke + self.drop_databases + self.drop_roles + self.rotate
    }

    fn in_words(&self, [add, change, revoke, drop, rotate]: [&str; 5]) -> String {
        if self.rotate > 0 {
            return format!("{} {rotate}", counted(self.rotate, "password"));
        }
        let dropped = [(self.drop_databases, "database"), (self.drop_roles, "role")];
        let dropped = dropped.into_iter().filter(|(count, _)| *count > 0);
        let dropped: Vec<String> = dropped.map(|(count, noun)| counted(count, noun)).collect();
        let dropped = match dropped.is_empty() {
            true => String::new(),
            false => format!(", {} {drop}", dropped.join(" and ")),
        };
        format!("{} {add}, {} {change}, {} {revoke}{dropped}", self.add, self.change, self.revoke)
    }
}

impl fmt::Display for Counts {
    /// Writes the counts of changes that are planned: `5 to add, 3 to change, 3 to revoke`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words(["to add", "to change", "to revoke", "to drop", "to rotate"]))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.add += other.add;
        self.change += other.change;
        self.revoke += other.revoke;
        self.drop_databases += other.drop_databases;
        self.drop_roles += other.drop_roles;
        self.rotate += other.rotate;
    }
}

impl Plan {
    /// Returns the number of steps by what they do.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let rotations = self.steps().filter(|step| step.action == Action::FinishRotation).count();
        if rotations > 0 {
            return Counts { rotate: rotations, ..Counts::default() };
        }
        let mut counts = Counts::default();
        for change in self.groups(Detail::Brief).iter().flat_map(|group| &group.changes) {
            *match (change.step.action, change.kind) {
                (Action::DropDatabase, _) => &mut counts.drop_databases,
                (Action::DropRole, _) => &mut counts.drop_roles,
                (_, Kind::Add) => &mut counts.add,
                (_, Kind::Change | Kind::Test) => &mut counts.change,
                (_, Kind::Revoke) => &mut counts.revoke,
            } += change.count();
        }
        counts
    }

    /// Returns the server and the environment: `on db1:5432 (dev)`.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.origin.server {
            Some(server) => format!("on {server} ({})", self.environment),
            None => format!("for environment {}", self.environment),
        }
    }

    /// Returns the last line: what the plan changes, that there is nothing to do, or that
    /// the plan is refused.
    #[must_use]
    pub fn closing(&self) -> String {
        let has_steps = self.steps().next().is_some();
        let only = selected_words(&self.origin.only);
        match self.refusals.len() {
            0 if has_steps => {
                let pending = match self.pending.len() {
                    0 => String::new(),
                    some => format!(", {some} pending"),
                };
                format!("Plan: {}{pending} {}. {}", self.counts(), self.place(), self.digest)
            }
            0 if !self.pending.is_empty() => {
                let only = if only.is_empty() { only } else { format!(" for {only}") };
                let changes = match self.pending.len() {
                    1 => {
                        "1 change is pending: it takes access away, or waits for a change that does"
                            .to_owned()
                    }
                    some => format!(
                        "{some} changes are pending: they take access away, or wait for a change that does"
                    ),
                };
                format!("Nothing to do{only}: {changes}.")
            }
            0 if self.is_as_declared() && !self.passes_check() => {
                let findings: Vec<&str> = self.failing_findings().map(Finding::name).collect();
                let only = if only.is_empty() { only } else { format!(" for {only}") };
                format!("Nothing to do{only}, but the check fails on: {}.", findings.join(", "))
            }
            0 if let Some(build) = &self.origin.torn_down_build => {
                format!("Nothing to do: no role or database that build {build} created is left.")
            }
            0 if self.applications.is_empty() && self.origin.only.is_empty() => {
                "Nothing to do: no applications are declared.".to_owned()
            }
            0 if self.is_as_declared() && !self.origin.only.is_empty() => {
                format!("Nothing to do for {only}; other applications are not compared.")
            }
            0 if self.is_as_declared() => "Nothing to do: the server is as declared.".to_owned(),
            0 => "Nothing to do, but a note reports a difference from the definitions.".to_owned(),
            1 => "Refused for 1 reason: resolve it, then plan again.".to_owned(),
            n => format!("Refused for {n} reasons: resolve each, then plan again."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_words() {
        let mut counts = Counts { add: 5, revoke: 3, ..Counts::default() };
        assert_eq!(counts.to_string(), "5 to add, 0 to change, 3 to revoke");
        counts += Counts { change: 2, ..Counts::default() };
        assert_eq!(counts.done(), "5 added, 2 changed, 3 revoked");
        counts += Counts { drop_databases: 1, drop_roles: 2, ..Counts::default() };
        assert!(counts.done().ends_with(", 3 revoked, 1 database and 2 roles dropped"));
        let drop = Counts { drop_roles: 1, ..Counts::default() };
        assert_eq!(drop.to_string(), "0 to add, 0 to change, 0 to revoke, 1 role to drop");
        let rotations = |rotate| Counts { rotate, ..Counts::default() };
        assert_eq!(rotations(1).to_string(), "1 password to rotate");
        assert_eq!(rotations(2).done(), "2 passwords rotated");
    }
}
