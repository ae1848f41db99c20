//! Databases as all others see them: whether they may be touched, how one comes into the world, who owns
//! it, and who may enter it.

use std::collections::BTreeMap;

use super::acl::{self, AclDiff, Policy, with_owner};
use super::blocked::AclContext;
use super::planner::Planner;
use super::sql::{self, GrantTarget, Statement};
use super::{Action, ExecuteAs, Hazard, ManualFix, Memberships, Scope, Step, Transaction, orphans};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Grantee};
use crate::privilege::{self, Privilege, Privileges};

/// What became of a declared database.
pub(super) enum DatabaseStatus<'a> {
    Absent { unfinished: bool },
    Present(&'a observed::Database),
    Blocked,
}

/// Who a step is for, and how it is taken.
pub(super) struct StepTarget<'b> {
    pub application: &'b ApplicationName,
    pub role: Option<&'b RoleName>,
    pub execute_as: ExecuteAs,
    pub temporary_memberships: Memberships,
}

pub(super) fn step(
    name: &DatabaseName,
    of: StepTarget<'_>,
    action: Action,
    summary: String,
    statements: Vec<Statement>,
    hazards: &[Hazard],
) -> Step {
    Step {
        role: of.role.cloned(),
        database: Some(name.clone()),
        execute_as: of.execute_as,
        temporary_memberships: of.temporary_memberships,
        hazards: hazards.iter().copied().collect(),
        ..Step::plain(action, of.application, summary, statements)
    }
}

