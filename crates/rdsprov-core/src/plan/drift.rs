//! Tells drift from changed definitions: what the last complete `apply` in the ledger had.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Planner;
use super::{NoteKind, Step};
use crate::desired::LastApplied;
use crate::name::ApplicationName;
use crate::observed::Connection;

/// A part of the definition of an application, which explains some of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// What concerns the role itself.
    Role,
    /// What concerns the role in the database, and the database.
    Database,
}

impl Part {
    fn of(step: &Step) -> Self {
        if step.database.is_none() { Self::Role } else { Self::Database }
    }

    /// Returns whether the part is the same in two definitions, given their digests. A ledger of an earlier
    /// version contains the digest of the whole definition only.
    fn is_same(self, now: &str, then: &str) -> bool {
        let number = match self {
            Self::Role => 1,
            Self::Database => 2,
        };
        let part = |digests: &str| digests.split('.').nth(number).map(str::to_owned);
        is_whole_same(now, then) || part(now).is_some() && part(now) == part(then)
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Database => "database",
        }
    }
}

fn is_whole_same(now: &str, then: &str) -> bool {
    now.split('.').next() == then.split('.').next()
}

impl Planner<'_> {
    /// Notes which of the applications with steps have the definition of the last complete `apply`, so
    /// that the server has drifted, and which have another one. An application of which only one part has
    /// changed can be both. Without such a record, nothing is noted.
    pub(super) fn note_drift<'a>(&mut self, steps: impl Iterator<Item = &'a Step>) {
        let desired = self.desired;
        let is_of_server = |one: &&LastApplied| one.is_of(&self.observed.connection);
        let Some(last) = desired.last_applied.iter().find(is_of_server) else { return };
        let mut parts: BTreeMap<&ApplicationName, BTreeSet<Part>> = BTreeMap::new();
        for step in steps {
            parts.entry(&step.application).or_default().insert(Part::of(step));
        }
        let (mut drifted, mut redefined) = (Vec::new(), Vec::new());
        for (application, parts) in parts {
            let name = application.as_str();
            let Some(now) = desired.definition_digests.get(name) else { continue };
            let then = last.definitions.get(name);
            let (same, other): (Vec<Part>, Vec<Part>) = parts
                .into_iter()
                .partition(|part| then.is_some_and(|then| part.is_same(now, then)));
            let is_whole = then.is_some_and(|then| is_whole_same(now, then));
            let only = |part: &Part| format!("{name}: only its {}", part.in_words());
            match (same.as_slice(), other.as_slice()) {
                ([part], others) if !is_whole => {
                    drifted.push(only(part));
                    redefined.extend(others.iter().map(only));
                }
                ([], _) => redefined.push(name.to_owned()),
                _ => drifted.push(name.to_owned()),
            }
        }
        let run = last.in_words();
        if !drifted.is_empty() {
            self.note(NoteKind::Drift { applications: drifted, run: run.clone() });
        }
        if !redefined.is_empty() {
            self.note(NoteKind::DefinitionChanged { applications: redefined, run });
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
    fn parts_of_a_definition_are_compared() {
        let now = "sha256:1.sha256:2.sha256:3";
        for (then, role, database) in [
            (now, true, true),
            // A ledger of an earlier version.
            ("sha256:1", true, true),
            ("sha256:9", false, false),
            ("sha256:9.sha256:2.sha256:9", true, false),
            ("sha256:9.sha256:9.sha256:3", false, true),
        ] {
            let is_same = [Part::Role, Part::Database].map(|part| part.is_same(now, then));
            assert_eq!(is_same, [role, database], "{then}");
        }
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
