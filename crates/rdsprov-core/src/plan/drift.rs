//! Tells drift from changed definitions: what the last complete `apply` in the ledger had.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::{NoteKind, Step};
use crate::desired::LastApplied;
use crate::name::ApplicationName;
use crate::observed::Connection;

impl Planner<'_> {
    /// Notes which of the applications with steps have the definition of the last complete `apply`, so
    /// that the server has drifted, and which have another one. Without such a record, nothing is noted.
    pub(super) fn note_drift<'a>(&mut self, steps: impl Iterator<Item = &'a Step>) {
        let desired = self.desired;
        let is_of_server = |one: &&LastApplied| one.is_of(&self.observed.connection);
        let Some(last) = desired.last_applied.iter().find(is_of_server) else { return };
        let changed: BTreeSet<&ApplicationName> = steps
            .map(|step| &step.application)
            .filter(|one| desired.definition_digests.contains_key(one.as_str()))
            .collect();
        let is_same = |one: &&ApplicationName| {
            last.definitions.get(one.as_str()) == desired.definition_digests.get(one.as_str())
        };
        let (drifted, redefined): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_same);
        let applications = |some: Vec<&ApplicationName>| some.into_iter().cloned().collect();
        let run = last.in_words();
        if !drifted.is_empty() {
            let applications = applications(drifted);
            self.note(NoteKind::Drift { applications, run: run.clone() });
        }
        if !redefined.is_empty() {
            self.note(NoteKind::DefinitionChanged { applications: applications(redefined), run });
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
