//! Plans default privileges: the privileges on objects that roles will create.
//!
//! `creators` can name the role of another application: its default privileges are changed, although its team does
//! not see it. PostgreSQL does not drop a role with default privileges, so that they end before it is dropped.

use std::collections::BTreeMap;

use super::acl::{self, DeclaredAcl};
use super::database_planner::DatabasePlanner;
use super::planner::Planner;
use super::sql::{self, RevokeScope};
use super::words::listed;
use super::{Action, Hazard, NoteKind};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{self, AclItem, Contents, DefaultPrivileges, Grantee};
use crate::privilege::{self, ObjectKind, Privilege, Privileges};
use crate::rotation_clone::RotationClone;

fn future_objects(kind: ObjectKind, creator: &RoleName, schema: Option<&SchemaName>) -> String {
    let place =
        schema.map(|schema| format!(" in schema {}", schema.in_words())).unwrap_or_default();
    format!("future {}s of {creator}{place}", kind.keyword().to_lowercase())
}

impl DatabasePlanner<'_, '_> {
    /// Grants the missing privileges on future objects of the owner and the creators
    /// in a covered schema.
    pub(super) fn grant_missing(&mut self, schema: &SchemaName, contents: &Contents) {
        for creator in self.creators() {
            for kind in ObjectKind::RELATIONS {
                self.grant_missing_for(&creator, schema, kind, contents);
            }
        }
    }

    fn grant_missing_for(
        &mut self,
        creator: &RoleName,
        schema: &SchemaName,
        kind: ObjectKind,
        contents: &Contents,
    ) {
        let mut wanted = self.wanted_on_relations(creator, schema, kind);
        // A role has its own objects by ownership; such a row in the catalog has no effect.
        wanted.remove(creator);
        if wanted.is_empty() {
            // As in each schema that no entry covers, of which there can be very many.
            return;
        }
        let held: Vec<AclItem> = contents
            .default_privileges
            .iter()
            .filter(|row| {
                row.role == *creator && row.kind == kind && row.schema.as_ref() == Some(schema)
            })
            .flat_map(|row| row.acl.iter().cloned())
            .collect();
        let declared =
            DeclaredAcl { wanted: &wanted, managed: &|_| false, public: None, elsewhere: None };
        let acl_diff = acl::diff(&held, &declared);
        let missing = acl_diff.grants();
        let is_clone = self.planner.role_of_clone(creator).is_some();
        if is_clone && !missing.is_empty() && self.execution_context(creator).is_none() {
            // One refusal for all default privileges of the clone, as which no user runs statements.
            self.planner.refuse_without_admin_option(&self.database.application, creator);
            return;
        }
        let (of_others, hazards) = match self.planner.creator_of_others(creator, self.database) {
            Some((words, hazard)) => (format!(" ({words})"), vec![hazard]),
            None => (String::new(), Vec::new()),
        };
        for (role, privileges) in missing {
            let summary = format!(
                "{} on {} to {role}{of_others}",
                listed(privileges),
                future_objects(kind, creator, Some(schema))
            );
            let statement = sql::grant_default(creator, schema, kind, privileges, role);
            self.step(Action::DefaultPrivileges, Some(role), creator, summary, statement, &hazards);
        }
    }

    /// Revokes default privileges, for the objects of any role, that give a declared role or PUBLIC
    /// more than is declared.
    pub(super) fn revoke_excess(&mut self, contents: &Contents) {
        for row in &contents.default_privileges {
            // Default privileges without a schema apply to all schemas, and no entry covers all.
            // For objects of other roles than the creators, nothing is declared.
            let of_creator = self.is_creator(&row.role);
            let declared = row.schema.as_ref().filter(|_| of_creator);
            let wanted = declared.map_or_else(BTreeMap::new, |schema| {
                self.wanted(schema, |level| privilege::on_object(level, row.kind))
            });
            let covered = row
                .schema
                .as_ref()
                .is_none_or(|schema| self.database.covered_schemas().contains(schema));
            if row.schema.is_some() && self.planner.dropped_creator(&row.role).is_some() {
                self.revoke_all(row);
                continue;
            }
            let public =
                (covered && of_creator && row.kind.is_closed_to_public()).then(Privileges::new);
            let managed = |role: &RoleName| *role != row.role && self.is_compared(role, of_creator);
            let acl_diff = acl::diff(
                &row.acl,
                &DeclaredAcl { wanted: &wanted, managed: &managed, public, elsewhere: None },
            );
            for revoke in &acl_diff.revoke {
                self.revoke_excess_in(row, revoke.scope, &revoke.privileges, &revoke.grantee);
            }
        }
    }

