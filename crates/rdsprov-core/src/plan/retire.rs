//! Plans the end of access: retired roles, and the roles of applications that are not declared any more.
//!
//! A retired role keeps its marker, and what it owns. It loses its privileges, memberships and `LOGIN`.
//! A teardown retires the roles that a build has created, whatever their applications are.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::planner::Planner;
use super::recorded::Recorded;
use super::roles::forbidden_attributes;
use super::scopes::scope_of_database;
use super::{Action, ExecuteAs, Hazard, NoteKind, RefusalKind, Step, database_marker, sql};
use crate::desired::{self, Adoption, Desired};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName, misspelt};
use crate::observed::{self, Observed};
use crate::rotation_clone::RotationClone;

/// Adds the roles that are retired without being declared, as the markers on the server name them, and
/// the managed databases in which these roles can have privileges.
pub(crate) fn with_orphans<'a>(desired: &'a Desired, observed: &Observed) -> Cow<'a, Desired> {
    let orphaned = |name: &RoleName, seen: &observed::Role| {
        let marker = seen.marker().filter(|marker| marker.scope == desired.scope)?;
        let application = orphaned_application(desired, &marker)?;
        (!desired.roles.contains_key(name)).then(|| (name.clone(), application))
    };
    if desired.orphans.is_empty() && desired.torn_down_build.is_none() {
        return Cow::Borrowed(desired);
    }
    let roles: Vec<_> =
        observed.roles.iter().filter_map(|(name, seen)| orphaned(name, seen)).collect();
    // Whatever the owner has written into its comment, a database is dropped with its owner, and the other
    // roles lose what they have in it.
    let of_role = |seen: &observed::Database| {
        let (owner, application) = roles.iter().find(|(name, _)| *name == seen.owner)?;
        let is_other =
            |role: &RoleName| role != owner && roles.iter().any(|(name, _)| name == role);
        let mut grantees = seen.acl.iter().filter_map(|item| item.grantee.role());
        let is_retirement = desired.torn_down_build.is_none();
        (is_retirement && (desired.drops_databases.is_some() || grantees.any(is_other)))
            .then_some(application)
    };
    let recorded = Recorded::new(desired, observed);
    let of_orphan = |name: &DatabaseName, seen: &observed::Database| {
        let application = orphaned_application(desired, &seen.marker()?)?;
        let scope = scope_of_database(desired, observed, &recorded, name, seen);
        scope.is_none_or(|scope| scope == desired.scope).then_some(application)
    };
    let managed = observed.databases.iter().filter(|(name, seen)| {
        **name != observed.admin_database
            // Without roles, nothing is revoked in other databases.
            && (!roles.is_empty() || of_orphan(name, seen).is_some())
            && !seen.is_unfinished(&observed.administrator.name)
            && (of_role(seen).is_some()
                || database_marker::has_believed_marker(desired, observed, &recorded, name, seen))
    });
    let application = |seen: &observed::Database| {
        let marker = || ApplicationName::new(seen.marker()?.application).ok();
        let first = || roles.first().map(|(_, application)| application.clone());
        of_role(seen).cloned().or_else(marker).or_else(first)
    };
    let databases: Vec<_> =
        managed.filter_map(|(name, seen)| Some((name.clone(), application(seen)?))).collect();
    Cow::Owned(desired.with_retired(&roles, &databases))
}

/// Returns the application of a marker if its role or database is retired without being declared: the
/// run names the application, or the build that created what carries the marker.
fn orphaned_application(desired: &Desired, marker: &Marker) -> Option<ApplicationName> {
    match &desired.torn_down_build {
        Some(build) => {
            let is_torn_down = marker.environment == desired.environment
                && marker.is_created_by(build)
                && marker.application != ApplicationName::for_delegates().as_str();
            ApplicationName::new(marker.application.clone()).ok().filter(|_| is_torn_down)
        }
        None if desired.manages(Some(marker)) => {
            desired.orphans.iter().find(|one| one.as_str() == marker.application).cloned()
        }
        None => None,
    }
}

/// Returns why a teardown leaves what belongs to other definitions.
fn belongs_to(scope: Option<&str>) -> String {
    match scope {
        Some(scope) => format!("it belongs to scope {scope}"),
        None => "it belongs to no scope".to_owned(),
    }
}

