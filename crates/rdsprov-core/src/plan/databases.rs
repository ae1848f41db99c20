//! Plans database creation, ownership and `CONNECT` privileges.

use std::collections::BTreeMap;

use super::acl::{self, AclDiff, DeclaredAcl, with_owner};
use super::authority::AdministratorAttribute;
use super::blocked::AclContext;
use super::locked_out::ClosedDatabase;
use super::planner::{Adoptable, Planner};
use super::scopes::{change_in_words, scope_of_database};
use super::sql::{self, GrantTarget};
use super::words::{granted_words, revoked, revoked_by_owner, revoked_words};
use super::{
    Action, ExecuteAs, Executor, Hazard, MembershipOption, Memberships, RefusalKind, Remedy, Scope,
    Step, Transaction, orphans,
};
use crate::desired::{self, Adoption};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Grantee};
use crate::privilege::{self, Privilege, Privileges};

/// The result of looking for a declared database.
pub(super) enum DatabaseStatus<'a> {
    /// It does not exist, and the plan creates it.
    Absent,
    /// An interrupted run created it, and the plan continues with it.
    Unfinished(&'a observed::Database),
    Present(&'a observed::Database),
    /// It is refused.
    Blocked,
}

impl<'a> Planner<'a> {
    /// Finds a declared database, or refuses to change it.
    pub(super) fn database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> DatabaseStatus<'a> {
        let application = &database.application;
        if *name == self.observed.admin_database {
            self.refuse(application, RefusalKind::AdministratorDatabase { database: name.clone() });
            return DatabaseStatus::Blocked;
        }
        let Some(seen) = self.observed.databases.get(name) else {
            return self.absent_database(name, database);
        };
        if seen.is_unfinished(&self.observed.administrator.name) {
            return DatabaseStatus::Unfinished(seen);
        }
        if seen.comment_too_long {
            let kind = RefusalKind::CommentTooLong { object: format!("database {name}") };
            self.refuse(application, kind);
            return DatabaseStatus::Blocked;
        }
        let object = Adoptable::Database(name);
        let marker = self.believed_marker(name, database, seen);
        if !self.restores_marker(name, database, seen)
            && self.takeover(application, object, marker, database.adoption).is_none()
        {
            return DatabaseStatus::Blocked;
        }
        self.refuse_unrecorded(name, database);
        if let Some(excess) = &seen.too_large {
            self.refuse(
                application,
                RefusalKind::DatabaseTooLarge { database: name.clone(), excess: excess.clone() },
            );
            return DatabaseStatus::Blocked;
        }
        if seen.settings_too_long.contains(&None) {
            self.refuse_long_settings(application, None, name, &seen.owner);
            return DatabaseStatus::Blocked;
        }
        if let Some(reason) = &seen.unreachable {
            self.refuse(
                application,
                RefusalKind::DatabaseUnreachable { database: name.clone(), reason: reason.clone() },
            );
            return DatabaseStatus::Blocked;
        }
        let allowed = match &database.owner {
            Some(owner) if *owner != seen.owner => {
                self.may_change_owner(name, application, &seen.owner, owner)
            }
            // A retired role keeps its databases: it cannot log in. So does the owner of a database to which no
            // entry gives access.
            None if !database.is_retired()
                && self.desired.roles.get(&seen.owner).is_some_and(|one| !one.is_retired()) =>
            {
                self.refuse_undeclared_owner(name, database, &seen.owner);
                false
            }
            _ => self.may_act_for_owner(name, application, &seen.owner),
        };
        self.creators_exist(name, database);
        if allowed { DatabaseStatus::Present(seen) } else { DatabaseStatus::Blocked }
    }

    /// Refuses a database whose owner is a declared role without an owner entry: as the owner,
    /// it has all privileges.
    fn refuse_undeclared_owner(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
    ) {
        if self.refuse_subscriptions(name, &database.application, owner) {
            return;
        }
        let administrator = self.observed.administrator.name.clone();
        let remedy = self.manual_transfer(name, owner, &administrator);
        let kind = RefusalKind::DatabaseOwnerUndeclared {
            database: name.clone(),
            owner: owner.clone(),
            declared_as: database.access.get(owner).map(|access| access.level),
        };
        self.refuse_with(&database.application, kind, remedy);
    }

    fn creators_exist(&mut self, name: &DatabaseName, database: &desired::Database) {
        let is_selected = self.desired.is_selected(&database.application);
        for creator in database.creators.iter().filter(|_| is_selected) {
            let known = self.observed.roles.contains_key(creator)
                || self.desired.roles.contains_key(creator);
            if !known {
                self.refuse_with_fix(
                    &database.application,
                    RefusalKind::CreatorMissing {
                        database: name.clone(),
                        creator: creator.clone(),
                    },
                    Executor::Administrator,
                    sql::create_plain_role(creator),
                );
            }
        }
    }

    /// Handles a database that does not exist: it is created, unless the marker of another
    /// database contains its name.
    fn absent_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> DatabaseStatus<'a> {
        let owner = database.owner.as_ref();
        let mut renamed = self.recorded().databases_renamed_from(name).iter().copied();
        let renamed = renamed.find(|(_, seen)| self.speaks_for(seen, &database.application, owner));
        let Some((other, seen)) = renamed else {
            return DatabaseStatus::Absent;
        };
        let statement = sql::rename_database(other, name);
        let (executor, fix) = if self.act_as(&seen.owner).is_some() {
            // The administrator has `CREATEDB`, which `RENAME` also requires.
            let owner = Memberships::from([(seen.owner.clone(), MembershipOption::Inherit)]);
            (Executor::Administrator, self.fix_by_administrator(vec![statement], owner))
        } else {
            (self.more_powerful(), statement.into())
        };
        let kind =
            RefusalKind::DatabaseRenamed { database: name.clone(), renamed_to: other.clone() };
        self.refuse_with_fix(&database.application, kind, executor, fix);
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
        self.refuse_inaccessible_owner(name, application, owner);
        false
    }

    /// Refuses a database as whose owner the administrator cannot act.
    pub(super) fn refuse_inaccessible_owner(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        owner: &RoleName,
    ) {
        let administrator = self.observed.administrator.name.clone();
        let remedy = match self.executor(owner) {
            // A member of a superuser could become one.
            Executor::Superuser => {
                Remedy::Run(Executor::Superuser, sql::change_owner(name, &administrator).into())
            }
            _ => self.remedy_for_authority(owner),
        };
        let kind = RefusalKind::DatabaseOwnerInaccessible {
            administrator,
            database: name.clone(),
            owner: owner.clone(),
        };
        self.refuse_with(application, kind, remedy);
    }

    /// Creates a database: closed to PUBLIC, marked, granted, transferred to its owner, opened.
    /// `unfinished` is the database that an interrupted run created.
    pub(super) fn create_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        unfinished: Option<&observed::Database>,
    ) -> Option<Transaction> {
        let application = &database.application;
        let Some(owner) = &database.owner else {
            self.refuse(application, RefusalKind::OwnerEntryMissing { database: name.clone() });
            return None;
        };
        self.creators_exist(name, database);
        if self.refuse_copied_objects(name, database, unfinished) {
            return None;
        }
        // If the administrator cannot act as the owner, the role is already
        // refused with the reason.
        self.act_as(owner)?;
        if !self.require(AdministratorAttribute::CreateDatabase, application) {
            return None;
        }
        let target = GrantTarget::Database(name.clone());
        // Other programs may have changed a database that an interrupted run created.
        let comment = unfinished.and_then(|seen| seen.comment.clone());
        let marker =
            sql::set_database_marker(name, comment, self.marker(application, name.as_str()));
        let step = |action, application: &ApplicationName, role: &RoleName, summary, statements| {
            Step::new(action, application, summary, statements).for_role(role).in_database(name)
        };
        let left = self.database_left_by(application, owner);
        let moves = left.map(|left| {
            format!("; application {application} leaves database {left} with its data")
        });
        let created = step(
            Action::CreateDatabase,
            application,
            owner,
            format!("database {name}, closed to PUBLIC{}", moves.unwrap_or_default()),
            vec![sql::assert_no_copied_objects(name), sql::close_database(name), marker],
        );
        let mut steps = vec![created.with_hazards(left.map(|_| Hazard::MovesDatabase))];
        let acl = unfinished.map_or(&[] as &[_], |seen| &seen.acl);
        let wanted = database.privileges();
        let managed = |role: &RoleName| self.has_managed_privileges(role);
        let acl_diff = acl::diff(
            acl,
            &DeclaredAcl { wanted: &wanted, managed: &managed, public: None, elsewhere: None },
        );
        for (role, privileges) in acl_diff.grants() {
            steps.push(step(
                Action::Grant,
                self.application_for(role, database),
                role,
                granted_words(privileges, &target, role),
                vec![sql::grant(privileges, &target, &Grantee::Role(role.clone()))],
            ));
        }
        for revoke in &acl_diff.revoke {
            let (summary, statement) = revoked(revoke, &target);
            let by_owner = revoked_by_owner(revoke, &target);
            let statements = by_owner.unwrap_or_else(|| vec![statement]);
            steps.push(step(Action::Revoke, application, owner, summary, statements));
        }
        self.settings(name, database, unfinished, &mut steps);
        steps.push(self.owner_step(name, application, None, owner));
        let connect = Privileges::from([Privilege::Connect]);
        let administrator = Grantee::Role(self.observed.administrator.name.clone());
        let summary = format!("database {name}: open to its owner and the administrator");
        let opens = vec![sql::grant(&connect, &target, &administrator), sql::finish_database(name)];
        let opened = step(Action::AlterDatabase, application, owner, summary, opens);
        steps.push(opened.executed_as(ExecuteAs::Role(owner.clone())));
        self.retain_selected(name, [&mut steps]);
        let mut transaction = self.transaction(Scope::NewDatabase(name.clone()), steps)?;
        transaction.before = unfinished.is_none().then(|| sql::create_database(name));
        Some(transaction)
    }

    /// Returns the managed database that an application had and that no application declares now.
    fn database_left_by(
        &self,
        application: &ApplicationName,
        owner: &RoleName,
    ) -> Option<&'a DatabaseName> {
        let observed = self.observed;
        let left = observed.databases.iter().find(|(name, seen)| {
            let marker = seen.marker();
            let scope = || scope_of_database(self.desired, observed, self.recorded(), name, seen);
            self.is_marked_as(marker.as_ref(), name.as_str())
                && marker.is_some_and(|marker| marker.application == application.as_str())
                && !self.desired.databases.contains_key(*name)
                && self.speaks_for(seen, application, Some(owner))
                && !scope().is_some_and(|scope| self.desired.is_other_scope(scope.as_deref()))
        });
        left.map(|(name, _)| name)
    }

    /// Plans the owner, marker and ACL of an existing database.
    pub(super) fn database_attributes(
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
        let restores_marker = self.restores_marker(name, database, seen);
        let believed = self.believed_marker(name, database, seen);
        // A database without an owner entry stays in the scope of its owner.
        let changes_scope = |old: &Marker| {
            let change = change_in_words(old.scope.as_deref(), self.desired.scope.as_deref());
            change.filter(|_| database.owner.is_some())
        };
        let rewrites_comment = restores_marker
            || believed.as_ref().is_none_or(|one| {
                one.name != name.as_str()
                    || self.desired.takes_over(one).is_some()
                    || changes_scope(one).is_some()
            });
        if rewrites_comment
            && self.refuse_undecodable(
                application,
                format!("database {name}"),
                seen.comment.as_ref(),
            )
        {
            return;
        }
        let mut change = |action, summary, statement, hazard: Option<Hazard>| {
            let step = Step::new(action, application, summary, [statement])
                .for_role(database.owner.as_ref())
                .in_database(name)
                .executed_as(execute_as.clone())
                .with_hazards(hazard);
            steps.push(step);
        };
        let marker = || {
            let recorded = believed.as_ref().filter(|_| !restores_marker);
            let marker = Marker {
                adopted: recorded.is_none_or(|old| old.adopted),
                build_id: recorded.and_then(|old| old.build_id.clone()),
                ..self.marker(application, name.as_str())
            };
            let comment = seen.comment.as_deref();
            let taken_over = believed.as_ref().and_then(|one| self.desired.takes_over(one));
            let comment = match restores_marker || believed.is_none() || taken_over.is_some() {
                // Without the markers that the owner or the other environment has written.
                true => comment.and_then(Marker::removed_from),
                false => comment.map(str::to_owned),
            };
            sql::set_database_marker(name, comment, marker)
        };
        match &believed {
            None if !restores_marker || database.adoption == Adoption::Allowed => {
                change(Action::Adopt, format!("database {name}"), marker(), Some(Hazard::Adopts));
            }
            _ if restores_marker => {
                let reason = match &database.owner {
                    Some(owner) => format!("its owner {owner} is managed"),
                    None => "the marker of a role names it".to_owned(),
                };
                let summary = format!("database {name}: marker written again, because {reason}");
                change(Action::AlterDatabase, summary, marker(), None);
            }
            Some(old) if let Some(other) = self.desired.takes_over(old) => {
                let summary = format!("database {name} from environment {other}");
                let hazard = Some(Hazard::AdoptsFromEnvironment);
                change(Action::Adopt, summary, marker(), hazard);
            }
            Some(old) if old.name != name.as_str() => {
                let summary =
                    format!("database {name}: marker names {name} instead of {}", old.name);
                change(Action::AlterDatabase, summary, marker(), None);
            }
            Some(old) if let Some(scope) = changes_scope(old) => {
                let summary = format!("database {name}: marker names {scope}");
                change(Action::AlterDatabase, summary, marker(), None);
            }
            Some(_) | None => {}
        }
        if !seen.allow_connections {
            let summary = format!("database {name}: allows connections");
            let hazard = Some(Hazard::ReopensDatabase);
            change(Action::AlterDatabase, summary, sql::open_database(name), hazard);
        }
        if seen.is_template {
            let summary =
                format!("database {name}: no template that each role with CREATEDB copies");
            let hazard = Some(Hazard::RevokesAccess);
            change(Action::AlterDatabase, summary, sql::end_template(name), hazard);
        }
        let administrator = &self.observed.administrator;
        let mut wanted = database.privileges();
        if database.owner.is_some() {
            wanted.insert(owner.clone(), privilege::OWNER_ON_DATABASE.into());
        }
        // The administrator may own the database and have revoked CONNECT from itself.
        if !administrator.superuser {
            wanted.insert(administrator.name.clone(), Privileges::from([Privilege::Connect]));
        }
        let managed = |role: &RoleName| {
            role != owner
                && (self.has_managed_privileges(role) || self.is_group_of_application(role))
        };
        let declared = DeclaredAcl {
            wanted: &wanted,
            managed: &managed,
            public: Some(Privileges::new()),
            elsewhere: None,
        };
        let difference = acl::diff(&acl, &declared);
        let closed = ClosedDatabase { owner, acl: &acl, declared: Some(database) };
        self.database_acl(name, database, owner, &difference, &closed, steps);
    }

    fn database_acl(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
        difference: &AclDiff,
        closed: &ClosedDatabase<'_>,
        steps: &mut Vec<Step>,
    ) {
        let target = GrantTarget::Database(name.clone());
        for (role, privileges) in difference.grants() {
            let Some(execute_as) = self.act_as(owner) else { continue };
            let application = self.application_for(role, database);
            let statement = sql::grant(privileges, &target, &Grantee::Role(role.clone()));
            let summary = granted_words(privileges, &target, role);
            let granted = Step::new(Action::Grant, application, summary, [statement]);
            steps.push(granted.for_role(role).in_database(name).executed_as(execute_as));
        }
        let application = &database.application;
        let former = self.observed.databases.get(name).map(|seen| &seen.owner);
        let former_owners: Vec<RoleName> =
            former.into_iter().filter(|one| *one != owner).cloned().collect();
        let context = AclContext {
            target: &target,
            owner,
            effective_owner: owner,
            former_owners: &former_owners,
            database: None,
            application,
        };
        if self.refuse_dependent_grants(&context, difference, &[]) {
            return;
        }
        for revoke in &difference.revoke {
            self.refuse_shared_revocation(database, revoke);
            let (summary, statement) = revoked(revoke, &target);
            let role = revoke.grantee.role();
            let application = &self.application_of_privilege(role, database).clone();
            let by_owner = revoked_by_owner(revoke, &target);
            let grantor = if by_owner.is_some() { owner } else { &revoke.grantor };
            let Some(execute_as) = self.act_as(grantor) else {
                self.refuse_revoke(&AclContext { application, ..context }, revoke, &[]);
                continue;
            };
            let statements = by_owner.unwrap_or_else(|| vec![statement]);
            let revocation = Step::new(Action::Revoke, application, summary, statements)
                .for_role(role)
                .in_database(name)
                .executed_as(execute_as);
            steps.push(match role {
                Some(_) => revocation.with_hazards([Hazard::RevokesAccess]),
                None => {
                    let lost = self.lost_through_public(closed, &revoke.privileges);
                    revocation.closing_to_public(lost)
                }
            });
        }
    }

    /// Closes the plugin databases to PUBLIC.
    pub(super) fn plugin_databases(&mut self, steps: &mut Vec<Step>) {
        for undeclared in orphans::undeclared_databases(self.desired, self.observed) {
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
                let scope = sql::RevokeScope::Privilege;
                let statement = sql::revoke(scope, &privileges, &target, &Grantee::Public);
                let summary = revoked_words(&privileges, &target, &Grantee::Public);
                let Some(execute_as) = self.act_as(grantor) else {
                    let kind = RefusalKind::StepOfOtherRole {
                        database: None,
                        step: format!("revoke {summary}"),
                        role: grantor.clone(),
                    };
                    let executor = self.executor(grantor);
                    let statements = sql::as_role(&executor, grantor, statement);
                    self.refuse_with_fix(application, kind, executor, statements);
                    continue;
                };
                let revocation = Step::new(Action::Revoke, application, summary, [statement])
                    .for_role(&seen.owner)
                    .in_database(&undeclared.database)
                    .executed_as(execute_as);
                let closed = ClosedDatabase { owner: &seen.owner, acl: &seen.acl, declared: None };
                let lost = self.lost_through_public(&closed, &privileges);
                steps.push(revocation.closing_to_public(lost));
            }
        }
    }
}
