//! Why a run has left applications out, after it has applied the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::gate::GateError;
use crate::hint;
use crate::hint::{Hint, Operation};
use crate::name::ApplicationName;
use crate::plan::{Refusal, adoption};

/// Each reason for which a run has left applications out.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LeftOutReasons {
    /// The refusals.
    pub refusals: Vec<Refusal>,
    /// The applications for which the saved plan is stale, and those that depend on one of them.
    pub stale: BTreeSet<ApplicationName>,
    /// The hazards that are not allowed.
    pub hazards: Option<GateError>,
}

/// What every message begins with.
const MADE: &str = "the changes of the other applications were made";

impl LeftOutReasons {
    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Returns each reason as an error of its own.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let all = self.all().into_iter();
        all.map(|(code, fact, hints)| Diagnostic::new(code, format!("{MADE}; {fact}"), hints))
            .collect()
    }

    /// Returns the code of the first reason.
    pub(super) fn code(&self) -> ErrorCode {
        self.all().first().map_or(ErrorCode::PlanRefused, |(code, ..)| *code)
    }

    fn all(&self) -> Vec<(ErrorCode, String, Vec<Hint>)> {
        let refused = (!self.refusals.is_empty()).then(|| {
            (ErrorCode::PlanRefused, refused(&self.refusals), hints_about(&self.refusals))
        });
        let stale = (!self.stale.is_empty()).then(|| {
            let fact = format!("the saved plan is stale for: {}", listed(&self.stale));
            let hint = hint!["run ", Operation::Plan, " again, review the new plan and apply it"];
            (ErrorCode::PlanStale, fact, vec![hint])
        });
        let hazards =
            self.hazards.as_ref().map(|error| (error.code(), error.to_string(), error.hints()));
        [refused, stale, hazards].into_iter().flatten().collect()
    }
}

impl fmt::Display for LeftOutReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MADE)?;
        self.all().iter().try_for_each(|(_, fact, _)| write!(f, "; {fact}"))
    }
}

/// Names applications.
pub(super) fn listed<'a>(applications: impl IntoIterator<Item = &'a ApplicationName>) -> String {
    applications.into_iter().map(ApplicationName::as_str).collect::<Vec<_>>().join(", ")
}

fn one_refused(refusal: &Refusal) -> String {
    format!("refused[{}] {}: {}", refusal.code(), refusal.application, refusal.message())
}

/// Names all refusals, for a record.
pub(super) fn all_refused(refusals: &[Refusal]) -> String {
    refusals.iter().map(one_refused).collect::<Vec<_>>().join("; ")
}

/// Names the first refusal, and counts the others by their codes: the plan contains all of them.
pub(super) fn refused(refusals: &[Refusal]) -> String {
    let Some((first, others)) = refusals.split_first() else {
        return "the plan is refused".to_owned();
    };
    let first = one_refused(first);
    if others.is_empty() {
        return first;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in others {
        *counts.entry(refusal.code().name()).or_default() += 1;
    }
    let counted: Vec<String> =
        counts.iter().map(|(code, count)| format!("{count} {code}")).collect();
    format!("{first}; and {} more: {}", others.len(), counted.join(", "))
}

/// Returns what to do about refusals: how to adopt what several of them name, and the hints of the others.
pub(super) fn hints_about(refusals: &[Refusal]) -> Vec<Hint> {
    let follow = "follow the hint of each refusal, then run again";
    match adoption(refusals) {
        Some(adoption) if refusals.iter().all(|one| one.needs_adoption()) => vec![adoption],
        adoption => adoption.into_iter().chain([follow.into()]).collect(),
    }
}
