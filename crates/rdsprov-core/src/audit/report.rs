//! Who was given what, when and by whom: the changes that a ledger tells of.

use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;

use super::{Entry, RecordBody, RunContext, Status, entries};
use crate::plan::{Step, visible};

/// A change that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The line of the ledger.
    pub line: u64,
    /// When, as RFC 3339 writes it.
    pub timestamp_utc: String,
    /// Who is behind it, and where.
    #[serde(flatten)]
    pub context: RunContext,
    /// What was done.
    pub step: Step<String>,
}

/// The changes that took effect, in order; where a role or database is named, those that concern it.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn changes(
    ledger: impl BufRead,
    role: Option<&str>,
    database: Option<&str>,
) -> io::Result<Vec<Change>> {
    let change = |(line, entry): (u64, Entry)| match entry.body {
        RecordBody::Step { status: Status::Success, step, .. } => Some(Change {
            line,
            timestamp_utc: entry.timestamp_utc,
            context: entry.context,
            step: *step,
        }),
        _ => None,
    };
    let concerns = |change: &Change| {
        let Step { role: of_role, database: of_database, .. } = &change.step;
        role.is_none_or(|name| of_role.as_ref().is_some_and(|role| role.as_str() == name))
            && database.is_none_or(|name| of_database.as_ref().is_some_and(|d| d.as_str() == name))
    };
    Ok(entries(ledger)?.into_iter().filter_map(change).filter(concerns).collect())
}

impl fmt::Display for Change {
    /// Two lines, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, timestamp_utc, context, step } = self;
        let database = step.database.as_ref().map(|name| format!("database {name}: "));
        let what = format!(
            "{timestamp_utc} {}: {}{} {}",
            context.environment,
            database.unwrap_or_default(),
            step.action,
            step.summary
        );
        let attribution = &context.attribution;
        let mut by = format!("by {}", attribution.actor);
        for (word, value) in [
            (", approved by", attribution.approver.as_deref()),
            (", asked for by", attribution.request_id.as_deref()),
            (", build", Some(context.build_id.as_str()).filter(|build| !build.is_empty())),
            (", run", Some(context.run_id.as_str())),
        ] {
            by.extend(value.map(|value| format!("{word} {value}")));
        }
        writeln!(f, "{}\n    {}, line {line}", visible(&what), visible(&by))
    }
}
