//! Plans default privileges: the privileges on objects that roles will create.

use std::collections::BTreeMap;

use super::acl::{self, DeclaredAcl};
use super::database_planner::DatabasePlanner;
use super::sql::{self, RevokeScope};
use super::words::listed;
use super::{Action, Hazard, NoteKind};
use crate::name::{RoleName, SchemaName};
use crate::observed::{AclItem, Contents, DefaultPrivileges, Grantee};
use crate::privilege::{self, ObjectKind, Privilege, Privileges};

fn future_objects(kind: ObjectKind, creator: &RoleName, schema: Option<&SchemaName>) -> String {
    let place = schema.map(|schema| format!(" in schema {schema}")).unwrap_or_default();
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
        let declared = DeclaredAcl { wanted: &wanted, managed: &|_| false, public: None };
        let acl_diff = acl::diff(&held, &declared);
        let missing = acl_diff.grants();
        let is_clone = self.planner.role_of_clone(creator).is_some();
        if is_clone && !missing.is_empty() && self.execution_context(creator).is_none() {
            // One refusal for all default privileges of the clone, as which no user runs statements.
            self.planner.refuse_without_admin_option(&self.database.application, creator);
            return;
        }
        for (role, privileges) in missing {
            let summary = format!(
                "{} on {} to {role}",
                listed(privileges),
                future_objects(kind, creator, Some(schema))
            );
            let statement = sql::grant_default(creator, schema, kind, privileges, role);
            self.step(Action::DefaultPrivileges, Some(role), creator, summary, statement, &[]);
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
            let public =
                (covered && of_creator && row.kind.is_closed_to_public()).then(Privileges::new);
            let managed = |role: &RoleName| *role != row.role && self.is_compared(role, of_creator);
            let acl_diff =
                acl::diff(&row.acl, &DeclaredAcl { wanted: &wanted, managed: &managed, public });
            for revoke in &acl_diff.revoke {
                self.revoke_excess_in(row, revoke);
            }
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

    fn revoke_excess_in(&mut self, row: &DefaultPrivileges, revoke: &acl::Revoke) {
        let summary = format!(
            "{}{} on {} from {}",
            if revoke.scope == RevokeScope::GrantOption { "grant option for " } else { "" },
            listed(&revoke.privileges),
            future_objects(row.kind, &row.role, row.schema.as_ref()),
            revoke.grantee
        );
        let statement = sql::revoke_default(
            revoke.scope,
            &row.role,
            row.schema.as_ref(),
            row.kind,
            &revoke.privileges,
            &revoke.grantee,
        );
        let may_connect = self.may_connect(&row.role);
        let has_no_effect = !self.is_creator(&row.role)
            && !may_connect
            && self.execution_context(&row.role).is_none();
        if has_no_effect || self.is_outsider(&row.role) {
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
        let grantee = revoke.grantee.role();
        self.application_of_grantor = self.application_of_grantor(&row.role, grantee);
        // Nobody has access through the future objects of a role that must not own any. Its database has other
        // applications, which a hazard would stop.
        let (action, hazards) = match self.application_of_grantor {
            Some(_) => (Action::Revoke, &[][..]),
            None => (Action::DefaultPrivileges, &[Hazard::RevokesAccess][..]),
        };
        self.step(action, grantee, &row.role, summary, statement, hazards);
        self.application_of_grantor = None;
    }
}
