//! Refuses new databases that would contain objects of other roles.
//!
//! `CREATE DATABASE` copies `template1` with everything in it, and the owner of the new database
//! would execute functions, triggers, operators and casts that other roles have created there.
//! Before PostgreSQL 15, and on servers that were upgraded from such a version, PUBLIC may create
//! objects in schema `public` of `template1`.
//!
//! `template0` cannot be copied instead: before PostgreSQL 15 on Amazon RDS, its schema `public`
//! belongs to `rdsadmin`, so that the administrator could never revoke `CREATE` from PUBLIC.
//!
//! On every version, each role can create large objects and default privileges in `template1`. A
//! new database may copy them: no other role executes them, and no role can block others with them.

use std::collections::BTreeSet;

use super::planner::{Planner, is_public};
use super::sql::{self, GrantTarget, RevokeScope, Statement};
use super::{Executor, ManualFix, MembershipOption, Memberships, RefusalKind};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName, TEMPLATE};
use crate::observed::{self, Contents, Grantee, ObjectsOfRole, UnreadableContents};
use crate::privilege::{Privilege, Privileges};

/// The number of objects that a message names. The statements drop more of them.
const NAMED: usize = 3;

impl Planner<'_> {
    /// Refuses to create or to finish a database that contains or would contain objects of other
    /// roles. Returns whether it refused.
    pub(super) fn refuse_copied_objects(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        unfinished: Option<&observed::Database>,
    ) -> bool {
        let mut refused = false;
        if let Some(seen) = unfinished.filter(|seen| !seen.objects_of_others.is_empty()) {
            refused = true;
            let roles = seen.objects_of_others.iter().cloned().collect();
            self.refuse_with_fix(
                &database.application,
                RefusalKind::UnfinishedDatabaseWithObjects { database: name.clone(), roles },
                Executor::Administrator,
                sql::drop_database(name),
            );
        }
        let observed = self.observed;
        refused |= self.refuse_unreadable_template(&database.application);
        let Some(contents) = &observed.template else { return refused };
        for objects in &contents.objects_of_others {
            refused = true;
            let named = objects.first.iter().take(NAMED);
            let named: Vec<String> = named.map(ToString::to_string).collect();
            let count = usize::try_from(objects.count).unwrap_or(usize::MAX);
            let kind = RefusalKind::ObjectsInTemplate {
                database: name.clone(),
                role: objects.role.clone(),
                others: count.saturating_sub(named.len()),
                objects: named,
            };
            let (executor, fix) = self.clean_template(contents, objects);
            self.refuse_with_fix(&database.application, kind, executor, fix);
        }
        refused
    }

    /// Refuses what needs the contents of the template, if they are not read. Returns whether it refused.
    pub(super) fn refuse_unreadable_template(&mut self, application: &ApplicationName) -> bool {
        let database = DatabaseName::new_unchecked(TEMPLATE);
        let kind = match &self.observed.template_unreadable {
            None => return false,
            Some(UnreadableContents::TooLarge(excess)) => {
                RefusalKind::DatabaseTooLarge { database, excess: excess.clone() }
            }
            Some(UnreadableContents::Failed(reason)) => {
                RefusalKind::DatabaseUnreachable { database, reason: reason.clone() }
            }
        };
        self.refuse(application, kind);
        true
    }

    /// Returns the statements that drop the objects of a role in the template, and after which no
    /// role can create others, with the role that can execute them.
    fn clean_template(
        &mut self,
        contents: &Contents,
        objects: &ObjectsOfRole,
    ) -> (Executor, ManualFix) {
        let template = DatabaseName::new_unchecked(TEMPLATE);
        let mut needed: BTreeSet<RoleName> = objects.dropped_by.clone();
        let owner = self.observed.templates.get(&template).cloned();
        needed.extend(owner.clone());
        let mut statements: Vec<Statement> = objects.first.iter().map(sql::drop_object).collect();
        let create = Privileges::from([Privilege::Create]);
        let open = contents.schemas.iter().filter(|(schema, seen)| {
            is_public(schema)
                && seen.acl.iter().any(|item| {
                    item.grantee == Grantee::Public && item.privilege == Privilege::Create
                })
        });
        for (schema, seen) in open {
            let target = GrantTarget::Schema(SchemaName::clone(schema));
            statements.push(sql::revoke(
                RevokeScope::Privilege,
                &create,
                &target,
                &Grantee::Public,
            ));
            needed.insert(match seen.owner.as_str() {
                super::DATABASE_OWNER => owner.clone().unwrap_or_else(|| seen.owner.clone()),
                _ => seen.owner.clone(),
            });
        }
        let connect = Privileges::from([Privilege::Connect]);
        let target = GrantTarget::Database(template.clone());
        statements.push(sql::revoke(RevokeScope::Privilege, &connect, &target, &Grantee::Public));

        let administrator = &self.observed.administrator;
        needed.remove(&administrator.name);
        let is_superuser = administrator.superuser;
        let others: Vec<RoleName> = needed.into_iter().collect();
        let (executor, fix) = match others.as_slice() {
            _ if is_superuser => (Executor::Administrator, statements.into()),
            [] => (Executor::Administrator, statements.into()),
            // The owner of the schema and of the template, for example the master user.
            [one] if owner.as_ref() == Some(one) && self.executor(one) != Executor::Superuser => {
                (self.executor(one), statements.into())
            }
            all if all.iter().all(|role| self.act_as(role).is_some()) => {
                let inherit = |role: &RoleName| (role.clone(), MembershipOption::Inherit);
                let memberships: Memberships = all.iter().map(inherit).collect();
                (Executor::Administrator, self.fix_by_administrator(statements, memberships))
            }
            _ => (Executor::Superuser, statements.into()),
        };
        (executor, ManualFix::in_database(fix, &template))
    }
}
