//! Lists the changes that a ledger contains, for `rdsprov audit report`.

use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;

use super::{Entry, RecordBody, RunContext, Status, entries};
use crate::plan::Step;
use crate::text::visible;

/// A change that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The line number of its record in the ledger, from 1.
    pub line: u64,
    /// The time of the change, in UTC and in the format of RFC 3339.
    pub timestamp_utc: String,
    /// The run that has made the change.
    #[serde(flatten)]
    pub context: RunContext,
    /// The step with its statements.
    pub step: Step<String>,
}

/// Returns the committed changes in the order of the ledger. With `role` or `database`, it returns
/// only the changes to that role or in that database.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains records of a later version.
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
    let is_selected = |change: &Change| {
        let Step { role: of_role, database: of_database, .. } = &change.step;
        role.is_none_or(|name| of_role.as_ref().is_some_and(|role| role.as_str() == name))
            && database.is_none_or(|name| of_database.as_ref().is_some_and(|d| d.as_str() == name))
    };
    Ok(entries(ledger)?.into_iter().filter_map(change).filter(is_selected).collect())
}

impl fmt::Display for Change {
    /// Writes two lines: the change, and the run that has made it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, timestamp_utc, context, step } = self;
        let database = step.database.as_ref().map(|name| format!("database {name}: "));
        let change = format!(
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
            (", request", attribution.request_id.as_deref()),
            (", build", Some(context.build_id.as_str()).filter(|build| !build.is_empty())),
            (", run", Some(context.run_id.as_str())),
        ] {
            by.extend(value.map(|value| format!("{word} {value}")));
        }
        writeln!(f, "{}\n    {}, line {line}", visible(&change), visible(&by))
    }
}