impl<'a> Planner<'a> {
    /// Finds a declared database, or says why it is not to be touched.
    pub(super) fn database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> DatabaseStatus<'a> {
        let application = &database.application;
        if *name == self.observed.admin_database {
            self.refuse(
                application,
                format!("database {name} is the administrator's own"),
                "give the application a database of its own".to_owned(),
            );
            return DatabaseStatus::Blocked;
        }
        let Some(seen) = self.observed.databases.get(name) else {
            return self.absent_database(name, database);
        };
        if seen.is_unfinished(&self.observed.administrator.name) {
            return DatabaseStatus::Absent { unfinished: true };
        }
        if self
            .check_adoption(application, &format!("database {name}"), seen.marker(), database.adopt)
            .is_none()
        {
            return DatabaseStatus::Blocked;
        }
        if let Some(reason) = &seen.unreachable {
            self.refuse(
                application,
                format!("database {name} cannot be looked into: {reason}"),
                "see to it that the administrator can connect to it, then run again".to_owned(),
            );
            return DatabaseStatus::Blocked;
        }
        let allowed = match &database.owner {
            Some(owner) if *owner != seen.owner => {
                self.may_change_owner(name, application, &seen.owner, owner)
            }
            None if self.desired.roles.contains_key(&seen.owner) => {
                self.refuse_undeclared_owner(name, database, &seen.owner);
                false
            }
            _ => self.may_act_for_owner(name, application, &seen.owner),
        };
        self.creators_exist(name, database);
        if allowed { DatabaseStatus::Present(seen) } else { DatabaseStatus::Blocked }
    }

    /// A declared role that owns the database though no entry says so could do there whatever it likes.
    fn refuse_undeclared_owner(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
    ) {
        let declared = match database.access.get(owner) {
            Some(access) => format!("which the definitions declare as its {}", access.level),
            None => "whose entries are for other databases".to_owned(),
        };
        let message = format!("database {name} belongs to role {owner}, {declared}");
        if self.refuse_subscriptions(name, &database.application, owner, &message) {
            return;
        }
        let manual_fix = self.manual_transfer_sql(name, owner, &self.observed.administrator.name);
        let remedy = format!(
            "declare its owner with access_level = \"owner\"; or have a superuser run, in database {name}: {};",
            manual_fix.sql
        );
        self.findings.add_refusal(&database.application, message, remedy, Some(manual_fix));
    }

    fn creators_exist(&mut self, name: &DatabaseName, database: &desired::Database) {
        for creator in &database.creators {
            let known = self.observed.roles.contains_key(creator)
                || self.desired.roles.contains_key(creator);
            if !known {
                self.refuse_with_fix(
                    &database.application,
                    format!(
                        "role {creator}, which `creators` names for database {name}, does not exist"
                    ),
                    "the administrator, unless the name is a mistake,",
                    ManualFix { database: None, sql: sql::create_plain_role(creator).redacted() },
                );
            }
        }
    }

    /// Not there: to be made, unless it only has another name since.
    fn absent_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> DatabaseStatus<'a> {
        let renamed = self.observed.databases.iter().find(|(other, seen)| {
            *other != name
                && seen.marker().is_some_and(|marker| {
                    marker.name == name.as_str() && marker.environment == self.desired.environment
                })
        });
        let Some((other, _)) = renamed else { return DatabaseStatus::Absent { unfinished: false } };
        self.refuse_with_fix(
            &database.application,
            format!("database {name} does not exist, and database {other} was called so when it was made; a new one would be empty"),
            "a superuser, or its owner with CREATEDB,",
            ManualFix {
                database: None,
                sql: sql::rename_database(other, name).redacted(),
            },
        );
        DatabaseStatus::Blocked
    }

    fn may_act_for_owner(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        owner: &RoleName,
    ) -> bool {
        if self.act_as(owner).is_some() {
            return true;
        }
        self.refuse_with_fix(
            application,
            format!("the administrator cannot act as role {owner}, the owner of database {name}"),
            "a superuser",
            ManualFix {
                database: None,
                sql: sql::grant_role(owner, &self.observed.administrator.name).redacted(),
            },
        );
        false
    }

    /// The way of a new database into the world: closed, marked, granted, handed over, opened.
    pub(super) fn plan_new_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        unfinished: bool,
    ) -> Option<Transaction> {
        let application = &database.application;
        let Some(owner) = &database.owner else {
            self.refuse(
                application,
                format!("database {name} does not exist and no application declares its owner"),
                format!("declare an application with `database_name = \"{name}\"` and `access_level = \"owner\"`"),
            );
            return None;
        };
        self.creators_exist(name, database);
        // Where nobody can act as the owner, the role itself is refused already, with the reason.
        self.act_as(owner)?;
        let target = GrantTarget::Database(name.clone());
        fn by<'b>(
            application: &'b ApplicationName,
            role: &'b RoleName,
            execute_as: ExecuteAs,
        ) -> StepTarget<'b> {
            StepTarget {
                application,
                role: Some(role),
                execute_as,
                temporary_memberships: Memberships::new(),
            }
        }
        // Nobody knows what has happened to a database that a stopped run left behind.
        let seen = self.observed.databases.get(name).filter(|_| unfinished);
        let comment = seen.and_then(|seen| seen.comment.clone());
        let marker =
            sql::set_database_marker(name, comment, self.marker(application, name.as_str()));
        let mut steps = vec![step(
            name,
            by(application, owner, ExecuteAs::Administrator),
            Action::CreateDatabase,
            format!("database {name}, closed to PUBLIC"),
            vec![sql::close_database(name), marker],
            &[],
        )];
        let acl = seen.map_or(&[] as &[_], |seen| &seen.acl);
        let wanted: BTreeMap<RoleName, Privileges> = database
            .access
            .iter()
            .map(|(role, access)| (role.clone(), privilege::on_database(access.level)))
            .collect();
        let managed = |role: &RoleName| self.desired.roles.contains_key(role);
        let acl_diff = acl::diff(acl, &Policy { wanted: &wanted, managed: &managed, public: None });
        for (role, privileges) in &acl_diff.grant {
            steps.push(step(
                name,
                by(self.application_for(role, database), role, ExecuteAs::Administrator),
                Action::Grant,
                granted_words(privileges, &target, role),
                vec![sql::grant(privileges, &target, &Grantee::Role(role.clone()))],
                &[],
            ));
        }
        for revoke in &acl_diff.revoke {
            let (summary, statement) = super::database::revoked(revoke, &target);
            steps.push(step(
                name,
                by(application, owner, ExecuteAs::Administrator),
                Action::Revoke,
                summary,
                vec![statement],
                &[],
            ));
        }
        let none = BTreeMap::new();
        self.settings(name, database, seen.map_or(&none, |seen| &seen.settings), &mut steps);
        steps.push(self.owner_step(name, application, None, owner));
        let connect = Privileges::from([Privilege::Connect]);
        let administrator = Grantee::Role(self.observed.administrator.name.clone());
        steps.push(step(
            name,
            by(application, owner, ExecuteAs::Role(owner.clone())),
            Action::AlterDatabase,
            format!("database {name}: open to its owner and the administrator"),
            vec![sql::grant(&connect, &target, &administrator), sql::finish_database(name)],
            &[],
        ));
        let mut transaction = self.transaction(Scope::NewDatabase(name.clone()), steps)?;
        transaction.before = (!unfinished).then(|| sql::create_database(name));
        Some(transaction)
    }

    /// Owner, mark and ACL of a database that exists.
    pub(super) fn plan_database_attributes(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
        steps: &mut Vec<Step>,
    ) {
        let application = &database.application;
        let owner = database.owner.as_ref().unwrap_or(&seen.owner);
        let mut acl = seen.acl.clone();
        if *owner != seen.owner {
            steps.push(self.owner_step(name, application, Some(&seen.owner), owner));
            acl = with_owner(&acl, &seen.owner, owner);
        }
        let Some(execute_as) = self.act_as(owner) else { return };
        let mut change = |action, summary, statement, hazards: &[Hazard]| {
            let of = StepTarget {
                application,
                role: database.owner.as_ref(),
                execute_as: execute_as.clone(),
                temporary_memberships: Memberships::new(),
            };
            steps.push(step(name, of, action, summary, vec![statement], hazards));
        };
        let marker = || {
            let marker = self.marker(application, name.as_str());
            sql::set_database_marker(name, seen.comment.clone(), marker)
        };
        match seen.marker() {
            None => {
                change(Action::Adopt, format!("database {name}"), marker(), &[Hazard::Adopts]);
            }
            Some(old) if old.name != name.as_str() => {
                let summary = format!("database {name}: its mark still says {}", old.name);
                change(Action::AlterDatabase, summary, marker(), &[]);
            }
            Some(_) => {}
        }
        if !seen.allow_connections {
            let summary = format!("database {name}: open to those who may connect");
            change(Action::AlterDatabase, summary, sql::open_database(name), &[]);
        }
        let administrator = &self.observed.administrator;
        let mut wanted: BTreeMap<RoleName, Privileges> = database
            .access
            .iter()
            .map(|(role, access)| (role.clone(), privilege::on_database(access.level)))
            .collect();
        if database.owner.is_some() {
            wanted.insert(owner.clone(), privilege::OWNER_ON_DATABASE.into());
        }
        // It may own the database and have taken that from itself.
        if !administrator.superuser {
            wanted.insert(administrator.name.clone(), Privileges::from([Privilege::Connect]));
        }
        let managed = |role: &RoleName| self.desired.roles.contains_key(role) && role != owner;
        let policy = Policy { wanted: &wanted, managed: &managed, public: Some(Privileges::new()) };
        let difference = acl::diff(&acl, &policy);
        self.database_acl(name, database, owner, &difference, steps);
    }

    fn database_acl(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
        difference: &AclDiff,
        steps: &mut Vec<Step>,
    ) {
        let target = GrantTarget::Database(name.clone());
        for (role, privileges) in &difference.grant {
            let Some(execute_as) = self.act_as(owner) else { continue };
            let application = self.application_for(role, database);
            let of = StepTarget {
                application,
                role: Some(role),
                execute_as,
                temporary_memberships: Memberships::new(),
            };
            let statement = sql::grant(privileges, &target, &Grantee::Role(role.clone()));
            let summary = granted_words(privileges, &target, role);
            steps.push(step(name, of, Action::Grant, summary, vec![statement], &[]));
        }
        let context = AclContext {
            target: &target,
            owner,
            database: None,
            application: &database.application,
        };
        if self.refuse_dependent_grants(&context, difference) {
            return;
        }
        for revoke in &difference.revoke {
            let (summary, statement) = super::database::revoked(revoke, &target);
            let Some(execute_as) = self.act_as(&revoke.grantor) else {
                self.refuse_revoke(&context, revoke, &[]);
                continue;
            };
            let (role, hazard) = match &revoke.grantee {
                Grantee::Public => (None, Hazard::ClosesToPublic),
                Grantee::Role(role) => (Some(role), Hazard::RevokesAccess),
            };
            let application =
                role.map_or(&database.application, |role| self.application_for(role, database));
            let of = StepTarget {
                application,
                role,
                execute_as,
                temporary_memberships: Memberships::new(),
            };
            steps.push(step(name, of, Action::Revoke, summary, vec![statement], &[hazard]));
        }
    }

    /// Closes to PUBLIC, of the databases that declared roles made for themselves, those that a pattern
    /// names.
    pub(super) fn plugin_databases(&mut self, steps: &mut Vec<Step>) {
        for undeclared in orphans::undeclared(self.desired, self.observed) {
            let Some(seen) =
                self.observed.databases.get(&undeclared.database).filter(|_| undeclared.closed)
            else {
                continue;
            };
            let held_by_public = seen.acl.iter().filter(|item| item.grantee == Grantee::Public);
            let mut by_grantor: BTreeMap<&RoleName, Privileges> = BTreeMap::new();
            for item in held_by_public {
                by_grantor.entry(&item.grantor).or_default().insert(item.privilege);
            }
            let target = GrantTarget::Database(undeclared.database.clone());
            for (grantor, privileges) in by_grantor {
                let application = &undeclared.application;
                let taken = sql::RevokeScope::Privilege;
                let statement = sql::revoke(taken, &privileges, &target, &Grantee::Public, false);
                let summary = revoked_words(&privileges, &target, "PUBLIC");
                let Some(execute_as) = self.act_as(grantor) else {
                    self.refuse_with_fix(
                        application,
                        format!("\"revoke {summary}\" is for role {grantor} to do, as which the administrator cannot act"),
                        &format!("role {grantor} or a superuser"),
                        ManualFix { database: None, sql: sql::as_role(grantor, &statement) },
                    );
                    continue;
                };
                let of = StepTarget {
                    application,
                    role: Some(&seen.owner),
                    execute_as,
                    temporary_memberships: Memberships::new(),
                };
                let hazards = [Hazard::ClosesToPublic];
                let name = &undeclared.database;
                steps.push(step(name, of, Action::Revoke, summary, vec![statement], &hazards));
            }
        }
    }
}

/// `SELECT, INSERT`.
pub(super) fn listed(privileges: &Privileges) -> String {
    privileges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
    grantee: &str,
) -> String {
    format!("{} on {} from {grantee}", listed(privileges), target.words())
}