impl Planner<'_> {
    /// Notes what a teardown leaves of its build, and why.
    pub(super) fn note_left_by_teardown(&mut self, dropped: &BTreeSet<DatabaseName>) {
        let (desired, observed) = (self.desired, self.observed);
        let Some(build) = &desired.torn_down_build else { return };
        let of_build = |marker: Option<Marker>| {
            marker.filter(|one| one.environment == desired.environment && one.is_of_build(build))
        };
        for (name, seen) in &observed.roles {
            let Some(marker) = of_build(seen.claimed()) else { continue };
            let reason = if desired.roles.contains_key(name) {
                continue;
            } else if marker.application == ApplicationName::for_delegates().as_str() {
                "it is a delegate".to_owned()
            } else if marker.scope != desired.scope {
                belongs_to(marker.scope.as_deref())
            } else if marker.adopted {
                "it existed before the build adopted it".to_owned()
            } else if seen.administered {
                // It is refused.
                continue;
            } else {
                "no administrator has ADMIN OPTION on it, so that another role can have written its \
                 comment"
                    .to_owned()
            };
            let object = format!("role {name}");
            self.note(NoteKind::LeftByTeardown { object, reason });
        }
        for (name, seen) in &observed.databases {
            let Some(marker) = of_build(seen.marker()) else { continue };
            let scope = scope_of_database(desired, observed, self.recorded(), name, seen);
            let reason = if dropped.contains(name) {
                continue;
            } else if *name == observed.admin_database {
                "it is the database of the administrator".to_owned()
            } else if let Some(scope) = scope.filter(|scope| *scope != desired.scope) {
                belongs_to(scope.as_deref())
            } else if marker.adopted {
                "it existed before the build, or nothing shows that the build created it".to_owned()
            } else {
                format!("its owner {} is not a role that the build created", seen.owner)
            };
            self.note(NoteKind::LeftByTeardown { object: format!("database {name}"), reason });
        }
    }

    /// Refuses what would end only a part: the comment of a role says that the role is also retired, but
    /// others than administrators have power over it.
    ///
    /// A role with `CREATEROLE` can write such a comment on a role of its own, on which no administrator has
    /// `ADMIN OPTION`. That does not stop the end of a role which is proven to be of the application or build,
    /// nor the next plan after that role was dropped.
    pub(super) fn refuse_uncounted_orphans(&mut self) {
        let (desired, observed) = (self.desired, self.observed);
        for (name, seen) in &observed.roles {
            let claimed = seen.claimed().filter(|marker| marker.scope == desired.scope);
            let Some(marker) = claimed.filter(|_| !desired.roles.contains_key(name)) else {
                continue;
            };
            let Some(application) = orphaned_application(desired, &marker) else { continue };
            if seen.administered {
                self.refuse_controlled_by_others(name, &application, seen);
            } else if desired.torn_down_build.is_some() {
                // The note about what a teardown leaves names it.
            } else if desired.drops_roles
                || desired.roles.values().any(|role| role.application == application)
            {
                self.note_unproven_marker(name, marker);
            } else {
                self.refuse_unproven_marker(name, &application, seen, Adoption::Refused);
            }
        }
    }

    /// Notes each application to retire that neither the definitions nor a marker name.
    pub(super) fn note_nothing_to_retire(&mut self) {
        for application in &self.desired.orphans {
            let has_role = self.desired.roles.values().any(|role| role.application == *application);
            let has_database =
                self.desired.databases.values().any(|one| one.application == *application);
            let is_refused =
                self.findings.refusals.iter().any(|one| one.application == *application);
            if !has_role && !has_database && !is_refused {
                let (fact, is_mistake) = self.why_nothing_to_retire(application);
                let application = application.clone();
                self.note(NoteKind::NothingToRetire { application, fact, is_mistake });
            }
        }
    }

    /// Returns why an application is not retired: another scope manages it, or its name is not known. Also
    /// returns whether this can only be a mistake: an application whose roles were dropped has an unknown name, too.
    fn why_nothing_to_retire(&self, application: &ApplicationName) -> (String, bool) {
        let (desired, observed) = (self.desired, self.observed);
        let of_roles = observed.roles.values().filter_map(observed::Role::marker);
        let of_databases = observed
            .databases
            .iter()
            .filter(|(name, seen)| self.has_believed_marker(name, seen))
            .filter_map(|(_, seen)| seen.marker());
        let markers: Vec<Marker> = of_roles
            .chain(of_databases)
            .filter(|one| desired.manages(Some(one)))
            .filter(|one| one.application != ApplicationName::for_delegates().as_str())
            .collect();
        let named = |scope: Option<&str>| match scope {
            Some(scope) => format!("scope {scope}"),
            None => "no scope".to_owned(),
        };
        let other = markers
            .iter()
            .find(|one| one.application == application.as_str() && one.scope != desired.scope);
        if let Some(marker) = other {
            let (other, own) = (named(marker.scope.as_deref()), named(desired.scope.as_deref()));
            let fact = format!(
                "application {application} is managed by definitions with {other}, and these have {own}"
            );
            return (fact, true);
        }
        let of_scope = markers.iter().filter(|one| one.scope == desired.scope);
        let known = of_scope.map(|one| one.application.as_str());
        let known = known.chain(desired.applications.iter().map(ApplicationName::as_str));
        let similar = misspelt(application.as_str(), known);
        let is_mistake = similar.is_some();
        let similar = similar.map(|one| format!(" (did you mean {one}?)")).unwrap_or_default();
        let fact = format!(
            "no role of application {application} is managed, and the definitions do not declare it{similar}"
        );
        (fact, is_mistake)
    }

    /// Returns whether nothing gives access to a database without access entries: it does not exist,
    /// or it allows no connections.
    pub(super) fn is_out_of_reach(
        &self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> bool {
        let seen = self.observed.databases.get(name);
        database.is_retired() && seen.is_none_or(|seen| !seen.allow_connections)
    }

    /// Ends the logins and memberships of a managed role. Its privileges are revoked where the
    /// databases are compared.
    pub(super) fn retired_role(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        if self.role_takeover(name, role, seen, Adoption::Refused).is_none() {
            return;
        }
        if let Some(application) = self.other_application_of_retired(name, role, seen) {
            let kind = RefusalKind::RoleOfApplication { role: name.clone(), application };
            self.refuse(&role.application, kind);
            return;
        }
        self.lock_out(name, role, seen, steps);
        self.memberships(name, role, seen, steps);
        let observed = self.observed;
        if let Some(clone) = self.clone_of_retired(name)
            && let Some(seen) = observed.roles.get(&clone)
        {
            self.lock_out(&clone, role, seen, steps);
        }
    }

    /// Returns the clone of a retired role, if it exists. The secret is not read, so that only its name
    /// and its membership show it.
    pub(super) fn clone_of_retired(&self, name: &RoleName) -> Option<RoleName> {
        let clone = RotationClone::name_for(name)?;
        let seen = self.observed.roles.get(&clone)?;
        let is_clone = self.is_member_as_clone((&clone, seen), name)
            && seen.claimed().is_none()
            && self.administrator_power(&clone, seen).is_none()
            && forbidden_attributes(seen).next().is_none()
            && !self.desired.roles.contains_key(&clone);
        is_clone.then_some(clone)
    }

    /// Takes `LOGIN` from a role, and ends its sessions if the run does.
    fn lock_out(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let before = steps.len();
        self.attributes(name, role, seen, steps);
        if steps.len() > before && !self.can_administer(name) {
            steps.truncate(before);
            self.refuse_without_admin_option(&role.application, name);
            return;
        }
        if !self.observed.roles_with_sessions.contains(name) {
            return;
        }
        match self.act_as(name) {
            Some(ExecuteAs::Role(_)) => {
                let application = &role.application;
                let summary = format!("sessions of role {name}");
                let statements = [sql::end_own_sessions()];
                let ended =
                    Step::on_role(name, application, Action::EndSessions, summary, statements);
                // After the commit of NOLOGIN: until then, the role can open new sessions.
                let ended = ended.executed_as(ExecuteAs::Role(name.clone())).after_logins();
                steps.push(ended.with_hazards([Hazard::RevokesAccess]));
            }
            _ => self.refuse_without_admin_option(&role.application, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Backup;
    use crate::plan::test_states::{desired_from, marker, observed_with};
    use crate::plan::{Plan, SecretFindings};

    /// Each condition on the marker of a role keeps it from the teardown.
    #[test]
    fn teardown_drops_only_roles_that_its_build_created() {
        let dropped = |comment: &str| {
            let mut desired = desired_from("[application_databases]");
            desired.torn_down_build = Some("1".to_owned());
            desired.drops_roles = true;
            desired.drops_databases = Some(Backup::Nothing);
            let observed = observed_with(&[("shop_owner", comment)], &[]);
            let plan = Plan::new(&desired, &observed, SecretFindings::default());
            plan.steps().any(|step| step.action == Action::DropRole)
        };
        let own = marker("shop", "shop_owner", "");
        assert!(dropped(&own));
        let delegates = ApplicationName::for_delegates();
        for other in [
            own.replace("build_id=1", "build_id=2"),
            own.replace("environment=dev", "environment=prod"),
            own.replace(" application=", " scope=billing application="),
            marker("shop", "shop_owner", " adopted"),
            marker(delegates.as_str(), "shop_owner", ""),
            "of people".to_owned(),
        ] {
            assert!(!dropped(&other), "{other}");
        }
    }
}
