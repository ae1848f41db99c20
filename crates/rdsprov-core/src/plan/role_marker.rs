//! The markers of roles: what they record, and when a plan writes them.
//!
//! Only an administrator can write the comment of a role. So the marker of a role also records what
//! others must not forge: the application that is the home of the role, its secret, whether the role
//! was adopted, and the databases without an owner entry that were adopted for it.

use std::collections::BTreeSet;

use super::home::is_declared_by;
use super::planner::{Adoptable, Planner, Takeover};
use super::recorded::RecordedSecret;
use super::scopes::change_in_words;
use super::{Action, ChangedSecret, Hazard, RefusalKind, Step, sql, words};
use crate::desired::{self, Adoption};
use crate::marker::Marker;
use crate::name::RoleName;
use crate::observed;
use crate::secret_id::SecretId;

impl Planner<'_> {
    /// Returns the marker of a declared role.
    pub(super) fn role_marker(&self, role: &desired::Role, name: &RoleName) -> Marker {
        let secret = role.recorded_secret.clone().filter(|_| role.secret().is_some());
        let seen = self.observed.roles.get(name);
        let recorded = seen.and_then(observed::Role::marker);
        let recorded = recorded.filter(|marker| self.desired.manages(Some(marker)));
        let adopted = recorded.as_ref().map_or(seen.is_some(), |marker| marker.adopted);
        Marker {
            secret: secret.map(|id| id.0),
            adopted,
            build_id: recorded.and_then(|marker| marker.build_id),
            databases: self.recorded_databases(name),
            ..self.marker(&role.application, name.as_str())
        }
    }

    /// Returns whether another application takes a role over without `role_owner`: the marker names
    /// an application that still declares the role.
    ///
    /// Without an owner entry, an added entry can become the home of a role because of its name or its
    /// keys only.
    fn is_taken_unasked(&self, name: &RoleName, role: &desired::Role, marker: &Marker) -> bool {
        self.desired.manages(Some(marker))
            && !role.is_home_chosen
            && marker.application != role.application.as_str()
            && is_declared_by(self.desired, name, &marker.application)
    }

    /// Returns the application to which a retired role belongs, if its marker names one that does not
    /// declare the role here: it may still use the role, and its definitions decide its end.
    pub(super) fn other_application_of_retired(
        &self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
    ) -> Option<String> {
        let application = seen.marker()?.application;
        let is_other = application != role.application.as_str();
        (is_other && !is_declared_by(self.desired, name, &application)).then_some(application)
    }

    /// Returns whether the role gets privileges in a selected database whose contents are not known.
    fn hides_grants_to(&self, name: &RoleName) -> bool {
        self.databases_of(name).iter().any(|(database, entry)| {
            let seen = self.observed.databases.get(*database);
            self.desired.selected_entry(entry).is_some()
                && seen.is_some_and(|seen| {
                    seen.owner != *name
                        && seen.contents.is_none()
                        && !seen.is_unfinished(&self.observed.administrator.name)
                })
        })
    }

    /// Returns the step that writes the marker of an existing role, if the role is adopted or if its
    /// marker is not up to date.
    ///
    /// A marker without a secret gets it only when the password is set: a run that finds nothing
    /// else to do writes nothing.
    pub(super) fn marker_step(
        &self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        takeover: Takeover,
        sets_password: bool,
    ) -> Option<Step> {
        let wanted = self.role_marker(role, name);
        let step = |action, summary| {
            // The old marker is replaced, and the text of people stays.
            let rest = seen.comment.as_deref().and_then(Marker::removed_from);
            let statement = sql::set_role_marker(name, rest, wanted.clone());
            Step::on_role(name, &role.application, action, summary, [statement])
        };
        let recorded = seen.marker().filter(|_| takeover == Takeover::Managed);
        let Some(recorded) = recorded else {
            // What the adopted role gets there is visible only in the next plan.
            let widens = self.hides_grants_to(name).then_some(Hazard::WidensAccess);
            let hazards = std::iter::once(Hazard::Adopts).chain(widens);
            let summary = format!("role {name}{}", self.members_in_words(name));
            return Some(step(Action::Adopt, summary).with_hazards(hazards));
        };
        let mut changes = Vec::new();
        let mut hazards = Vec::new();
        let mut changed_secret = None;
        if recorded.name != wanted.name {
            changes.push(format!("{} instead of {}", wanted.name, recorded.name));
        }
        if recorded.application != wanted.application {
            hazards.push(Hazard::ChangesApplication);
            changes.push(format!(
                "application {} instead of {}",
                wanted.application, recorded.application
            ));
        }
        changes.extend(change_in_words(recorded.scope.as_deref(), wanted.scope.as_deref()));
        match (recorded.secret, &wanted.secret) {
            (Some(old), Some(new)) if old != *new => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("secret {new} instead of {old}"));
                changed_secret = Some(ChangedSecret { old: Some(old), new: Some(new.clone()) });
            }
            // Between a password and IAM tokens, in both directions: otherwise two runs would
            // replace a secret without this hazard.
            (Some(old), None) => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("no secret instead of {old}"));
                changed_secret = Some(ChangedSecret { old: Some(old), new: None });
            }
            (None, Some(new)) if seen.uses_iam_auth() => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("secret {new} instead of none"));
                changed_secret = Some(ChangedSecret { old: None, new: Some(new.clone()) });
            }
            (None, Some(new)) if sets_password => changes.push(format!("secret {new}")),
            (_, _) => {}
        }
        changes.extend(
            wanted.databases.difference(&recorded.databases).map(|one| format!("database {one}")),
        );
        changes.extend(
            recorded
                .databases
                .difference(&wanted.databases)
                .map(|one| format!("no database {one}")),
        );
        if self.adopts_with(name) {
            hazards.push(Hazard::Adopts);
        }
        if recorded.environment != wanted.environment {
            // Each environment has its own secrets.
            hazards.retain(|hazard| *hazard != Hazard::ChangesSecret);
            hazards.push(Hazard::AdoptsFromEnvironment);
            let changes: Vec<String> = changes.iter().map(|change| format!(", {change}")).collect();
            let summary = format!(
                "role {name} from environment {}{}{}",
                recorded.environment,
                changes.concat(),
                self.members_in_words(name)
            );
            let mut step = step(Action::Adopt, summary).with_hazards(hazards);
            step.changed_secret = changed_secret;
            return Some(step);
        }
        if changes.is_empty() {
            return None;
        }
        let summary = format!("role {name}: marker names {}", changes.join(", "));
        let mut step = step(Action::AlterRole, summary).with_hazards(hazards);
        step.changed_secret = changed_secret;
        Some(step)
    }

    /// Returns the roles that get what an adopted role gets: `; ada and bob are members of it`. A
    /// membership with `ADMIN OPTION` only is enough, because such a member can give itself the others.
    fn members_in_words(&self, role: &RoleName) -> String {
        let roles = &self.observed.roles;
        let mut members = BTreeSet::new();
        let mut groups = vec![role];
        while let Some(group) = groups.pop() {
            for (name, seen) in roles {
                let is_member = seen.memberships.iter().any(|one| one.role == *group);
                if is_member && members.insert(name.clone()) {
                    groups.push(name);
                }
            }
        }
        // The master user has created the role for its delegate.
        let is_of_rds = |one: &observed::Role| {
            one.memberships.iter().any(|group| group.role.as_str() == observed::RDS_SUPERUSER)
        };
        members.retain(|name| {
            *name != self.observed.administrator.name
                && !roles.get(name).is_some_and(|one| one.superuser || is_of_rds(one))
        });
        match members.len() {
            0 => String::new(),
            1 => format!("; {} is a member of it", words::some_of(&members)),
            _ => format!("; {} are members of it", words::some_of(&members)),
        }
    }

    /// Refuses the secret of a role if the marker of one of the other roles names it: a rotation would
    /// change it without their passwords. Returns whether it refused.
    pub(super) fn refuse_secret_of_other_role(
        &mut self,
        role: &desired::Role,
        is_other: impl Fn(&RoleName) -> bool,
    ) -> bool {
        let others = self.others_with_secret(role, is_other);
        let Some(other) = others.min_by_key(|other| other.role) else { return false };
        let Some(secret) = role.secret() else { return false };
        let kind = RefusalKind::SecretOfOtherRole {
            secret: secret.clone(),
            other: other.role.clone(),
            application: other.application.clone(),
        };
        self.refuse(&role.application, kind);
        true
    }

    /// Returns whether the marker of a role names a secret.
    pub(super) fn marker_names_secret(&self, name: &RoleName, secret: &SecretId) -> bool {
        let mut roles = self.recorded().roles_with_secret(secret);
        roles.any(|one| one.is_proven && one.role == name)
    }

    /// Returns which of some other roles have the secret of a role, as their markers show.
    pub(super) fn others_with_secret(
        &self,
        role: &desired::Role,
        is_other: impl Fn(&RoleName) -> bool,
    ) -> impl Iterator<Item = &RecordedSecret<'_>> {
        let secrets =
            role.secret().map(|secret| std::iter::once(secret).chain(&role.recorded_secret));
        let others = secrets.into_iter().flatten();
        let others = others.flat_map(|one| self.recorded().roles_with_secret(one));
        others.filter(move |other| {
            // An undeclared role of the same application is the role before `username` was changed.
            other.is_proven
                && is_other(other.role)
                && (self.desired.roles.contains_key(other.role)
                    || other.application != role.application.as_str()
                    || self.desired.is_other_scope(other.scope.as_deref()))
        })
    }

    /// Returns the application and secret that the marker of a role names, and those that the
    /// definitions name, if they differ.
    pub(super) fn other_home(
        &self,
        name: &RoleName,
        seen: &observed::Role,
    ) -> Option<(String, String)> {
        let declared = self.role_marker(self.desired.roles.get(name)?, name);
        let mut recorded = seen.marker()?;
        if recorded.secret.is_none() {
            recorded.secret.clone_from(&declared.secret);
        }
        let is_other_scope = recorded.scope != declared.scope;
        let in_words = |marker: &Marker| {
            let scope = marker.scope.as_ref().filter(|_| is_other_scope);
            let scope = scope.map(|scope| format!(" of scope {scope}")).unwrap_or_default();
            match &marker.secret {
                Some(secret) => {
                    format!("application {}{scope} and secret {secret}", marker.application)
                }
                None => format!("application {}{scope}", marker.application),
            }
        };
        let same = recorded.application == declared.application
            && recorded.secret == declared.secret
            && !is_other_scope;
        (!same).then(|| (in_words(&recorded), in_words(&declared)))
    }

    /// Returns whether an existing role is managed already or must be adopted, or refuses it.
    pub(super) fn role_takeover(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        adoption: Adoption,
    ) -> Option<Takeover> {
        if self.refuse_controlled_by_others(name, &role.application, seen)
            || self.refuse_privileged(name, &role.application, seen)
            || self.refuse_other_administrator(name, &role.application, seen)
        {
            return None;
        }
        if seen.comment_too_long {
            let kind = RefusalKind::CommentTooLong { object: format!("role {name}") };
            self.refuse(&role.application, kind);
            return None;
        }
        if self.refuse_unproven_marker(name, &role.application, seen, adoption) {
            return None;
        }
        let kind = match (self.desired.is_delegate(name), seen.marker()) {
            (true, Some(marker)) if !self.is_delegate(seen) => RefusalKind::RoleOfApplication {
                role: name.clone(),
                application: marker.application,
            },
            (false, _) if self.is_delegate(seen) => {
                RefusalKind::RoleIsDelegate { role: name.clone() }
            }
            (_, Some(marker)) if self.is_taken_unasked(name, role, &marker) => {
                RefusalKind::RoleOwnerMissing {
                    role: name.clone(),
                    application: role.application.clone(),
                    recorded: marker.application,
                }
            }
            (_, marker) => {
                return self.takeover(&role.application, Adoptable::Role(name), marker, adoption);
            }
        };
        self.refuse(&role.application, kind);
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::test_states::{desired_from, marker, observed_with};
    use crate::plan::{Hazard, Plan, RefusalCode, SecretFindings};

    /// Plans for two readers that share a role, whose marker names application `reports`.
    fn plan(a_new: &str, reports: &str) -> Plan {
        let desired = desired_from(&format!(
            r#"
            [application_databases]
            a_new = {{ database_name = "hr", username = "analyst", access_level = "reader"{a_new} }}
            reports = {{ database_name = "shop", username = "analyst", access_level = "reader"{reports} }}
            "#
        ));
        let owner = |application: &str| marker(application, &format!("{application}_owner"), "");
        let recorded = r#" secret="goldenpath/dev/reports/postgres""#;
        let observed = observed_with(
            &[
                ("hr_owner", &owner("hr")),
                ("shop_owner", &owner("shop")),
                ("analyst", &marker("reports", "analyst", recorded)),
            ],
            &[
                ("hr", "hr_owner", &marker("hr", "hr", "")),
                ("shop", "shop_owner", &marker("shop", "shop", "")),
            ],
        );
        Plan::new(&desired, &observed, SecretFindings::default())
    }

    /// An entry that comes first or that sets a key of the role does not become its home.
    #[test]
    fn added_entry_does_not_take_the_role_over() {
        let secret = r#", secret = "team/mine""#;
        for (a_new, reports) in [("", ""), (", connection_limit = 5", ""), (secret, secret)] {
            let plan = plan(a_new, reports);
            let refusal = plan.refusals.first().unwrap();
            assert_eq!(refusal.code(), RefusalCode::RoleOwnerMissing, "{a_new}");
            assert_eq!(refusal.application.as_str(), "a_new");
            assert!(refusal.message().contains("belongs to application reports"));
        }
    }

    #[test]
    fn role_owner_chooses_the_home() {
        let taken = plan(", role_owner = true", "");
        assert!(taken.refusals.is_empty(), "{:?}", taken.refusals);
        assert!(taken.hazards().contains(&Hazard::ChangesApplication));
        let kept = plan("", ", role_owner = true");
        assert!(kept.refusals.is_empty(), "{:?}", kept.refusals);
        assert!(!kept.hazards().contains(&Hazard::ChangesApplication));
        assert!(!kept.hazards().contains(&Hazard::ChangesSecret));
    }
}