    /// Revokes default privileges of a role that is dropped, also those of the role itself.
    fn revoke_all(&mut self, row: &DefaultPrivileges) {
        let mut by_grantee: BTreeMap<&Grantee, Privileges> = BTreeMap::new();
        for item in &row.acl {
            by_grantee.entry(&item.grantee).or_default().insert(item.privilege);
        }
        for (grantee, privileges) in by_grantee {
            self.revoke_excess_in(row, RevokeScope::Privilege, &privileges, grantee);
        }
    }

    /// Returns whether a role may connect to the database, so that it can create objects in it.
    fn may_connect(&self, role: &RoleName) -> bool {
        let observed = self.planner.observed;
        if observed.roles.get(role).is_some_and(|seen| seen.superuser) {
            return true;
        }
        let present = observed.databases.get(self.name);
        let acl = present.map_or(&[] as &[AclItem], |seen| &seen.acl);
        let connects = |grantee: &Grantee| {
            acl.iter().any(|item| item.grantee == *grantee && item.privilege == Privilege::Connect)
        };
        let roles = self.planner.authority.roles_inherited_by(role);
        !self.is_new() && connects(&Grantee::Public)
            || roles.into_iter().any(|one| {
                one == *self.owner
                    || self.database.access.contains_key(&one)
                    || present.is_some_and(|seen| seen.owner == one)
                    || connects(&Grantee::Role(one))
            })
    }

    /// Returns whether a role is neither declared nor a clone, a creator, the administrator or a superuser.
    fn is_outsider(&self, role: &RoleName) -> bool {
        let planner = &self.planner;
        let home = planner.role_of_clone(role).unwrap_or(role);
        !self.is_creator(role)
            && !planner.desired.roles.contains_key(home)
            && *role != planner.observed.administrator.name
            && planner.observed.roles.get(role).is_none_or(|seen| !seen.superuser)
    }

    fn revoke_excess_in(
        &mut self,
        row: &DefaultPrivileges,
        scope: RevokeScope,
        privileges: &Privileges,
        grantee: &Grantee,
    ) {
        let of_dropped = self.planner.dropped_creator(&row.role).map(|(_, role)| role);
        let of_dropped = of_dropped.filter(|_| row.schema.is_some());
        let is_dropped = of_dropped.is_some();
        let summary = format!(
            "{}{} on {} from {}",
            if scope == RevokeScope::GrantOption { "grant option for " } else { "" },
            listed(privileges),
            future_objects(row.kind, &row.role, row.schema.as_ref()),
            grantee
        );
        let statement = sql::revoke_default(
            scope,
            &row.role,
            row.schema.as_ref(),
            row.kind,
            privileges,
            grantee,
        );
        let may_connect = self.may_connect(&row.role);
        let has_no_effect = !self.is_creator(&row.role)
            && !may_connect
            && self.execution_context(&row.role).is_none();
        if !is_dropped && (has_no_effect || self.is_outsider(&row.role)) {
            // Each role that can connect can create default privileges, also in the template, and must not prevent
            // changes of applications with them: a revocation is a hazard, and waits for locks on the role. They
            // apply to what this role creates, and the privileges on that are compared as all others.
            self.planner.note(NoteKind::DefaultPrivilegesShared {
                step: format!("revoke {summary}"),
                role: row.role.clone(),
                database: self.name.clone(),
                may_connect,
            });
            return;
        }
        let grantee = grantee.role();
        self.application_of_grantor = match of_dropped {
            Some(role) => Some(role.application.clone()),
            None => self.application_of_grantor(&row.role, grantee),
        };
        // Nobody has access through the future objects of a role that must not own any. Its database has other
        // applications, which a hazard would stop.
        let (action, hazards) = match self.application_of_grantor {
            Some(_) => (Action::Revoke, &[][..]),
            None => (Action::DefaultPrivileges, &[Hazard::RevokesAccess][..]),
        };
        // A teardown retains the steps on its own roles.
        let role = if is_dropped { Some(&row.role) } else { grantee };
        self.step(action, role, &row.role, summary, statement, hazards);
        self.application_of_grantor = None;
    }
}

