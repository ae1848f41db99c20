//! Lists the changes that a ledger contains, for `rdsprov audit report`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::{self, BufRead};

use serde::Serialize;

use super::intents::RunKey;
use super::missing_steps::MissingSteps;
use super::{
    AnnouncedStep, Entry, Finding, Found, RecordBody, RunContext, Status, Verified, entries, verify,
};
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::name::nearest;
use crate::named_enum::named_enum;
use crate::plan::Step;
use crate::text::visible;

named_enum! {
    /// What a ledger says about a change.
    "snake_case" pub enum ChangeResult {
        /// The change was committed.
        Committed,
        /// A run has announced the change, and no record contains its result: it may have been committed.
        Unknown,
    }
}

/// A change that was committed, or that may have been.
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
    /// The run that has found the result, because the run that made the change has not recorded it.
    pub found_by: Option<String>,
    /// Whether the change was committed.
    pub result: ChangeResult,
    /// The person who has stated what became of the change, and why, if no run has found it out.
    pub acknowledged: Option<String>,
    /// The number of the intent that announces the change, if its result is not known.
    #[serde(skip)]
    pub(super) of_intent: Option<u64>,
    /// Why the record cannot be trusted, such as "the record was changed after it was written".
    pub defect: Option<String>,
}

/// The changes that a ledger contains, and the result of verifying it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The changes that the caller has selected, in the order of the ledger.
    pub changes: Vec<Change>,
    /// The result of verifying the whole ledger.
    pub verified: Verified,
    /// The role or database that the caller has named and that no record of the ledger contains.
    pub unknown: Option<UnknownName>,
}

/// A role or database that no record of a ledger, or no row of the audit tables, contains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} no {kind} `{name}`")]
pub struct UnknownName {
    /// What was searched: `the ledger contains`, or `the audit tables contain`.
    pub(super) place: &'static str,
    /// `role` or `database`.
    pub kind: &'static str,
    /// The name, as given.
    pub name: String,
    /// The most similar name in the ledger.
    pub nearest: Option<String>,
}

impl UnknownName {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        if self.kind == "role" { ErrorCode::UnknownRole } else { ErrorCode::UnknownDatabase }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match &self.nearest {
            Some(nearest) => format!("check the name; `{nearest}` is similar").into(),
            None => "check the name, and that this is the right ledger or server".into(),
        }]
    }
}

/// Verifies a ledger and lists the changes that were committed, or that may have been, in its order. With `role`
/// or `database`, it lists only the changes to that role or in that database.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains records of a later version. Defects
/// are not errors.
pub fn report(ledger: &[u8], role: Option<&str>, database: Option<&str>) -> io::Result<Report> {
    let mut report = whole_report(ledger, role, database)?;
    report.changes.retain(|change| is_selected(&change.step, role, database));
    Ok(report)
}

/// Returns the report with all changes. `role` and `database` are only looked for.
pub(super) fn whole_report(
    ledger: &[u8],
    role: Option<&str>,
    database: Option<&str>,
) -> io::Result<Report> {
    let verified = verify(ledger, None)?;
    let entries = entries(ledger)?;
    let unknown = unknown(&entries, role, database);
    let mut changes = committed(entries);
    let mut defects: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for Finding { line, error } in &verified.findings {
        defects.entry(*line).or_default().push(error.to_string());
    }
    for change in &mut changes {
        change.defect = defects.get(&change.line).map(|defects| defects.join("; "));
    }
    Ok(Report { changes, verified, unknown })
}

/// Returns the changes that were committed, or that may have been, in the order of the ledger. With `role` or
/// `database`, it returns only the changes to that role or in that database. It does not verify the ledger.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains records of a later version.
pub fn changes(
    ledger: impl BufRead,
    role: Option<&str>,
    database: Option<&str>,
) -> io::Result<Vec<Change>> {
    let mut changes = committed(entries(ledger)?);
    changes.retain(|change| is_selected(&change.step, role, database));
    Ok(changes)
}

