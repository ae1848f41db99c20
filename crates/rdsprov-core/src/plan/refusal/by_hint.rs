//! The refusals of a plan, with each hint once: one adoption ends many of them.

use std::collections::BTreeSet;

use super::{Refusal, RefusalKind};
use crate::hint;
use crate::hint::{Hint, Opt, Part};

/// Refusals with the same hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusalsByHint<'a> {
    pub refusals: Vec<&'a Refusal>,
    /// What to do about them: alternatives, of which each but the first begins with `or`.
    pub hints: Vec<Hint>,
}

/// Returns the refusals of a plan in their order, each with its hints. Those that an adoption ends are
/// together, where the first of them is.
pub(crate) fn by_hint(refusals: &[Refusal]) -> Vec<RefusalsByHint<'_>> {
    let mut groups: Vec<RefusalsByHint<'_>> = Vec::new();
    for refusal in refusals {
        let with = |one: &&mut RefusalsByHint<'_>| one.refusals[0].needs_adoption();
        match groups.iter_mut().find(with).filter(|_| refusal.needs_adoption()) {
            Some(group) => group.refusals.push(refusal),
            None => groups.push(RefusalsByHint { refusals: vec![refusal], hints: refusal.hints() }),
        }
    }
    for group in &mut groups {
        if let Some(adoption) = adoption(group.refusals.iter().copied()) {
            let or = Part::from("or ");
            let adoption = std::iter::once(&or).chain(adoption.parts()).cloned().collect();
            group.hints = vec!["choose other names".into(), adoption];
        }
    }
    groups
}

/// Returns how to adopt all roles and databases that several refusals name. One refusal has its own hint.
pub(crate) fn adoption<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> Option<Hint> {
    let refusals: Vec<_> = refusals.into_iter().filter(|one| one.needs_adoption()).collect();
    let applications: BTreeSet<&str> =
        refusals.iter().map(|refusal| refusal.application.as_str()).collect();
    let place = if applications.len() == 1 { "the application" } else { "these applications" };
    let options = Part::Options(Opt::Adopt, applications.iter().map(ToString::to_string).collect());
    let rest = format!(", or with `adopt = true` on {place}: the plan then shows what changes");
    (refusals.len() > 1).then(|| hint!["adopt them with ", options, rest])
}

impl Refusal {
    /// Returns whether an adoption ends the refusal.
    pub(crate) fn needs_adoption(&self) -> bool {
        matches!(
            self.kind,
            RefusalKind::RoleNotManaged { is_delegate: false, .. }
                | RefusalKind::DatabaseNotManaged { .. }
        )
    }
}