impl<'a> Planner<'a> {
    /// Returns the retired role that the plan drops, given itself or its clone.
    fn dropped_creator(&self, creator: &RoleName) -> Option<(&'a RoleName, &'a desired::Role)> {
        let desired = self.desired;
        let find = |name: &RoleName| {
            let (name, role) = desired.roles.get_key_value(name)?;
            (desired.drops_roles && role.is_retired() && desired.selects_role(name))
                .then_some((name, role))
        };
        let of_clone = || {
            let of = RotationClone::role_for(creator)?;
            find(&of).filter(|_| self.clone_of_retired(&of).as_ref() == Some(creator))
        };
        find(creator).or_else(of_clone)
    }

    /// Returns whether the plan ends all default privileges of a role in a database. Those without a schema
    /// stay: revoking them does not remove what the role took from PUBLIC or from itself.
    pub(super) fn revokes_default_privileges(
        &self,
        role: &RoleName,
        database: &DatabaseName,
    ) -> bool {
        let seen = self.observed.databases.get(database);
        let contents = seen.and_then(|seen| seen.contents.as_ref());
        self.desired.selects_database(database)
            && self.dropped_creator(role).is_some()
            && contents.is_some_and(|contents| {
                let mut rows = contents.default_privileges.iter();
                rows.all(|row| row.role != *role || row.schema.is_some())
            })
    }

    /// Returns whose role a declared creator is, in words, and the hazard of changing its default privileges, if
    /// other definitions manage it. The owner of the database and the administrators are not declared.
    fn creator_of_others(
        &self,
        creator: &RoleName,
        database: &desired::Database,
    ) -> Option<(String, Hazard)> {
        let desired = self.desired;
        let home = self.role_of_clone(creator).unwrap_or(creator);
        if desired.roles.contains_key(home) || !database.creators.contains(creator) {
            return None;
        }
        let marker = self.observed.roles.get(home).and_then(observed::Role::marker)?;
        let is_of_administrators = marker.application == ApplicationName::for_delegates().as_str();
        if is_of_administrators || !desired.manages(Some(&marker)) {
            return None;
        }
        let application = format!("role of application {}", marker.application);
        Some(match &marker.scope {
            scope if *scope == desired.scope => (application, Hazard::WidensAccess),
            Some(scope) => (format!("{application} in scope {scope}"), Hazard::ChangesScope),
            None => (format!("{application} without a scope"), Hazard::ChangesScope),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::test_states::{desired_from, marker, observed_with};
    use crate::plan::{Action, Hazard, Plan, SecretFindings};

    /// The team of the other application does not see that its role is named.
    #[test]
    fn creator_of_other_definitions_is_a_hazard() {
        let hazards = |creator: &str, of_creator: &str| {
            let declared = desired_from(&format!(
                r#"
                [application_databases]
                hr = {{ database_name = "hr", username = "hr_owner", creators = ["{creator}"] }}
                hr_reports = {{ database_name = "hr", username = "analyst", access_level = "reader" }}
                "#
            ));
            let comments = [marker("hr", "hr_owner", ""), marker("hr_reports", "analyst", "")];
            let roles = [
                ("hr_owner", comments[0].as_str()),
                ("analyst", &comments[1]),
                ("crm_owner", of_creator),
            ];
            let database = marker("hr", "hr", "");
            let mut observed = observed_with(&roles, &[("hr", "hr_owner", &database)]);
            for role in observed.roles.values_mut() {
                role.administered = true;
            }
            let plan = Plan::new(&declared, &observed, SecretFindings::default());
            let steps = plan.steps().filter(|step| step.action == Action::DefaultPrivileges);
            let mut steps: Vec<_> = steps
                .map(|step| (step.summary.clone(), step.hazards.iter().copied().collect()))
                .collect();
            steps.retain(|(summary, _)| summary.contains("tables of crm_owner"));
            let (summary, hazards): (String, Vec<Hazard>) = steps.remove(0);
            (summary.split_once('(').map(|(_, end)| end.to_owned()), hazards)
        };
        let own = marker("crm", "crm_owner", "");
        let words = |text: &str| Some(text.to_owned());
        assert_eq!(
            hazards("crm_owner", &own),
            (words("role of application crm)"), vec![Hazard::WidensAccess])
        );
        let scoped = own.replace(" application=", " scope=billing application=");
        assert_eq!(
            hazards("crm_owner", &scoped),
            (words("role of application crm in scope billing)"), vec![Hazard::ChangesScope])
        );
        assert_eq!(hazards("crm_owner", "of people"), (None, vec![]));
    }
}