fn is_selected(step: &Step<String>, role: Option<&str>, database: Option<&str>) -> bool {
    role.is_none_or(|name| step.role.as_ref().is_some_and(|role| role.as_str() == name))
        && database.is_none_or(|name| step.database.as_ref().is_some_and(|d| d.as_str() == name))
}

/// Returns the changes that were committed, also those that a later run has found, and those of which no record
/// contains the result.
fn committed(entries: Vec<(u64, Entry)>) -> Vec<Change> {
    let mut intents: BTreeMap<u64, Entry> = BTreeMap::new();
    // The steps of the intents for which a later run has found changes. An intent can contain very
    // many steps.
    let mut announced_steps: BTreeMap<u64, HashMap<AnnouncedStep, Step<String>>> = BTreeMap::new();
    // The line of each intent, and its steps without a result.
    let mut missing: BTreeMap<u64, (u64, MissingSteps<AnnouncedStep>)> = BTreeMap::new();
    let mut of_run: HashMap<RunKey, u64> = HashMap::new();
    let mut changes = Vec::new();
    for (line, entry) in entries {
        let by = acknowledged_by(&entry);
        match entry.body {
            RecordBody::Intent { ref transactions, .. } => {
                announced_steps.remove(&entry.sequence);
                let steps = transactions.iter().flat_map(|one| &one.steps).map(Into::into);
                missing.insert(entry.sequence, (line, MissingSteps::new(steps)));
                of_run.insert((&entry.context).into(), entry.sequence);
                intents.insert(entry.sequence, entry);
            }
            RecordBody::Step { status, step, .. } => {
                let intent = of_run.get(&RunKey::from(&entry.context));
                if !matches!(status, Status::Unknown | Status::DryRun)
                    && let Some((_, missing)) = intent.and_then(|one| missing.get_mut(one))
                {
                    missing.take(&AnnouncedStep::from(&*step));
                }
                if status == Status::Success {
                    changes.push(Change {
                        line,
                        timestamp_utc: entry.timestamp_utc,
                        context: entry.context,
                        step: *step,
                        found_by: None,
                        result: ChangeResult::Committed,
                        acknowledged: None,
                        of_intent: None,
                        defect: None,
                    });
                }
            }
            RecordBody::Recovered { of_intent, found, step: announced, .. }
            | RecordBody::Acknowledged { of_intent, found, step: announced, .. } => {
                if found == Found::Unknown && by.is_none() {
                    continue;
                }
                let is_missing = missing
                    .get_mut(&of_intent)
                    .is_some_and(|(_, missing)| missing.take(&announced).is_some());
                // A run has recorded the result before.
                if by.is_some() && !is_missing {
                    continue;
                }
                let Some(intent) = intents.get(&of_intent) else { continue };
                if found == Found::NotDone {
                    continue;
                }
                let RecordBody::Intent { transactions, .. } = &intent.body else { continue };
                let steps = announced_steps.entry(of_intent).or_insert_with(|| {
                    let steps = transactions.iter().rev().flat_map(|one| one.steps.iter().rev());
                    // Of equal steps, the first one remains.
                    steps.map(|step| (AnnouncedStep::from(step), step.clone())).collect()
                });
                let Some(step) = steps.get(&announced) else { continue };
                changes.push(Change {
                    line,
                    timestamp_utc: intent.timestamp_utc.clone(),
                    context: intent.context.clone(),
                    step: step.clone(),
                    found_by: by.is_none().then_some(entry.context.run_id),
                    result: match found {
                        Found::Unknown => ChangeResult::Unknown,
                        Found::Done | Found::NotDone => ChangeResult::Committed,
                    },
                    acknowledged: by,
                    of_intent: None,
                    defect: None,
                });
            }
            _ => {}
        }
    }
    for (sequence, (line, missing)) in missing {
        let Some(intent) = intents.get(&sequence).filter(|_| !missing.is_empty()) else { continue };
        let RecordBody::Intent { transactions, .. } = &intent.body else { continue };
        let missing: HashSet<AnnouncedStep> = missing.into_steps().into_iter().collect();
        let steps = transactions.iter().flat_map(|one| &one.steps);
        let steps = steps.filter(|step| missing.contains(&AnnouncedStep::from(*step)));
        changes.extend(steps.map(|step| Change {
            line,
            timestamp_utc: intent.timestamp_utc.clone(),
            context: intent.context.clone(),
            step: step.clone(),
            found_by: None,
            result: ChangeResult::Unknown,
            acknowledged: None,
            of_intent: Some(sequence),
            defect: None,
        }));
    }
    changes.sort_by_key(|change| change.line);
    changes
}

