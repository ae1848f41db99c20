//! Grants and revocations in words, for the summaries of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::acl::Revoke;
use super::sql::{self, GrantTarget, RevokeScope, Statement};
use crate::name::{ApplicationName, RoleName};
use crate::observed::{Code, Grantee};
use crate::privilege::Privileges;

/// Returns privileges in words: `SELECT, INSERT`.
pub(super) fn listed(privileges: &Privileges) -> String {
    privileges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The number of roles that a summary names.
const SHOWN: usize = 5;

/// Returns all roles, if a summary does not name each.
pub(super) fn all_if_cut(roles: &BTreeSet<RoleName>) -> Option<String> {
    let names: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
    (names.len() > SHOWN).then(|| names.join(", "))
}

/// Returns the first roles, and the number of the others: `a, b and 7 others`.
pub(super) fn some_of(roles: &BTreeSet<RoleName>) -> String {
    let shown: Vec<&str> = roles.iter().take(SHOWN).map(RoleName::as_str).collect();
    match (shown.as_slice(), roles.len().saturating_sub(SHOWN)) {
        ([one], 0) => (*one).to_owned(),
        ([others @ .., last], 0) => format!("{} and {last}", others.join(", ")),
        (shown, 1) => format!("{} and 1 other role", shown.join(", ")),
        (shown, others) => format!("{} and {others} other roles", shown.join(", ")),
    }
}

/// Returns how much code there is of each kind: `12 functions, 1 trigger`.
pub(super) fn counted(code: &[Code]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for one in code {
        *kinds.entry(&one.kind).or_default() += 1;
    }
    let counted = kinds.into_iter().map(|(kind, count)| match (count, kind.strip_suffix('y')) {
        (1, _) => format!("1 {kind}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) if kind.ends_with('x') => format!("{count} {kind}es"),
        (_, None) => format!("{count} {kind}s"),
    });
    counted.collect::<Vec<_>>().join(", ")
}

/// Returns what orders code: first what is executed with the privileges of the new owner without any
/// action of it, so that a list that is cut contains it.
pub(super) fn by_danger(code: &Code) -> (usize, &Code) {
    // Functions and procedures are listed only if they are SECURITY DEFINER.
    const FIRST: [&str; 8] = [
        "function",
        "procedure",
        "event trigger",
        "subscription",
        "setting",
        "trigger",
        "rule",
        "privilege",
    ];
    (FIRST.iter().position(|kind| *kind == code.kind).unwrap_or(FIRST.len()), code)
}

/// Returns the names of selected applications: `applications crm and wiki`.
pub(super) fn selected_words(applications: &BTreeSet<ApplicationName>) -> String {
    let names: Vec<&str> = applications.iter().map(ApplicationName::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("application {one}"),
        [others @ .., last] => format!("applications {} and {last}", others.join(", ")),
    }
}

pub(super) fn granted_words(
    privileges: &Privileges,
    target: &GrantTarget,
    role: &RoleName,
) -> String {
    format!("{} on {} to {role}", listed(privileges), target.words())
}

pub(super) fn revoked_words(
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
) -> String {
    format!("{} on {} from {grantee}", listed(privileges), target.words())
}

/// Returns the roles that lose what they have through another role, in words. The plan grants again what is
/// declared, with another grantor.
pub(super) fn with_holder(roles: &[impl AsRef<str>], holder: impl fmt::Display) -> String {
    let names: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
    let have = if names.len() == 1 { "has" } else { "have" };
    let names = names.join(", ");
    format!("{names}, which {have} it through {holder}; what is declared is granted again")
}

/// Returns the statements with which the owner revokes what a role granted with an option that it has lost, if
/// the revocation is one of this.
pub(super) fn revoked_by_owner(revoke: &Revoke, target: &GrantTarget) -> Option<Vec<Statement>> {
    let kept = revoke.lost_option.as_ref()?;
    let grantor = Grantee::Role(revoke.grantor.clone());
    let others: Privileges = revoke.privileges.difference(kept).copied().collect();
    let mut statements = vec![sql::grant_with_grant_option(&revoke.privileges, target, &grantor)];
    for (scope, privileges) in [(RevokeScope::GrantOption, kept), (RevokeScope::Privilege, &others)]
    {
        if !privileges.is_empty() {
            statements.push(sql::revoke_cascade(scope, privileges, target, &grantor));
        }
    }
    Some(statements)
}

/// Returns a revocation in words, and its statement.
pub(super) fn revoked(revoke: &Revoke, target: &GrantTarget) -> (String, Statement) {
    let mut words = revoked_words(&revoke.privileges, target, &revoke.grantee);
    if revoke.scope == RevokeScope::GrantOption {
        words = format!("grant option for {words}");
    }
    if !revoke.dependents.is_empty() {
        let dependents: Vec<String> = revoke.dependents.iter().map(ToString::to_string).collect();
        words = format!(
            "{words}, and {} from {}",
            listed(&revoke.options),
            with_holder(&dependents, &revoke.grantee)
        );
    }
    let Revoke { scope, privileges, grantee, .. } = revoke;
    let statement = if revoke.needs_cascade {
        sql::revoke_cascade(*scope, privileges, target, grantee)
    } else {
        sql::revoke(*scope, privileges, target, grantee)
    };
    (words, statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_a_summary_leaves_out_are_in_the_full_list() {
        let roles =
            |count: usize| (1..=count).map(|one| RoleName::new_unchecked(format!("r{one}")));
        let (five, seven) = (roles(5).collect(), roles(7).collect());
        assert_eq!(some_of(&seven), "r1, r2, r3, r4, r5 and 2 other roles");
        assert_eq!(all_if_cut(&seven).unwrap(), "r1, r2, r3, r4, r5, r6, r7");
        assert_eq!(all_if_cut(&five), None);
    }
}
