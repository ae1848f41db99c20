//! The last line of a plan: its steps, counted by kind.

use std::collections::{BTreeMap, BTreeSet};

use super::words::selected_words;
use super::{Action, Plan, Step};
use crate::name::{DatabaseName, RoleName};

/// What the steps of a part of the sentence do. The order of the variants is that of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
enum Verb {
    Create,
    Alter,
    Set,
    Test,
    Finish,
    Restore,
    /// The noun alone says what the step does: `4 grants`.
    None,
}

impl Action {
    /// Returns the verb, and the singular and the plural of what one step of this kind counts as.
    fn counted_as(self) -> (Verb, &'static str, &'static str) {
        match self {
            Self::CreateRole => (Verb::Create, "role", "roles"),
            Self::CreateSecret => (Verb::Create, "secret", "secrets"),
            Self::CreateDatabase => (Verb::Create, "database", "databases"),
            Self::CreateSchema => (Verb::Create, "schema", "schemas"),
            Self::CreateExtension => (Verb::Create, "extension", "extensions"),
            Self::CreatePending => (Verb::Create, "pending version", "pending versions"),
            Self::AlterRole => (Verb::Alter, "role", "roles"),
            Self::AlterDatabase => (Verb::Alter, "database", "databases"),
            Self::AlterSchema => (Verb::Alter, "schema", "schemas"),
            Self::SetPassword => (Verb::Set, "password", "passwords"),
            Self::SetParameter => (Verb::Set, "parameter", "parameters"),
            Self::TestPassword => (Verb::Test, "password", "passwords"),
            Self::FinishRotation => (Verb::Finish, "rotation", "rotations"),
            Self::RestorePassword => (Verb::Restore, "password", "passwords"),
            Self::ReassignOwned => (Verb::None, "change of owner", "changes of owner"),
            Self::Grant => (Verb::None, "grant", "grants"),
            Self::Revoke => (Verb::None, "revocation", "revocations"),
            Self::DefaultPrivileges => {
                (Verb::None, "change to default privileges", "changes to default privileges")
            }
            Self::Adopt => (Verb::None, "adoption", "adoptions"),
        }
    }
}

/// Counts steps by kind: `3 roles and 2 databases to create, 4 grants, 1 revocation`.
fn counts<'a>(steps: impl Iterator<Item = &'a Step>) -> String {
    let mut parts = BTreeMap::<Verb, BTreeMap<Action, usize>>::new();
    let mut altered = BTreeSet::new();
    for Step { action, role, database, .. } in steps {
        let name = match action {
            Action::AlterRole => role.as_ref().map(RoleName::as_str),
            Action::AlterDatabase => database.as_ref().map(DatabaseName::as_str),
            _ => None,
        };
        // Several steps can alter one role.
        if name.is_some_and(|name| !altered.insert((action, name))) {
            continue;
        }
        let (verb, ..) = action.counted_as();
        *parts.entry(verb).or_default().entry(*action).or_default() += 1;
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(verb, counts)| {
            let nouns: Vec<String> = counts
                .into_iter()
                .map(|(action, count)| match action.counted_as() {
                    (_, singular, _) if count == 1 => format!("1 {singular}"),
                    (_, _, plural) => format!("{count} {plural}"),
                })
                .collect();
            match (verb, nouns.as_slice()) {
                (Verb::None, _) => nouns.join(", "),
                (_, [first @ .., last]) if !first.is_empty() => {
                    format!("{} and {last} to {}", first.join(", "), <&str>::from(verb))
                }
                _ => format!("{} to {}", nouns.concat(), <&str>::from(verb)),
            }
        })
        .collect();
    parts.join(", ")
}

impl Plan {
    /// Returns the steps, counted by kind; `None` without steps.
    pub(crate) fn counted(&self) -> Option<String> {
        (!self.is_empty()).then(|| counts(self.steps()))
    }

    /// Returns the last line: what the plan changes, that there is nothing to do, or that
    /// the plan is refused.
    #[must_use]
    pub fn closing(&self) -> String {
        let has_steps = self.steps().next().is_some();
        let only = selected_words(&self.origin.only);
        match self.refusals.len() {
            0 if has_steps => format!("Plan: {}. {}", counts(self.steps()), self.digest),
            0 if self.applications.is_empty() => {
                "Nothing to do: no applications are declared.".to_owned()
            }
            0 if self.is_as_declared() && !self.origin.only.is_empty() => {
                format!("Nothing to do for {only}; other applications are not compared.")
            }
            0 if self.is_as_declared() => "Nothing to do: the server is as declared.".to_owned(),
            0 => "Nothing to do, but a note reports a difference from the definitions.".to_owned(),
            1 => "Refused for 1 reason: resolve it, then plan again.".to_owned(),
            n => format!("Refused for {n} reasons: resolve each, then plan again."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ApplicationName;

    #[test]
    fn steps_are_counted_in_words() {
        let application = ApplicationName::new("shop".to_owned()).unwrap();
        for (actions, sentence) in [
            (&[Action::CreateRole][..], "1 role to create"),
            (&[Action::Grant, Action::Grant], "2 grants"),
            (
                &[
                    Action::Revoke,
                    Action::CreateDatabase,
                    Action::Grant,
                    Action::CreateRole,
                    Action::AlterRole,
                    Action::CreateRole,
                    Action::CreateSecret,
                ],
                "2 roles, 1 secret and 1 database to create, 1 role to alter, 1 grant, 1 revocation",
            ),
            (
                &[
                    Action::CreatePending,
                    Action::SetPassword,
                    Action::TestPassword,
                    Action::FinishRotation,
                ],
                "1 pending version to create, 1 password to set, 1 password to test, 1 rotation to finish",
            ),
        ] {
            let steps: Vec<Step> = actions
                .iter()
                .map(|&action| Step::new(action, &application, String::new(), []))
                .collect();
            assert_eq!(counts(steps.iter()), sentence);
        }
    }

    #[test]
    fn altered_roles_and_databases_are_counted_once() {
        let application = ApplicationName::new("shop".to_owned()).unwrap();
        let step = |action| Step::new(action, &application, String::new(), []);
        let role = |name: &str| {
            step(Action::AlterRole).for_role(Some(&RoleName::new_unchecked(name.to_owned())))
        };
        let database = |name: &str| {
            step(Action::AlterDatabase).in_database(&DatabaseName::new_unchecked(name.to_owned()))
        };
        let steps = [role("a"), role("b"), role("a"), database("a"), database("a")];
        assert_eq!(counts(steps.iter()), "2 roles and 1 database to alter");
    }
}
