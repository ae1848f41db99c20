//! Tells drift from changed definitions: what the last complete `apply` in the ledger had.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Planner;
use super::{NoteKind, Step};
use crate::definition_digest::{self, DefinitionPart};
use crate::desired::LastApplied;
use crate::name::ApplicationName;
use crate::observed::Connection;

/// Returns the part of a definition that explains a step.
fn part_of(step: &Step) -> DefinitionPart {
    match step.database {
        None => DefinitionPart::Role,
        Some(_) => DefinitionPart::Database,
    }
}

impl Planner<'_> {
    /// Notes which of the applications with steps have the definition of their last complete `apply`, so
    /// that the server has drifted, and which have another one. An application of which only one part has
    /// changed can be both, and one that is new is neither. Without such a record, nothing is noted.
    pub(super) fn note_drift<'a>(&mut self, steps: impl Iterator<Item = &'a Step>) {
        let desired = self.desired;
        let is_of_server = |one: &&LastApplied| one.is_of(&self.observed.connection);
        // The newest first. Other definitions can be applied to the same server, with records in the same
        // ledger: they say nothing about these applications.
        let mut runs: Vec<&LastApplied> =
            desired.last_applied.iter().filter(is_of_server).collect();
        // Those of this name before those of a copy, which has the same system identifier.
        runs.sort_by_key(|run| run.server != self.observed.connection.server);
        let mut parts: BTreeMap<&ApplicationName, BTreeSet<DefinitionPart>> = BTreeMap::new();
        for step in steps {
            parts.entry(&step.application).or_default().insert(part_of(step));
        }
        let mut found: Vec<(&LastApplied, Vec<String>, Vec<String>)> =
            runs.iter().map(|run| (*run, Vec::new(), Vec::new())).collect();
        for (application, parts) in parts {
            let name = application.as_str();
            let Some(now) = desired.definition_digests.get(name) else { continue };
            let last = runs.iter().find_map(|run| Some((*run, run.definitions.get(name)?)));
            let Some((last, then)) = last else { continue };
            let of_run = found.iter_mut().find(|(run, ..)| std::ptr::eq(*run, last));
            let Some((_, drifted, redefined)) = of_run else { continue };
            let (same, other): (Vec<DefinitionPart>, Vec<DefinitionPart>) =
                parts.into_iter().partition(|part| part.is_same(now, then));
            let is_whole = definition_digest::is_same(now, then);
            let only = |part: &DefinitionPart| format!("{name}: only its {}", part.in_words());
            match (same.as_slice(), other.as_slice()) {
                ([part], others) if !is_whole => {
                    drifted.push(only(part));
                    redefined.extend(others.iter().map(only));
                }
                ([], _) => redefined.push(name.to_owned()),
                _ => drifted.push(name.to_owned()),
            }
        }
        for (run, drifted, redefined) in found {
            let run = run.in_words();
            if !drifted.is_empty() {
                self.note(NoteKind::Drift { applications: drifted, run: run.clone() });
            }
            if !redefined.is_empty() {
                self.note(NoteKind::DefinitionChanged { applications: redefined, run });
            }
        }
    }
}

impl LastApplied {
    /// Returns whether the run was on the server of a connection.
    fn is_of(&self, connection: &Connection) -> bool {
        match (&self.system_identifier, &connection.system_identifier) {
            (Some(one), Some(other)) => one == other,
            _ => self.server.is_some() && self.server == connection.server,
        }
    }

    /// Returns the run in words: `build 17 of 2026-11-20`.
    fn in_words(&self) -> String {
        match self.build_id.as_str() {
            "" => format!("the run of {}", self.date),
            build => format!("build {build} of {}", self.date),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server has another name after a failover or through a tunnel, and a restored copy has the name of
    /// the old server.
    #[test]
    fn servers_are_recognized_by_their_system_identifier() {
        let of = |server: &str, system: Option<&str>| LastApplied {
            server: Some(server.to_owned()),
            system_identifier: system.map(str::to_owned),
            ..LastApplied::default()
        };
        let connection = |server: &str, system: Option<&str>| Connection {
            server: Some(server.to_owned()),
            system_identifier: system.map(str::to_owned),
            ..Connection::default()
        };
        assert!(of("a:1", Some("7")).is_of(&connection("b:1", Some("7"))));
        assert!(!of("a:1", Some("7")).is_of(&connection("a:1", Some("8"))));
        assert!(of("a:1", None).is_of(&connection("a:1", Some("8"))));
        assert!(!of("a:1", None).is_of(&connection("b:1", None)));
        assert!(!LastApplied::default().is_of(&Connection::default()));
    }

    #[test]
    fn run_without_build_is_named_by_its_day() {
        let run = |build: &str| {
            let (build_id, date) = (build.to_owned(), "2026-11-20".to_owned());
            LastApplied { build_id, date, ..LastApplied::default() }.in_words()
        };
        assert_eq!(run("17"), "build 17 of 2026-11-20");
        assert_eq!(run(""), "the run of 2026-11-20");
    }
}
