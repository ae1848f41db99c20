//! Sets the audit table of each transaction, and refuses tables that differ from their definition.
//!
//! A transaction writes the rows of its steps into the audit table of the database in which it runs:
//! `postgres` for roles and databases, or else the database whose contents it changes. Only a
//! transaction with steps writes rows, or creates the table.
//!
//! The administrator owns the schema and the table, also in the databases of applications. `DROP`, `ALTER`
//! and `GRANT` require the owner of the object, so the owner of the database can change neither of both.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::sql::{self, GrantTarget};
use super::{AuditTarget, MembershipOption, NoteKind, RefusalKind, Transaction};
use crate::audit_table::AuditTableName;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::Grantee;
use crate::privilege::{Privilege, Privileges};

impl AuditTarget {
    /// Returns the membership with which the administrator creates the table.
    pub(super) fn membership(&self) -> Option<(RoleName, MembershipOption)> {
        Some((self.created_as_member_of.clone()?, MembershipOption::Inherit))
    }
}

impl Planner<'_> {
    /// Has each transaction write audit rows, if the run writes any.
    pub(super) fn audit(&mut self, transactions: &mut [Transaction]) {
        let Some(table) = &self.desired.audit_table else { return };
        self.refuse_covered_schema(table);
        self.refuse_altered_tables(table);
        let mut created = BTreeSet::new();
        for transaction in transactions {
            let Some(database) = transaction.scope.audited_database() else { continue };
            let Some(target) = self.audit_target(table, &database) else { continue };
            if let Some((owner, option)) = target.membership() {
                let needed = transaction.memberships.entry(owner.clone()).or_insert(option);
                *needed = option.max(*needed);
                transaction.memberships_to_restore =
                    self.memberships_to_restore(&transaction.memberships);
                let identity = self.role_identity(&owner).map(|identity| (owner, identity));
                transaction.identities.roles.extend(identity);
            }
            created.extend(target.creates.then_some(database));
            transaction.audit = Some(target);
        }
        if !created.is_empty() {
            let administrator = self.observed.administrator.name.clone();
            let table = table.clone();
            self.note(NoteKind::AuditTableCreated { table, databases: created, administrator });
        }
    }

    /// Returns the audit table of a database, or refuses it.
    fn audit_target(
        &mut self,
        table: &AuditTableName,
        database: &DatabaseName,
    ) -> Option<AuditTarget> {
        let found = self.observed.audit_tables.get(database);
        let creates = !found.is_some_and(|found| found.exists);
        let target = AuditTarget { table: table.clone(), creates, created_as_member_of: None };
        if found.is_some_and(|found| found.has_schema) {
            return Some(target);
        }
        let administrator = &self.observed.administrator.name;
        let seen = self.observed.databases.get(database);
        let seen = seen.filter(|seen| !seen.is_unfinished(administrator));
        let may_create = seen.is_some_and(|seen| {
            let is_granted = |privilege, grantee: &Grantee| {
                privilege == Privilege::Create && *grantee == Grantee::Role(administrator.clone())
            };
            seen.acl.iter().any(|item| is_granted(item.privilege, &item.grantee))
        });
        let declared = self.desired.databases.get(database);
        let owner = match seen {
            Some(seen) => Some(&seen.owner),
            None => declared.and_then(|one| one.owner.as_ref()),
        };
        let Some(owner) = owner.filter(|_| !may_create) else {
            return Some(target);
        };
        if self.authority.is_member_already(owner, MembershipOption::Inherit) {
            return Some(target);
        }
        let application = self.application_of_audit_table(database);
        if self.act_as(owner).is_none() {
            let kind = RefusalKind::AuditTableNotCreatable {
                database: database.clone(),
                table: table.clone(),
                owner: owner.clone(),
                administrator: administrator.clone(),
            };
            let create = Privileges::from([Privilege::Create]);
            let grantee = Grantee::Role(administrator.clone());
            let fix = sql::grant(&create, &GrantTarget::Database(database.clone()), &grantee);
            let executor = self.executor(owner);
            self.refuse_with_fix(&application, kind, executor, fix);
            return None;
        }
        if !self.authority.may_have_privileges_of(owner) {
            self.refuse_without_inheritance(&application, owner);
            return None;
        }
        Some(AuditTarget { created_as_member_of: Some(owner.clone()), ..target })
    }

    /// Refuses a table that differs from its definition, also if the plan changes nothing.
    fn refuse_altered_tables(&mut self, table: &AuditTableName) {
        for (database, seen) in &self.observed.audit_tables {
            if seen.defects.is_empty() {
                continue;
            }
            let application = self.application_of_audit_table(database);
            let kind = RefusalKind::AuditTableAltered {
                database: database.clone(),
                table: table.clone(),
                defects: seen.defects.clone(),
            };
            self.refuse(&application, kind);
        }
    }

    /// Refuses applications that cover the schema of the table: its owner would be the owner of the
    /// application.
    fn refuse_covered_schema(&mut self, table: &AuditTableName) {
        let databases = self.desired.databases.values();
        let access = databases.flat_map(|database| database.access.values());
        for one in access.filter(|one| one.schemas.contains(table.schema())) {
            let schema = table.schema().clone();
            self.refuse(&one.application, RefusalKind::AuditSchemaDeclared { schema });
        }
    }

    /// Returns the application of a database, or the administrator for its own database.
    fn application_of_audit_table(&self, database: &DatabaseName) -> ApplicationName {
        let declared = self.desired.databases.get(database);
        declared.map_or_else(ApplicationName::for_delegates, |one| one.application.clone())
    }
}