/// Returns who has stated in a record what became of a change, and why.
fn acknowledged_by(entry: &Entry) -> Option<String> {
    let RecordBody::Acknowledged { reason, .. } = &entry.body else { return None };
    Some(format!("{}: {reason}", entry.context.attribution.actor))
}

/// Returns the role or database that was named and that no step of any record contains.
fn unknown(
    entries: &[(u64, Entry)],
    role: Option<&str>,
    database: Option<&str>,
) -> Option<UnknownName> {
    let steps = || {
        entries.iter().flat_map(|(_, entry)| match &entry.body {
            RecordBody::Intent { transactions, .. } => {
                transactions.iter().flat_map(|transaction| &transaction.steps).collect()
            }
            RecordBody::Step { step, .. } => vec![&**step],
            _ => Vec::new(),
        })
    };
    let roles = steps().filter_map(|step| step.role.as_ref().map(|role| role.as_str()));
    let databases = steps().filter_map(|step| step.database.as_ref().map(|name| name.as_str()));
    let missing = |kind, name: Option<&str>, known: Vec<&str>| {
        let name = name.filter(|name| !known.contains(name))?;
        let nearest = nearest(name, known).map(str::to_owned);
        Some(UnknownName { place: "the ledger contains", kind, name: name.to_owned(), nearest })
    };
    missing("role", role, roles.collect())
        .or_else(|| missing("database", database, databases.collect()))
}

impl Report {
    /// Returns whether the result of each change that was selected is known, or was acknowledged as not known.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.changes.iter().all(Change::is_settled)
    }
}

impl Change {
    /// Returns whether the result is known, or a person has acknowledged that it cannot be known.
    pub(super) fn is_settled(&self) -> bool {
        self.result == ChangeResult::Committed || self.acknowledged.is_some()
    }
}

impl fmt::Display for Change {
    /// Writes the change, and the run that has made it, each in one line. If the record cannot be
    /// trusted, a warning precedes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, timestamp_utc, context, step, result, defect, .. } = self;
        let database = step.database.as_ref().map(|name| format!("database {name}: "));
        let change = format!(
            "{timestamp_utc} {}{}: {}{} {}",
            context.environment,
            context.server.as_ref().map(|server| format!(" on {server}")).unwrap_or_default(),
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
            (", approval", context.approval.as_deref()),
        ] {
            by.extend(value.map(|value| format!("{word} {value}")));
        }
        if !context.allowed_hazards.is_empty() {
            let hazards: Vec<&str> = context.allowed_hazards.iter().map(|one| one.name()).collect();
            by += &format!(", allowed hazards {}", hazards.join(" "));
        }
        by.extend(self.found_by.as_ref().map(|run| format!(", result found by run {run}")));
        let acknowledged = self.acknowledged.as_ref();
        by.extend(acknowledged.map(|person| format!(", acknowledged by {person}")));
        if *result == ChangeResult::Unknown {
            writeln!(
                f,
                "WARNING: line {line}: no record contains the result of this change; it may have been committed"
            )?;
        }
        if let Some(defect) = defect {
            writeln!(f, "WARNING: line {line}: {}", visible(defect))?;
        }
        writeln!(f, "{}\n    {}, line {line}", visible(&change), visible(&by))
    }
}
