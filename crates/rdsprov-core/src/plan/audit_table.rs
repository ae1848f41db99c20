//! Sets the audit table of each transaction, and refuses tables that differ from their definition.
//!
//! A transaction writes the rows of its steps into the audit table of the database in which it runs:
//! `postgres` for roles and databases, or else the database whose contents it changes. Only a
//! transaction with steps writes rows, or creates the table.
//!
//! The administrator owns the schema and the table, also in the databases of applications. `DROP`, `ALTER`
//! and `GRANT` require the owner of the object, so the owner of the database can change neither of both.
//!
//! The owner of a database can create the schema before the administrator does. This stops only what the
//! definitions declare in this database: no other application, no retirement and no delegation.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Planner;
use super::sql::{self, GrantTarget};
use super::{Action, AuditTarget, MembershipOption, NoteKind, RefusalKind, Scope, Transaction};
use crate::audit_table::AuditTableName;
use crate::name::{ApplicationName, DatabaseName, LOCK_DATABASE, RoleName};
use crate::observed::Grantee;
use crate::privilege::{AccessLevel, Privilege, Privileges};

impl AuditTarget {
    /// Returns the membership with which the administrator creates the table.
    pub(super) fn membership(&self) -> Option<(RoleName, MembershipOption)> {
        Some((self.created_as_member_of.clone()?, MembershipOption::Inherit))
    }
}

