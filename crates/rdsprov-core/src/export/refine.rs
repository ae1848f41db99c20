//! Changes a draft where a plan shows that another entry is nearer to the observed state.
//!
//! What an owner declares is not all visible in the catalogs: an extension may be installed, or a schema
//! present, without being declared. Only the planner says what declaring it would change.

use std::collections::BTreeSet;

use super::context::ExportContext;
use crate::definitions::Application;
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::observed::{Database, Observed};
use crate::plan::{Action, Plan, SecretFindings};
use crate::privilege::AccessLevel;
use crate::secret_id::TemplateError;

/// The number of times that all alternatives of a database are tried.
const ROUNDS: usize = 4;

/// Replaces entries by those with which the plan of their database has fewer changes. A database that is
/// not managed keeps its schemas and access levels: there, the changes are what the reader must know.
pub(super) fn refine(
    applications: &mut [Application],
    observed: &Observed,
    context: &ExportContext<'_>,
    scope: Option<&str>,
) -> Result<(), TemplateError> {
    let databases: BTreeSet<DatabaseName> =
        applications.iter().map(|one| one.database_name.clone()).collect();
    for name in databases {
        let Some(seen) = observed.databases.get(&name) else { continue };
        let marker = seen.marker();
        let is_managed = marker.is_some_and(|marker| marker.environment == context.environment);
        let places: Vec<usize> =
            (0..applications.len()).filter(|at| applications[*at].database_name == name).collect();
        let entries: Vec<Application> = places.iter().map(|at| applications[*at].clone()).collect();
        let mut refined = Refined { name: &name, observed, context, scope, cost: 0, entries };
        refined.cost = refined.cost_of(&refined.entries)?;
        for _ in 0..ROUNDS {
            let before = refined.cost;
            refined.improve(seen, is_managed)?;
            if refined.cost == 0 || refined.cost == before {
                break;
            }
        }
        for (at, entry) in places.into_iter().zip(refined.entries) {
            applications[at] = entry;
        }
    }
    Ok(())
}

struct Refined<'a> {
    name: &'a DatabaseName,
    observed: &'a Observed,
    context: &'a ExportContext<'a>,
    /// The scope of the definitions.
    scope: Option<&'a str>,
    entries: Vec<Application>,
    /// The number of changes and refusals in the database.
    cost: usize,
}

impl Refined<'_> {
    fn cost_of(&self, entries: &[Application]) -> Result<usize, TemplateError> {
        let desired = self.context.desired(entries, self.scope)?;
        let plan = Plan::new(&desired, self.observed, SecretFindings::default());
        let steps = plan.steps().filter(|step| {
            step.action != Action::Adopt && step.database.as_ref() == Some(self.name)
        });
        Ok(steps.count() + plan.refusals.len())
    }

    /// Tries each alternative, and keeps those with fewer changes.
    fn improve(&mut self, seen: &Database, is_managed: bool) -> Result<(), TemplateError> {
        for at in 0..self.entries.len() {
            for alternative in alternatives(&self.entries[at], seen, is_managed) {
                if self.cost == 0 {
                    return Ok(());
                }
                let mut entries = self.entries.clone();
                alternative.apply_to(&mut entries[at]);
                let cost = self.cost_of(&entries)?;
                if cost < self.cost {
                    (self.entries, self.cost) = (entries, cost);
                }
            }
        }
        Ok(())
    }
}

/// A change of one entry.
enum Alternative {
    WithoutExtension(usize),
    Schema(SchemaName),
    Creator(RoleName),
    Level(AccessLevel),
}

impl Alternative {
    /// Removes a name if the entry has it, and adds it otherwise.
    fn apply_to(self, entry: &mut Application) {
        match self {
            Self::WithoutExtension(at) if at < entry.extensions.len() => {
                entry.extensions.remove(at);
            }
            Self::WithoutExtension(_) => {}
            Self::Schema(name) => toggle(&mut entry.schemas, name),
            Self::Creator(name) => toggle(&mut entry.creators, name),
            Self::Level(level) => entry.access_level = level,
        }
    }
}

fn toggle<T: PartialEq + Ord>(names: &mut Vec<T>, name: T) {
    match names.iter().position(|one| *one == name) {
        Some(at) => drop(names.remove(at)),
        None => names.push(name),
    }
    names.sort();
}

fn alternatives(entry: &Application, seen: &Database, is_managed: bool) -> Vec<Alternative> {
    // From the last one, so that the places of the others stay.
    let mut found: Vec<Alternative> =
        (0..entry.extensions.len()).rev().map(Alternative::WithoutExtension).collect();
    if !is_managed {
        return found;
    }
    let schemas = seen.contents.iter().flat_map(|contents| contents.schemas.keys());
    found.extend(schemas.cloned().map(Alternative::Schema));
    found.extend(entry.creators.iter().cloned().map(Alternative::Creator));
    found.extend(match entry.access_level {
        AccessLevel::Owner | AccessLevel::None => None,
        AccessLevel::Editor => Some(Alternative::Level(AccessLevel::Reader)),
        AccessLevel::Reader => Some(Alternative::Level(AccessLevel::Editor)),
    });
    found
}