impl Planner<'_> {
    /// Has each transaction write audit rows, if the run writes any.
    pub(super) fn audit(&mut self, transactions: &mut Vec<Transaction>) {
        self.refuse_covered_schemas();
        let Some(table) = &self.desired.audit_table else { return };
        self.leave_altered_databases(table, transactions);
        self.refuse_altered_tables(table, transactions);
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

    /// Leaves out what a run that ends access, or a delegation, would change in a database whose audit table
    /// differs from its definition. The other steps end the access there: `NOLOGIN`, and the drops.
    fn leave_altered_databases(
        &mut self,
        table: &AuditTableName,
        transactions: &mut Vec<Transaction>,
    ) {
        let desired = self.desired;
        let ends_access = desired.retires || desired.torn_down_build.is_some();
        if !ends_access && desired.delegate().is_none() {
            return;
        }
        let mut left: BTreeSet<(RoleName, DatabaseName)> = BTreeSet::new();
        let mut kept = Vec::new();
        for transaction in transactions.drain(..) {
            let altered = match &transaction.scope {
                Scope::Database(name) if name.as_str() != LOCK_DATABASE => {
                    self.altered_table(name).map(|defects| (name, defects))
                }
                _ => None,
            };
            let Some((database, defects)) = altered else {
                kept.push(transaction);
                continue;
            };
            let roles = transaction.steps.iter().filter_map(|step| step.role.clone());
            left.extend(roles.map(|role| (role, database.clone())));
            let (database, steps) = (database.clone(), transaction.steps.len());
            let kind = NoteKind::AuditTablePreventsChanges {
                database,
                table: table.clone(),
                steps,
                defects,
            };
            self.note(kind);
        }
        // PostgreSQL does not drop a role that still has something in such a database.
        let drops = kept.iter().flat_map(|one| &one.steps);
        let drops = drops.filter(|step| step.action == Action::DropRole);
        let mut not_dropped: BTreeMap<RoleName, Vec<String>> = BTreeMap::new();
        for role in drops.filter_map(|step| step.role.as_ref()) {
            let of_role = left.iter().filter(|(left, _)| left == role);
            let held = of_role.map(|(_, database)| format!("privileges in database {database}"));
            let held: Vec<String> = held.collect();
            if !held.is_empty() {
                not_dropped.insert(role.clone(), held);
            }
        }
        let is_dropped = |step: &super::Step| {
            step.action != Action::DropRole
                || step.role.as_ref().is_none_or(|role| !not_dropped.contains_key(role))
        };
        transactions.extend(kept.into_iter().filter_map(|one| one.retain(is_dropped)));
        for (role, held) in not_dropped {
            self.note(NoteKind::RoleNotDropped { role, held });
        }
    }

    /// Returns what differs in the audit table of a database, if anything does.
    fn altered_table(&self, database: &DatabaseName) -> Option<Vec<String>> {
        let seen = self.observed.audit_tables.get(database)?;
        (!seen.defects.is_empty()).then(|| seen.defects.clone())
    }

    /// Refuses a table that differs from its definition: that of the administrator, and those of the databases
    /// that the plan changes or the selected applications own, also if the plan changes nothing there.
    ///
    /// The table of another database concerns no application of the run: its owner could stop all others.
    fn refuse_altered_tables(&mut self, table: &AuditTableName, transactions: &[Transaction]) {
        let scopes = transactions.iter().map(|transaction| &transaction.scope);
        let written: BTreeSet<DatabaseName> = scopes.filter_map(Scope::audited_database).collect();
        let ends_access = self.desired.retires || self.desired.torn_down_build.is_some();
        let observed = self.observed;
        for database in observed.audit_tables.keys() {
            let Some(defects) = self.altered_table(database) else { continue };
            let declared = self.desired.databases.get(database);
            let is_owned = declared.is_some_and(|one| {
                one.owner.is_some() && !ends_access && self.desired.is_selected(&one.application)
            });
            let is_of_administrator = database.as_str() == LOCK_DATABASE;
            if !(is_of_administrator || is_owned || written.contains(database)) {
                continue;
            }
            let application = self.application_of_audit_table(database);
            let (database, table) = (database.clone(), table.clone());
            self.refuse(&application, RefusalKind::AuditTableAltered { database, table, defects });
        }
    }

    /// Refuses applications that cover the schema of an audit table: its owner would be the owner of the
    /// application, or its users would get privileges on the rows. A run that names no table recognizes the tables
    /// of others.
    fn refuse_covered_schemas(&mut self) {
        let desired = self.desired;
        let named = desired.audit_table.as_ref().map(AuditTableName::schema);
        for (name, database) in &desired.databases {
            let seen = self.observed.databases.get(name);
            let found = seen.and_then(|seen| seen.contents.as_ref()).map(|one| &one.audit_schemas);
            let schemas: BTreeSet<_> = found.into_iter().flatten().chain(named).collect();
            let access = database.access.values().filter(|one| {
                one.level != AccessLevel::None && desired.is_selected(&one.application)
            });
            for one in access {
                for schema in schemas.iter().filter(|schema| one.schemas.contains(**schema)) {
                    let schema = (*schema).clone();
                    self.refuse(&one.application, RefusalKind::AuditSchemaDeclared { schema });
                }
            }
        }
    }

    /// Returns the application of a database, or the administrator for its own database. If only users of a
    /// database are selected, it is the first of them.
    fn application_of_audit_table(&self, database: &DatabaseName) -> ApplicationName {
        let of_administrator = ApplicationName::for_delegates();
        let Some(declared) = self.desired.databases.get(database) else { return of_administrator };
        let owner = Some(&declared.application).filter(|one| self.desired.is_selected(one));
        let selected = owner.or_else(|| self.desired.selected_entry(declared));
        selected.unwrap_or(&declared.application).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::desired::Desired;
    use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
    use crate::observed::{AuditTable, Observed};
    use crate::plan::test_states::{desired, desired_from, marker, observed_with};
    use crate::plan::{Action, NoteCode, Plan, RefusalCode, Scope, SecretFindings};

    const ROLES: [(&str, &str); 4] = [
        ("hr", "hr_owner"),
        ("hr_reports", "analyst"),
        ("shop", "shop_owner"),
        ("wiki", "wiki_owner"),
    ];

    /// Returns a server with the databases of `desired()` and with another one; the owners of these databases
    /// have created the schema of the audit table.
    fn squatted(databases: &[&str]) -> Observed {
        let roles = ROLES.map(|(application, name)| (name, marker(application, name, "")));
        let roles: Vec<_> = roles.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let names = ["hr", "shop", "wiki"].map(|name| (name, format!("{name}_owner")));
        let comments = names.clone().map(|(name, _)| marker(name, name, ""));
        let entries = names.iter().zip(&comments);
        let entries: Vec<_> =
            entries.map(|((name, owner), text)| (*name, owner.as_str(), text.as_str())).collect();
        let mut observed = observed_with(&roles, &entries);
        for role in observed.roles.values_mut() {
            role.administered = true;
        }
        for name in databases {
            let table = AuditTable {
                has_schema: true,
                exists: false,
                defects: vec!["schema rdsprov_audit belongs to another role".to_owned()],
            };
            observed.audit_tables.insert(DatabaseName::new_unchecked(*name), table);
        }
        observed
    }

    fn plan(mut desired: Desired, observed: &Observed) -> Plan {
        desired.audit_table = Some("rdsprov_audit.changes".parse().unwrap());
        Plan::new(&desired, observed, SecretFindings::default())
    }

    fn refused(plan: &Plan) -> Vec<String> {
        let altered =
            plan.refusals.iter().filter(|one| one.code() == RefusalCode::AuditTableAltered);
        altered.map(|one| one.application.to_string()).collect()
    }

    #[test]
    fn squatted_table_concerns_its_own_application_only() {
        assert_eq!(refused(&plan(desired(), &squatted(&["other", "hr"]))), ["hr"]);
        assert_eq!(refused(&plan(desired(), &squatted(&["postgres"]))).len(), 1);
        // Of definitions that do not declare the database, and of a selection without it.
        let shop = r#"
            [application_databases]
            shop = { database_name = "shop", username = "shop_owner" }
        "#;
        assert_eq!(refused(&plan(desired_from(shop), &squatted(&["hr"]))), [""; 0]);
        let mut selected = desired();
        selected.select(&["wiki".to_owned()]).unwrap();
        assert_eq!(refused(&plan(selected, &squatted(&["hr"]))), [""; 0]);
        // A selected reader gets a privilege in the database.
        let mut selected = desired();
        selected.select(&["hr_reports".to_owned()]).unwrap();
        assert_eq!(refused(&plan(selected, &squatted(&["hr"]))), ["hr_reports"]);
    }

    #[test]
    fn squatted_table_does_not_prevent_the_end_of_access() {
        let mut retirement = desired_from("[application_databases]");
        retirement.retire(&["hr_reports".to_owned()]).unwrap();
        retirement.drops_roles = true;
        let mut observed = squatted(&["hr"]);
        let database = observed.databases.get_mut(&DatabaseName::new_unchecked("hr")).unwrap();
        let schemas = &mut database.contents.as_mut().unwrap().schemas;
        let public = schemas.values_mut().next().unwrap();
        let granted = public.acl[0].clone();
        let analyst = RoleName::new_unchecked("analyst");
        public.acl.push(crate::observed::AclItem {
            grantee: crate::observed::Grantee::Role(analyst),
            ..granted
        });
        let plan = plan(retirement, &observed);
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        let actions: Vec<Action> = plan.steps().map(|step| step.action).collect();
        assert!(actions.contains(&Action::AlterRole), "{actions:?}");
        assert!(!actions.contains(&Action::DropRole), "{actions:?}");
        let is_inside = |scope: &Scope| matches!(scope, Scope::Database(_));
        assert!(!plan.transactions.iter().any(|one| is_inside(&one.scope)));
        let codes: BTreeSet<NoteCode> = plan.notes.iter().map(|note| note.code()).collect();
        assert!(codes.contains(&NoteCode::AuditTablePreventsChanges), "{codes:?}");
        assert!(codes.contains(&NoteCode::RoleNotDropped), "{codes:?}");
    }

    /// A run without the option recognizes the table of others.
    #[test]
    fn schema_of_an_audit_table_is_covered_by_no_application() {
        let declared = desired_from(
            r#"
            [application_databases]
            hr = { database_name = "hr", username = "hr_owner" }
            hr_rw = { database_name = "hr", username = "analyst", access_level = "editor", schemas = ["public", "log"] }
            "#,
        );
        let mut observed = squatted(&[]);
        let refused = |observed: &Observed| {
            let plan = Plan::new(&declared, observed, SecretFindings::default());
            let of = |one: &ApplicationName| one.to_string();
            let refusals = plan.refusals.iter();
            let refusals = refusals.filter(|one| one.code() == RefusalCode::AuditSchemaDeclared);
            refusals.map(|one| of(&one.application)).collect::<Vec<_>>()
        };
        assert_eq!(refused(&observed), [""; 0]);
        let database = observed.databases.get_mut(&DatabaseName::new_unchecked("hr")).unwrap();
        let contents = database.contents.as_mut().unwrap();
        contents.audit_schemas.insert(SchemaName::new("log").unwrap());
        assert_eq!(refused(&observed), ["hr_rw"]);
    }
}
